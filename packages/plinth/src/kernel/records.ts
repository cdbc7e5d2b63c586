import { identifier } from './database.ts';
import { fail } from './errors.ts';
import type { FilterTarget } from './filter-sql.ts';
import { addFilter, Conditions, uuidRange } from './filter-sql.ts';
import { isUuid, v7Floor, v7Time } from './ids.ts';
import type { ListMeta } from './list-meta.ts';
import { metaOf } from './list-meta.ts';
import type { ListCard, ModuleMap } from './module.ts';
import type { AnyTransaction } from './transaction.ts';

/**
 * The lists of the cards: pages newest first, one record, any record by what somebody holds in their hand. They read public views in the
 * transaction of the caller, so row security decides what is seen; the tenant is sent as a literal predicate besides, which Citus prunes by.
 */

export type Row = Record<string, unknown> & { id: string };

export interface Page {
  rows: Row[];
  nextCursor: string | null;
  /** Only when it was asked for. Counted up to MOST_COUNTED; `capped` says that there are more. */
  count?: { rows: number; capped: boolean };
}

export interface PageAsk {
  q?: string | undefined;
  cursor?: string | undefined;
  /** Default 50, at most 200. */
  limit?: number | undefined;
  count?: boolean | undefined;
  /** Every column of the view, as the detail page and exports have it. Default: those of the list. */
  allColumns?: boolean | undefined;
  /** Moment from which `since:7d` counts, ms since 1970. Default: now. */
  nowMs?: number | undefined;
}

export interface Hit {
  module: string;
  list: string;
  id: string;
  tenantId: string;
  title: string;
  correlationId: string | null;
  at: string | null;
  status: string | null;
}

const NIL = '00000000-0000-0000-0000-000000000000';
export const MOST_COUNTED = 1_000;
const MOST_ROWS = 1_000;
const HITS_PER_LIST = 5;

interface List {
  module: string;
  name: string;
  card: ListCard;
  /** Permission that the procedure of an action asks for; undefined when it looks itself. */
  permissionOf(procedure: string): string | undefined;
}

/** Follows `keys.revoke` through the api of a card to the procedure's meta. */
const permissionIn =
  (api: unknown) =>
  (procedure: string): string | undefined => {
    const found = procedure.split('.').reduce<unknown>((inner, part) => (inner as Record<string, unknown> | undefined)?.[part], api);
    return (found as { _def?: { meta?: { permission?: string } } } | undefined)?._def?.meta?.permission;
  };

interface View extends FilterTarget {
  columns: readonly string[];
  correlation: string | null;
}

export interface Records {
  /** Every list that `mayRead` lets through, in the order of the modules, with the actions whose permission passes `mayDo`. */
  index(tx: AnyTransaction, mayRead: (module: string) => boolean, mayDo: (permission: string) => boolean): Promise<ListMeta[]>;
  /** Errors: kernel_list_unknown, kernel_filter_invalid, kernel_invalid_input (cursor). */
  page(tx: AnyTransaction, module: string, list: string, ask: PageAsk): Promise<Page>;
  /** Names of the columns of the view, in order. Errors: kernel_list_unknown. */
  columns(tx: AnyTransaction, module: string, list: string): Promise<readonly string[]>;
  /** One record with every column of its view. Errors: kernel_list_unknown, kernel_not_found. */
  item(tx: AnyTransaction, module: string, list: string, id: string): Promise<Row>;
  /** Records by id, start of an id, correlation id or `type:id` of an entity, over all lists that may be read. */
  find(tx: AnyTransaction, q: string, mayRead: (module: string) => boolean): Promise<Hit[]>;
}

export function createRecords(modules: ModuleMap): Records {
  const lists: List[] = Object.entries(modules).flatMap(([module, card]) =>
    Object.entries(card.lists ?? {}).map(([name, one]) => ({ module, name, card: one, permissionOf: permissionIn(card.api) })),
  );
  // A view changes only with a migration, and a process that serves is restarted after one.
  const views = new Map<string, View>();

  const viewOf = async (tx: AnyTransaction, { card }: List): Promise<View> => {
    const known = views.get(card.view);
    if (known) return known;
    const columns = await tx.query<{ name: string; type: string }>(
      // A domain counts as the type below it, and text of a greatest length as text: what may be asked of a column does not depend on what it refuses.
      `select a.attname as name, case when coalesce(nullif(t.typbasetype, 0), a.atttypid) = 'varchar'::regtype then 'text' else format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), null) end as type
       from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
       where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped order by a.attnum`,
      [`plinth.${identifier(card.view)}`],
    );
    const types = new Map(columns.map(({ name, type }) => [name, type]));
    const view: View = {
      types,
      columns: columns.map(({ name }) => name),
      filters: card.filters,
      correlation: card.correlation ?? (types.has('correlation_id') ? 'correlation_id' : null),
    };
    if (columns.length > 0) views.set(card.view, view);
    return view;
  };

  const listOf = (module: string, name: string): List => {
    const list = lists.find((one) => one.module === module && one.name === name);
    if (!list) throw fail('list_unknown', { message: `There is no list ${module.slice(0, 60)}/${name.slice(0, 60)}` });
    return list;
  };

  const item: Records['item'] = async (tx, module, name, id) => {
    const list = listOf(module, name);
    const view = await viewOf(tx, list);
    const where = inTenants(tx);
    const missing = () =>
      fail('not_found', { message: `There is no ${list.card.title.toLowerCase()} record with this id`, detail: { list: `${module}/${name}` } });
    if (view.types.get('id') === 'uuid' && !isUuid(id)) throw missing();
    where.add(`id = ${where.parameter(id, view.types.get('id') ?? 'text')}`);
    const [row] = await tx.query<Row>(`select * from plinth.${identifier(list.card.view)} ${where.where} limit 1`, where.values);
    if (!row) throw missing();
    return row;
  };

  return {
    item,
    async index(tx, mayRead, mayDo) {
      const metas: ListMeta[] = [];
      for (const list of lists) if (mayRead(list.module)) metas.push(metaOf(list, await viewOf(tx, list), mayDo));
      return metas;
    },
    columns: async (tx, module, name) => (await viewOf(tx, listOf(module, name))).columns,
    async page(tx, module, name, ask) {
      const list = listOf(module, name);
      return pageOf(tx, list, await viewOf(tx, list), ask);
    },
    async find(tx, q, mayRead) {
      const readable: [List, View][] = [];
      for (const list of lists) if (mayRead(list.module)) readable.push([list, await viewOf(tx, list)]);
      return findIn(tx, readable, q.trim());
    },
  };
}

/** The tenant of the transaction as a literal. */
function inTenant(tx: AnyTransaction): Conditions {
  const where = new Conditions();
  const { tenantId } = tx.context;
  // Checked when the context was made: nothing but a UUID gets here.
  if (tenantId) where.add(`tenant_id = '${tenantId}'::uuid`);
  return where;
}

/** The same for the look-up of single records; outside every tenant it names them all, because every index starts with tenant_id. */
function inTenants(tx: AnyTransaction): Conditions {
  const where = inTenant(tx);
  if (!tx.context.tenantId) where.add(`tenant_id = any (array(${EVERY_TENANT}))`);
  return where;
}

/** Columns of the list, and what rows always have: ids, time, what actions depend on. */
function shownColumns(card: ListCard, view: View): string[] {
  const always = [
    'id',
    'tenant_id',
    'created_at',
    ...(view.correlation ? [view.correlation] : []),
    ...(card.actions ?? []).flatMap(({ when }) => (when ? [when.column] : [])),
    ...(card.actions ?? []).flatMap(({ fields }) => (fields ?? []).flatMap(({ from }) => (from ? [from] : []))),
  ];
  return [...new Set([...card.columns, ...always])].filter((column) => view.types.has(column));
}

async function pageOf(tx: AnyTransaction, list: List, view: View, ask: PageAsk): Promise<Page> {
  const limit = Math.min(Math.max(1, ask.limit ?? 50), MOST_ROWS);
  const where = inTenant(tx);
  addFilter(where, view, ask.q ?? '', ask.nowMs ?? tx.now().getTime());
  const count = ask.count ? await counted(tx, list, where) : undefined;
  const order: Order = { newestFirst: view.types.get('id') === 'uuid', across: !tx.context.tenantId, limit };
  const columns = ask.allColumns ? '*' : shownColumns(list.card, view).map(identifier).join(', ');
  const source = `plinth.${identifier(list.card.view)}`;
  const found = await readNewest(tx, columns, source, where, order, ask.cursor);
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  const nextCursor = found.length > limit && last ? (order.across ? `${last.tenant_id}~${last.id}` : last.id) : null;
  return { rows, nextCursor, ...(count ? { count } : {}) };
}

interface Order {
  /** Ids are uuid v7. Other ids (text) come in their own order. */
  newestFirst: boolean;
  across: boolean;
  limit: number;
}

const cursorFault = () =>
  fail('invalid_input', { message: 'The cursor is not one that a page gave', detail: { issues: [{ field: 'cursor', message: 'unknown cursor' }] } });

function withinText(columns: string, source: string, where: Conditions, { newestFirst, limit }: Order, cursor: string | undefined): string {
  if (cursor !== undefined) {
    if (newestFirst && !isUuid(cursor)) throw cursorFault();
    where.add(`id ${newestFirst ? '<' : '>'} ${where.parameter(cursor, newestFirst ? 'uuid' : 'text')}`);
  }
  return `select ${columns} from ${source} ${where.where} order by id ${newestFirst ? 'desc' : ''} limit ${limit + 1}`;
}

/**
 * How far before its newest row a page looks, at first and then: mostly it is full before every month of every tenant has been looked into. Within a tenant
 * the first is enough: who has more than a page in ten minutes may have millions in a table that has no index in the order of ids.
 */
const LOOKS_MS = { across: [600_000, 86_400_000, 31 * 86_400_000], within: [600_000] };

/** Ids are in the order of time, so that a page that is full above a bound is the page. Where they are not, there is no bound. */
async function readNewest(tx: AnyTransaction, columns: string, source: string, where: Conditions, order: Order, cursor: string | undefined): Promise<Row[]> {
  const textOf = order.across ? acrossText : withinText;
  if (!order.newestFirst) return tx.query<Row>(textOf(columns, source, where, order, cursor), where.values);
  const newestMs = cursor === undefined ? tx.now().getTime() : v7Time(cursor.slice(cursor.indexOf('~') + 1));
  const at = where.values.length;
  where.add(`id >= ${where.parameter(NIL, 'uuid')}`);
  const text = textOf(columns, source, where, order, cursor);
  const floors = newestMs === undefined ? [] : LOOKS_MS[order.across ? 'across' : 'within'].map((lookMs) => v7Floor(newestMs - lookMs));
  for (const floor of floors) {
    const rows = await tx.query<Row>(text, where.values.with(at, floor));
    if (rows.length > order.limit) return rows;
  }
  return tx.query<Row>(text, where.values);
}

/** The 10,000 newest tenants, and the id that stands for what belongs to none. */
const EVERY_TENANT = `(select id from plinth_kernel.tenants order by id desc limit 10000) union all select '${NIL}'::uuid`;

/**
 * A page across tenants, for operators: the first rows of each tenant by its own index, then the first of those. Every index starts with
 * tenant_id, so the plain query would read and sort whole partitions.
 * Only ids are carried through the choice; the columns, some of which are computed, are read for the rows of the page.
 */
function acrossText(columns: string, source: string, where: Conditions, { newestFirst, limit }: Order, cursor: string | undefined): string {
  const [down, before] = newestFirst ? ['desc', '<'] : ['', '>'];
  let after = '';
  if (cursor !== undefined) {
    const [, tenantId = '', id = ''] = /^([0-9a-f-]{36})~(.{1,200})$/s.exec(cursor) ?? [];
    if (!isUuid(tenantId) || (newestFirst && !isUuid(id))) throw cursorFault();
    const idText = where.parameter(id, newestFirst ? 'uuid' : 'text');
    // The same id may stand in two tenants; both are shown.
    where.add(`id ${before}= ${idText}`);
    after = `where (found.id, found.tenant_id) ${before} (${idText}, ${where.parameter(tenantId, 'uuid')})`;
  }
  where.add('tenant_id = every.id');
  return `with chosen as materialized (
      select found.id, found.tenant_id from (${EVERY_TENANT}) as every (id)
      cross join lateral (select id, tenant_id from ${source} ${where.where} order by id ${down} limit ${limit + 2}) as found
      ${after} order by found.id ${down}, found.tenant_id ${down} limit ${limit + 1})
    select ${columns} from chosen join ${source} using (id, tenant_id) order by id ${down}, tenant_id ${down}`;
}

async function counted(tx: AnyTransaction, list: List, where: Conditions): Promise<{ rows: number; capped: boolean }> {
  const [row] = await tx.query<{ n: number }>(
    `select count(*)::int as n from (select 1 from plinth.${identifier(list.card.view)} ${where.where} limit ${MOST_COUNTED + 1}) as counted`,
    where.values,
  );
  const n = row?.n ?? 0;
  return { rows: Math.min(n, MOST_COUNTED), capped: n > MOST_COUNTED };
}

/** Pairs `order_type`, `order_id` of a view: how it names things of the application. */
const entityPairs = (view: View): [type: string, id: string][] =>
  view.columns.flatMap((column): [string, string][] => {
    const other = `${column.slice(0, -'_type'.length)}_id`;
    return column.endsWith('_type') && view.filters.includes(column) && view.filters.includes(other) ? [[column, other]] : [];
  });

/** What the text can mean in one list, as SQL; empty when it can mean nothing there. */
function meanings(to: Conditions, view: View, q: string): string[] {
  const found: string[] = [];
  const digits = q.replaceAll('-', '');
  const range = digits.length >= 6 ? uuidRange(q) : undefined;
  const inRange = (column: string): string =>
    range ? `${identifier(column)} between ${to.parameter(range.low, 'uuid')} and ${to.parameter(range.high, 'uuid')}` : '';
  if (view.types.get('id') !== 'uuid') found.push(`id like ${to.parameter(`${q.replaceAll(/[\\%_]/g, '\\$&')}%`, 'text')}`);
  else if (range) found.push(inRange('id'));
  if (range && view.correlation && view.types.get(view.correlation) === 'uuid') found.push(inRange(view.correlation));
  const [, type, id] = /^([^\s:]{1,200}):(.{1,500})$/s.exec(q) ?? [];
  if (type && id) {
    for (const [typeColumn, idColumn] of entityPairs(view)) {
      const idType = view.types.get(idColumn) === 'uuid' ? 'uuid' : 'text';
      if (idType === 'uuid' && !isUuid(id)) continue;
      found.push(`(${identifier(typeColumn)} = ${to.parameter(type, 'text')} and ${identifier(idColumn)} = ${to.parameter(id, idType)})`);
    }
  }
  return found;
}

/** What names a record to people: the first text among the columns of its list that says something, else its id. */
const titleOf = (card: ListCard, view: View): string => {
  const texts = card.columns.filter(
    (column) => view.types.get(column) === 'text' && column !== 'id' && column !== 'status' && !column.startsWith('actor_') && column !== view.correlation,
  );
  return `coalesce(${[...texts.slice(0, 5).map((column) => `nullif(${identifier(column)}, '')`), 'id::text'].join(', ')})`;
};

async function findIn(tx: AnyTransaction, lists: readonly [List, View][], q: string): Promise<Hit[]> {
  if (q.length < 2 || q.length > 700 || q.includes('\0')) return [];
  const all = new Conditions();
  const branches = lists.flatMap(([list, view]) => {
    if (!view.types.has('id')) return [];
    const tenant = inTenants(tx).texts;
    const meant = meanings(all, view, q);
    const column = (name: string, type: string): string => (view.types.has(name) ? `${identifier(name)}::${type}` : `null::${type}`);
    // Ids are unique, correlation ids are not; each meaning is looked up in its own index, and none may crowd out another.
    return meant.map(
      (
        condition,
      ) => `(select ${all.parameter(list.module, 'text')} as module, ${all.parameter(list.name, 'text')} as list, id::text as id, tenant_id::text as "tenantId",
        ${titleOf(list.card, view)} as title, ${view.correlation ? column(view.correlation, 'text') : 'null::text'} as "correlationId",
        ${column('created_at', 'timestamptz')} as at, ${column('status', 'text')} as status
      from plinth.${identifier(list.card.view)} where ${[...tenant, condition].join(' and ')} order by id ${view.types.get('id') === 'uuid' ? 'desc' : ''} limit ${HITS_PER_LIST})`,
    );
  });
  if (branches.length === 0) return [];
  const rows = await tx.query<Omit<Hit, 'at'> & { at: Date | null }>(branches.join('\nunion all\n'), all.values);
  const seen = new Map<string, Hit>();
  for (const row of rows) {
    const made = row.at?.getTime() ?? v7Time(row.id);
    seen.set(`${row.module}/${row.list}/${row.tenantId}/${row.id}`, { ...row, at: made === undefined ? null : new Date(made).toISOString() });
  }
  return [...seen.values()];
}
