import type pg from 'pg';
import { streamOf } from '#kernel/begin.ts';
import { PlinthError } from '#kernel/errors.ts';
import { partitionedTables } from '#kernel/migrate/derive.ts';
import { assertMigrated } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { inOrder } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';

export interface Check {
  name: string;
  ok: boolean;
  /** What is wrong and the way out; never a secret. */
  fault?: string;
}

export interface Readiness {
  ready: boolean;
  tiers: Record<string, { ready: boolean; checks: Check[] }>;
}

const CHECK_MS = 3_000;

const check = async (name: string, run: () => Promise<string | undefined>): Promise<Check> => {
  const fault = await run().catch((error: unknown) => {
    if (error instanceof PlinthError) return `${error.message}; ${error.wayOut}`;
    return error instanceof Error ? error.message : String(error);
  });
  return fault === undefined ? { name, ok: true } : { name, ok: false, fault };
};

/** A standby, or a server that was made read-only because it is about to be replaced, answers questions and nothing else. */
async function writeFault(client: pg.PoolClient): Promise<string | undefined> {
  const { rows } = await client.query<{ standby: boolean; read_only: boolean }>(
    `select pg_is_in_recovery() as standby, current_setting('default_transaction_read_only')::boolean as read_only`,
  );
  if (rows[0]?.standby) return 'the database is a standby; connect to the primary';
  return rows[0]?.read_only ? 'the database takes no writes; reset default_transaction_read_only of the server, the database and the role' : undefined;
}

/** The serving role must be bound by row security, whatever it has set: a superuser, BYPASSRLS or the owner is not, nor who inherits what is shown to all tenants' workers. */
async function roleFault(client: pg.PoolClient): Promise<string | undefined> {
  const { rows } = await client.query<{ name: string; super: boolean; bypass: boolean; owner: boolean; inherits: boolean; by_grant: boolean }>(
    `select rolname as name, rolsuper as super, rolbypassrls as bypass, pg_has_role(oid, 'plinth_owner', 'member') as owner,
       pg_has_role(oid, 'plinth_worker', 'usage') or pg_has_role(oid, 'plinth_reader', 'usage') as inherits, current_setting('server_version_num')::int >= 160000 as by_grant
     from pg_roles where rolname = session_user`,
  );
  const [role] = rows;
  if (!role) return 'the role of the connection is not in pg_roles';
  if (role.super) return `role ${role.name} is a superuser: row security does not bind it; serve as a role made by plinth migrate up --server-role`;
  if (role.bypass) return `role ${role.name} has BYPASSRLS; alter role ${role.name} nobypassrls`;
  if (role.owner) return `role ${role.name} is a member of plinth_owner; revoke plinth_owner from ${role.name}`;
  if (!role.inherits) return undefined;
  const wayOut = role.by_grant ? `grant plinth_worker, plinth_reader to ${role.name} with inherit false` : `alter role ${role.name} noinherit`;
  return `role ${role.name} inherits plinth_worker or plinth_reader: outside of Plinth's transactions it sees every tenant; ${wayOut}`;
}

/** Partitions of this period and the next, so that a turn of the month finds one. */
async function partitionFault(client: pg.PoolClient, modules: ModuleMap): Promise<string | undefined> {
  const tables = partitionedTables(inOrder(modules));
  const { rows } = await client.query<{ table: string }>(
    `select t.name as table from unnest($1::text[], $2::text[]) as t (name, every), generate_series(0, 1) as ahead
     where to_regclass(t.name || to_char((date_trunc(t.every, now() at time zone 'UTC') + ahead * ('1 ' || t.every)::interval), case t.every when 'month' then '"_"YYYY"_"MM' else '"_"YYYY"_"MM"_"DD' end)) is null
     order by 1 limit 5`,
    [tables.map(([name]) => name), tables.map(([, every]) => every)],
  );
  return rows.length > 0 ? `partitions ahead are missing for ${[...new Set(rows.map((row) => row.table))].join(', ')}; run plinth maintain premake` : undefined;
}

/** Installed and served by different hands: what misses before the first question can be asked, and the way out. */
const roleMissing = (error: unknown): string | undefined => {
  const { code, message } = error as { code?: string; message?: string };
  return code === '22023' || code === '42501'
    ? `${message}; run plinth migrate up, with --server-role for this role, as the role that owns the database`
    : undefined;
};

const begin = (client: pg.PoolClient) => client.query(`begin read only; set local role plinth_app; set local statement_timeout = ${CHECK_MS}`);

async function mainChecks(plinth: Plinth<ModuleMap>): Promise<Check[]> {
  let client: pg.PoolClient | undefined;
  let late: NodeJS.Timeout | undefined;
  const reached = await check('database', async () => {
    client = await plinth.pool.connect();
    const stream = streamOf(client);
    // Else each look at a database that does not answer would keep a connection of the pool.
    late = setTimeout(() => stream?.destroy(), CHECK_MS + 1_000);
    return begin(client).then(
      () => undefined,
      (error: unknown) => {
        const missing = roleMissing(error);
        if (missing) return missing;
        throw error;
      },
    );
  });
  const open = client;
  if (!open || !reached.ok) {
    clearTimeout(late);
    open?.release(true);
    return [{ ...reached, ...(reached.ok ? {} : { fault: `the database cannot be used: ${reached.fault ?? ''}` }) }];
  }
  // A statement that fails ends the transaction: the check after it begins another and answers for itself.
  const alone = async (name: string, run: () => Promise<string | undefined>): Promise<Check> => {
    const answer = await check(name, run);
    if (!answer.ok) {
      await open.query('rollback');
      await begin(open);
    }
    return answer;
  };
  let broken = false;
  try {
    const migrated = await alone('migrated', () => assertMigrated(open, plinth.modules).then(() => undefined));
    const writable = await alone('writable', () => writeFault(open));
    const role = await alone('role', () => roleFault(open));
    const partitions = migrated.ok ? [await alone('partitions', () => partitionFault(open, plinth.modules))] : [];
    return [reached, writable, migrated, role, ...partitions];
  } finally {
    await open.query('rollback').catch(() => {
      broken = true;
    });
    clearTimeout(late);
    open.release(broken);
  }
}

/** Looks at every tier. Answers within a few seconds even when a database hangs. */
export async function readiness(plinth: Plinth<ModuleMap>, tiers: Record<string, { check(): Promise<void> }>): Promise<Readiness> {
  const late = async (): Promise<Check[]> => [{ name: 'database', ok: false, fault: `the database did not answer within ${CHECK_MS} ms` }];
  const entries = await Promise.all([
    within(mainChecks(plinth), late).then((checks) => ['oltp', checks] as const),
    ...Object.entries(tiers).map(
      async ([name, tier]) =>
        [
          name,
          await within(
            check('database', async () => void (await tier.check())).then((one) => [one]),
            late,
          ),
        ] as const,
    ),
  ]);
  const states = entries.map(([name, checks]) => [name, { ready: checks.every((one) => one.ok), checks }] as const);
  return { ready: states.every(([, state]) => state.ready), tiers: Object.fromEntries(states) };
}

async function within<T>(work: Promise<T>, late: () => Promise<T>): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => void late().then(resolve), CHECK_MS + 500);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
