import { useNavigate, useRouterState, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { plural } from '../format.ts';
import { type Limit, limits, usualLimit } from '../paging.ts';
import { Icon } from '../parts/icons.tsx';
import { useShortcut } from '../shortcuts.ts';

/** The cursors of the newer pages that led here; kept with the history entry, because a cursor only knows the way to older rows. */
declare module '@tanstack/react-router' {
  interface HistoryState {
    trail?: readonly string[];
  }
}

/** Newer and older pages by cursor: rows that arrive meanwhile move nothing. */
export function Paging({ rows, heldBack, nextCursor }: { rows: number; heldBack: number; nextCursor: string | null }): ReactNode {
  const { cursor, limit = usualLimit } = useSearch({ from: '/lists/$module/$list' });
  const trail = useRouterState({ select: (state) => state.location.state.trail }) ?? [];
  const navigate = useNavigate({ from: '/lists/$module/$list' });
  const older = (): void => {
    if (nextCursor) void navigate({ search: (before) => ({ ...before, cursor: nextCursor }), state: { trail: cursor ? [...trail, cursor] : [] } });
  };
  const newer = (): void => {
    // On a link that somebody shared the way is not known: then to the newest.
    if (cursor) void navigate({ search: (before) => ({ ...before, cursor: trail.at(-1) }), state: { trail: trail.slice(0, -1) } });
  };
  const choose = (next: string): void => {
    const known = limits.find((each) => each === next) as Limit;
    void navigate({ search: (before) => ({ ...before, cursor: undefined, limit: known === usualLimit ? undefined : known }) });
  };
  useShortcut('n', older);
  useShortcut('p', newer);
  return (
    <nav aria-label="Pages" className="flex flex-wrap items-center gap-2 border-t border-line bg-ground px-4 py-2">
      <output className="text-soft">
        {plural(rows, 'row')}
        {cursor ? ', older page' : ''}
      </output>
      {heldBack > 0 ? <span className="text-run">{heldBack} more when the pointer leaves the rows</span> : null}
      <label className="ml-auto flex items-center gap-1.5 text-soft">
        Rows
        <select className="rounded border border-line-strong bg-panel px-1 py-0.5 text-text" value={limit} onChange={(event) => choose(event.target.value)}>
          {limits.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <button type="button" className="btn" disabled={!cursor} onClick={newer}>
        <Icon name="left" size={12} /> Newer
      </button>
      <button type="button" className="btn" disabled={!nextCursor} onClick={older}>
        Older <Icon name="right" size={12} />
      </button>
    </nav>
  );
}
