import { identifier, literal } from '../database.ts';
import { kernelErrors } from '../errors.ts';
import type { AnyModule, Privilege, TableCard, TraceCard } from '../module.ts';
import { consumersOf } from '../projection.ts';
import { OPERATORS_ONLY, retentionKinds, retentionSql } from '../retention/kinds.ts';

/**
 * SQL that follows from the cards: row security, grants, partitions, plinth.write_effects and plinth.trace. Written here
 * once, never by hand in a module (design.md 4.4).
 */

const SETTING = `nullif(current_setting('plinth.tenant_id', true), '')::uuid`;
const SESSION_TENANT = `(select ${SETTING})`;
const ALL: readonly Privilege[] = ['select', 'insert', 'update', 'delete'];

const OWN_ROW = `tenant_id = ${SETTING}`;
const OWN_ROWS = `tenant_id = ${SESSION_TENANT}`;

/** The policies beside the one for SELECT where writing compares with the setting itself. */
const WRITES = {
  tenant_insert: `for insert with check (${OWN_ROW})`,
  tenant_update: `for update using (${OWN_ROWS}) with check (${OWN_ROW})`,
  tenant_delete: `for delete using (${OWN_ROWS})`,
};

/**
 * One policy where both sides are written alike. One for each command where they are not: a sub-select anywhere in a policy makes the server look through the whole of a
 * prepared statement for tables to lock, each time that it is run, also where only the other side of the policy is asked (docs/adr/0016).
 */
function tenantPolicies(card: TableCard): [string, string][] {
  if (card.singleRows === 'written') return [['tenant', `for select using (${OWN_ROWS})`], ...Object.entries(WRITES)];
  const own = card.singleRows ? OWN_ROW : OWN_ROWS;
  return [['tenant', `using (${own}) with check (${own})`]];
}

/** Row security of one table: the tenant's own rows, everything for the owner and readers, and for workers where the card says so. */
export function tablePolicies(schema: string, table: string, card: TableCard): string[] {
  const name = `${identifier(schema)}.${identifier(table)}`;
  const all: [string, string][] = [
    ['owner', 'to plinth_owner using (true) with check (true)'],
    ['reader', 'for select to plinth_reader using (true)'],
  ];
  if (card.tenancy === 'tenant') all.push(...tenantPolicies(card));
  else all.push(['app', `to plinth_app using (${card.operatorsOnly ? OPERATORS_ONLY : 'true'}) with check (true)`]);
  if (card.worker || card.tenancy === 'global') all.push(['worker', 'to plinth_worker using (true) with check (true)']);
  return [
    `alter table ${name} enable row level security`,
    `alter table ${name} force row level security`,
    ...['owner', 'reader', 'tenant', ...Object.keys(WRITES), 'app', 'worker'].map((policy) => `drop policy if exists ${policy} on ${name}`),
    ...all.map(([policy, text]) => `create policy ${policy} on ${name} ${text}`),
  ];
}

export function tableGrants(schema: string, table: string, card: TableCard): string[] {
  const name = `${identifier(schema)}.${identifier(table)}`;
  const app = card.grants?.app ?? (card.tenancy === 'tenant' ? ALL : ['select']);
  const worker = card.grants?.worker ?? (card.worker || card.tenancy === 'global' ? ALL : []);
  return [
    `revoke all on ${name} from public, plinth_app, plinth_worker, plinth_reader`,
    ...(app.length > 0 ? [`grant ${app.join(', ')} on ${name} to plinth_app`] : []),
    ...(worker.length > 0 ? [`grant ${worker.join(', ')} on ${name} to plinth_worker`] : []),
    ...(card.grants?.reader === false ? [] : [`grant select on ${name} to plinth_reader`]),
  ];
}

/** The table that is partitioned by time: this one, or the part of it that its card names. */
const agingPart = (table: string, card: TableCard): string => (card.keep !== 'forever' && card.keep.by === 'partition' ? (card.keep.of ?? table) : table);

const everyOf = (card: TableCard): string | undefined => (card.keep !== 'forever' && card.keep.by === 'partition' ? (card.keep.every ?? 'month') : undefined);

/** Partitioned tables of the cards: `[schema.table, 'month' | 'day']`. */
export const partitionedTables = (ordered: readonly AnyModule[]): [string, string][] =>
  ordered.flatMap((card) =>
    Object.entries(card.tables).flatMap(([table, tableCard]): [string, string][] => {
      const every = everyOf(tableCard);
      return every ? [[`plinth_${card.name}.${agingPart(table, tableCard)}`, every]] : [];
    }),
  );

/** Modules that write effects and modules that can be traced, by name: those of the cards, and others that are installed. */
export interface Offering {
  readonly effects: readonly string[];
  readonly trace: readonly string[];
}

export const offeringOf = (ordered: readonly AnyModule[]): Offering => ({
  effects: ordered.filter((card) => card.effects).map((card) => card.name),
  trace: ordered.filter((card) => branchesOf(card).length > 0).map((card) => card.name),
});

/**
 * One SQL call writes what all modules collected; a module is asked only when it has rows. A procedure: CALL needs no plan and no
 * result row, which made it 20 us cheaper than SELECT of a function. A key of no module is refused: its rows would be lost without a word.
 */
export function writeEffects(names: readonly string[]): string {
  const { status, title, wayOut } = kernelErrors.module_not_installed;
  const detail = literal(JSON.stringify({ code: 'kernel_module_not_installed' }));
  // Assignments and expressions rather than PERFORM and queries: plpgsql evaluates them without starting a query.
  const calls = names.map((name) => `  if p_effects ? ${literal(name)} then _done := plinth_${name}.write_effects(p_effects -> ${literal(name)}); end if;`);
  return `create or replace procedure plinth.write_effects(p_effects jsonb) language plpgsql as $body$
declare
  _done text;
  _unknown jsonb := p_effects - array[${names.map(literal).join(', ')}]::text[];
begin
  if _unknown <> '{}' then
    raise exception '%: %', ${literal(title)}, (select string_agg(name, ', ') from jsonb_object_keys(_unknown) as name)
      using errcode = 'PL${status}', detail = ${detail}, hint = ${literal(wayOut)};
  end if;
${calls.join('\n')}
end
$body$`;
}

const TRACE_COLUMNS =
  'kind text, id text, tenant_id uuid, at timestamptz, ended_at timestamptz, status text, title text, entity text, parent_id text, xact text, attempt integer, data jsonb, module text';

const traceBranch = (
  module: string,
  table: string,
  trace: TraceCard,
): string => `  select ${literal(trace.kind)}::text, (${trace.id ?? 'id'})::text, tenant_id, ${trace.at ?? 'created_at'}, (${trace.endedAt ?? 'null'})::timestamptz,
    (${trace.status ?? 'null'})::text, (${trace.title})::text, (${trace.entity ?? 'null'})::text, (${trace.parent ?? 'causation_id'})::text, (${trace.xact ?? 'xact'})::text,
    (${trace.attempt ?? 'null'})::integer, (${trace.data ?? 'null'})::jsonb, ${literal(module)}::text
  from plinth_${module}.${trace.from ?? table} where correlation_id = p_correlation_id`;

const branchesOf = (card: AnyModule): string[] =>
  Object.entries(card.tables).flatMap(([table, tableCard]) => (tableCard.trace ? [traceBranch(card.name, table, tableCard.trace)] : []));

/** plinth_<module>.trace, where plinth.trace finds what the module recorded, whoever installs. No SET, so that the planner puts it into the caller. */
function moduleTrace(card: AnyModule): string[] {
  const name = `plinth_${card.name}.trace`;
  const branches = branchesOf(card);
  if (branches.length === 0) return [`drop function if exists ${name}(uuid)`];
  return [
    `create or replace function ${name}(p_correlation_id uuid) returns table (${TRACE_COLUMNS}) language sql stable as $body$
${branches.join('\n  union all\n')}
$body$`,
    `comment on function ${name}(uuid) is 'What the module ${card.name} adds to plinth.trace.'`,
  ];
}

/** A longer story is cut at its end: whoever shows as many rows says that there may be more. */
export const MOST_TRACE_ROWS = 10_000;

/** plinth.trace: everything that happened under one correlation id, over all modules, oldest first. */
export function traceFunction(names: readonly string[]): string {
  const nothing = `select ${TRACE_COLUMNS.split(', ')
    .map((column) => `null::${column.split(' ')[1]}`)
    .join(', ')} where false`;
  const body = names.length > 0 ? names.map((name) => `  select * from plinth_${name}.trace(p_correlation_id)`).join('\n  union all\n') : nothing;
  return `create or replace function plinth.trace(p_correlation_id uuid) returns table (${TRACE_COLUMNS}) language sql stable set search_path = '' as $body$
  select * from (
${body}
  ) as t order by 4, 2 limit ${MOST_TRACE_ROWS}
$body$`;
}

const COMMENTS = [
  `comment on procedure plinth.write_effects(jsonb) is 'Writes the effects that a transaction collected, {"<module>": [rows]}, in one call. Used by the TypeScript kernel. Errors: kernel_module_not_installed.'`,
  `comment on function plinth.trace(uuid) is 'Everything recorded under one correlation id, over all modules, oldest first, at most 10,000 rows. Rows with the same xact were committed together; null says nothing about it.'`,
];

/** Schemas and functions: who may reach them. Tables are granted one by one, from the cards. */
const schemaGrants = (schemas: readonly string[]): string[] =>
  schemas.flatMap((schema) => [
    `grant usage on schema ${schema} to plinth_app, plinth_worker, plinth_reader`,
    `revoke execute on all routines in schema ${schema} from public`,
    `grant execute on all routines in schema ${schema} to plinth_app, plinth_worker, plinth_reader`,
    drawnSequences(schema),
  ]);

/** Those that defaults of columns draw from. What another one counts is the business of its module, which says in a migration who may move it. */
const drawnSequences = (schema: string): string => `do $$ declare _sequence regclass; begin
     for _sequence in select distinct s.oid from pg_class s join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = s.oid
       where s.relkind = 'S' and s.relnamespace = '${schema}'::regnamespace loop
       execute format('grant usage on sequence %s to plinth_app, plinth_worker', _sequence);
     end loop;
   end $$`;

const ownSchemas = (ordered: readonly AnyModule[]): string[] => ['plinth', 'plinth_kernel', ...ordered.map((card) => `plinth_${card.name}`)];

/** A function with its owner's rights could write for a role that may only read: readers may call those that promise not to, no others. */
const readersWriteNothing = (ordered: readonly AnyModule[]): string => `do $$ declare _routine regprocedure; begin
     for _routine in select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where p.prosecdef and p.provolatile = 'v' and n.nspname = any (array[${['plinth', ...ordered.map((card) => `plinth_${card.name}`)].map(literal).join(', ')}]) loop
       execute format('revoke execute on routine %s from plinth_reader', _routine);
     end loop;
   end $$`;

/**
 * An empty search_path, as files of functions say it, still finds types and tables in pg_temp, and there before pg_catalog: who makes a temporary domain called
 * uuid, which everybody may, would have its check run by every function that acts with its owner's rights, and by those that it calls. Named last, pg_temp is
 * looked into last. Written here, like policies, so that no module forgets it.
 */
const temporaryLast = (ordered: readonly AnyModule[]): string => `do $$ declare _routine regprocedure; begin
     for _routine in select p.oid from pg_proc p where p.pronamespace = any (array[${ownSchemas(ordered).map(literal).join(', ')}]::regnamespace[]) and p.prokind in ('f', 'p')
       and (p.proconfig @> array['search_path=""'] or (p.prosecdef and coalesce(array_to_string(p.proconfig, ' '), '') !~ 'search_path=')) loop
       execute format('alter routine %s set search_path = pg_catalog, pg_temp', _routine);
     end loop;
   end $$`;

/**
 * Everything derived, in the order in which it is run, after functions and views. What `others` have installed, modules without a card
 * here, stays a part of it.
 */
export function derivedSql(ordered: readonly AnyModule[], others: Offering = { effects: [], trace: [] }): string[] {
  const own = offeringOf(ordered);
  const tables = ordered.flatMap((card) => Object.entries(card.tables).map(([table, tableCard]) => ({ schema: `plinth_${card.name}`, table, tableCard })));
  return [
    ...tables.flatMap(({ schema, table, tableCard }) => [...tablePolicies(schema, table, tableCard), ...tableGrants(schema, table, tableCard)]),
    retentionKinds(ordered),
    ...partitionedTables(ordered).map(([table, every]) => `select plinth_kernel.ensure_partitions(${literal(table)}::regclass, ${literal(every)})`),
    writeEffects([...own.effects, ...others.effects]),
    ...ordered.flatMap(moduleTrace),
    traceFunction([...own.trace, ...others.trace]),
    ...COMMENTS,
    ...schemaGrants(ownSchemas(ordered)),
    'grant select on all tables in schema plinth to plinth_app, plinth_worker, plinth_reader',
    readersWriteNothing(ordered),
    temporaryLast(ordered),
    ...kernelTables(),
    ...retentionSql(),
    ...feedConsumers(ordered),
  ];
}

/** Every consumer on a card has its cursors from the day it is installed, so that nothing is dropped before it was read. */
function feedConsumers(ordered: readonly AnyModule[]): string[] {
  const source = ordered.find((card) => card.feed);
  if (!source?.feed) return [];
  const feed = literal(`plinth_${source.name}.${source.feed.table}`);
  return ordered.flatMap((card) =>
    Object.entries(consumersOf(card)).map(
      ([name, consumer]) => `select plinth_kernel.feed_start(${feed}, ${literal(`${card.name}.${name}`)}, ${literal(consumer.from ?? 'beginning')})`,
    ),
  );
}

/** The kernel has no card; its few tables are guarded here in the same forms. */
function kernelTables(): string[] {
  return [
    'alter table plinth_kernel.tenants enable row level security',
    'alter table plinth_kernel.tenants force row level security',
    ...['owner', 'reader', 'worker', 'tenant'].map((policy) => `drop policy if exists ${policy} on plinth_kernel.tenants`),
    'create policy owner on plinth_kernel.tenants to plinth_owner using (true) with check (true)',
    'create policy reader on plinth_kernel.tenants for select to plinth_reader using (true)',
    'create policy worker on plinth_kernel.tenants to plinth_worker using (true) with check (true)',
    `create policy tenant on plinth_kernel.tenants for select using (id = ${SESSION_TENANT})`,
    'grant select on plinth_kernel.tenants to plinth_app, plinth_reader',
    'grant select, insert, update on plinth_kernel.tenants to plinth_worker',
    'grant select on plinth_kernel.migrations, plinth_kernel.repeatables to plinth_app, plinth_worker, plinth_reader',
    'grant select, insert, update, delete on plinth_kernel.feed_cursors, plinth_kernel.feed_consumers, plinth_kernel.feed_projections to plinth_worker',
    'grant select, insert, delete on plinth_kernel.projection_notes to plinth_worker',
    'grant select, insert, update on plinth_kernel.feed_epochs to plinth_worker',
    'grant select on plinth_kernel.feed_cursors, plinth_kernel.feed_consumers, plinth_kernel.feed_projections, plinth_kernel.projection_notes, plinth_kernel.feed_epochs to plinth_reader',
  ];
}
