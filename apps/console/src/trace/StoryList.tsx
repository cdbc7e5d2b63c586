import { type KeyboardEvent, type ReactNode, useMemo, useRef, useState } from 'react';
import { duration, plural } from '../format.ts';
import { Icon } from '../parts/icons.tsx';
import { useShortcut } from '../shortcuts.ts';
import { type Axis, axisOf } from './axis.ts';
import { excerpt, linesAtOnce, type Part } from './excerpt.ts';
import { isAsked } from './KindFilter.tsx';
import { indent, StoryLine } from './StoryLine.tsx';
import type { Band, Story, StoryRow } from './story.ts';

interface StoryListProps {
  story: Story;
  kind: string | undefined;
  chosen: string | undefined;
  choose: (id: string | undefined) => void;
}

/** Waiting does not count as something happening, so that the axis may fold a long wait. */
const axisFor = (story: Story): Axis =>
  axisOf([
    ...story.rows.flatMap(({ from, spans }) => [{ from, to: from }, ...spans.filter((span) => span.kind === 'run')]),
    ...story.rows.map(({ to }) => ({ from: to, to })),
  ]);

function AxisHead({ axis, start }: { axis: Axis; start: number }): ReactNode {
  return (
    <div aria-hidden="true" className="trace-grid border-b border-line bg-ground text-xs text-soft">
      <span className="py-1.5 pl-4">Record</span>
      <span className="py-1.5">State</span>
      <span className="py-1.5 text-right">After</span>
      <span className="trace-bars relative">
        {axis.ticks.map((tick) => (
          <span key={tick.time} className="absolute inset-y-0 border-l border-line pt-1.5 pl-1 whitespace-nowrap" style={{ left: `${tick.at * 100}%` }}>
            {duration(tick.time - start)}
          </span>
        ))}
        {axis.breaks.map((each) => (
          <span
            key={each.from}
            className="hatched absolute inset-y-0 flex items-center justify-center border-x border-line"
            style={{ left: `${each.left * 100}%`, width: `${each.width * 100}%` }}
          >
            <span className="rounded bg-ground px-1 whitespace-nowrap">{duration(each.to - each.from)}</span>
          </span>
        ))}
      </span>
    </div>
  );
}

/** Where the story is not read straight down, the line says what led here. */
function BandHead({ band, away }: { band: Band; away: boolean }): ReactNode {
  const together = band.rows.length > 1;
  if (!together && !away) return null;
  return (
    <p className="flex flex-wrap items-center gap-x-2 pt-1 pr-4 text-xs text-soft" style={{ paddingLeft: indent(band.depth) }}>
      {band.cause ? (
        <span className="inline-flex items-center gap-1">
          <span aria-hidden="true">↳</span> after {band.cause.kind} {band.cause.title}
        </span>
      ) : null}
      {together ? (
        <span className="font-medium text-accent">
          One transaction: {plural(band.rows.length, 'record')} committed together
          {band.xact ? <span className="font-normal"> · xact {band.xact}</span> : null}
        </span>
      ) : null}
    </p>
  );
}

/** True when the cause of a band is neither the line above it nor that of the band above it. */
const isAway = (parts: readonly Part[], at: number): boolean => {
  const [part, above] = [parts[at], parts[at - 1]];
  if (!part?.band.cause || !above) return false;
  const lineAbove = above.rows.at(-1);
  return part.band.cause !== lineAbove?.row && (part.band.cause !== above.band.cause || above.rows.length > 1);
};

/** Arrow keys walk the records that are drawn; right goes to what a record caused, left to its cause. */
function useStoryKeys(story: Story, rows: readonly StoryRow[], chosen: string | undefined, choose: StoryListProps['choose']) {
  const list = useRef<HTMLOListElement>(null);
  const focus = (item: StoryRow | undefined): void => {
    if (item) list.current?.querySelector<HTMLElement>(`[data-record="${CSS.escape(item.row.id)}"]`)?.focus();
  };
  const focused = (): string | undefined => (document.activeElement instanceof HTMLElement ? document.activeElement.dataset.record : undefined);
  const onKeyDown = (event: KeyboardEvent): void => {
    const id = focused();
    const at = rows.findIndex(({ row }) => row.id === id);
    const item = rows[at];
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const goals = new Map<string, StoryRow | undefined>([
      ['ArrowDown', rows[at + 1]],
      ['ArrowUp', rows[at - 1]],
      ['ArrowRight', rows.find(({ cause }) => cause === item.row)],
      ['ArrowLeft', rows.find(({ row }) => row === item.cause)],
      ['Home', rows[0]],
      ['End', rows.at(-1)],
    ]);
    if (!goals.has(event.key)) return;
    event.preventDefault();
    const goal = goals.get(event.key);
    focus(goal);
    // With a record open, the panel follows.
    if (goal && chosen !== undefined) choose(goal.row.id);
  };
  useShortcut('f', () => {
    const all = story.rows;
    const id = chosen ?? focused();
    const at = all.findIndex(({ row }) => row.id === id);
    const after = all.findIndex((item, index) => index > at && item.failed);
    const next = all[after === -1 ? all.findIndex((item) => item.failed) : after];
    if (!next) return;
    choose(next.row.id);
    focus(next);
  });
  return { list, onKeyDown };
}

/** The story on one time axis. */
export function StoryList({ story, kind, chosen, choose }: StoryListProps): ReactNode {
  const axis = useMemo(() => axisFor(story), [story]);
  const [most, setMost] = useState(linesAtOnce);
  const asked = ({ row, failed }: StoryRow): boolean => isAsked(kind, { kind: row.kind, failed });
  // In a story that is not drawn whole, what was not asked for makes room.
  const { parts, rows, total } = excerpt(story, most, story.rows.length > linesAtOnce ? asked : () => true);
  const { list, onKeyDown } = useStoryKeys(story, rows, chosen, choose);
  return (
    <section aria-label="What happened" className="card overflow-hidden">
      <AxisHead axis={axis} start={story.from} />
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- the keys act on the buttons inside, which work without them */}
      <ol ref={list} onKeyDown={onKeyDown} className="py-1">
        {parts.map(({ band, rows: drawn }, at) => (
          <li key={band.key} className={band.rows.length > 1 ? 'my-1 border-l-3 border-accent bg-accent-soft/50 pb-0.5' : 'border-l-3 border-transparent'}>
            <BandHead band={band} away={isAway(parts, at)} />
            <ol>
              {drawn.map((item) => (
                <StoryLine
                  key={`${item.row.kind} ${item.row.id}`}
                  item={item}
                  axis={axis}
                  start={story.from}
                  chosen={item.row.id === chosen}
                  elbow={band.rows.length === 1 && band.cause !== undefined && !isAway(parts, at)}
                  dim={!asked(item)}
                  choose={choose}
                />
              ))}
            </ol>
          </li>
        ))}
      </ol>
      {total > rows.length ? (
        <p className="flex flex-wrap items-center gap-3 border-t border-line px-4 py-2">
          <span>
            The first {rows.length.toLocaleString('en')} of {total.toLocaleString('en')} records
          </span>
          <button type="button" className="btn" onClick={() => setMost(most + linesAtOnce)}>
            Show more
          </button>
        </p>
      ) : null}
      <p className="flex flex-wrap items-center gap-x-4 gap-y-1 border-t border-line bg-ground px-4 py-1.5 text-xs text-soft">
        <span className="inline-flex items-center gap-1.5">
          <span className="inline-block size-2 rotate-45 bg-accent" /> instant
        </span>
        <span className="inline-flex items-center gap-1.5">
          <span className="hatched inline-block h-2.5 w-6 rounded-sm border border-line-strong" /> waiting
        </span>
        <span className="inline-flex items-center gap-1.5">
          <span className="inline-block h-2.5 w-6 rounded-sm bg-run" /> running
        </span>
        <span className="inline-flex items-center gap-1.5 text-bad">
          <Icon name="cross" size={12} /> failed
        </span>
      </p>
    </section>
  );
}
