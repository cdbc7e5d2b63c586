import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { absolute, duration } from '../format.ts';
import { Id } from '../parts/Copy.tsx';
import { Diff } from '../parts/Diff.tsx';
import { Icon } from '../parts/icons.tsx';
import { Json } from '../parts/Json.tsx';
import { Status } from '../parts/Status.tsx';
import { useLists, useTenantOf } from '../session.tsx';
import { useShortcut } from '../shortcuts.ts';
import { type Exchange, exchangeOf } from './exchange.ts';
import { focusRecord, panelId } from './panel-focus.ts';
import type { Attempt } from './spans.ts';
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

const shownCaused = 50;

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
      {caused.length > 0 ? (
        <Fact name="Caused">
          {caused.slice(0, shownCaused).map((other) => jump(other.row.id, `${other.row.kind} ${other.row.title}`))}
          {caused.length > shownCaused ? <span className="text-soft">and {caused.length - shownCaused} more</span> : null}
        </Fact>
      ) : null}
    </dl>
  );
}

function Attempts({ attempts, choose }: { attempts: readonly Attempt[]; choose: (id: string) => void }): ReactNode {
  return (
    <ol className="flex flex-col gap-1.5">
      {attempts.map((attempt) => (
        <li key={`${attempt.number} ${attempt.startedAt}`} className="rounded-md border border-line px-2.5 py-1.5">
          <p className="flex flex-wrap items-center gap-2">
            {attempt.id === undefined ? (
              <span className="font-medium">Try {attempt.number}</span>
            ) : (
              <button type="button" className="link font-medium" onClick={() => choose(attempt.id ?? '')}>
                Try {attempt.number}
              </button>
            )}
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

function ExchangeSection({ title, exchange }: { title: string; exchange: Exchange }): ReactNode {
  return (
    <Section title={title}>
      <div className="flex flex-col gap-1.5">
        {exchange.line ? <p className="font-mono text-xs break-all">{exchange.line}</p> : null}
        {exchange.headers === undefined ? null : <Json value={exchange.headers} label={`${title.toLowerCase()} headers`} />}
        {exchange.body === undefined ? null : typeof exchange.body === 'string' ? (
          <pre className="rounded-md border border-line bg-ground px-2.5 py-1.5 font-mono text-xs break-words whitespace-pre-wrap">{exchange.body}</pre>
        ) : (
          <Json value={exchange.body} label={`${title.toLowerCase()} body`} />
        )}
      </div>
    </Section>
  );
}

/** What a module keeps in `data`, in the order people ask for it: why, what failed, what changed, what was sent, and then the rest. */
function DataSections({ item, choose }: { item: StoryRow; choose: (id: string) => void }): ReactNode {
  const { reason, error, before, after, request, response, rest } = exchangeOf(item.row.data ?? {});
  return (
    <>
      {reason === undefined ? null : (
        <Section title="Reason">
          <p>{reason}</p>
        </Section>
      )}
      {error === undefined ? null : (
        <Section title="Error">
          {typeof error === 'string' ? (
            <p className="font-mono text-xs break-words whitespace-pre-wrap text-bad">{error}</p>
          ) : (
            <Json value={error} label="error" />
          )}
        </Section>
      )}
      {before === undefined && after === undefined ? null : (
        <Section title="Before and after">
          <Diff before={before} after={after} />
        </Section>
      )}
      {item.attempts.length > 0 ? (
        <Section title="Attempts">
          <Attempts attempts={item.attempts} choose={choose} />
        </Section>
      ) : null}
      {request ? <ExchangeSection title="Request" exchange={request} /> : null}
      {response ? <ExchangeSection title="Response" exchange={response} /> : null}
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
  const tenantOf = useTenantOf();
  const lists = (useLists().data ?? []).filter((meta) => meta.module === row.module);
  const meta = lists.find(({ list }) => list === row.kind || list === `${row.kind}s` || list.endsWith(`_${row.kind}s`)) ?? lists[0];
  if (!meta) return null;
  return (
    <Link to="/lists/$module/$list/$id" params={{ module: meta.module, list: meta.list, id: row.id }} search={tenantOf(row.tenant_id)} className="btn min-h-7">
      Open
    </Link>
  );
}

/** Everything about one record of the story. */
export function Panel({ item, story, choose }: { item: StoryRow; story: Story; choose: (id: string | undefined) => void }): ReactNode {
  const { row } = item;
  const close = (): void => {
    choose(undefined);
    focusRecord(row.id);
  };
  useShortcut('Escape', close);
  return (
    <aside
      id={panelId}
      tabIndex={-1}
      aria-label={`${row.kind} ${row.title}`}
      className="fixed inset-y-0 right-0 z-30 w-[min(28rem,100vw)] overflow-y-auto border-l border-line-strong bg-panel shadow-2xl lg:top-12 2xl:sticky 2xl:top-16 2xl:max-h-[calc(100dvh-5rem)] 2xl:w-auto 2xl:rounded-lg 2xl:border 2xl:border-line 2xl:shadow-none"
    >
      <div className="flex items-start gap-2 border-b border-line py-2.5 pr-2 pl-4">
        <div className="min-w-0 flex-1">
          <p className="text-xs text-soft">{row.kind}</p>
          <h2 className="font-semibold break-words">{row.title}</h2>
          {row.status ? <Status value={row.status} /> : null}
        </div>
        <RowPageLink item={item} />
        <button type="button" aria-label="Close" className="btn btn-quiet size-7 min-h-0 p-0" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <Facts item={item} story={story} choose={choose} />
      <DataSections item={item} choose={choose} />
    </aside>
  );
}
