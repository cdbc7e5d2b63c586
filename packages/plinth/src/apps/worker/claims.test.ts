/** When a worker claims again, and what a backlog must not hold up. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
/** Statements of workers. */
const heard: string[] = [];
/** What a claim from the lanes that are known waits for, or fails with. */
let claiming = async (): Promise<void> => {};

function overheard(real: TestDatabase): TestDatabase {
  const listen = <Tx extends AnyTransaction>(tx: Tx): Tx =>
    Object.assign(Object.create(tx) as Tx, {
      async query(text: string, values?: readonly unknown[]) {
        heard.push(text);
        if (text.includes('plinth_jobs.claim_lanes(')) await claiming();
        return tx.query(text, values);
      },
    });
  const { plinth } = real;
  return { ...real, plinth: { ...plinth, asWorker: (input, body) => plinth.asWorker(input, (tx) => body(listen(tx))) } };
}

beforeAll(async () => {
  database = overheard(await testDatabase('claims'));
});
afterAll(() => database.drop());
const start = workersOf(() => database);
afterEach(async () => {
  claiming = async () => {};
  for (const table of ['jobs', 'limits']) await database.admin.query(`delete from plinth_jobs.${table}`);
});

test('what a cap held back begins when others have ended, not at the next look of an idle process', { timeout: 45_000 }, async () => {
  const { plinth, tenantA: tenantId } = database;
  await plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.set_job_limit('tenant', p_max_running := 1)`));
  // An idle process looks four times a second: they would take 50 s.
  const ids = await plinth.transaction({ tenantId }, async (tx) =>
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 200 }, () => ({})),
    ),
  );
  let running = 0;
  let most = 0;
  let ran = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const handler = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running -= 1;
    if (++ran === ids.length) resolve();
  };
  start(handler, { pollMs: 600_000 });
  await promise;
  expect(most).toBe(1);
});

test('what becomes due while there is a backlog does not wait for its end', async () => {
  const { plinth, tenantA: tenantId } = database;
  const urgent = Promise.withResolvers<void>();
  // More than is ever fetched ahead.
  await database.admin.query(`insert into plinth_jobs.jobs_ready (tenant_id, kind, priority) select $1, 'k', 9 from generate_series(1, 2000)`, [tenantId]);
  start(
    async (run) => {
      // Each leaves another in its place, so that there is always one that may start now.
      await run.transaction(async (tx) => {
        tx.jobs.enqueue('k', {}, { priority: 9 });
        await tx.query('select pg_sleep(0.01)');
      });
    },
    { concurrency: 1, others: { urgent: { summary: 'test', handler: async () => urgent.resolve() } } },
  );
  await expect.poll(async () => (await database.admin.query(`select from plinth_jobs.jobs where status = 'completed'`)).rowCount).toBeGreaterThan(1);
  await plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('urgent', {}, { delayMs: 300, priority: 1 }));
  await urgent.promise;
});

test('more lanes with work than a worker looks at do not hide an urgent job of a queue that comes after them', { timeout: 60_000 }, async () => {
  const { tenantA } = database;
  await database.admin.query(
    `insert into plinth_jobs.jobs_ready (tenant_id, kind, queue) select t, 'k', 'bulk' from (select gen_random_uuid() as t from generate_series(1, 5000)) t, generate_series(1, 3)`,
  );
  await database.admin.query(`insert into plinth_jobs.jobs_ready (tenant_id, kind, queue, priority) values ($1, 'last', 'mail', 1)`, [tenantA]);
  const last = Promise.withResolvers<void>();
  // 15,000 jobs of half a second, three at a time, would take forty minutes.
  start((run) => run.transaction((tx) => tx.query('select pg_sleep(0.5)')), {
    concurrency: 3,
    others: { last: { summary: 'test', handler: async () => last.resolve() } },
  });
  await last.promise;
});

test('jobs that no handler here takes keep no worker from going through its backlog lane by lane', async () => {
  const { tenantA, tenantB, admin } = database;
  await admin.query(`insert into plinth_jobs.jobs_ready (tenant_id, kind) select $1, 'k' from generate_series(1, 6000)`, [tenantA]);
  await admin.query(`insert into plinth_jobs.jobs_ready (tenant_id, kind) values ($1, 'of others')`, [tenantB]);
  const all = Promise.withResolvers<void>();
  let ran = 0;
  heard.length = 0;
  start(
    async () => {
      if (++ran === 6_000) all.resolve();
    },
    { concurrency: 50 },
  );
  await all.promise;
  expect(heard.some((text) => text.includes('plinth_jobs.claim_lanes('))).toBe(true);
});

test('what had to be given back is not fetched ahead again', { timeout: 90_000 }, async () => {
  const { plinth, tenantA: tenantId, admin } = database;
  await plinth.transaction({ tenantId }, async (tx) => {
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 3_000 }, (_, n) => ({ n })),
    );
  });
  let ran = 0;
  const handler = async (): Promise<void> => {
    // Fast at first, so that much is fetched ahead; then no job ends any more.
    if (++ran > 1_000) await new Promise(() => {});
  };
  const { stats } = start(handler, { concurrency: 10, prefetchMs: 100 });
  // The pace of before is forgotten within a second or two, which its signs of life tell.
  const beats = async (n: number): Promise<void> => {
    const seen = new Set<string>();
    const look = async () => seen.add(String((await admin.query('select beat_at::text from plinth_jobs.workers')).rows[0]?.beat_at)).size;
    await expect.poll(look, { timeout: 20_000 }).toBeGreaterThan(n);
  };
  await expect.poll(() => stats.returned, { timeout: 20_000, interval: 20 }).toBeGreaterThan(0);
  await beats(3);
  const { claimed, returned } = stats;
  await beats(2);
  expect(stats).toMatchObject({ claimed, returned, running: 10, waiting: 0 });
});

describe('two claims of a process at the same time', () => {
  const BACKLOG = 10_000;
  /** Runs a backlog of two tenants that is larger than what is fetched ahead; resolves with how often each job ran. */
  async function runBacklog(): Promise<Map<string, number>> {
    const { tenantA, tenantB } = database;
    await database.admin.query(
      `insert into plinth_jobs.jobs_ready (tenant_id, kind) select (array[$1, $2]::uuid[])[n % 2 + 1], 'k' from generate_series(1, ${BACKLOG}) n`,
      [tenantA, tenantB],
    );
    const ran = new Map<string, number>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const handler = async ({ id }: { id: string }): Promise<void> => {
      ran.set(id, (ran.get(id) ?? 0) + 1);
      if (ran.size === BACKLOG) resolve();
    };
    start(handler, { concurrency: 64 });
    await promise;
    return ran;
  }

  test('are made while jobs are quick, never more, and none of a backlog runs twice', async () => {
    let now = 0;
    let most = 0;
    claiming = async () => {
      most = Math.max(most, ++now);
      await database.plinth.wake.next([], 20);
      now -= 1;
    };
    const ran = await runBacklog();
    expect(most).toBe(2);
    expect(Math.max(...ran.values())).toBe(1);
  });

  test('fail alone: what the others brought runs, and the backlog goes on', async () => {
    let claims = 0;
    claiming = async () => {
      if (++claims % 5 === 3 && claims < 20) throw new Error('a claim that fails');
    };
    const ran = await runBacklog();
    expect(claims).toBeGreaterThan(3);
    expect(Math.max(...ran.values())).toBe(1);
  });
});
