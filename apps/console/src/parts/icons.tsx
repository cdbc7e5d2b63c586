import type { ReactNode } from 'react';

/** Sixteen by sixteen, drawn with the colour of the text, hidden from readers: every icon stands beside its word or in a labelled button. */
const paths = {
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm4-1 3.5 3.5',
  home: 'M2.5 7.5 8 3l5.5 4.5V13H10V9.5H6V13H2.5Z',
  menu: 'M2.5 4h11M2.5 8h11M2.5 12h11',
  close: 'm4 4 8 8m0-8-8 8',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  check: 'm3 8.5 3.2 3L13 4.5',
  cross: 'm4.5 4.5 7 7m0-7-7 7',
  clock: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Zm0-9v3.2l2 1.3',
  play: 'M5 3.5v9l7.5-4.5Z',
  pause: 'M5.5 3.5v9m5-9v9',
  alert: 'M8 2.5 14.5 13.5h-13ZM8 6.5v3.2m0 1.6v.4',
  dot: 'M8 9.2A1.2 1.2 0 1 0 8 6.8a1.2 1.2 0 0 0 0 2.4Z',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0-10v1.5m0 11V15M1 8h1.5m11 0H15M3.05 3.05l1.06 1.06m7.78 7.78 1.06 1.06m0-9.9-1.06 1.06m-7.78 7.78-1.06 1.06',
  moon: 'M13 9.6A5.6 5.6 0 1 1 6.4 3a4.5 4.5 0 0 0 6.6 6.6Z',
  screen: 'M2 3h12v8H2zM6 13.5h4M8 11v2.5',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.3 6.3c.1-1 .8-1.6 1.7-1.6s1.7.6 1.7 1.5c0 1.2-1.7 1.3-1.7 2.5m0 2v.2',
  exit: 'M9.5 2.5h-6v11h6M7 8h7m-2.5-2.5L14 8l-2.5 2.5',
  trace: 'M2.5 3.5h5M5 7.5h6M8.5 11.5h5',
  filter: 'M2.5 3.5h11L9.5 8.5v4l-3 1v-5Z',
  down: 'm4 6 4 4 4-4',
  left: 'M10 4 6 8l4 4',
  right: 'm6 4 4 4-4 4',
  export: 'M8 2.5v7.5m-3-3 3 3 3-3M2.5 11.5v2h11v-2',
  refresh: 'M13 5.5A5.5 5.5 0 1 0 13.5 8M13.5 2.5v3h-3',
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 14 }: { name: IconName; size?: number }): ReactNode {
  return (
    <svg
      aria-hidden="true"
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      className="shrink-0"
    >
      <path d={paths[name]} />
    </svg>
  );
}
