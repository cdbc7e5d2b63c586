import type { ReactNode } from 'react';

export function Logo({ size = 20 }: { size?: number }): ReactNode {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 24 24" className="shrink-0">
      <rect width="24" height="24" rx="5" className="fill-accent" />
      <path className="fill-accent-text" d="M9 4h6v7H9zM7 12.5h10V15H7zM5 16.5h14V20H5z" />
    </svg>
  );
}
