import { Link } from '@tanstack/react-router';
import { type ReactNode, useEffect, useRef } from 'react';
import { absolute, duration } from '../format.ts';
import { Id } from '../parts/Copy.tsx';
import { Diff } from '../parts/Diff.tsx';
import { Icon } from '../parts/icons.tsx';
import { Json } from '../parts/Json.tsx';
import { Status } from '../parts/Status.tsx';
import { useLists } from '../session.tsx';
import { type Attempt, attemptsOf } from './spans.ts';
import type { Story, StoryRow } from './story.ts';
import { timingText } from './text.ts';

function Section({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <section className="border-t border-line px-4 py-3">
      <h3 className="pb-1.5 text-xs font-medium text-soft">{title}</h3>
      {children}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <>
      <dt className="text-soft">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Facts({ item, story, choose }: { item: StoryRow; story: Story; choose: (id: string) => void }): ReactNode {
  const { row, cause } = item;
  const caused = story.rows.filter((other) => other.cause === row);
  const timing = timingText(item);
  const jump = (id: string, label: string): ReactNode => (
    <button key={id} type="button" className="link block text-left" onClick={() => choose(id)}>
      {label}
    </button>
  );
  return (
    <dl className="grid grid-cols-[5.5rem_minmax(0,1fr)] gap-x-3 gap-y-1 px-4 py-3">
      <Fact name="Id">
        <Id value={row.id} />
      </Fact>
      {row.entity ? <Fact name="Entity">{row.entity}</Fact> : null}
      <Fact name="At">
        {absolute(new Date(row.at))} <span className="text-soft">+{duration(item.from - story.from)}</span>
      </Fact>
      {timing ? <Fact name="Time">{timing}</Fact> : null}
      {row.attempt === null ? null : <Fact name="Attempt">{row.attempt}</Fact>}
      {row.xact ? <Fact name="Transaction">{row.xact}</Fact> : null}
      {cause ? <Fact name="Caused by">{jump(cause.id, `${cause.kind} ${cause.title}`)}</Fact> : null}
      {caused.length > 0 ? <Fact name="Caused">{caused.map((other) => jump(other.row.id, `${other.row.kind} ${other.row.title}`))}</Fact> : null}
    </dl>
  );
}

function Attempts({ attempts }: { attempts: readonly Attempt[] }): ReactNode {
  return (
    <ol className="flex flex-col gap-1.5">
      {attempts.map((attempt) => (
        <li key={`${attempt.number} ${attempt.startedAt}`} className="rounded-md border border-line px-2.5 py-1.5">
          <p className="flex flex-wrap items-center gap-2">
            <span className="font-medium">Try {attempt.number}</span>
            {attempt.status ? <Status value={attempt.status} /> : null}
            <span className="ml-auto text-soft">
              {attempt.startedAt === undefined ? '' : absolute(new Date(attempt.startedAt)).slice(11)}
              {attempt.startedAt !== undefined && attempt.endedAt !== undefined ? `, ${duration(attempt.endedAt - attempt.startedAt)}` : ''}
            </span>
          </p>
          {attempt.error ? <p className="mt-1 font-mono text-xs break-words whitespace-pre-wrap text-bad">{attempt.error}</p> : null}
        </li>
      ))}
    </ol>
  );
}

/** Parts of `data` that have a place of their own; everything else is shown as JSON. */
const placed = new Set(['before', 'after', 'attempts', 'runs', 'error', 'last_error', 'request', 'response', 'reason']);

const errorOf = (data: Record<string, unknown>): unknown => data.error ?? data.last_error ?? null;

function DataSections({ item }: { item: StoryRow }): ReactNode {
  const data = item.row.data ?? {};
  const attempts = attemptsOf(item.row);
  const error = errorOf(data);
  const rest = Object.fromEntries(Object.entries(data).filter(([name, value]) => !placed.has(name) && value !== null));
  const hasDifference = (data.before ?? null) !== null || (data.after ?? null) !== null;
  return (
    <>
      {typeof data.reason === 'string' ? (
        <Section title="Reason">
          <p>{data.reason}</p>
        </Section>
      ) : null}
      {error === null || error === '' ? null : (
        <Section title="Error">
          {typeof error === 'string' ? (
            <p className="font-mono text-xs break-words whitespace-pre-wrap text-bad">{error}</p>
          ) : (
            <Json value={error} label="error" />
          )}
        </Section>
      )}
      {hasDifference ? (
        <Section title="Before and after">
          <Diff before={data.before} after={data.after} />
        </Section>
      ) : null}
      {attempts.length > 0 ? (
        <Section title="Attempts">
          <Attempts attempts={attempts} />
        </Section>
      ) : null}
      {(['request', 'response'] as const).map((part) =>
        (data[part] ?? null) === null ? null : (
          <Section key={part} title={part === 'request' ? 'Request' : 'Response'}>
            {typeof data[part] === 'object' ? (
              <Json value={data[part]} label={part} />
            ) : (
              <pre className="font-mono text-xs break-words whitespace-pre-wrap">{String(data[part])}</pre>
            )}
          </Section>
        ),
      )}
      {Object.keys(rest).length > 0 ? (
        <Section title="Data">
          <Json value={rest} label="data" />
        </Section>
      ) : null}
    </>
  );
}

/** The row's own page, in the first list of its module that could hold it. */
function RowPageLink({ item }: { item: StoryRow }): ReactNode {
  const { row } = item;
  const lists = (useLists().data ?? []).filter((meta) => meta.module === row.module);
  const meta = lists.find(({ list }) => list === row.kind || list === `${row.kind}s` || list.endsWith(`_${row.kind}s`)) ?? lists[0];
  if (!meta) return null;
  return (
    <Link to="/lists/$module/$list/$id" params={{ module: meta.module, list: meta.list, id: row.id }} className="btn min-h-7">
      Open
    </Link>
  );
}

/** Everything about one record of the story. */
export function Panel({ item, story, choose }: { item: StoryRow; story: Story; choose: (id: string | undefined) => void }): ReactNode {
  const { row } = item;
  const panel = useRef<HTMLElement>(null);
  useEffect(() => {
    if (panel.current && panel.current.getBoundingClientRect().top > innerHeight) panel.current.scrollIntoView({ block: 'nearest' });
  }, []);
  return (
    <aside ref={panel} aria-label={`${row.kind} ${row.title}`} className="card sticky top-16 max-h-[calc(100dvh-5rem)] overflow-y-auto">
      <div className="flex items-start gap-2 border-b border-line py-2.5 pr-2 pl-4">
        <div className="min-w-0 flex-1">
          <p className="text-xs text-soft">{row.kind}</p>
          <h2 className="font-semibold break-words">{row.title}</h2>
          {row.status ? <Status value={row.status} /> : null}
        </div>
        <RowPageLink item={item} />
        <button type="button" aria-label="Close" className="btn btn-quiet size-7 min-h-0 p-0" onClick={() => choose(undefined)}>
          <Icon name="close" />
        </button>
      </div>
      <Facts item={item} story={story} choose={choose} />
      <DataSections item={item} />
    </aside>
  );
}
