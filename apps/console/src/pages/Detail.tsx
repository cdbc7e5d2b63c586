import { Link, useParams } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { isAway, Problem } from '../api/problem.ts';
import type { ListMeta, Row } from '../api/types.ts';
import { filterValue, words } from '../format.ts';
import { useLiveEvery } from '../live.tsx';
import { Actions } from '../parts/Actions.tsx';
import { CopyButton, Id } from '../parts/Copy.tsx';
import { Diff } from '../parts/Diff.tsx';
import { Icon } from '../parts/icons.tsx';
import { Status } from '../parts/Status.tsx';
import { Trouble } from '../parts/Trouble.tsx';
import { Value } from '../parts/Value.tsx';
import { Why } from '../parts/Why.tsx';
import { rowName } from '../row-name.ts';
import { useItem, useList } from '../session.tsx';
import { isStatusColumn } from '../status.ts';
import { useTitle } from '../title.ts';
import { MissingPage, noList, noRecord } from './Missing.tsx';

const liveMs = 3_000;
/** Columns that the page shows in its head, or as a difference, rather than among the facts. */
const hasDifference = (row: Row): boolean => 'before' in row && 'after' in row && (row.before !== null || row.after !== null);

/** A value that the list can be filtered by leads there. */
function Fact({ meta, row, name }: { meta: ListMeta; row: Row; name: string }): ReactNode {
  const value = row[name];
  const type = meta.columns.find((column) => column.name === name)?.type;
  const filterable = meta.filters.includes(name) && typeof value === 'string' && value !== '' && value.length <= 500;
  return (
    <div className="group grid gap-x-4 border-t border-line px-4 py-1.5 first:border-t-0 sm:grid-cols-[11rem_minmax(0,1fr)]">
      <dt className="text-soft">{words(name)}</dt>
      <dd className="flex min-w-0 items-start gap-2">
        <div className="min-w-0 flex-1">
          <Value name={name} type={type} value={value} correlation={name === meta.correlation} full />
        </div>
        {filterable ? (
          <Link
            to="/lists/$module/$list"
            params={{ module: meta.module, list: meta.list }}
            search={{ q: `${name}:${filterValue(value)}` }}
            aria-label={`All with ${name} ${value}`}
            title={`All with ${name}:${value}`}
            className="inline-flex size-6 shrink-0 items-center justify-center rounded text-soft hover:bg-sunken hover:text-text"
          >
            <Icon name="filter" size={12} />
          </Link>
        ) : null}
      </dd>
    </div>
  );
}

function Head({ meta, row }: { meta: ListMeta; row: Row }): ReactNode {
  const status = Object.keys(row).find((name) => isStatusColumn(name) && typeof row[name] === 'string');
  const correlation = meta.correlation ? row[meta.correlation] : undefined;
  return (
    <div className="mb-4 flex flex-wrap items-center gap-x-3 gap-y-2">
      <div className="min-w-0">
        <p className="text-soft">
          <Link to="/lists/$module/$list" params={{ module: meta.module, list: meta.list }} className="link">
            {meta.title}
          </Link>
        </p>
        <div className="flex flex-wrap items-center gap-x-3">
          <h1 dir="auto" className="min-w-0 text-lg font-semibold">
            {rowName(meta, row)}
          </h1>
          {status ? <Status value={String(row[status])} /> : null}
          <Id value={row.id} />
        </div>
      </div>
      <div className="ml-auto flex flex-wrap items-center gap-2">
        <Actions meta={meta} row={row} />
        <CopyButton text={JSON.stringify(row, null, 2)} label="The row as JSON" className="btn">
          <Icon name="copy" /> JSON
        </CopyButton>
        {typeof correlation === 'string' ? (
          <Link to="/trace/$id" params={{ id: correlation }} search={{ row: row.id }} className="btn btn-main">
            <Icon name="trace" /> Open trace
          </Link>
        ) : null}
      </div>
    </div>
  );
}

function Loaded({ meta, row }: { meta: ListMeta; row: Row }): ReactNode {
  useTitle(`${rowName(meta, row)}, ${meta.title}`);
  const different = hasDifference(row);
  const names = Object.keys(row).filter((name) => !(different && (name === 'before' || name === 'after')));
  return (
    <>
      <Head meta={meta} row={row} />
      <Why meta={meta} row={row} everyMs={useLiveEvery(liveMs)} />
      <div className={different ? 'grid items-start gap-4 xl:grid-cols-[minmax(0,3fr)_minmax(0,2fr)]' : ''}>
        {different ? (
          <section aria-labelledby="changes" className="xl:order-2">
            <h2 id="changes" className="pb-1.5 font-semibold">
              Before and after
            </h2>
            <div className="card p-3">
              <Diff before={row.before} after={row.after} />
            </div>
          </section>
        ) : null}
        <section aria-labelledby="facts">
          <h2 id="facts" className={different ? 'pb-1.5 font-semibold' : 'sr-only'}>
            Everything
          </h2>
          <dl className="card">
            {names.map((name) => (
              <Fact key={name} meta={meta} row={row} name={name} />
            ))}
          </dl>
        </section>
      </div>
    </>
  );
}

/** Any row of any list, with every column of its view. */
export function DetailPage(): ReactNode {
  const { module, list, id } = useParams({ from: '/lists/$module/$list/$id' });
  const { meta, pending, error, retry } = useList(module, list);
  const item = useItem(module, list, id, useLiveEvery(liveMs));
  if (item.error instanceof Problem && item.error.status === 404 && meta) return <MissingPage what={`${meta.title} has no ${id}`} why={noRecord} />;
  if (error && !meta) return <Trouble error={error} retry={retry} />;
  if (item.error && !item.data) return <Trouble error={item.error} retry={() => void item.refetch()} />;
  if (!pending && !meta) return <MissingPage what={`There is no list ${module}/${list}`} why={noList} />;
  if (!meta || !item.data) return <p className="text-soft">Loading…</p>;
  return (
    <>
      {item.error && !isAway(item.error) ? (
        <div className="mb-3">
          <Trouble error={item.error} retry={() => void item.refetch()} />
        </div>
      ) : null}
      <Loaded meta={meta} row={item.data} />
    </>
  );
}
