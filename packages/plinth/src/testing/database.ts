/** A migrated database of its own for a test file, with two tenants in it, thrown away afterwards. */
import pg from 'pg';
import { inject } from 'vitest';
import { createPlinth, type Plinth } from '../index.ts';
import { collectFunctionCalls } from './function-calls.ts';
import { databaseUrl, withClient } from './test-run.ts';

export interface EmptyDatabase {
  readonly name: string;
  /** Superuser: sees every tenant, passes row security by. */
  readonly url: string;
  readonly admin: pg.Pool;
  /** Ends the connections and drops the database. Called twice it does nothing. */
  drop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface TestDatabase extends EmptyDatabase {
  /** Role `plinth_test_server`: a NOINHERIT member of plinth_app, plinth_worker and plinth_reader, as a server has. */
  readonly serverUrl: string;
  readonly tenantA: string;
  readonly tenantB: string;
  /** Over `serverUrl`; closed by `drop`. */
  readonly plinth: Plinth;
}

let made = 0;

/** URL of the run's server as superuser, for tests that make databases or roles themselves. */
export function testServerUrl(): string {
  return inject('plinthTestRun').adminUrl;
}

/** A database without anything of Plinth, for tests of the installation itself. */
export async function emptyDatabase(name = 'empty'): Promise<EmptyDatabase> {
  return createDatabase(name, 'template0');
}

/**
 * A copy of the run's migrated template with tenants A and B. One for a test file is usual: make it at the top of the
 * file and drop it in `afterAll`.
 *
 * @example
 * const database = await testDatabase('audit');
 * afterAll(() => database.drop());
 */
export async function testDatabase(name = 'test'): Promise<TestDatabase> {
  const run = inject('plinthTestRun');
  const database = await createDatabase(name, run.template);
  const { rows } = await database.admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (slug, name) values ('tenant-a', 'Tenant A'), ('tenant-b', 'Tenant B') returning id`,
  );
  const [tenantA = '', tenantB = ''] = rows.map(({ id }) => id);
  const server = new URL(database.url);
  server.username = run.serverRole;
  server.password = run.serverPassword;
  const plinth = createPlinth({ database: { url: server.href, applicationName: `test ${name}` } });
  const drop = once(async () => {
    await plinth.close();
    await database.drop();
  });
  return { ...database, serverUrl: server.href, tenantA, tenantB, plinth, drop, [Symbol.asyncDispose]: drop };
}

async function createDatabase(purpose: string, template: string): Promise<EmptyDatabase> {
  const run = inject('plinthTestRun');
  made += 1;
  const label = purpose
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .slice(0, 20);
  const name = `${run.prefix}${process.pid.toString(36)}_${made}_${label}`;
  await withClient(run.adminUrl, async (client) => {
    await client.query(`create database ${name} template ${template}`);
    // Set for the database and not only by the embedded server, so that a server of one's own counts calls as well.
    await client.query(`alter database ${name} set track_functions = 'all'`);
  });
  const url = databaseUrl(run.adminUrl, name);
  const admin = new pg.Pool({ connectionString: url, max: 5 });
  admin.on('error', () => undefined);
  const drop = once(async () => {
    await admin.end();
    await withClient(url, async (client) => {
      await othersGone(client);
      await collectFunctionCalls(client);
    });
    await withClient(run.adminUrl, (client) => client.query(`drop database if exists ${name} with (force)`));
  });
  return { name, url, admin, drop, [Symbol.asyncDispose]: drop };
}

/**
 * Sessions report their calls when they end, which happens a moment after the client has hung up. A connection that a
 * test left open is not waited for beyond a second.
 */
async function othersGone(client: pg.Client): Promise<void> {
  const end = performance.now() + 1_000;
  const others = `select 1 from pg_catalog.pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`;
  while ((await client.query(others)).rowCount !== 0 && performance.now() < end) {
    await client.query('select pg_sleep(0.01)');
  }
}

function once(run: () => Promise<void>): () => Promise<void> {
  let result: Promise<void> | undefined;
  return () => (result ??= run());
}
