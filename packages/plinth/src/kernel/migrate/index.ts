import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { Client, identifier, sharesSessions, UNLIMITED } from '../database.ts';
import { fail, PlinthError } from '../errors.ts';
import type { ModuleMap } from '../module.ts';
import { bootstrap, refuseStructure, refuseUnfit } from './bootstrap.ts';
import type { Grant } from './dependants.ts';
import { giveAgain } from './dependants.ts';
import type { Offering } from './derive.ts';
import { derivedSql } from './derive.ts';
import type { Exposure } from './expose.ts';
import { exposePublic, exposureOf, refuseTaken } from './expose.ts';
import type { Migration } from './files.ts';
import { guardedSchemas, guardSums, schemaGuarded } from './guards.ts';
import type { MigrationPlan, Source } from './plan.ts';
import { checksumsOf, installed, pendingOf, planOf, refuse, refuseDiverged, sourceOf } from './plan.ts';
import type { ViewOutlook } from './repeatables.ts';
import { applyRepeatables, refuseUsed, viewOutlook } from './repeatables.ts';
import { inSpells, isBusy, lockTables, SHORT_WAITS } from './spells.ts';

export { refuseMissing } from './files.ts';
export { assertMigrated, type MigrationPlan, type MigrationState, readPlan, refuseNewer } from './plan.ts';

export interface MigrateOptions {
  /** URL of a role that may create roles and schemas (the database owner or a superuser). */
  url: string;
  modules: ModuleMap;
  /** Also put the public functions and views into schema `public`, under the seeds' names, but for these. Default: as it is. */
  exposePublic?: boolean | Exposure;
  /** Hears of each step. */
  onStep?: (step: string, tookMs: number) => void;
  /** Hears who is in the way of a change that is tried again: `pg_dump (pid 4711) has used plinth_jobs.claims for 20 s`. */
  onWait?: (holder: string) => void;
  /** How long changes are tried while others use the tables, ms. Default 600,000. */
  patienceMs?: number;
}

/** One key for all of Plinth in a database: whoever holds it migrates, the others wait and then find nothing to do. */
const LOCK = 'set lock_timeout = 0; select pg_catalog.pg_advisory_lock(7217046533310005); reset lock_timeout';
const UNLOCK = 'select pg_catalog.pg_advisory_unlock(7217046533310005)';

async function withClient<T>(url: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'plinth migrate' });
  // A server that goes away is told by the statement that fails, not as an error of nobody's that ends the process.
  client.on('error', () => {});
  await client.connect();
  try {
    // The role and the search path would stay on a session that others are handed next, and the lock as well.
    if (await sharesSessions(client, url))
      throw fail('database_unfit', {
        message: 'The connection is that of a pooler that hands sessions on between transactions',
        wayOut: 'Name the server itself, or a pooler by session.',
      });
    // Nothing is looked for there: where everybody may create in schema public, somebody's format(text, text) would be run by whoever installs, a superuser perhaps.
    await client.query(`set search_path = ''`);
    // A limit for locks stays: somebody chose it for changes of tables.
    await client.query(UNLIMITED);
    return await body(client);
  } finally {
    await client.end();
  }
}

/** A role that does not inherit reads nothing before it has become the owner. Whoever may not, and before the first installation, reads as himself. */
async function asOwner<T>(client: pg.Client, read: () => Promise<T>): Promise<T> {
  await client.query('set role plinth_owner').catch(() => {});
  try {
    return await read();
  } finally {
    await client.query('reset role');
  }
}

/** What `migrateUp` would do. Touches nothing. */
export const migratePlan = (options: Pick<MigrateOptions, 'url' | 'modules'>): Promise<MigrationPlan & { views: ViewOutlook[] }> =>
  withClient(options.url, async (client) => {
    const source = sourceOf(options.modules);
    const plan = planOf(source, await asOwner(client, () => installed(client, source)));
    return { ...plan, views: plan.stale.length > 0 ? await viewOutlook(client, source.repeatables) : [] };
  });

/** Every statement that a fresh database would be given, for a DBA to read. */
export function migrateSql(modules: ModuleMap): string {
  const source = sourceOf(modules);
  const part = (title: string, text: string): string => `-- ${title}\n${text.trim().replace(/;?$/, ';')}\n`;
  return [
    ...source.migrations.map((migration) => part(`${migration.module}/${migration.name}`, migration.text)),
    ...source.repeatables.map((file) => part(`${file.module}/${file.kind}s/${file.name}`, file.text)),
    ...derivedSql(source.ordered).map((text) => part('derived', text)),
  ].join('\n');
}

async function applyMigration(client: pg.Client, migration: Migration): Promise<void> {
  const started = performance.now();
  const record = (): Promise<unknown> =>
    client.query('insert into plinth_kernel.migrations (module, number, name, checksum, breaking, took_ms) values ($1, $2, $3, $4, $5, $6)', [
      migration.module,
      migration.number,
      migration.name,
      migration.checksum,
      migration.breaking,
      Math.round(performance.now() - started),
    ]);
  try {
    if (migration.inTransaction) await client.query(`begin; ${SHORT_WAITS}; set local role plinth_owner`);
    else await client.query('set role plinth_owner');
    await client.query(migration.text);
    await record();
    if (migration.inTransaction) await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw new Error(`${migration.module}/${migration.name}: ${(error as Error).message}`, { cause: error });
  } finally {
    await client.query('reset role');
  }
}

/** Everything that is applied again, in one transaction. Exposing stands behind a savepoint: row security never depends on its success. */
async function applyDerived(client: pg.Client, source: Source, others: Offering, exposure: Exposure | undefined): Promise<string[]> {
  let leftOut: string[] = [];
  let notExposed: unknown;
  await client.query(`begin; ${SHORT_WAITS}; set local role plinth_owner`);
  try {
    const statements = derivedSql(source.ordered, others);
    const guarded = await guardedSchemas(client, statements);
    await lockTables(
      client,
      schemasOf(source).filter((schema) => !guarded.has(schema)),
    );
    const grants = await applyRepeatables(client, source.repeatables);
    for (const statement of statements) if (!guarded.has(schemaGuarded(statement) ?? '')) await client.query(statement);
    await client.query(
      `insert into plinth_kernel.repeatables (module, checksum) select * from unnest($1::text[], $2::text[])
       on conflict (module) do update set checksum = excluded.checksum, applied_at = now() where repeatables.checksum <> excluded.checksum`,
      unzip([...checksumsOf(source, others), ...(await guardSums(client, statements))]),
    );
    if (exposure) {
      await client.query('savepoint exposing');
      try {
        leftOut = await expose(client, exposure, grants);
      } catch (error) {
        // The next run is to try again, although nothing else is left to do.
        await client.query(`rollback to savepoint exposing; update plinth_kernel.repeatables set checksum = '' where module = 'kernel'`);
        notExposed = error;
      }
    }
    await giveAgain(client, grants);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
  if (notExposed) throw notExposed;
  return leftOut;
}

const schemasOf = (source: Source): string[] => ['plinth', 'plinth_kernel', ...source.ordered.map((card) => `plinth_${card.name}`)];

const unzip = (pairs: readonly [string, string][]): [string[], string[]] => [pairs.map(([one]) => one), pairs.map(([, other]) => other)];

/** As the role that installs: plinth_owner may not create in schema public. */
async function expose(client: pg.Client, exposure: Exposure, grants: Grant[]): Promise<string[]> {
  await client.query(
    'insert into plinth_kernel.exposure (except_names) values ($1) on conflict (only_row) do update set except_names = excluded.except_names',
    [exposure.except],
  );
  await client.query('set local role none');
  const exposed = await exposePublic(client, exposure);
  grants.push(...exposed.grants);
  return exposed.leftOut;
}

/**
 * A view that others built on and that has to be dropped is told before anything is changed. Whether it has to be may show only when the
 * pending migrations are applied: then they are rehearsed, in a transaction that is rolled back.
 */
async function refuseUsedViews(client: pg.Client, source: Source, pending: readonly Migration[]): Promise<void> {
  const outlook = await viewOutlook(client, source.repeatables);
  refuseUsed(outlook);
  if (!outlook.some((view) => view.fate === 'open' && view.builtOn.length > 0)) return;
  await client.query(`begin; ${SHORT_WAITS}; set local role plinth_owner`);
  try {
    for (const migration of pending) if (migration.inTransaction) await client.query(migration.text);
    await applyRepeatables(client, source.repeatables);
  } catch (error) {
    // Anything else is told by the run itself, where it happens.
    if (error instanceof PlinthError || isBusy(error)) throw error;
  } finally {
    await client.query('rollback');
  }
}

export interface Migrated {
  applied: string[];
  /** True when functions, views and what the cards derive were applied. */
  repeatables: boolean;
  /** Names that were not exposed in schema public. */
  leftOut?: string[];
  /** Migrations of a newer Plinth that the database holds. Its functions and views are left as they are. */
  newer?: string[];
}

/**
 * Brings a database to this version: roles and schemas, pending migrations each in its own transaction, then functions,
 * views and what the cards derive in one. Safe to run from any number of processes at once. A database of a newer version, and
 * what modules that are unknown here have in it, is left as it is. Returns what was applied.
 * Errors: kernel_schema_newer, kernel_schema_diverged, kernel_migration_changed, kernel_object_in_use, kernel_expose_taken.
 */
export async function migrateUp(options: MigrateOptions): Promise<Migrated> {
  const source = sourceOf(options.modules);
  return withClient(options.url, async (client) => {
    await client.query(LOCK);
    try {
      return await migrateLocked(client, source, options);
    } finally {
      await client.query(UNLOCK);
    }
  });
}

const asked = ({ exposePublic: value }: MigrateOptions): Exposure | undefined => (value === true ? { except: [] } : value || undefined);

async function migrateLocked(client: pg.Client, source: Source, options: MigrateOptions): Promise<Migrated> {
  await refuseUnfit(client);
  const [before, exposed] = await asOwner(client, async () => [await installed(client, source), await exposureOf(client)] as const);
  await refuseStructure(client, before.ledger.length);
  const plan = planOf(source, before);
  refuse(plan);
  refuseDiverged(plan);
  if (plan.unknown.length > 0) return { applied: [], repeatables: false, newer: plan.unknown.map((row) => `${row.module}/${row.name}`) };
  const pending = pendingOf(plan);
  const wanted = asked(options);
  const exposing = wanted !== undefined && !isDeepStrictEqual([...wanted.except].sort(), exposed && [...exposed.except].sort());
  if (pending.length === 0 && plan.stale.length === 0 && !exposing) return { applied: [], repeatables: false };
  if (wanted) await refuseTaken(client, source.repeatables, wanted);
  await inSpells(client, () => refuseUsedViews(client, source, pending), options);
  await timed(options, 'roles and schemas', () => bootstrap(client, schemasOf(source)));
  for (const migration of pending)
    await timed(options, `${migration.module}/${migration.name}`, () => inSpells(client, () => applyMigration(client, migration), options));
  const leftOut = await timed(options, 'functions, views, row security', () =>
    inSpells(client, () => applyDerived(client, source, before.others, wanted ?? exposed), options),
  );
  return { applied: pending.map((migration) => `${migration.module}/${migration.name}`), repeatables: true, ...(leftOut.length > 0 ? { leftOut } : {}) };
}

async function timed<T>(options: MigrateOptions, step: string, run: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await run();
  options.onStep?.(step, performance.now() - started);
  return result;
}

/**
 * Gives a login role what the server needs: membership of the three roles, without inheriting them, so that it can do
 * nothing before it has chosen one.
 */
export const createServerRole = (options: { url: string; name: string; password: string }): Promise<void> =>
  withClient(options.url, async (client) => {
    const name = identifier(options.name);
    // Two who change one role at a time fail. The lock ends with the connection.
    await client.query(LOCK);
    await client.query(`do $$ begin create role ${name} login noinherit; exception when duplicate_object or unique_violation then null; end $$`);
    await client.query(`alter role ${name} login noinherit password ${pg.escapeLiteral(options.password)}`);
    const { rows } = await client.query<{ by_grant: boolean }>(`select pg_catalog.current_setting('server_version_num')::int >= 160000 as by_grant`);
    // From PostgreSQL 16 on each membership says whether it is inherited, and one that was given before keeps what it said.
    const how = rows[0]?.by_grant ? ' with inherit false' : '';
    for (const role of ['plinth_app', 'plinth_worker', 'plinth_reader']) await client.query(`grant ${role} to ${name}${how}`);
  });
