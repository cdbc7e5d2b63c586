/** What handlers tell while they run, and what goes around them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JobRun } from '#kernel/work.ts';
import { JobFailure } from '#modules/jobs';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { JobMiddleware } from './index.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('journal');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.logs'));

const start = workersOf(() => database);
const enqueue = (tenantId = database.tenantA, options: { maxAttempts?: number } = {}): Promise<string> =>
  database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', { n: 1 }, options));
const read = async (id: string) => (await database.admin.query('select * from plinth.background_jobs where id = $1', [id])).rows[0];
const until = (id: string, status: string) => expect.poll(async () => (await read(id))?.status, { interval: 20 }).toBe(status);
const linesOf = (tenantId: string, id: string) =>
  database.plinth.transaction({ tenantId }, (tx) =>
    tx.query<{ message: string; fields: unknown; attempt: number; age_ms: number }>(
      `select message, fields, attempt, extract(epoch from clock_timestamp() - logged_at)::float8 * 1000 as age_ms from plinth.job_logs where job_id = $1 order by id`,
      [id],
    ),
  );

describe('run.log', () => {
  test('keeps lines in their order with their job, for its tenant alone, before the end of the attempt is stored', async () => {
    start(async (run) => {
      for (let n = 0; n < 50; n++) run.log(`line ${n}`, { n });
    });
    const id = await enqueue(database.tenantA);
    await until(id, 'completed');
    const lines = await linesOf(database.tenantA, id);
    expect(lines.map((line) => [line.message, line.fields])).toEqual(Array.from({ length: 50 }, (_, n) => [`line ${n}`, { n }]));
    expect(lines[0]?.age_ms).toBeGreaterThan(0);
    expect(await linesOf(database.tenantB, id)).toEqual([]);
  });

  test('is stored while the handler still runs, and also when the attempt fails', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    start(async (run) => {
      run.log(`attempt ${run.attempt}`);
      if (run.attempt === 1) throw new JobFailure('no', { retryAfterMs: 1 });
      await promise;
    });
    const id = await enqueue();
    await expect.poll(async () => (await linesOf(database.tenantA, id)).length, { interval: 20 }).toBe(2);
    expect((await read(id)).status).toBe('processing');
    resolve();
    await until(id, 'completed');
    expect((await linesOf(database.tenantA, id)).map((line) => [line.attempt, line.message])).toEqual([
      [1, 'attempt 1'],
      [2, 'attempt 2'],
    ]);
  });

  test('cuts what is too long, notes what is no JSON, takes any text, and keeps the first 1,000 lines', async () => {
    start(async (run) => {
      run.log('é'.repeat(5_000));
      run.log('large', { text: 'x'.repeat(5_000) });
      run.log('big', { n: 1n });
      run.log('a\0b \ud800', { 'k\0': 'v\0' });
      for (let n = 4; n < 1_500; n++) run.log(`line ${n}`);
    });
    const id = await enqueue();
    await until(id, 'completed');
    const lines = await linesOf(database.tenantA, id);
    expect(lines).toHaveLength(1_001);
    expect(Buffer.byteLength(lines[0]?.message ?? '')).toBeLessThanOrEqual(4_096);
    expect(lines[0]?.message).toMatch(/^é{2000,}…$/);
    expect(lines.slice(1, 4).map((line) => [line.message, line.fields])).toEqual([
      ['large', { omitted: 'the fields have 5011 bytes' }],
      ['big', { omitted: expect.stringContaining('not JSON') }],
      ['a\uFFFDb \uFFFD', { 'k\uFFFD': 'v\uFFFD' }],
    ]);
    expect(lines.slice(-2).map((line) => line.message)).toEqual(['line 999', 'further lines were left out: an attempt keeps 1000']);
  });
});

describe('run.progress', () => {
  test('writes at most twice a second, the first at once and the last always', async () => {
    await database.admin.query(`create table if not exists public.seen (progress int); truncate public.seen;
      create or replace function public.see() returns trigger language plpgsql security definer as $$ begin if new.status = 'processing' then insert into public.seen values (new.progress); end if; return new; end $$;
      create or replace trigger see after update of progress on plinth_jobs.jobs_run for each row execute function public.see()`);
    let calls = 0;
    start(async (run) => {
      const end = performance.now() + 1_200;
      while (performance.now() < end) {
        calls += 1;
        await run.progress(Math.min(80, calls), `step ${calls}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await run.progress(90, 'last');
      throw new JobFailure('stop', { final: true });
    });
    const id = await enqueue();
    await until(id, 'failed');
    const written = (await database.admin.query('select progress from public.seen')).rows.map((row) => row.progress);
    await database.admin.query('drop trigger see on plinth_jobs.jobs_run; drop function public.see; drop table public.seen');
    expect(calls).toBeGreaterThan(20);
    expect(written[0]).toBe(1);
    expect(written.at(-1)).toBe(90);
    expect(written.length).toBeLessThanOrEqual(5);
  });

  test('that cannot be stored for a moment, or is no number, is no reason to refuse what comes later', async () => {
    const noNumber = Promise.withResolvers<unknown>();
    start(async (run) => {
      await run.progress(Number.NaN).catch(noNumber.resolve);
      await run.transaction(async (tx) => {
        await tx.query('select from plinth.background_jobs where id = $1 for update', [run.id]);
        // Not waited for: it waits for this transaction, until its connection is cut.
        void run.progress(30);
        const cut = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%report_progress%'`;
        await expect.poll(async () => (await database.admin.query(cut)).rowCount, { timeout: 20_000, interval: 10 }).toBe(1);
      });
      await run.progress(60, 'it is back');
    });
    const id = await enqueue();
    await until(id, 'completed');
    expect(await noNumber.promise).toMatchObject({ message: 'run.progress takes a number from 0 to 100, not NaN' });
    expect((await database.admin.query('select progress_note from plinth.background_jobs where id = $1', [id])).rows).toEqual([
      { progress_note: 'it is back' },
    ]);
  });

  test('of an attempt that lost its job is refused', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    start(async (run) => {
      await run.progress(1);
      await database.admin.query('update plinth_jobs.jobs_run set run_id = plinth_kernel.uuid_v7() where id = $1', [run.id]);
      const refused = async (): Promise<unknown> => {
        for (;;) {
          try {
            await run.progress(2);
          } catch (error) {
            return (error as { code: string }).code;
          }
          await new Promise((again) => setImmediate(again));
        }
      };
      resolve(await refused());
    });
    await enqueue();
    expect(await promise).toBe('jobs_lease_lost');
  });
});

describe('middleware', () => {
  test('goes around every attempt, the first one outermost, with what the handler has', async () => {
    const told: string[] = [];
    const named =
      (name: string): JobMiddleware =>
      async (run: JobRun, next) => {
        told.push(`${name} ${run.kind} ${run.attempt} ${run.signal.aborted}`);
        const result = await next();
        told.push(`${name} ${JSON.stringify(result)}`);
        return { ...(result as object), [name]: true };
      };
    start(async () => ({ own: true }), { middleware: [named('a'), named('b')] });
    const id = await enqueue(database.tenantB);
    await until(id, 'completed');
    expect(told).toEqual(['a k 1 false', 'b k 1 false', 'b {"own":true}', 'a {"own":true,"b":true}']);
    expect((await read(id)).result).toEqual({ own: true, a: true, b: true });
  });

  test('fails the attempt with its own error, and may turn the failure of the handler into an end', async () => {
    let mode = 'refuse';
    let ran = 0;
    start(
      async () => {
        ran += 1;
        throw new Error('of the handler');
      },
      {
        middleware: [
          async (_run, next) => {
            if (mode === 'refuse') throw new JobFailure('refused here', { final: true });
            return next().catch((error: Error) => ({ caught: error.message }));
          },
        ],
      },
    );
    const refused = await enqueue();
    await until(refused, 'failed');
    expect([(await read(refused)).error, ran]).toEqual(['JobFailure: refused here', 0]);
    mode = 'catch';
    const caught = await enqueue();
    await until(caught, 'completed');
    expect((await read(caught)).result).toEqual({ caught: 'of the handler' });
  });

  test('that calls next twice fails the attempt instead of running the handler twice', async () => {
    let ran = 0;
    start(
      async () => {
        ran += 1;
      },
      { middleware: [async (_run, next) => [await next(), await next()]] },
    );
    const id = await enqueue(database.tenantA, { maxAttempts: 1 });
    await until(id, 'failed');
    expect([(await read(id)).error, ran]).toEqual(['a middleware called next twice for a job of kind k', 1]);
  });
});
