import { type PointerEvent, useState } from 'react';
import type { Row } from '../api/types.ts';

const nameOf = (row: Row): string => `${row.tenant_id} ${row.id}`;

export interface Steady {
  rows: readonly Row[];
  /** Those that are no longer on the page and only keep their place. */
  gone: ReadonlySet<Row>;
  /** How many would stand among them by now. */
  newer: number;
}

/** The rows of `before` in their places, each as it is `now`. */
export function steadied(before: readonly Row[], now: readonly Row[]): Steady {
  const left = new Map(now.map((row) => [nameOf(row), row]));
  const gone = new Set<Row>();
  const rows = before.map((row) => {
    const name = nameOf(row);
    const newest = left.get(name);
    left.delete(name);
    if (!newest) gone.add(row);
    return newest ?? row;
  });
  return { rows, gone, newer: left.size };
}

/**
 * Rows that do not move while the pointer rests on them, so that a click does what it was meant for: what is new comes when the pointer leaves. `place` is what
 * was asked for; rows of another question are shown at once.
 */
export function useSteadyRows(rows: readonly Row[], place: string): Steady & { hold: object } {
  const [held, setHeld] = useState<{ place: string; rows: readonly Row[] }>();
  const steady = held?.place === place ? steadied(held.rows, rows) : { rows, gone: new Set<Row>(), newer: 0 };
  const hold = {
    onPointerEnter: ({ pointerType }: PointerEvent) => {
      if (pointerType === 'mouse') setHeld({ place, rows });
    },
    // Another question was asked under the pointer.
    onPointerMove: ({ pointerType }: PointerEvent) => {
      if (pointerType === 'mouse' && held?.place !== place) setHeld({ place, rows });
    },
    onPointerLeave: () => setHeld(undefined),
  };
  return { ...steady, hold };
}
