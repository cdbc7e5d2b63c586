import { Link } from '@tanstack/react-router';
import { type ReactNode, useRef } from 'react';
import type { ColumnMeta, ListMeta, Row } from '../api/types.ts';
import { shortId, words } from '../format.ts';
import { Actions, actionsFor } from '../parts/Actions.tsx';
import { Icon } from '../parts/icons.tsx';
import { Value } from '../parts/Value.tsx';
import { useSession, useTenantOf } from '../session.tsx';
import { useShortcut } from '../shortcuts.ts';
import type { useSteadyRows } from './steady.ts';

const rightAligned = /^(?:integer|bigint|smallint|numeric|double precision|real)/;

/** The row's own link covers the whole row, so that a click anywhere opens it and there is one tab stop for it. */
function RowLink({ meta, row, children }: { meta: ListMeta; row: Row; children: ReactNode }): ReactNode {
  const tenantOf = useTenantOf();
  return (
    <Link
      to="/lists/$module/$list/$id"
      params={{ module: meta.module, list: meta.list, id: row.id }}
      search={tenantOf(row.tenant_id)}
      data-row-link
      className="font-medium after:absolute after:inset-0 hover:text-accent focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
    >
      {children}
    </Link>
  );
}

function Cell({ meta, row, column, first }: { meta: ListMeta; row: Row; column: ColumnMeta; first: boolean }): ReactNode {
  const correlation = column.name === meta.correlation;
  const value = <Value name={column.name} type={column.type} value={row[column.name]} correlation={correlation} />;
  return (
    <td className={`px-3 py-1.5 first:pl-4 last:pr-4 ${rightAligned.test(column.type) ? 'text-right' : ''}`}>
      {first && !correlation ? (
        <RowLink meta={meta} row={row}>
          {value}
        </RowLink>
      ) : (
        value
      )}
    </td>
  );
}

function RowTrace({ id }: { id: unknown }): ReactNode {
  if (typeof id !== 'string') return <span className="size-6" />;
  return (
    <Link
      to="/trace/$id"
      params={{ id }}
      aria-label={`Trace ${shortId(id)}`}
      title={`Trace ${id}`}
      className="relative z-1 inline-flex size-6 items-center justify-center rounded text-accent hover:bg-accent-soft"
    >
      <Icon name="trace" />
    </Link>
  );
}

/** j and k move from row to row; Enter is the link's own. */
function useRowKeys(body: React.RefObject<HTMLTableSectionElement | null>): void {
  const move = (step: number): void => {
    const links = [...(body.current?.querySelectorAll<HTMLElement>('[data-row-link]') ?? [])];
    const at = links.indexOf(document.activeElement as HTMLElement);
    const next = links[at === -1 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  };
  useShortcut('j', () => move(1));
  useShortcut('k', () => move(-1));
}

/** Whose row it is, where rows of all tenants stand together. */
function TenantCell({ row }: { row: Row }): ReactNode {
  const { tenants } = useSession();
  const id = String(row.tenant_id ?? '');
  return (
    <td className="px-3 py-1.5 text-soft" title={id}>
      {tenants.find((tenant) => tenant.id === id)?.name ?? shortId(id)}
    </td>
  );
}

/** Rows of any list: columns in the order of the card; actions and, when the card's columns leave it out, the trace stay in sight at the end. */
export function RowsTable({ meta, steady }: { meta: ListMeta; steady: ReturnType<typeof useSteadyRows> }): ReactNode {
  const { rows, gone, hold } = steady;
  const body = useRef<HTMLTableSectionElement>(null);
  useRowKeys(body);
  const { correlation } = meta;
  const { principal, tenant } = useSession();
  const allTenants = principal.operator && tenant === undefined;
  const extraTrace = correlation !== null && !meta.columns.some((column) => column.name === correlation);
  const withActions = rows.some((row) => actionsFor(meta, row).length > 0);
  const withEnd = extraTrace || withActions;
  const firstLink = meta.columns.findIndex((column) => column.name !== correlation);
  const head = 'border-b border-line bg-ground px-3 py-2 text-xs font-medium text-soft whitespace-nowrap first:pl-4 last:pr-4';
  return (
    <section aria-label={meta.title} className="overflow-x-auto">
      <table className="w-full border-collapse">
        <thead>
          <tr>
            {meta.columns.map((column) => (
              <th key={column.name} scope="col" className={`${head} ${rightAligned.test(column.type) ? 'text-right' : 'text-left'}`}>
                {words(column.name)}
              </th>
            ))}
            {allTenants ? (
              <th scope="col" className={`${head} text-left`}>
                Tenant
              </th>
            ) : null}
            {withEnd ? (
              <th scope="col" className={`${head} text-right sm:sticky sm:right-0`}>
                {withActions ? 'Actions' : 'Trace'}
              </th>
            ) : null}
          </tr>
        </thead>
        <tbody ref={body} {...hold}>
          {rows.map((row) => (
            <tr
              key={`${row.tenant_id} ${row.id}`}
              className={`relative border-b border-line last:border-b-0 hover:bg-sunken ${gone.has(row) ? 'opacity-60' : ''}`}
            >
              {meta.columns.map((column, index) => (
                <Cell key={column.name} meta={meta} row={row} column={column} first={index === firstLink} />
              ))}
              {allTenants ? <TenantCell row={row} /> : null}
              {withEnd ? (
                <td className="bg-panel py-1 pr-4 pl-3 sm:sticky sm:right-0">
                  <div className="flex items-center justify-end gap-2">
                    {gone.has(row) ? null : <Actions meta={meta} row={row} small />}
                    {extraTrace ? <RowTrace id={row[correlation]} /> : null}
                  </div>
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
