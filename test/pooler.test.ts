/** Behind PgBouncer in transaction mode, as `docs/environment.md` says that programs of one's own may stand. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startWorker } from '../packages/plinth/src/apps/worker/index.ts';
import { startListener } from '../packages/plinth/src/apps/worker/listener.ts';
import { createPlinth } from '../packages/plinth/src/index.ts';
import { migrateUp } from '../packages/plinth/src/kernel/migrate/index.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';
import { needs } from '../packages/plinth/src/testing/needs.ts';

const pgbouncer = needs('pgbouncer');
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
let database: TestDatabase;
let pooler: Awaited<ReturnType<typeof startPooler>>;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address ? address.port : 0;
}

/** PgBouncer before the role that serves, which it refuses to run as root. */
async function startPooler(serverUrl: string): Promise<{ url: string; stop(): Promise<void> }> {
  const { hostname, port, username, password, pathname } = new URL(serverUrl);
  const folder = await mkdtemp(join(tmpdir(), 'plinth-pgbouncer-'));
  await chmod(folder, 0o777);
  const own = await freePort();
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(
    file,
    `[databases]
app = host=${hostname} port=${port} dbname=${pathname.slice(1)} user=${username} password='${decodeURIComponent(password)}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
server_login_retry = 1
`,
  );
  const child = spawn(pgbouncer.at, [...(process.getuid?.() === 0 ? ['-u', 'nobody'] : []), file], { stdio: 'ignore' });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const url = `postgres://anybody@127.0.0.1:${own}/app`;
  await vi.waitFor(
    async () => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      await client.end();
    },
    { timeout: 20_000 },
  );
  return {
    url,
    async stop() {
      process.off('exit', kill);
      const gone = once(child, 'exit');
      kill();
      await gone;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

beforeAll(async () => {
  database = await testDatabase('pooler');
  if (pgbouncer.available) pooler = await startPooler(database.serverUrl);
});
afterAll(async () => {
  await pooler?.stop();
  await database.drop();
});

test.runIf(pgbouncer.available)(
  'transactions, jobs, consumers and cancelled callers work where nothing is prepared, and no context stays on a session',
  async () => {
    const plinth = createPlinth({ database: { url: pooler.url, prepare: false }, log });
    const ran: unknown[] = [];
    const read: unknown[] = [];
    const worker = startWorker({
      plinth,
      listen: false,
      pollMs: 100,
      services: { log },
      handlers: {
        'pooler.work': {
          summary: 'completes in its own transaction',
          handler: async (run) => {
            await plinth.transaction({ tenantId: run.tenantId }, async (tx) => {
              tx.audit.record({ action: 'pooler.worked' });
              await run.completeIn(tx);
            });
            ran.push(run.payload);
          },
        },
      },
      consumers: { 'pooler.reader': { summary: 'notes', handle: async (_tx, events) => void read.push(...events.map(({ data }) => data.n)) } },
    });
    try {
      const numbers = Array.from({ length: 40 }, (_, n) => n);
      await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start('plinth_events.events', 'pooler.reader', 'beginning')`));
      await Promise.all(
        numbers.map((n) =>
          plinth.transaction({ tenantId: n % 2 ? database.tenantA : database.tenantB }, async (tx) => {
            tx.jobs.enqueue('pooler.work', { n });
            tx.events.publish('pooler.told', { n });
          }),
        ),
      );
      const sorted = (all: unknown[]) => all.map(Number).sort((a, b) => a - b);
      await expect.poll(() => sorted(ran.map((payload) => (payload as { n: number }).n))).toEqual(numbers);
      await expect.poll(() => sorted(read)).toEqual(numbers);
      await expect(plinth.transaction({ tenantId: database.tenantA, timeoutMs: 50 }, (tx) => tx.query('select pg_sleep(5)'))).rejects.toMatchObject({
        code: '57014',
      });
      const left = `select current_user <> session_user as role, coalesce(current_setting('plinth.tenant_id', true), '') as tenant, current_setting('statement_timeout') as most`;
      const seen = await Promise.all(Array.from({ length: 10 }, () => plinth.pool.query(left)));
      for (const { rows } of seen) expect(rows).toEqual([{ role: false, tenant: '', most: '0' }]);
    } finally {
      await worker.stop({ graceMs: 1_000 });
      await plinth.close();
    }
  },
);

test.runIf(pgbouncer.available)(
  'a worker that listens all the same is known by a lock that is held, also when the pooler has other sessions than before',
  async () => {
    const plinth = createPlinth({ database: { url: pooler.url, prepare: false }, log });
    const locks: bigint[] = [];
    const listener = startListener(plinth as never, log, { sessionHeld: (lock) => void locks.push(lock) });
    const held = `select ((classid::bigint << 32) | objid::bigint)::text as lock from pg_locks
    where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database()) and granted`;
    const holders = `select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`;
    try {
      await expect.poll(() => locks.length).toBe(1);
      // As server_lifetime does, or a restart of the server: the connection to the pooler stays.
      await database.admin.query(holders);
      listener.nudge();
      await expect.poll(() => locks.length).toBe(2);
      expect((await database.admin.query(held)).rows).toEqual([{ lock: String(locks[1]) }]);
    } finally {
      await listener.stop();
      await plinth.close();
    }
  },
);

test.runIf(pgbouncer.available)('migrations are refused there, and leave nothing on the sessions of others', async () => {
  await expect(migrateUp({ url: pooler.url, modules })).rejects.toMatchObject({ code: 'kernel_database_unfit', wayOut: expect.stringContaining('by session') });
  const client = new pg.Client({ connectionString: pooler.url });
  await client.connect();
  const { rows } = await client.query(`select current_user = session_user as own, current_setting('search_path') as path`);
  await client.end();
  expect(rows).toEqual([{ own: true, path: expect.stringContaining('public') }]);
});
