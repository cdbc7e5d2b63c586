import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Queryable } from '../database.ts';
import { fail } from '../errors.ts';
import type { AnyModule, ModuleMap } from '../module.ts';
import { inOrder } from '../module.ts';
import { consumersOf } from '../projection.ts';
import type { Offering } from './derive.ts';
import { derivedSql, offeringOf } from './derive.ts';
import type { Migration, Repeatable } from './files.ts';
import { readSql } from './files.ts';

/** What this process would install, and what of it a database has. */

export interface MigrationState extends Migration {
  state: 'applied' | 'pending' | 'changed';
  appliedAt?: Date;
}

export interface MigrationPlan {
  migrations: MigrationState[];
  /** Modules whose functions, views or derived objects differ from what is installed. */
  stale: string[];
  /** Migrations of modules known here, applied by a newer Plinth and unknown here. */
  unknown: { module: string; name: string; breaking: boolean }[];
  /** Modules that are installed and unknown here. What they have stays as it is. */
  otherModules: string[];
}

interface LedgerRow {
  module: string;
  number: number;
  name: string;
  checksum: string;
  breaking: boolean;
  applied_at: Date;
}

export interface Source {
  ordered: AnyModule[];
  migrations: Migration[];
  repeatables: Repeatable[];
}

export function sourceOf(modules: ModuleMap): Source {
  const ordered = inOrder(modules);
  return { ordered, ...readSql(ordered) };
}

/** What a database has. Nothing where Plinth was never installed. */
export interface Installed {
  ledger: LedgerRow[];
  /** By module. */
  checksums: ReadonlyMap<string, string>;
  /** What modules that are unknown here take part in. */
  others: Offering;
}

/** Nothing counts as installed where a dump was restored without its privileges: what gives them is applied again. */
const CHECKSUMS = `select module, checksum from plinth_kernel.repeatables
  where exists (select from pg_catalog.pg_roles r where r.rolname = 'plinth_app' and pg_catalog.has_schema_privilege(r.oid, 'plinth', 'usage'))`;

/** Asks the catalog and not to_regclass, which fails for a role that may not use the schema, where there is nothing to read. */
const TABLES = `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'plinth_kernel' and c.relname in ('migrations', 'repeatables')`;

const OFFERED = `select p.proname as name, substr(n.nspname, 8) as module from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = any ($1) and (p.proname, pg_catalog.oidvectortypes(p.proargtypes)) in (('write_effects', 'jsonb'), ('trace', 'uuid')) order by 2`;

export async function installed(client: pg.ClientBase, source: Source): Promise<Installed> {
  const tables = new Set((await client.query<{ name: string }>(TABLES)).rows.map((row) => row.name));
  const { rows: ledger } = tables.has('migrations')
    ? await client.query<LedgerRow>(
        'select module, number, name, checksum, breaking, applied_at from plinth_kernel.migrations order by applied_at, module, number',
      )
    : { rows: [] };
  const { rows: checksums } = tables.has('repeatables') ? await client.query<{ module: string; checksum: string }>(CHECKSUMS) : { rows: [] };
  const others = otherModules(source, ledger);
  const { rows: offered } =
    others.length > 0 ? await client.query<{ name: string; module: string }>(OFFERED, [others.map((module) => `plinth_${module}`)]) : { rows: [] };
  const offering = (name: string): string[] => offered.filter((row) => row.name === name).map((row) => row.module);
  return {
    ledger,
    checksums: new Map(checksums.map((row) => [row.module, row.checksum])),
    others: { effects: offering('write_effects'), trace: offering('trace') },
  };
}

const knownModules = (source: Source): string[] => ['kernel', ...source.ordered.map((card) => card.name)];

function otherModules(source: Source, ledger: readonly LedgerRow[]): string[] {
  const known = new Set(knownModules(source));
  return [...new Set(ledger.map((row) => row.module))].filter((module) => !known.has(module)).sort();
}

/**
 * For each module: changes when one of its repeatable files, or anything that is derived from its card, changes. What several modules
 * share counts for the kernel, by the names of all that are installed, so that every process finds the same whichever modules it knows.
 */
export function checksumsOf(source: Source, others: Offering): Map<string, string> {
  const files = (module: string) => source.repeatables.filter((file) => file.module === module).map((file) => [file.kind, file.name, file.text]);
  const sum = (...parts: unknown[]): string => createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  const own = offeringOf(source.ordered);
  const all = [[...own.effects, ...others.effects].sort(), [...own.trace, ...others.trace].sort()];
  return new Map([
    ['kernel', sum(files('kernel'), derivedSql([]), all)],
    ...source.ordered.map((card): [string, string] => [
      card.name,
      sum(
        files(card.name),
        derivedSql([card]),
        Object.entries(consumersOf(card)).map(([name, consumer]) => [name, consumer.from]),
      ),
    ]),
  ]);
}

export function planOf(source: Source, { ledger, checksums, others }: Installed): MigrationPlan {
  const applied = new Map(ledger.map((row) => [`${row.module}/${row.number}`, row]));
  const files = new Set(source.migrations.map((migration) => `${migration.module}/${migration.number}`));
  const foreign = otherModules(source, ledger);
  return {
    migrations: source.migrations.map((migration) => {
      const row = applied.get(`${migration.module}/${migration.number}`);
      if (!row) return { ...migration, state: 'pending' as const };
      return { ...migration, state: row.checksum === migration.checksum ? ('applied' as const) : ('changed' as const), appliedAt: row.applied_at };
    }),
    stale: [...checksumsOf(source, others)].filter(([module, checksum]) => checksums.get(module) !== checksum).map(([module]) => module),
    unknown: ledger
      .filter((row) => !foreign.includes(row.module) && !files.has(`${row.module}/${row.number}`))
      .map(({ module, name, breaking }) => ({ module, name, breaking })),
    otherModules: foreign,
  };
}

export const pendingOf = (plan: MigrationPlan): MigrationState[] => plan.migrations.filter((migration) => migration.state === 'pending');

const named = ({ module, name }: { module: string; name: string }): string => `${module}/${name}`;

/** Errors: kernel_schema_newer, kernel_migration_changed. */
export function refuse(plan: MigrationPlan): void {
  const newer = plan.unknown.find((row) => row.breaking);
  if (newer) throw fail('schema_newer', { message: `The database holds ${named(newer)}, a breaking migration that this Plinth does not know` });
  const changed = plan.migrations.find((migration) => migration.state === 'changed');
  if (changed) throw fail('migration_changed', { message: `${named(changed)} was applied and has changed since` });
}

/**
 * Which of two versions is the newer one is told by migrations alone: a database that has one more of a module known here is newer.
 * A version that misses none and lacks none is neither. Errors: kernel_schema_diverged.
 */
export function refuseDiverged(plan: MigrationPlan): void {
  const [newer] = plan.unknown;
  const [pending] = pendingOf(plan);
  if (newer && pending) throw fail('schema_diverged', { message: `The database holds ${named(newer)}, unknown here, and misses ${named(pending)}` });
}

/**
 * Refuses to serve on a schema this process does not understand. Functions of another version are no reason: while a release is rolled
 * out, both serve. Errors: kernel_schema_newer, kernel_schema_older.
 */
export async function assertMigrated(client: pg.ClientBase, modules: ModuleMap): Promise<void> {
  const plan = await readPlan(client, modules).catch((error: unknown) => {
    if ((error as { code?: string }).code !== '42501') throw error;
    throw fail('schema_older', { message: 'The list of applied migrations cannot be read: the installation did not reach its end', cause: error });
  });
  refuse(plan);
  const pending = pendingOf(plan);
  if (pending[0]) throw fail('schema_older', { message: `${pending.length} migrations are pending, first ${named(pending[0])}` });
}

/**
 * Refuses a database that was migrated by a newer, incompatible version, for processes that run while that happens: asks for breaking migrations only, of which
 * there are few. The answer is a function because what is known here is read from files, once. Errors: kernel_schema_newer.
 */
export function refuseNewer(modules: ModuleMap): (tx: Queryable) => Promise<void> {
  const source = sourceOf(modules);
  const known = new Set(source.migrations.map((migration) => `${migration.module}/${migration.number}`));
  const names = knownModules(source);
  return async (tx) => {
    const breaking = await tx.query<LedgerRow>('select module, number, name from plinth_kernel.migrations where breaking and module = any ($1)', [names]);
    const newer = breaking.find((row) => !known.has(`${row.module}/${row.number}`));
    if (newer) throw fail('schema_newer', { message: `The database holds ${named(newer)}, a breaking migration that this Plinth does not know` });
  };
}

/** How the database compares with these modules. */
export async function readPlan(client: pg.ClientBase, modules: ModuleMap): Promise<MigrationPlan> {
  const source = sourceOf(modules);
  return planOf(source, await installed(client, source));
}
