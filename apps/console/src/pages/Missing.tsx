import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { useTitle } from '../title.ts';

/** For addresses that lead nowhere. `what` says what was looked for. */
export function MissingPage({ what = 'There is no such page' }: { what?: string }): ReactNode {
  useTitle('Not found');
  return (
    <div className="mx-auto max-w-xl py-16 text-center">
      <h1 className="text-lg font-semibold">{what}</h1>
      <p className="mt-1 text-soft">The address may be old, or from an installation with other modules.</p>
      <p className="mt-4">
        <Link to="/" className="btn">
          To the first page
        </Link>
      </p>
    </div>
  );
}
