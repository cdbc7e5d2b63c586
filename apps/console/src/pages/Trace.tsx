import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, useCallback, useMemo } from 'react';
import { isAway } from '../api/problem.ts';
import type { Trace } from '../api/types.ts';
import { duration, plural, shortId } from '../format.ts';
import { useLiveEvery } from '../live.tsx';
import { copyText, Id } from '../parts/Copy.tsx';
import { Icon } from '../parts/icons.tsx';
import { Time } from '../parts/Time.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { useToast } from '../parts/toast.tsx';
import { useElsewhere, useTrace } from '../session.tsx';
import { useShortcut } from '../shortcuts.ts';
import { useTitle } from '../title.ts';
import { KindFilter } from '../trace/KindFilter.tsx';
import { Panel } from '../trace/Panel.tsx';
import { StoryList } from '../trace/StoryList.tsx';
import { goesOn, type Story, tell } from '../trace/story.ts';
import { storyText } from '../trace/text.ts';

/**
 * What follows from a record arrives after it, so a young story is asked for again even when all of it is finished. One that has
 * waited for long, for a job of tomorrow for example, is asked for less often.
 */
const youngMs = 30_000;
/** A story of more is megabytes for the server and the page: it is not asked for every second. */
const manyRows = 1_000;
const again = (trace: Trace): number | false => {
  const newest = Math.max(...trace.rows.map((row) => Date.parse(row.ended_at ?? row.at)), 0);
  if (Date.now() - newest < youngMs && trace.rows.length <= manyRows) return 1000;
  return goesOn(trace.rows) || trace.rows.length === 0 ? 5000 : false;
};

const failures = (story: Story): number => story.rows.filter((item) => item.failed).length;

function Head({ id, story, copy }: { id: string; story: Story; copy: () => void }): ReactNode {
  const bad = failures(story);
  return (
    <div className="mb-3 flex flex-wrap items-end gap-x-4 gap-y-2">
      <div className="min-w-0">
        <h1 className="text-lg font-semibold break-words">{story.title}</h1>
        <p className="flex flex-wrap items-center gap-x-3 text-soft">
          <span className="inline-flex items-center gap-1.5 text-text">
            Trace <Id value={id} name="correlation id" />
          </span>
          <Time at={new Date(story.from).toISOString()} full />
          <span>{duration(story.to - story.from)} in all</span>
          {bad > 0 ? <span className="font-medium text-bad">{plural(bad, 'failure')}</span> : null}
          {story.unfinished ? <span className="font-medium text-run">still going on</span> : null}
        </p>
      </div>
      <button type="button" className="btn ml-auto" title="Copy as text (c)" onClick={copy}>
        <Icon name="copy" /> Copy as text
      </button>
    </div>
  );
}

function Loaded({ trace, now }: { trace: Trace; now: number }): ReactNode {
  const { row: chosenId, kind } = useSearch({ from: '/trace/$id' });
  const navigate = useNavigate({ from: '/trace/$id' });
  const toast = useToast();
  const story = useMemo(() => tell(trace.rows, now), [trace, now]);
  const chosen = story.rows.find(({ row }) => row.id === chosenId);
  const choose = useCallback((row: string | undefined) => void navigate({ search: (before) => ({ ...before, row }), replace: true }), [navigate]);
  const copy = (): void => {
    copyText(storyText(trace.correlation_id, story, trace.capped)).then(
      () => toast({ text: 'The story is on the clipboard' }),
      () => toast({ text: 'The browser does not allow copying here', bad: true }),
    );
  };
  useShortcut('c', copy);
  useTitle(`${story.title} ${shortId(trace.correlation_id)}`);
  return (
    <>
      <Head id={trace.correlation_id} story={story} copy={copy} />
      {trace.capped ? (
        <p className="mb-3 rounded-md border border-line px-3 py-2 text-warn" role="note">
          Only the oldest {trace.rows.length.toLocaleString('en')} records are shown; the story may go on. The lists find the rest by{' '}
          <code className="font-mono text-xs break-all">correlation_id:{trace.correlation_id}</code>.
        </p>
      ) : null}
      <KindFilter story={story} kind={kind} choose={(next) => void navigate({ search: (before) => ({ ...before, kind: next }), replace: true })} />
      <div className={chosen ? 'grid items-start gap-4 2xl:grid-cols-[minmax(0,1fr)_28rem]' : ''}>
        <StoryList story={story} kind={kind} chosen={chosen?.row.id} choose={choose} />
        {chosen ? <Panel key={chosen.row.id} item={chosen} story={story} choose={choose} /> : null}
      </div>
    </>
  );
}

function Waiting({ id }: { id: string }): ReactNode {
  useTitle(`Trace ${shortId(id)}`);
  const elsewhere = useElsewhere(id);
  return (
    <div className="mx-auto max-w-xl py-16 text-center">
      <h1 className="text-lg font-semibold">Nothing under this correlation id</h1>
      <p className="mt-2 font-mono text-xs break-all">{id}</p>
      <p className="mt-2 text-soft">
        Either nothing was written under it in this tenant, or what was written has been retired by its retention policy. This page keeps looking.
      </p>
      {elsewhere.map((tenant) => (
        <p key={tenant.id} className="mt-2 font-medium">
          <Link to="/trace/$id" params={{ id }} search={{ tenant: tenant.id }} className="link underline">
            It is in tenant {tenant.name}
          </Link>
        </p>
      ))}
    </div>
  );
}

/** Everything that happened under one correlation id: the one page that is made by hand. */
export function TracePage(): ReactNode {
  const { id } = useParams({ from: '/trace/$id' });
  const live = useLiveEvery(1000) !== false;
  const trace = useTrace(id, (told) => live && again(told));
  if (trace.data && trace.data.rows.length > 0) {
    return (
      <>
        {trace.error && !isAway(trace.error) ? (
          <div className="mb-3">
            <Trouble error={trace.error} retry={() => void trace.refetch()} />
          </div>
        ) : null}
        <Loaded trace={trace.data} now={trace.dataUpdatedAt} />
      </>
    );
  }
  if (trace.error) return <Trouble error={trace.error} retry={() => void trace.refetch()} />;
  if (trace.isPending) return <p className="text-soft">Loading…</p>;
  return <Waiting id={id} />;
}
