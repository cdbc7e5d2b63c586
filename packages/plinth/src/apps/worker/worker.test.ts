/** A worker against a real database: what handlers may rely on, and what happens when a process, a lease or a connection dies. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AnyModule } from '#kernel/module.ts';
import { defineModule } from '#kernel/module.ts';
import type { JobDefinition, JobRun, WorkServices } from '#kernel/work.ts';
import { SYSTEM_TENANT } from '#modules/jobs';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth, Tx } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { Worker, WorkerOptions } from './index.ts';
import { JobFailure, StopReason, startWorker } from './index.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;
const started: Worker[] = [];
const lines: { level: string; message: string; [field: string]: unknown }[] = [];
const note = (level: string) => (fields: object, message: string) => void lines.push({ level, message, ...fields });
const log: WorkServices['log'] = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };

/** Handlers of the tests only: those of the cards are on schedules, and have tests of their own. */
const services: Partial<WorkServices> = { log, enabled: (module) => module === 'extra' };

type Handler = JobDefinition<Tx>['handler'];
const start = (
  handler: Handler,
  options: Omit<Partial<WorkerOptions<Plinth['modules']>>, 'plinth'> & { definition?: Partial<JobDefinition<Tx>> } = {},
): Worker => {
  const { definition, ...rest } = options;
  const worker = startWorker({ plinth, services, name: 'here', pollMs: 100, handlers: { k: { summary: 'test', handler, ...definition } }, ...rest });
  started.push(worker);
  return worker;
};
const enqueue = (kind = 'k', options: Parameters<Tx['jobs']['enqueue']>[2] = {}, tenantId = a): Promise<string> =>
  plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue(kind, { n: 1 }, options));
const read = async (id: string) => (await database.admin.query('select * from plinth.background_jobs where id = $1', [id])).rows[0];
const until = (id: string, status: string) => expect.poll(async () => (await read(id))?.status, { interval: 20 }).toBe(status);
const outcomes = async (id: string) =>
  (await database.admin.query('select outcome from plinth.job_attempts where job_id = $1 order by id', [id])).rows.map((row) => row.outcome);
const effects = async () =>
  (await database.admin.query(`select metadata ->> 'by' as by from plinth.audit_logs where action = 'test.effect'`)).rows.map((row) => row.by);

beforeAll(async () => {
  database = await testDatabase('worker');
  ({ plinth, tenantA: a, tenantB: b } = database);
});
afterAll(() => database.drop());
beforeEach(() => void lines.splice(0));
afterEach(async () => {
  await Promise.all(started.splice(0).map((worker) => worker.stop({ graceMs: 0 })));
  await database.admin.query('delete from plinth_jobs.jobs');
});

test('a worker runs nothing before its session lock is known, by which others notice its death at once', async () => {
  const [id = ''] = await Promise.all(Array.from({ length: 4 }, () => enqueue()));
  const limit = (most: number) => database.admin.query(`do $$ begin execute format('alter database %I connection limit ${most}', current_database()); end $$`);
  // No new connection for the session; those of the pool stay.
  await limit(0);
  const seen: unknown[] = [];
  try {
    start(async () => {
      seen.push(...(await database.admin.query('select session_lock is not null as known from plinth_jobs.workers')).rows);
    });
    const refused = () => lines.filter(({ loop }) => loop === 'listen').length;
    await expect.poll(refused, { interval: 10 }).toBeGreaterThan(1);
  } finally {
    await limit(-1);
  }
  await until(id, 'completed');
  expect(seen[0]).toEqual({ known: true });
});

describe('a handler', () => {
  test('gets its payload, runs in the tenant and story of its job, and its result is kept', async () => {
    const correlationId = plinth.newId();
    let seen: JobRun<Tx> | undefined;
    const worker = start(async (run) => {
      seen = run;
      await run.progress(50, 'half');
      await run.transaction(async (tx) => {
        tx.audit.record({ action: 'job.worked' });
        tx.jobs.enqueue('follow-up');
      });
      return { done: run.payload };
    });
    const id = await plinth.transaction({ tenantId: b, correlationId }, async (tx) => tx.jobs.enqueue('k', { n: 7 }));
    await until(id, 'completed');
    expect(await read(id)).toMatchObject({ result: { done: { n: 7 } }, progress: 100, attempts: 1, worker: 'here' });
    expect(seen).toMatchObject({ id, kind: 'k', tenantId: b, correlationId, attempt: 1 });
    const trace = await plinth.transaction({ tenantId: b }, (tx) =>
      tx.query<{ kind: string; title: string; parent_id: string | null }>('select kind, title, parent_id from plinth.trace($1)', [correlationId]),
    );
    expect(trace.map((row) => [row.kind, row.title, row.parent_id])).toEqual(
      expect.arrayContaining([
        ['job', 'k', null],
        ['attempt', 'k attempt 1', id],
        ['audit', 'job.worked', id],
        ['job', 'follow-up', id],
      ]),
    );
    await expect.poll(() => worker.stats).toMatchObject({ completed: 1, running: 0 });
    expect(lines).toContainEqual(expect.objectContaining({ message: 'job completed', job_id: id, kind: 'k', tenant_id: b, correlation_id: correlationId }));
  });

  test('of an installation-wide job has no tenant', async () => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    start(async (run) => resolve(run.tenantId ?? 'none'));
    await enqueue('k', {}, SYSTEM_TENANT);
    expect(await promise).toBe('none');
  });

  test('that fails is tried again, then given up; JobFailure says when and whether', async () => {
    const worker = start(async (run) => {
      throw run.attempt < 3
        ? new JobFailure(`no ${run.attempt}`, { retryAfterMs: 1 })
        : new JobFailure('hopeless', { final: true, cause: new TypeError('root') });
    });
    const id = await enqueue('k', { maxAttempts: 9 });
    await until(id, 'failed');
    expect(await read(id)).toMatchObject({ attempts: 3, error: 'JobFailure: hopeless (TypeError: root)' });
    expect(await outcomes(id)).toEqual(['failed', 'failed', 'failed']);
    await expect.poll(() => worker.stats).toMatchObject({ failed: 2, deadLetters: 1 });
  });

  test('that does not end in time fails, even when it ignores its signal', async () => {
    start(() => new Promise(() => {}), { definition: { timeoutMs: 50 }, stopMs: 50 });
    const id = await enqueue('k', { maxAttempts: 1 });
    await until(id, 'failed');
    expect(await read(id)).toMatchObject({ error: 'timed out after 50 ms' });
  });

  test('may complete its job in its own transaction: the effects and the completion commit once', async () => {
    start(async (run) => {
      await run.transaction(async (tx) => {
        tx.audit.record({ action: 'test.effect', metadata: { by: 'once' } });
        await run.completeIn(tx, { stored: true });
      });
      throw new Error('after the commit nothing can make it run again');
    });
    const id = await enqueue();
    await until(id, 'completed');
    expect(await read(id)).toMatchObject({ result: { stored: true } });
    expect(await effects()).toEqual(['once']);
    await database.admin
      .query('alter table plinth_audit.entries disable trigger all')
      .then(() => database.admin.query(`delete from plinth_audit.entries`))
      .then(() => database.admin.query('alter table plinth_audit.entries enable trigger all'));
  });

  test('may put its job off without using an attempt', async () => {
    let runs = 0;
    start(async (run) => {
      runs += 1;
      if (runs === 1) run.snooze(1);
    });
    const id = await enqueue('k', { maxAttempts: 1 });
    await until(id, 'completed');
    expect(await outcomes(id)).toEqual(['snoozed', 'completed']);
    expect(await read(id)).toMatchObject({ attempts: 1 });
  });

  test('whose result or error the database cannot hold as it is has done its work: such text is mended, what is too large noted', async () => {
    let runs = 0;
    start(async (run) => {
      runs += 1;
      if (run.payload.n === 1) return { nul: 'a\0b', half: 'hello 😀'.slice(0, 7), 'na\0me': ['\ud83d'], literal: '\\u0000' };
      if (run.payload.n === 2) return 'x'.repeat(300_000);
      if (run.payload.n === 3) throw new Error(`${'a'.repeat(3_999)}😀 tail`);
      return run.transaction((tx) => run.completeIn(tx, { nul: 'a\0b' }));
    });
    const [mended = '', large = '', cut = '', own = ''] = await plinth.transaction({ tenantId: a }, async (tx) =>
      tx.jobs.enqueueMany(
        'k',
        [1, 2, 3, 4].map((n) => ({ n })),
        { maxAttempts: 5 },
      ),
    );
    await until(mended, 'completed');
    expect((await read(mended)).result).toEqual({ nul: 'a\uFFFDb', half: 'hello \uFFFD', 'na\uFFFDme': ['\uFFFD'], literal: '\\u0000' });
    await until(large, 'completed');
    expect((await read(large)).result).toEqual({ omitted: 'the result has 300002 bytes; the limit is 262144' });
    await until(own, 'completed');
    expect((await read(own)).result).toEqual({ nul: 'a\uFFFDb' });
    await until(cut, 'scheduled');
    expect(await read(cut)).toMatchObject({ attempts: 1, error: `${'a'.repeat(3_999)}\uFFFD` });
    expect(runs).toBe(4);
  });

  test('cannot put its job off by what is no number: the attempt fails and says so', async () => {
    start(async (run) => {
      if (run.payload.n === 1) run.snooze(Number('Wed, 21 Oct 2026 07:28:00 GMT') * 1000);
      else throw new JobFailure('slow down', { retryAfterMs: Number.NaN });
    });
    const snoozed = await enqueue('k', { maxAttempts: 1 });
    const told = await plinth.transaction({ tenantId: a }, async (tx) => tx.jobs.enqueue('k', { n: 2 }));
    await until(snoozed, 'failed');
    expect((await read(snoozed)).error).toBe('RangeError: run.snooze takes a number of ms, of a year at most, not NaN');
    await until(told, 'scheduled');
    expect((await read(told)).error).toBe('JobFailure: slow down; retryAfterMs was NaN: the usual wait instead');
  });
});

describe('a worker', () => {
  test('hears of a job that another process enqueued, without waiting for its poll', async () => {
    const worker = start(async () => {}, { pollMs: 60_000 });
    await expect.poll(() => lines.some((line) => line.message === 'worker started')).toBe(true);
    await using other = { plinth: createPlinth({ database: { url: database.serverUrl } }), [Symbol.asyncDispose]: () => other.plinth.close() };
    const listening = async () =>
      (
        await database.admin.query(
          `select 1 from pg_stat_activity where datname = current_database() and application_name = 'plinth worker listen' and query like 'listen%'`,
        )
      ).rowCount;
    await expect.poll(listening).toBe(1);
    const id = await other.plinth.transaction({ tenantId: a }, async (tx) => tx.jobs.enqueue('k'));
    await until(id, 'completed');
    await expect.poll(() => worker.stats.completed).toBe(1);
  });

  test('runs no more jobs at a time than its concurrency, and all of them', async () => {
    let now = 0;
    let most = 0;
    start(
      async () => {
        now += 1;
        most = Math.max(most, now);
        await new Promise((resolve) => setImmediate(resolve));
        now -= 1;
      },
      { concurrency: 3 },
    );
    const ids = await plinth.transaction({ tenantId: a }, async (tx) => Array.from({ length: 50 }, () => tx.jobs.enqueue('k')));
    await expect
      .poll(
        async () =>
          (await database.admin.query(`select count(*)::int as n from plinth_jobs.jobs where status = 'completed' and id = any ($1)`, [ids])).rows[0].n,
      )
      .toBe(50);
    expect(most).toBeLessThanOrEqual(3);
  });

  test('tells a running job that it was cancelled, from another process', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    start(
      (run) =>
        new Promise((_, reject) => {
          run.signal.addEventListener('abort', () => {
            resolve(run.signal.reason);
            reject(run.signal.reason);
          });
          begun.resolve();
        }),
      { leaseMs: 60_000 },
    );
    const id = await enqueue();
    await begun.promise;
    await plinth.transaction({ tenantId: a }, async (tx) => {
      await tx.query('select plinth.cancel_job($1)', [id]);
      tx.signal('jobs_cancel');
    });
    expect(await promise).toMatchObject({ why: 'cancelled' });
    expect(await promise).toBeInstanceOf(StopReason);
    await until(id, 'cancelled');
  });

  test('that is stopped waits for what runs, gives back the rest without an attempt, and takes no more', async () => {
    const begun = Promise.withResolvers<void>();
    let running = 0;
    const release = Promise.withResolvers<void>();
    const worker = start(
      async (run) => {
        running += 1;
        if (running === 2) begun.resolve();
        if (run.payload.quick) return release.promise;
        return new Promise(() => {});
      },
      { concurrency: 2, stopMs: 50 },
    );
    const quick = await plinth.transaction({ tenantId: a }, async (tx) => tx.jobs.enqueue('k', { quick: true }));
    const slow = await enqueue();
    await begun.promise;
    const stopping = worker.stop({ graceMs: 500 });
    // At once: enqueueing may take longer than the grace.
    release.resolve();
    const late = await enqueue();
    await stopping;
    expect(await read(quick)).toMatchObject({ status: 'completed' });
    expect(await read(slow)).toMatchObject({ status: 'pending', attempts: 0 });
    expect(await read(late)).toMatchObject({ status: 'pending', attempts: 0 });
    expect(worker.stats).toMatchObject({ completed: 1, returned: 1, running: 0 });
  });

  test('outlives the loss of every connection', async () => {
    const worker = start(async () => {});
    await until(await enqueue(), 'completed');
    await database.admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`);
    let id = '';
    await expect.poll(async () => (id = await enqueue().catch(() => ''))).not.toBe('');
    await until(id, 'completed');
    await expect.poll(() => worker.stats.completed).toBeGreaterThanOrEqual(2);
  });

  test('enqueues what is on a schedule, once', async () => {
    const worker = start(async () => {}, { definition: { schedule: { cron: '0 0 1 1 *', payload: { yearly: true } } } });
    const due = async () =>
      (await database.admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() where name = 'k' and last_run_at is null`)).rowCount;
    await expect.poll(due).toBe(1);
    plinth.wake.signal(['jobs_schedules']);
    await expect.poll(() => worker.stats).toMatchObject({ scheduled: 1, completed: 1 });
    expect((await database.admin.query(`select tenant_id, payload from plinth.background_jobs where job_type = 'k'`)).rows).toEqual([
      { tenant_id: SYSTEM_TENANT, payload: { yearly: true, scheduled_for: expect.any(String) } },
    ]);
  });

  test('starts the long-running parts of the cards and stops them', async () => {
    const calls: string[] = [];
    const extra: AnyModule = defineModule({
      name: 'extra',
      summary: 's',
      tables: {},
      workers: {
        part: (runtime) => {
          calls.push(`start ${typeof runtime.plinth.asWorker} ${typeof runtime.wake.on} ${typeof runtime.services.log.info}`);
          return { stop: async () => void calls.push('stop') };
        },
      },
    });
    const worker = startWorker({ plinth: { ...plinth, modules: { ...plinth.modules, extra } as Plinth['modules'] }, services, listen: false });
    await worker.stop();
    expect(calls).toEqual(['start function function function', 'stop']);
  });

  test('gives the events of every tenant to the consumers of the cards, and the next batch at a hint', async () => {
    const seen: string[] = [];
    const extra: AnyModule = defineModule({
      name: 'extra',
      summary: 's',
      tables: {},
      consumers: { seen: { summary: 's', handle: async (_tx, events) => void seen.push(...events.map((event) => `${event.tenantId} ${event.type}`)) } },
    });
    const worker = startWorker({ plinth: { ...plinth, modules: { ...plinth.modules, extra } as Plinth['modules'] }, services, pollMs: 60_000 });
    started.push(worker);
    for (const tenantId of [a, b]) {
      await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('worker.tested', {}));
      await expect.poll(() => seen.includes(`${tenantId} worker.tested`)).toBe(true);
    }
    await expect.poll(() => worker.stats.eventsConsumed).toBe(2);
  });

  test('runs nothing before the defaults of its kinds are in force', async () => {
    const id = await enqueue();
    const client = await database.admin.connect();
    try {
      await client.query('begin');
      await client.query('lock table plinth_jobs.kinds in share row exclusive mode');
      const worker = start(
        async () => {
          throw new Error('declined');
        },
        { definition: { maxAttempts: 1 } },
      );
      // It is there and gives signs of life; all it waits for is the lock.
      await expect.poll(async () => (await database.admin.query('select from plinth_jobs.workers where beat_at > started_at')).rowCount).toBe(1);
      expect(worker.stats.claimed).toBe(0);
      await client.query('commit');
    } finally {
      client.release();
    }
    await until(id, 'failed');
    expect(await read(id)).toMatchObject({ attempts: 1, error: 'declined' });
  });

  test('counts and logs as dead letters what the database gave up, whatever for', async () => {
    const worker = start(
      async () => {
        throw new Error('no');
      },
      { definition: { backoff: 'none', maxAttempts: 5 } },
    );
    const [parent, child] = await plinth.transaction({ tenantId: a }, async (tx) => {
      const first = tx.jobs.enqueue('k');
      return [first, tx.jobs.enqueue('other', {}, { dependsOn: [first] })];
    });
    await expect.poll(() => worker.stats).toMatchObject({ deadLetters: 2, failed: 0 });
    const dead = lines.filter((line) => line.message === 'job failed for good');
    expect(dead).toEqual([
      expect.objectContaining({ level: 'error', job_id: parent, kind: 'k', tenant_id: a, error: 'no' }),
      expect.objectContaining({ level: 'error', job_id: child, kind: 'other', tenant_id: a, error: `job ${parent}, which it depends on, failed` }),
    ]);
    const claimed = await enqueue('gone', { maxAttempts: 1 });
    await plinth.asWorker({}, (tx) => tx.query(`select * from plinth_jobs.claim('dead', 1, '15 seconds', '{gone}')`));
    await database.admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 hour' where id = 'dead'`);
    await expect.poll(() => worker.stats).toMatchObject({ deadLetters: 3, recovered: 1 });
    expect(lines).toContainEqual(expect.objectContaining({ message: 'job failed for good', job_id: claimed, kind: 'gone', error: 'lease expired' }));
  });

  test('refuses two handlers for one kind', () => {
    expect(() => startWorker({ plinth, handlers: { 'jobs.purge_failed': { summary: 's', handler: async () => {} } } })).toThrow('two handlers');
  });

  test.each([
    { maxAttempts: 0 },
    { maxLost: 1.5 },
    { timeoutMs: Number.NaN },
    { backoff: { baseS: -1 } },
    { schedule: { cron: 'every day' } },
    { schedule: { cron: '0 0 30 2 *' } },
    { schedule: { cron: '0 3 * * *', timeZone: 'Mars/Olympus' } },
    { schedule: { cron: '0 3 * * *', jitterMs: -1 } },
    { schedule: { cron: '0 3 * * *', missedRuns: 'all' as const, skipIfRunning: true } },
    { schedule: { cron: '0 3 * * *', payload: { text: 'a\0b' } } },
  ])('refuses a handler that is not valid: %o', (definition) => {
    expect(() => startWorker({ plinth, services, handlers: { odd: { summary: 's', handler: async () => {}, ...definition } } })).toThrow(
      'kind odd is not valid',
    );
  });
});

describe('a worker process', () => {
  const child = () => {
    const run = spawn(process.execPath, ['--no-warnings', fileURLToPath(new URL('./worker.fixture.ts', import.meta.url))], {
      env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, LEASE_MS: '1000' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said: string[] = [];
    createInterface({ input: run.stdout }).on('line', (line) => void said.push(line));
    const gone = new Promise<void>((resolve) => run.on('exit', () => resolve()));
    return {
      said,
      kill: async () => {
        run.kill('SIGKILL');
        await gone;
      },
    };
  };
  const says = (process: { said: string[] }, text: string) =>
    expect.poll(() => process.said.some((line) => line.startsWith(text)), { timeout: 20_000, interval: 20 }).toBe(true);

  test('that is killed with SIGKILL loses its job to another, as an attempt whose lease expired', async () => {
    const other = child();
    const id = await enqueue('test.hang');
    await says(other, 'started');
    await other.kill();
    start(async () => {}, { handlers: { 'test.hang': { summary: 'ends', handler: async (run) => ({ attempt: run.attempt }) } } });
    await until(id, 'completed');
    expect(await read(id)).toMatchObject({ result: { attempt: 2 }, worker: 'here' });
    expect(await outcomes(id)).toEqual(['lost', 'completed']);
  });

  test('that stood still past its lease cannot complete: its effects are rolled back', async () => {
    const zombie = child();
    try {
      const id = await enqueue('test.zombie');
      await says(zombie, 'started');
      start(async () => {}, {
        handlers: {
          'test.zombie': {
            summary: 'works',
            handler: (run) =>
              run.transaction(async (tx) => {
                tx.audit.record({ action: 'test.effect', metadata: { by: 'holder' } });
                await run.completeIn(tx);
              }),
          },
        },
        leaseMs: 60_000,
      });
      await until(id, 'completed');
      await says(zombie, 'refused jobs_lease_lost');
      expect(await effects()).toEqual(['holder']);
      // On a slow machine it wakes before another has taken over, takes its own job again, and loses it again.
      const [last, ...before] = (await outcomes(id)).reverse();
      expect([last, new Set(before)]).toEqual(['completed', new Set(['lost'])]);
    } finally {
      await zombie.kill();
    }
  });
});
