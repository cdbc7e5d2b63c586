import { literal } from '../database.ts';
import type { AnyModule, TableCard } from '../module.ts';

/** One table of a card, as the database knows it: a row of plinth_kernel.retention_kinds. */
interface Kind {
  kind: string;
  table_name: string;
  tenancy: string;
  method: 'forever' | 'partition' | 'delete';
  keep?: string;
  every?: string;
  archive?: boolean;
  age_column?: string;
  condition?: string;
  fillfactor?: number;
  entity?: string;
}

function kindOf(module: string, table: string, card: TableCard): Kind {
  const { keep } = card;
  const base = {
    kind: `${module}.${table}`,
    table_name: `plinth_${module}.${keep !== 'forever' && keep.by === 'partition' ? (keep.of ?? table) : table}`,
    tenancy: card.tenancy,
    ...(card.trace?.entity ? { entity: card.trace.entity } : {}),
  };
  if (keep === 'forever') return { ...base, method: 'forever' };
  if (keep.by === 'partition')
    return {
      ...base,
      table_name: `plinth_${module}.${keep.of ?? table}`,
      method: 'partition',
      keep: keep.for,
      every: keep.every ?? 'month',
      archive: keep.archive ?? false,
      ...(keep.unless ? { condition: keep.unless } : {}),
      ...(keep.fillfactor ? { fillfactor: keep.fillfactor } : {}),
    };
  return { ...base, method: 'delete', keep: keep.for, age_column: keep.column, ...(keep.where ? { condition: keep.where } : {}) };
}

/** Every kind of record of the cards. */
export const kindsOf = (ordered: readonly AnyModule[]): Kind[] =>
  ordered.flatMap((card) => Object.entries(card.tables).map(([table, tableCard]) => kindOf(card.name, table, tableCard)));

const NIL = '00000000-0000-0000-0000-000000000000';
const SESSION_TENANT = `(select nullif(current_setting('plinth.tenant_id', true), '')::uuid)`;

/** Outside of every tenant, and for operators within one: what tells of all tenants is for nobody else. */
export const OPERATORS_ONLY = `(select coalesce(current_setting('plinth.tenant_id', true), '') = '' or current_setting('plinth.actor_type', true) = 'operator')`;

/** As plinth_kernel.require_own_tenant says it: what holds for all tenants is not written by a login that is an application and no more. */
const OWN = `tenant_id = ${SESSION_TENANT} and (tenant_id <> '${NIL}' or (select pg_has_role(session_user, 'plinth_worker', 'member')))`;

/** A tenant reads its own rows and those of the whole installation, and writes its own. */
const tenantTable = (table: string): string[] => [
  ...guard(table),
  `create policy tenant on ${table} using (${OWN}) with check (${OWN})`,
  `create policy installation on ${table} for select using (tenant_id = '${NIL}')`,
  `create policy worker on ${table} for select to plinth_worker using (true)`,
  `grant select on ${table} to plinth_app, plinth_worker, plinth_reader`,
];

const guard = (table: string): string[] => [
  `alter table ${table} enable row level security`,
  `alter table ${table} force row level security`,
  ...['owner', 'reader', 'tenant', 'installation', 'worker', 'all_roles'].map((policy) => `drop policy if exists ${policy} on ${table}`),
  `revoke all on ${table} from public, plinth_app, plinth_worker, plinth_reader`,
  `create policy owner on ${table} to plinth_owner using (true) with check (true)`,
  `create policy reader on ${table} for select to plinth_reader using (true)`,
];

/**
 * What the cards say of the life of their rows, for SQL to judge by without asking a worker; partitions are made by it. Tables of modules
 * that have no card here stay as they are, until they are dropped.
 */
export const retentionKinds = (ordered: readonly AnyModule[]): string =>
  `with cards as (select * from jsonb_populate_recordset(null::plinth_kernel.retention_kinds, ${literal(JSON.stringify(kindsOf(ordered)))})),
     gone as (delete from plinth_kernel.retention_kinds where kind not in (select kind from cards)
       and (split_part(kind, '.', 1) = any (array[${ordered.map((card) => literal(card.name)).join(', ')}]::text[]) or to_regclass(table_name) is null))
   insert into plinth_kernel.retention_kinds select kind, table_name, tenancy, method, keep, every, coalesce(archive, false), age_column, condition, entity, fillfactor from cards
   on conflict (kind) do update set table_name = excluded.table_name, tenancy = excluded.tenancy, method = excluded.method, keep = excluded.keep, every = excluded.every,
     archive = excluded.archive, age_column = excluded.age_column, condition = excluded.condition, entity = excluded.entity, fillfactor = excluded.fillfactor`;

/**
 * Row security and grants of retention's tables; and its functions that act with the owner's rights, for plinth_worker only.
 */
export const retentionSql = (): string[] => [
  ...tenantTable('plinth_kernel.retention_policies'),
  'grant insert, update, delete on plinth_kernel.retention_policies to plinth_app',
  ...tenantTable('plinth_kernel.retention_holds'),
  'grant insert, update on plinth_kernel.retention_holds to plinth_app',
  ...['plinth_kernel.retention_policies', 'plinth_kernel.retention_holds'].map(
    (table) =>
      `create or replace trigger changing before insert or update or delete on ${table} for each row execute function plinth_kernel.retention_changing()`,
  ),
  ...['plinth_kernel.retention_kinds', 'plinth_kernel.retention_partitions'].flatMap((table) => [
    ...guard(table),
    `create policy worker on ${table} for select to plinth_worker using (true)`,
    // Notes of partitions name tenants, and what a tenant's hold is for.
    `create policy all_roles on ${table} for select to plinth_app using (${table.endsWith('_kinds') ? 'true' : OPERATORS_ONLY})`,
    `grant select on ${table} to plinth_app, plinth_worker, plinth_reader`,
  ]),
  `do $$ declare _function regprocedure; begin
     for _function in select p.oid from pg_proc as p where p.pronamespace = 'plinth_kernel'::regnamespace and p.prosecdef and p.proname ~ '^(retention|partition)_' loop
       execute format('revoke execute on function %s from plinth_app, plinth_reader', _function);
     end loop;
   end $$`,
];
