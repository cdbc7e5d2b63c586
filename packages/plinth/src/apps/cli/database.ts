import { createHash } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { PlinthError } from '#kernel/errors.ts';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Environment } from './environment.ts';
import { task } from './output.ts';

/** A database that is migrated and can be served from. */
export interface OpenDatabase {
  /** Of the role that installs: superuser of the embedded server, or as PLINTH_DATABASE_URL gives it. */
  adminUrl: string;
  /** Of the role that serves, which row security binds. */
  serverUrl: string;
  /** `PostgreSQL 18.4 on 127.0.0.1:54329` */
  name: string;
  /** False when the database server is not ours to stop. */
  embedded: boolean;
  /** Ends with the embedded server, also when nobody asked it to; never for another. */
  exited: Promise<unknown>;
  stop(): Promise<void>;
}

/** Roles belong to the cluster: in one that others use as well, another password for theirs would lock them out. */
const serverRole = (embedded: boolean, password: string): string =>
  embedded ? 'plinth_server' : `plinth_server_${createHash('sha256').update(password).digest('hex').slice(0, 8)}`;

const withDatabase = (url: string, database: string): string => {
  const address = new URL(url);
  address.pathname = `/${database}`;
  return address.href;
};

/** In the query, because the URL of a unix socket has no host to put a name before, and because a name in the query wins over one before the host. */
export const as = (url: string, user: string, password: string): string => {
  const address = new URL(url);
  address.username = '';
  address.password = '';
  address.searchParams.set('user', user);
  address.searchParams.set('password', password);
  return address.href;
};

async function ask<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'plinth', connectionTimeoutMillis: 10_000 });
  try {
    await client.connect();
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

async function startEmbedded(environment: Environment, signal: AbortSignal) {
  const { startPostgres } = await import('plinth-embedded').catch((error: unknown) => {
    throw Object.assign(new Error('The embedded PostgreSQL is not installed', { cause: error }), {
      wayOut: 'Install plinth-embedded, or set PLINTH_DATABASE_URL to a PostgreSQL 15 to 18 of yours.',
    });
  });
  const server = await startPostgres({ dataDir: join(environment.dataDir, 'postgres'), signal });
  const found = await ask(server.url, `select 1 from pg_database where datname = 'plinth'`);
  if (found.length === 0) await ask(server.url, 'create database plinth');
  return { server, url: withDatabase(server.url, 'plinth') };
}

/** Starts or reaches the database. */
async function reach(environment: Environment, signal: AbortSignal): Promise<Omit<OpenDatabase, 'serverUrl'>> {
  if (!environment.databaseUrl) {
    const { server, url } = await task(
      'Started PostgreSQL',
      () => startEmbedded(environment, signal),
      ({ server: started }) =>
        `${{ created: 'Created a database and started', started: 'Started', adopted: 'Took over the running' }[started.origin]} PostgreSQL ${started.version} on ${started.host}:${started.port}`,
    );
    return {
      adminUrl: url,
      name: `PostgreSQL ${server.version} on ${server.host}:${server.port}`,
      embedded: true,
      exited: server.exited,
      stop: () => server.stop(),
    };
  }
  const url = environment.databaseUrl;
  const [row] = await task(
    'Reached the database',
    () =>
      ask<{ version: string; number: number }>(
        url,
        `select current_setting('server_version') as version, current_setting('server_version_num')::int as number`,
      ),
    ([found]) => `Reached PostgreSQL ${found?.version ?? ''}`,
  );
  if ((row?.number ?? 0) < 150_000) throw Object.assign(new Error(`PostgreSQL ${row?.version} is too old`), { wayOut: 'Plinth needs PostgreSQL 15 or newer.' });
  const { host, port } = new pg.Client({ connectionString: url });
  return {
    adminUrl: url,
    name: `PostgreSQL ${row?.version ?? ''} on ${host}:${port}`,
    embedded: false,
    exited: new Promise(() => {}),
    stop: async () => {},
  };
}

/**
 * What the work gives, unless the signal comes first: then its reason is thrown, and nobody waits for the work. Migrations come in transactions, and the next
 * start goes on with them.
 */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Fails as migrating did; where the data are those of a development database, a way out is to begin anew. */
function refused(error: unknown, dataDir: string | undefined): never {
  if (!(error instanceof PlinthError) || dataDir === undefined || !['kernel_migration_changed', 'kernel_schema_diverged'].includes(error.code)) throw error;
  throw Object.assign(new Error(error.message, { cause: error }), {
    wayOut: `The data are of another version, before a release perhaps. If they may go, remove ${join(dataDir, 'postgres')} and start again. Else: ${error.wayOut}`,
  });
}

/**
 * The database of `plinth dev`: started when it is ours, migrated, with a serving role. A role that may not install is taken
 * as the serving role itself, of a database that was migrated before.
 */
export async function openDatabase(environment: Environment, modules: ModuleMap, password: string, signal: AbortSignal): Promise<OpenDatabase> {
  const reached = await reach(environment, signal);
  try {
    const [role] = await ask<{ installs: boolean }>(
      reached.adminUrl,
      `select rolsuper or rolcreaterole as installs from pg_roles where rolname = current_user`,
    );
    if (!role?.installs) return { ...reached, serverUrl: reached.adminUrl };
    const migrated = () =>
      migrateUp({ url: reached.adminUrl, modules }).catch((error: unknown) => refused(error, reached.embedded ? environment.dataDir : undefined));
    await task(
      'Migrated',
      () => unlessAborted(signal, migrated()),
      ({ applied, repeatables, newer }) => {
        if (newer) return `Schema is of a newer Plinth, with ${newer.join(', ')}, and stays as it is`;
        if (applied.length > 0) return `Applied ${applied.length} migrations`;
        return repeatables ? 'Applied changed functions and views' : 'Schema is up to date';
      },
    );
    const name = serverRole(reached.embedded, password);
    await createServerRole({ url: reached.adminUrl, name, password });
    return { ...reached, serverUrl: as(reached.adminUrl, name, password) };
  } catch (error) {
    await reached.stop();
    throw error;
  }
}
