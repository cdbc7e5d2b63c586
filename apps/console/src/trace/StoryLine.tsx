import type { ReactNode } from 'react';
import { duration } from '../format.ts';
import { Status } from '../parts/Status.tsx';
import type { Axis } from './axis.ts';
import { focusPanel } from './panel-focus.ts';
import type { Span } from './spans.ts';
import type { StoryRow } from './story.ts';
import { timingText } from './text.ts';

const percent = (share: number): string => `${(share * 100).toFixed(3)}%`;

/** However long the chain of causes, there is room for words. */
export const indent = (depth: number): string => `min(${1 + depth * 1.25}rem, 40%)`;

const spanLook = (span: Span): string => {
  if (span.kind === 'wait') return 'hatched border border-line-strong';
  return span.bad ? 'bg-bad' : 'bg-run';
};

function Bars({ item, axis }: { item: StoryRow; axis: Axis }): ReactNode {
  return (
    <span aria-hidden="true" className="trace-bars relative block h-full min-h-5">
      {axis.breaks.map((each) => (
        <span
          key={each.from}
          className="absolute inset-y-0 border-x border-dashed border-line"
          style={{ left: percent(each.left), width: percent(each.width) }}
        />
      ))}
      {item.spans.map((span) => {
        const left = axis.at(span.from);
        return (
          <span
            key={`${span.kind} ${span.from}`}
            className={`absolute top-1/2 h-2.5 min-w-[3px] -translate-y-1/2 rounded-sm ${spanLook(span)}`}
            style={{ left: percent(left), width: percent(Math.max(axis.at(span.to) - left, 0)) }}
          />
        );
      })}
      {item.spans.length === 0 ? (
        <span
          className={`absolute top-1/2 size-2 -translate-1/2 rotate-45 ${item.failed ? 'bg-bad' : 'bg-accent'}`}
          style={{ left: percent(axis.at(item.from)) }}
        />
      ) : null}
    </span>
  );
}

interface StoryLineProps {
  item: StoryRow;
  axis: Axis;
  start: number;
  chosen: boolean;
  /** Drawn before the record when it stands right below its cause. */
  elbow: boolean;
  dim: boolean;
  choose: (id: string | undefined) => void;
}

/** One record: what it is, its state in words, how long after the beginning, and its place on the axis. */
export function StoryLine({ item, axis, start, chosen, elbow, dim, choose }: StoryLineProps): ReactNode {
  const { row } = item;
  const timing = timingText(item);
  return (
    <li>
      <button
        type="button"
        data-record={row.id}
        aria-pressed={chosen}
        onClick={() => (chosen ? focusPanel() : choose(row.id))}
        className={`trace-grid w-full text-left hover:bg-sunken aria-pressed:bg-accent-soft focus-visible:-outline-offset-2 ${dim ? 'opacity-45' : ''}`}
      >
        <span className="flex min-w-0 items-baseline gap-2 py-1 pr-3 max-md:flex-wrap max-md:gap-y-0" style={{ paddingLeft: indent(item.depth) }}>
          <span className="min-w-12 shrink-0 text-xs whitespace-nowrap text-soft">
            {elbow ? <span aria-hidden="true">↳ </span> : null}
            {row.kind}
          </span>
          <span className="truncate font-medium max-md:order-last max-md:basis-full max-md:whitespace-normal" title={row.title}>
            {row.title}
          </span>
          {row.entity ? (
            <span className="min-w-0 shrink-[8] truncate text-soft" title={row.entity}>
              {row.entity}
            </span>
          ) : null}
        </span>
        <span className="flex items-center gap-1.5 py-1">
          {row.status ? <Status value={row.status} /> : null}
          {row.attempt !== null && row.attempt > 1 ? <span className="text-xs whitespace-nowrap text-soft">try {row.attempt}</span> : null}
        </span>
        <span className="py-1 text-right whitespace-nowrap text-soft">+{duration(item.from - start)}</span>
        <span className="min-w-0" title={timing === '' ? undefined : timing}>
          <Bars item={item} axis={axis} />
          {timing === '' ? null : <span className="sr-only">, {timing}</span>}
        </span>
      </button>
    </li>
  );
}
