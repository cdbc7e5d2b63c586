/** The kit as an application's tests use it: what it runs, how it tells that, and that tenants stay apart. */
import { AssertionError } from 'node:assert';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobDefinition } from '#kernel/work.ts';
import { JobFailure } from '#modules/jobs';
import type { Tx } from '../index.ts';
import { createPlinth } from '../index.ts';
import type { TestDatabase } from './database.ts';
import { testDatabase } from './database.ts';
import type { JobsKit } from './index.ts';
import { jobsKit, virtualClock } from './index.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('jobs_kit');
  ({ tenantA: a, tenantB: b } = database);
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.unique_keys'));

type Options = Parameters<Tx['jobs']['enqueue']>[2];
const enqueue = (tenantId: string, kind: string, payload: Record<string, unknown> = {}, options: Options = {}): Promise<string> =>
  database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue(kind, payload, options));
const kitOf = (handlers: Record<string, JobDefinition<Tx>['handler']>, tenantId: string | undefined = a): JobsKit =>
  jobsKit({
    plinth: database.plinth,
    ...(tenantId ? { tenantId } : {}),
    handlers: Object.fromEntries(Object.entries(handlers).map(([kind, handler]) => [kind, { summary: 'test', handler }])),
  });
const effects = async (): Promise<string[]> =>
  (await database.admin.query(`select metadata ->> 'of' as of from plinth.audit_logs where action = 'kit.effect' order by id`)).rows.map((row) => row.of);

describe('drain', () => {
  test('runs what may run, the most urgent first, and what that enqueues, and tells how each ended', async () => {
    const kit = kitOf({
      first: async (run) => run.transaction(async (tx) => void tx.jobs.enqueue('second', { from: run.payload.n })),
      second: async (run) => ({ got: run.payload.from }),
      bad: async () => {
        throw new JobFailure('no way', { final: true });
      },
    });
    await enqueue(a, 'first', { n: 1 });
    await enqueue(a, 'bad', {}, { priority: 1 });
    await enqueue(a, 'later', {}, { delayMs: 60_000 });
    await enqueue(a, 'nobody');
    await enqueue(b, 'first', { n: 2 });
    const { ran, unhandled } = await kit.drain();
    expect(ran.map((job) => [job.kind, job.outcome, job.status, job.result, job.error])).toEqual([
      ['bad', 'failed', 'failed', null, 'JobFailure: no way'],
      ['first', 'completed', 'completed', null, null],
      ['second', 'completed', 'completed', { got: 1 }, null],
    ]);
    expect(ran[0]?.thrown).toBeInstanceOf(JobFailure);
    expect(unhandled).toEqual(['nobody']);
    expect((await kit.drain()).ran).toEqual([]);
    expect((await database.admin.query('select count(*)::int as n from plinth_jobs.workers')).rows[0].n).toBe(0);
    expect((await database.admin.query('select count(*)::int as n from plinth_jobs.claims')).rows[0].n).toBe(0);
  });

  test('without a tenant runs the jobs of all, each in its own', async () => {
    const kit = jobsKit({
      plinth: database.plinth,
      handlers: { k: { summary: 'test', handler: (run) => run.transaction(async (tx) => tx.query('select plinth_kernel.tenant_id() as tenant')) } },
    });
    await Promise.all([enqueue(a, 'k'), enqueue(b, 'k')]);
    const { ran } = await kit.drain();
    expect(ran.map((job) => [job.tenantId, job.result]).sort()).toEqual([a, b].sort().map((tenant) => [tenant, [{ tenant }]]));
  });

  test('stops jobs that enqueue each other for ever, and gives back the one it holds', async () => {
    const kit = kitOf({ again: async (run) => run.transaction(async (tx) => void tx.jobs.enqueue('again')) });
    await enqueue(a, 'again');
    await expect(kit.drain({ most: 5 })).rejects.toThrow('drain ran 5 attempts and there are more, of again');
    expect(await kit.assertEnqueued('again', {}, { status: 'pending', times: 1 })).toHaveLength(1);
  });
});

describe('run', () => {
  test('runs one job and no other, with completeIn and the effects of its transaction', async () => {
    const kit = kitOf({
      once: async (run) => {
        await run.transaction(async (tx) => {
          tx.audit.record({ action: 'kit.effect', metadata: { of: String(run.payload.of) } });
          await run.completeIn(tx, { stored: true });
        });
        throw new Error('too late to matter');
      },
    });
    await enqueue(a, 'once', { of: 'other' });
    expect(await kit.run('once', { of: 'mine' })).toMatchObject({
      kind: 'once',
      outcome: 'completed',
      status: 'completed',
      result: { stored: true },
      attempt: 1,
    });
    expect(await effects()).toEqual(['mine']);
    await kit.assertEnqueued('once', { of: 'other' }, { status: 'pending', times: 1 });
  });

  test('names the job that holds its unique key, and leaves that job as it is', async () => {
    const kit = kitOf({ keyed: async () => 'done' });
    const holder = await enqueue(a, 'keyed', { n: 1 }, { uniqueKey: 'one' });
    for (const onDuplicate of ['keep', 'replace'] as const)
      await expect(kit.run('keyed', { n: 2 }, { uniqueKey: 'one', onDuplicate })).rejects.toThrow(
        `nothing was enqueued: job ${holder} of kind keyed holds the unique key "one"`,
      );
    await kit.assertEnqueued('keyed', { n: 1 }, { times: 1 });
    expect(await kit.run('keyed', { n: 3 }, { uniqueKey: 'two' })).toMatchObject({ outcome: 'completed' });
  });

  test('tells what became of a job that was completed in a joined transaction', async () => {
    const kit = kitOf({
      joined: async (run) => {
        const client = await database.plinth.pool.connect();
        try {
          await client.query('begin; set local role plinth_app');
          await database.plinth.join(client, { tenantId: a }, (tx) => run.completeIn(tx));
          await client.query(String(run.payload.end));
        } finally {
          client.release();
        }
        if (run.payload.end === 'rollback') throw new Error('rolled back');
      },
    });
    expect(await kit.run('joined', { end: 'commit' })).toMatchObject({ outcome: 'completed', status: 'completed' });
    expect(await kit.run('joined', { end: 'rollback' })).toMatchObject({ outcome: 'failed', status: 'scheduled' });
  });

  test('a failure rolls back what the handler did in its transaction, and waits for its next attempt', async () => {
    const before = await effects();
    const kit = kitOf({
      flaky: async (run) => {
        await run.transaction(async (tx) => {
          tx.audit.record({ action: 'kit.effect', metadata: { of: 'flaky' } });
          if (run.attempt === 1) throw new Error('first time');
        });
        run.log('worked', { attempt: run.attempt });
      },
    });
    const first = await kit.run('flaky', {}, { maxAttempts: 2 });
    expect(first).toMatchObject({ outcome: 'failed', status: 'scheduled', error: 'first time', thrown: expect.objectContaining({ message: 'first time' }) });
    expect(await effects()).toEqual(before);
    expect((await kit.drain()).ran).toEqual([]);
    await kit.advance({ minutes: 1 });
    expect((await kit.drain()).ran).toMatchObject([{ id: first.id, attempt: 2, outcome: 'completed', status: 'completed' }]);
    expect(await effects()).toEqual([...before, 'flaky']);
    expect((await database.admin.query('select message from plinth.job_logs where job_id = $1', [first.id])).rows).toEqual([{ message: 'worked' }]);
  });

  test('says what is missing: a handler, a tenant, or leave to run', async () => {
    const kit = kitOf({ k: async () => {} });
    await expect(kit.run('unknown')).rejects.toThrow('there is no handler for jobs of kind unknown');
    await expect(jobsKit({ plinth: database.plinth }).run('jobs.purge_failed')).rejects.toThrow('kit.run needs a tenant');
    await database.plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth.pause_jobs(p_reason => 'test', p_kind => 'k')`));
    await expect(kit.run('k')).rejects.toThrow('may not run now');
    await database.admin.query('delete from plinth_jobs.pauses');
  });
});

describe('time', () => {
  test('passes for scheduled jobs of the tenant without waiting, and moves the clock of the application along', async () => {
    const clock = virtualClock();
    const startMs = clock.now();
    const kit = jobsKit({ plinth: database.plinth, tenantId: a, clock, handlers: { k: { summary: 'test', handler: async (run) => run.payload.at } } });
    await enqueue(a, 'k', { at: 1 }, { delayMs: 3_600_000 });
    await enqueue(a, 'k', { at: 3 }, { delayMs: 3 * 3_600_000 });
    await enqueue(b, 'k', { at: 1 }, { delayMs: 3_600_000 });
    expect(await kit.advance({ minutes: 59 })).toBe(0);
    expect((await kit.drain()).ran).toEqual([]);
    expect(await kit.advance({ minutes: 2 })).toBe(1);
    expect((await kit.drain()).ran.map((job) => job.result)).toEqual([1]);
    expect(clock.now() - startMs).toBe(61 * 60_000);
    expect(await kit.advanceTo(new Date(kit.now().getTime() + 7_200_000))).toBe(1);
    expect((await kit.drain()).ran.map((job) => job.result)).toEqual([3]);
    await kit.assertEnqueued('k', { at: 1 }, { tenantId: b, status: 'scheduled' });
    await expect(kit.advance(-1)).rejects.toThrow('time does not go back');
  });

  test('is told once where the clock of plinth is moved along', async () => {
    const clock = virtualClock(Date.now());
    const plinth = createPlinth({ database: { url: database.serverUrl }, clock });
    try {
      const kit = jobsKit({ plinth, tenantId: a, clock, handlers: { k: { summary: 'test', handler: async (run) => run.services.clock.now() } } });
      await plinth.transaction({ tenantId: a }, async (tx) => void tx.jobs.enqueue('k', {}, { delayMs: 7_200_000 }));
      await kit.advance({ hours: 1 });
      expect(kit.now().getTime()).toBe(clock.now());
      await kit.advanceTo(new Date(clock.now() + 3_600_000));
      expect((await kit.drain()).ran).toMatchObject([{ outcome: 'completed', result: clock.now() }]);
    } finally {
      await plinth.close();
    }
  });

  test('passes for unique keys with a window and for deadlines', async () => {
    const kit = kitOf({ k: async () => {} });
    const daily = { uniqueKey: 'daily', uniqueForMs: 86_400_000 };
    const first = await enqueue(a, 'k', { n: 1 }, daily);
    expect((await kit.drain()).ran.map((job) => job.id)).toEqual([first]);
    await enqueue(a, 'k', { n: 2 }, daily);
    await kit.assertNotEnqueued('k');
    await enqueue(a, 'k', { n: 3 }, { deadline: new Date(Date.now() + 3_600_000) });
    await kit.advance({ days: 1, minutes: 1 });
    expect((await kit.drain()).ran.map((job) => [job.outcome, job.error])).toEqual([['failed', 'its deadline had passed before it could begin']]);
    await enqueue(a, 'k', { n: 4 }, daily);
    await kit.assertEnqueued('k', { n: 4 });
  });
});

describe('assertEnqueued', () => {
  const message = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'no error',
      (error: unknown) => (error instanceof AssertionError ? error.message : `not an AssertionError: ${String(error)}`),
    );

  test('finds jobs by a part of their payload, in the tenant alone', async () => {
    const kit = kitOf({});
    const id = await enqueue(a, 'mail', { to: 'ada', lines: [{ sku: 'x', n: 2 }], extra: 1 }, { priority: 2, queue: 'out' });
    await enqueue(b, 'mail', { to: 'ada' });
    expect(await kit.assertEnqueued('mail')).toMatchObject([{ id, tenantId: a }]);
    await kit.assertEnqueued('mail', { to: 'ada', lines: [{ sku: 'x' }] }, { times: 1, priority: 2, queue: 'out', dueWithinMs: 0 });
    await kit.assertEnqueued('mail', { to: /^a/, extra: (n: unknown) => n === 1 });
    await kit.assertNotEnqueued('mail', { to: 'bob' });
  });

  test('takes dates and the matchers of test runners', async () => {
    const kit = kitOf({});
    const at = new Date(1_800_000_000_000);
    await enqueue(a, 'mail', { at, to: 'ada', tags: ['x', 'y'] });
    await kit.assertEnqueued('mail', { at, to: expect.any(String), tags: expect.arrayContaining(['y']) });
    await kit.assertNotEnqueued('mail', { at: new Date(0) });
    await kit.assertNotEnqueued('mail', { to: expect.stringContaining('bob') });
  });

  test('sees the newest, however many of the kind are over', async () => {
    const kit = kitOf({});
    await database.plinth.transaction({ tenantId: a }, async (tx) => {
      tx.jobs.enqueueMany(
        'mail',
        Array.from({ length: 1_100 }, (_, n) => ({ n })),
      );
    });
    await database.admin.query(`update plinth_jobs.jobs set status = 'completed', finished_at = clock_timestamp()`);
    await kit.assertNotEnqueued('mail');
    await enqueue(a, 'mail', { n: 'new' });
    expect(await message(kit.assertNotEnqueued('mail'))).toContain('there are 1');
    await kit.assertEnqueued('mail', { n: 'new' }, { times: 1 });
    await kit.assertEnqueued('mail', {}, { status: 'completed', times: 1_100 });
  });

  test('sees what an open transaction has enqueued', async () => {
    const kit = kitOf({});
    await database.plinth
      .transaction({ tenantId: a }, async (tx) => {
        tx.jobs.enqueue('open', { n: 1 });
        await kit.assertEnqueued('open', { n: 1 }, { tx });
        throw new Error('rolled back');
      })
      .catch(() => {});
    await kit.assertNotEnqueued('open');
  });

  test('fails with what there is instead', async () => {
    const kit = kitOf({});
    expect(await message(kit.assertEnqueued('mail'))).toBe('expected a job "mail" with payload {}; there is none of that kind; nothing is enqueued');
    const id = await enqueue(a, 'mail', { to: { name: 'ada' } });
    expect(await message(kit.assertEnqueued('post', { to: 1 }))).toBe(
      'expected a job "post" with payload {"to":1}; there is none of that kind; there are: mail (1)',
    );
    expect(await message(kit.assertEnqueued('mail', { to: { name: 'bob' } }))).toBe(
      `expected a job "mail" with payload {"to":{"name":"bob"}}; 0 of the 1 of that kind fit:\n  ${id} pending {"to":{"name":"ada"}}: payload.to.name is "ada", not "bob"`,
    );
    expect(await message(kit.assertEnqueued('mail', {}, { times: 2 }))).toContain('expected 2 jobs "mail" with payload {}; 1 of the 1 of that kind fit');
    expect(await message(kit.assertEnqueued('mail', {}, { queue: 'out' }))).toContain('queue is "default", not "out"');
    expect(await message(kit.assertNotEnqueued('mail'))).toContain('expected no job "mail" with payload {}; there are 1');
  });
});
