import pg from 'pg';
import { identifier } from '../database.ts';
import { fail } from '../errors.ts';
import type { AnyModule, ModuleMap } from '../module.ts';
import { inOrder } from '../module.ts';
import { bootstrap } from './bootstrap.ts';
import { derivedSql } from './derive.ts';
import { exposePublicSql } from './expose.ts';
import type { Migration, Repeatable } from './files.ts';
import { checksumOf, readSql } from './files.ts';

export interface MigrateOptions {
  /** URL of a role that may create roles and schemas (the database owner or a superuser). */
  url: string;
  modules: ModuleMap;
  /** Also put the public functions and views into schema `public`, under the seeds' names. Default: as it is. */
  exposePublic?: boolean;
  /** Hears of each step. */
  onStep?: (step: string, tookMs: number) => void;
}

export interface MigrationState extends Migration {
  state: 'applied' | 'pending' | 'changed';
  appliedAt?: Date;
}

export interface MigrationPlan {
  migrations: MigrationState[];
  /** True when functions, views or derived objects differ from what is installed. */
  repeatablesStale: boolean;
  /** Applied by a newer Plinth and unknown here. */
  unknown: { module: string; name: string; breaking: boolean }[];
}

interface LedgerRow {
  module: string;
  number: number;
  name: string;
  checksum: string;
  breaking: boolean;
  applied_at: Date;
}

/** One key for all of Plinth in a database: whoever holds it migrates, the others wait and then find nothing to do. */
const LOCK = 'select pg_advisory_lock(7217046533310005)';
const UNLOCK = 'select pg_advisory_unlock(7217046533310005)';

async function withClient<T>(url: string, body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'plinth migrate' });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

async function ledgerOf(client: pg.Client): Promise<{ rows: LedgerRow[]; checksum: string | undefined }> {
  const { rows: found } = await client.query<{ ledger: string | null; repeatables: string | null }>(
    `select to_regclass('plinth_kernel.migrations')::text as ledger, to_regclass('plinth_kernel.repeatables')::text as repeatables`,
  );
  const { ledger, repeatables } = found[0] ?? { ledger: null, repeatables: null };
  const rows = ledger
    ? (
        await client.query<LedgerRow>(
          'select module, number, name, checksum, breaking, applied_at from plinth_kernel.migrations order by applied_at, module, number',
        )
      ).rows
    : [];
  const checksum = repeatables ? (await client.query<{ checksum: string }>('select checksum from plinth_kernel.repeatables')).rows[0]?.checksum : undefined;
  return { rows, checksum };
}

interface Source {
  ordered: AnyModule[];
  migrations: Migration[];
  repeatables: Repeatable[];
  derived: string[];
  checksum: string;
}

function sourceOf(modules: ModuleMap): Source {
  const ordered = inOrder(modules);
  const { migrations, repeatables } = readSql(ordered);
  const derived = derivedSql(ordered);
  return { ordered, migrations, repeatables, derived, checksum: checksumOf(repeatables, derived) };
}

function planOf(source: Source, ledger: { rows: LedgerRow[]; checksum: string | undefined }): MigrationPlan {
  const applied = new Map(ledger.rows.map((row) => [`${row.module}/${row.number}`, row]));
  const known = new Set(source.migrations.map((migration) => `${migration.module}/${migration.number}`));
  return {
    migrations: source.migrations.map((migration) => {
      const row = applied.get(`${migration.module}/${migration.number}`);
      if (!row) return { ...migration, state: 'pending' as const };
      return { ...migration, state: row.checksum === migration.checksum ? ('applied' as const) : ('changed' as const), appliedAt: row.applied_at };
    }),
    repeatablesStale: ledger.checksum !== source.checksum,
    unknown: ledger.rows.filter((row) => !known.has(`${row.module}/${row.number}`)).map(({ module, name, breaking }) => ({ module, name, breaking })),
  };
}

const refuse = (plan: MigrationPlan): void => {
  const newer = plan.unknown.find((row) => row.breaking);
  if (newer) throw fail('schema_newer', { message: `The database holds ${newer.module}/${newer.name}, a breaking migration that this Plinth does not know` });
  const changed = plan.migrations.find((migration) => migration.state === 'changed');
  if (changed) throw fail('migration_changed', { message: `${changed.module}/${changed.name} was applied and has changed since` });
};

/** What `migrateUp` would do. Touches nothing. */
export const migratePlan = (options: Pick<MigrateOptions, 'url' | 'modules'>): Promise<MigrationPlan> =>
  withClient(options.url, async (client) => planOf(sourceOf(options.modules), await ledgerOf(client)));

/** Refuses to serve on a schema this process does not understand. Errors: kernel_schema_newer, kernel_schema_older. */
export async function assertMigrated(client: pg.Client | pg.Pool, modules: ModuleMap): Promise<void> {
  const plan = planOf(sourceOf(modules), await ledgerOf(client as pg.Client));
  refuse(plan);
  const pending = plan.migrations.filter((migration) => migration.state === 'pending');
  if (pending.length > 0) throw fail('schema_older', { message: `${pending.length} migrations are pending, first ${pending[0]?.module}/${pending[0]?.name}` });
}

/** Every statement that a fresh database would be given, for a DBA to read. */
export function migrateSql(modules: ModuleMap): string {
  const source = sourceOf(modules);
  const part = (title: string, text: string): string => `-- ${title}\n${text.trim().replace(/;?$/, ';')}\n`;
  return [
    ...source.migrations.map((migration) => part(`${migration.module}/${migration.name}`, migration.text)),
    ...source.repeatables.map((file) => part(`${file.module}/${file.kind}s/${file.name}`, file.text)),
    ...source.derived.map((text) => part('derived', text)),
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
    if (migration.inTransaction) await client.query('begin; set local role plinth_owner');
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

/** Missing function, table, column or type: the file needs one that is applied after it. */
const NEEDS_ANOTHER = new Set(['42883', '42P01', '42704', '42703']);

/**
 * Applies every function and view. They may stand in any order: what fails for want of another is tried again until a
 * round brings nothing new. Views are dropped first, because `create or replace view` cannot change columns.
 */
async function applyRepeatables(client: pg.Client, repeatables: readonly Repeatable[]): Promise<void> {
  const { rows: views } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'v' and n.nspname = 'plinth'`,
  );
  for (const view of views) await client.query(`drop view if exists ${view.name} cascade`);
  let waiting = [...repeatables];
  while (waiting.length > 0) {
    const failed: { file: Repeatable; error: Error }[] = [];
    for (const file of waiting) {
      await client.query('savepoint one_file');
      try {
        await client.query(file.text);
        await client.query('release savepoint one_file');
      } catch (error) {
        await client.query('rollback to savepoint one_file');
        const wrapped = new Error(`${file.module}/${file.kind}s/${file.name}.sql: ${(error as Error).message}`, { cause: error });
        if (!NEEDS_ANOTHER.has((error as { code?: string }).code ?? '')) throw wrapped;
        failed.push({ file, error: wrapped });
      }
    }
    if (failed.length === waiting.length) throw failed[0]?.error ?? new Error('no repeatable could be applied');
    waiting = failed.map(({ file }) => file);
  }
}

async function applyRepeatablesAndDerived(client: pg.Client, source: Source, exposePublic: boolean): Promise<void> {
  await client.query('begin; set local role plinth_owner');
  try {
    await applyRepeatables(client, source.repeatables);
    for (const statement of source.derived) await client.query(statement);
    await client.query(
      'insert into plinth_kernel.repeatables (checksum) values ($1) on conflict (only_row) do update set checksum = excluded.checksum, applied_at = now()',
      [source.checksum],
    );
    await client.query('reset role');
    if (exposePublic) for (const statement of await exposePublicSql(client)) await client.query(statement);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

const isExposed = async (client: pg.Client): Promise<boolean> =>
  (
    await client.query(
      `select 1 from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'public' and obj_description(p.oid, 'pg_proc') like 'Plinth:%' limit 1`,
    )
  ).rowCount === 1;

/**
 * Brings a database to this version: roles and schemas, pending migrations each in its own transaction, then functions,
 * views and what the cards derive in one. Safe to run from any number of processes at once. Returns what was applied.
 */
export async function migrateUp(options: MigrateOptions): Promise<{ applied: string[]; repeatables: boolean }> {
  const source = sourceOf(options.modules);
  return withClient(options.url, async (client) => {
    await client.query(LOCK);
    try {
      const plan = planOf(source, await ledgerOf(client));
      refuse(plan);
      const pending = plan.migrations.filter((migration) => migration.state === 'pending');
      const expose = options.exposePublic ?? (await isExposed(client));
      const exposing = options.exposePublic === true && !(await isExposed(client));
      if (pending.length === 0 && !plan.repeatablesStale && !exposing) return { applied: [], repeatables: false };
      await timed(options, 'roles and schemas', () => bootstrap(client, ['plinth', 'plinth_kernel', ...source.ordered.map((card) => `plinth_${card.name}`)]));
      for (const migration of pending) await timed(options, `${migration.module}/${migration.name}`, () => applyMigration(client, migration));
      await timed(options, 'functions, views, row security', () => applyRepeatablesAndDerived(client, source, expose));
      return { applied: pending.map((migration) => `${migration.module}/${migration.name}`), repeatables: true };
    } finally {
      await client.query(UNLOCK);
    }
  });
}

async function timed(options: MigrateOptions, step: string, run: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await run();
  options.onStep?.(step, performance.now() - started);
}

/**
 * Gives a login role what the server needs: membership of the three roles, without inheriting them, so that it can do
 * nothing before it has chosen one.
 */
export const createServerRole = (options: { url: string; name: string; password: string }): Promise<void> =>
  withClient(options.url, async (client) => {
    const name = identifier(options.name);
    await client.query(`do $$ begin create role ${name} login noinherit; exception when duplicate_object or unique_violation then null; end $$`);
    await client.query(`alter role ${name} login noinherit password ${pg.escapeLiteral(options.password)}`);
    for (const role of ['plinth_app', 'plinth_worker', 'plinth_reader']) await client.query(`grant ${role} to ${name}`);
  });
