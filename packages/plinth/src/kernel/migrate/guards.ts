import { createHash } from 'node:crypto';
import type pg from 'pg';

/**
 * Row security that stands as the last run left it is not told again. Each statement of it locks its table against everybody, and where transactions touch
 * several tables all the time there may be no moment in which nobody is in the way of all of them: functions alone would never be upgraded there.
 */

const GUARDS = /^(?:alter table|(?:drop|create) policy(?: if exists)? \w+ on) "?(\w+)"?\."?(\w+)/;

/** The schema whose table a statement locks. */
export const schemaGuarded = (statement: string): string | undefined => GUARDS.exec(statement)?.[1];

const STATE = `select n.nspname as schema, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(c.relname, c.relrowsecurity, c.relforcerowsecurity,
    (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(p.polname, p.polcmd, p.polpermissive, p.polroles, pg_catalog.pg_get_expr(p.polqual, c.oid), pg_catalog.pg_get_expr(p.polwithcheck, c.oid))
      order by p.polname) from pg_catalog.pg_policy as p where p.polrelid = c.oid)) order by c.relname)::text as state
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where pg_catalog.format('%s.%s', n.nspname, c.relname) = any ($1) group by n.nspname`;

/** Of each schema, what its tables are to be guarded by and what they are. */
async function sumsOf(client: pg.ClientBase, statements: readonly string[]): Promise<Map<string, string>> {
  const told = new Map<string, string[]>();
  const tables = new Set<string>();
  for (const statement of statements) {
    const [, schema, table] = GUARDS.exec(statement) ?? [];
    if (schema === undefined) continue;
    told.set(schema, [...(told.get(schema) ?? []), statement]);
    tables.add(`${schema}.${table}`);
  }
  const { rows } = await client.query<{ schema: string; state: string }>(STATE, [[...tables]]);
  return new Map(
    rows.map(({ schema, state }) => [
      schema,
      createHash('sha256')
        .update(JSON.stringify([told.get(schema), state]))
        .digest('hex'),
    ]),
  );
}

const nameOf = (schema: string): string => `tables of ${schema}`;

/** Schemas whose tables are guarded as the last run left them, by the same statements. */
export async function guardedSchemas(client: pg.ClientBase, statements: readonly string[]): Promise<Set<string>> {
  const sums = await sumsOf(client, statements);
  const { rows } = await client.query<{ module: string; checksum: string }>('select module, checksum from plinth_kernel.repeatables');
  const kept = new Map(rows.map(({ module, checksum }) => [module, checksum]));
  return new Set([...sums.keys()].filter((schema) => kept.get(nameOf(schema)) === sums.get(schema)));
}

/** What `guardedSchemas` compares with at the next run, as rows of plinth_kernel.repeatables. */
export const guardSums = async (client: pg.ClientBase, statements: readonly string[]): Promise<[string, string][]> =>
  [...(await sumsOf(client, statements))].map(([schema, sum]) => [nameOf(schema), sum]);
