import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { isAway } from '../api/problem.ts';
import type { ListMeta, Page } from '../api/types.ts';
import { moduleBeside } from '../format.ts';
import { ExportButton } from '../list/Export.tsx';
import { FilterBox } from '../list/FilterBox.tsx';
import { Paging } from '../list/Paging.tsx';
import { RowsTable } from '../list/RowsTable.tsx';
import { useSteadyRows } from '../list/steady.ts';
import { useLiveEvery } from '../live.tsx';
import { usualLimit } from '../paging.ts';
import { Trouble } from '../parts/Trouble.tsx';
import { useList, usePage } from '../session.tsx';
import { useTitle } from '../title.ts';
import { MissingPage, noList } from './Missing.tsx';

const liveMs = 3_000;

function Empty({ meta, q, clear }: { meta: ListMeta; q: string; clear: () => void }): ReactNode {
  return (
    <div className="px-6 py-14 text-center">
      <p className="font-medium">{q === '' ? 'Nothing here yet' : 'Nothing matches this filter'}</p>
      <p className="mx-auto mt-1 max-w-xl text-soft">{q === '' ? meta.empty : q}</p>
      {q === '' ? null : (
        <button type="button" className="btn mt-4" onClick={clear}>
          Remove the filter
        </button>
      )}
    </div>
  );
}

const Skeleton = (): ReactNode => (
  <output aria-label="Loading" className="block divide-y divide-line">
    {[40, 28, 34, 31, 38, 26, 35, 30].map((width) => (
      <span key={width} className="flex h-9 items-center px-4">
        <span className="h-2.5 rounded bg-sunken" style={{ width: `${width}%` }} />
      </span>
    ))}
  </output>
);

/** What was found, below the filter: rows, or a word why there are none, and the way to older ones. */
function Found({ meta, q, page, clear, place }: { meta: ListMeta; q: string; page: Page; clear: () => void; place: string }): ReactNode {
  const steady = useSteadyRows(page.rows, place);
  return (
    <>
      {steady.rows.length > 0 ? <RowsTable meta={meta} steady={steady} /> : <Empty meta={meta} q={q} clear={clear} />}
      <Paging rows={page.rows.length} heldBack={steady.newer} nextCursor={page.next_cursor} />
    </>
  );
}

function LoadedList({ meta }: { meta: ListMeta }): ReactNode {
  const { q = '', cursor, limit = usualLimit } = useSearch({ from: '/lists/$module/$list' });
  const navigate = useNavigate({ from: '/lists/$module/$list' });
  const every = useLiveEvery(liveMs);
  // Older pages do not change under the reader.
  const page = usePage({ module: meta.module, list: meta.list, q, cursor, limit: Number(limit) }, cursor ? false : every);
  useTitle(q === '' ? meta.title : `${meta.title} ${q}`);
  const filter = (next: string): void => void navigate({ search: (before) => ({ ...before, q: next === '' ? undefined : next, cursor: undefined }) });
  return (
    <>
      <div className="mb-3 flex flex-wrap items-center gap-3">
        <h1 className="text-lg font-semibold">{meta.title}</h1>
        {moduleBeside(meta) ? <span className="text-soft">{moduleBeside(meta)}</span> : null}
        <span className="ml-auto">
          <ExportButton meta={meta} q={q} />
        </span>
      </div>
      <FilterBox meta={meta} q={q} apply={filter} />
      {page.error && !page.data ? <Trouble error={page.error} retry={() => void page.refetch()} /> : null}
      {page.error && page.data && !isAway(page.error) ? (
        <div className="mb-3">
          <Trouble error={page.error} retry={() => void page.refetch()} />
        </div>
      ) : null}
      <div className={`card overflow-hidden ${page.isPlaceholderData ? 'opacity-60' : ''} ${page.error && !page.data ? 'hidden' : ''}`}>
        {page.isPending ? <Skeleton /> : null}
        {page.data ? (
          <Found meta={meta} q={q} page={page.data} clear={() => filter('')} place={JSON.stringify([q, cursor, limit, page.isPlaceholderData])} />
        ) : null}
      </div>
    </>
  );
}

/** Any list of any module. */
export function ListPage(): ReactNode {
  const { module, list } = useParams({ from: '/lists/$module/$list' });
  const { meta, pending, error, retry } = useList(module, list);
  if (meta) return <LoadedList key={`${module} ${list}`} meta={meta} />;
  if (pending) return <Skeleton />;
  if (error) return <Trouble error={error} retry={retry} />;
  return <MissingPage what={`There is no list ${module}/${list}`} why={noList} />;
}
