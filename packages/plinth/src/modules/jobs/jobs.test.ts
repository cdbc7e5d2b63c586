/** Jobs from enqueue to their end, straight on the database: what a worker asks for and what SQL users see. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { migrateUp } from '#kernel/migrate/index.ts';
import { modules } from '#registry';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import type { ClaimedJob, Settlement } from './work.ts';
import { announceKinds, claimJobs, extendLeases, recoverJobs, settleJobs } from './work.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;

beforeAll(async () => {
  database = await testDatabase('jobs');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());
beforeEach(async () => {
  await database.admin.query('delete from plinth_jobs.jobs');
  await database.admin.query('delete from plinth_jobs.attempts');
});

type Options = NonNullable<Parameters<Parameters<Parameters<Plinth['transaction']>[1]>[0]['jobs']['enqueue']>[2]>;
const enqueue = (tenantId: string, kind: string, payload: Record<string, unknown> = {}, options: Options = {}): Promise<string> =>
  plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue(kind, payload, options));
const claim = (limit = 10, kinds = ['k'], leaseMs = 15_000, worker = 'w'): Promise<ClaimedJob[]> =>
  plinth.asWorker({}, (tx) => claimJobs(tx, { worker, limit, leaseMs, kinds }));
const claimOne = async (leaseMs?: number): Promise<ClaimedJob> => {
  const [job] = await claim(1, ['k'], leaseMs);
  if (!job) throw new Error('nothing to claim');
  return job;
};
const settle = (job: ClaimedJob, outcome: Settlement['outcome'], more: Partial<Settlement> = {}): Promise<boolean> =>
  plinth.asWorker({}, async (tx) => (await settleJobs(tx, [{ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome, ...more }])).has(job.run_id));
interface Row {
  id: string;
  status: string;
  attempts: number;
  max_attempts: number;
  error: string | null;
  result: unknown;
  waits_s: number;
  progress: number;
  [column: string]: unknown;
}
const read = async (tenantId: string, id: string): Promise<Row | undefined> =>
  (
    await plinth.transaction({ tenantId }, (tx) =>
      tx.query<Row>('select *, extract(epoch from run_at - clock_timestamp())::float8 as waits_s from plinth.background_jobs where id = $1', [id]),
    )
  )[0];
const attemptsOf = (tenantId: string, id: string) =>
  plinth.transaction({ tenantId }, (tx) =>
    tx.query<{ attempt: number; outcome: string; error: string | null }>(
      'select attempt, outcome, error from plinth.job_attempts where job_id = $1 order by id',
      [id],
    ),
  );
const makeDue = (id: string) => database.admin.query(`update plinth_jobs.jobs set run_at = clock_timestamp() where id = $1`, [id]);
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: { code?: string; detail?: unknown }) =>
      (typeof error.detail === 'object' && (error.detail as { effect_code?: string }).effect_code) || String(error.code),
  );

describe('enqueue', () => {
  test('commits and rolls back with the transaction, and carries who, why and the correlation', async () => {
    const correlationId = plinth.newId();
    const causationId = plinth.newId();
    let lost = '';
    await expect(
      plinth.transaction({ tenantId: a }, async (tx) => {
        lost = tx.jobs.enqueue('k');
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await read(a, lost)).toBeUndefined();
    const id = await plinth.transaction({ tenantId: a, correlationId, causationId, actor: { type: 'user', id: 'u1' } }, async (tx) =>
      tx.jobs.enqueue('k', { n: 1 }, { name: 'One', queue: 'mail', priority: 2, maxAttempts: 7, uniqueKey: 'one' }),
    );
    expect(await read(a, id)).toMatchObject({
      job_type: 'k',
      job_name: 'One',
      queue: 'mail',
      status: 'pending',
      priority: 2,
      payload: { n: 1 },
      attempts: 0,
      max_attempts: 7,
      unique_key: 'one',
      correlation_id: correlationId,
      causation_id: causationId,
      actor_type: 'user',
      actor_id: 'u1',
    });
    expect(await read(b, id)).toBeUndefined();
  });

  test('takes the defaults of the kind that a worker announced', async () => {
    await plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'announced', summary: 's', max_attempts: 9, timeout_ms: 5 }]));
    expect(await read(a, await enqueue(a, 'announced'))).toMatchObject({ max_attempts: 9 });
    expect(await read(a, await enqueue(a, 'unheard of'))).toMatchObject({ max_attempts: 3, priority: 5, queue: 'default' });
  });

  test('refuses a payload over 256 KiB, in TypeScript and in SQL, and writes nothing', async () => {
    const text = 'x'.repeat(256 * 1024);
    expect(await code(enqueue(a, 'k', { text }))).toBe('jobs_payload_too_large');
    const error = await plinth
      .transaction({ tenantId: a }, (tx) => tx.query(`select plinth.schedule_job('k', 'n', jsonb_build_object('t', $1::text))`, [text]))
      .catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'jobs_payload_too_large', status: 413, detail: { limit_bytes: 262144 } });
    expect((await database.admin.query('select 1 from plinth_jobs.jobs')).rowCount).toBe(0);
    expect(await code(enqueue(a, 'k', { text: 'x'.repeat(255 * 1024) }))).toBe('no error');
  });

  test.each([
    ['', {}],
    ['k'.repeat(201), {}],
    ['k', { priority: 0 }],
    ['k', { priority: 1.5 }],
    ['k', { maxAttempts: 0 }],
  ] as const)('refuses what is out of range: %s %o', async (kind, options) => {
    expect(await code(enqueue(a, kind, {}, options))).toBe('jobs_job_invalid');
  });

  test('a unique key is held by one live job of the kind and tenant', async () => {
    const first = await enqueue(a, 'k', {}, { uniqueKey: 'u' });
    const second = await enqueue(a, 'k', {}, { uniqueKey: 'u' });
    expect(await read(a, second)).toBeUndefined();
    expect(await read(b, await enqueue(b, 'k', {}, { uniqueKey: 'u' }))).toBeDefined();
    expect(await read(a, await enqueue(a, 'other', {}, { uniqueKey: 'u' }))).toBeDefined();
    const sql = (tenantId: string) =>
      plinth.transaction({ tenantId }, async (tx) => (await tx.query<{ id: string }>(`select plinth.schedule_job('k', p_unique_key := 'u') as id`))[0]?.id);
    expect(await sql(a)).toBe(first);
    for (const job of await claim(10)) await settle(job, 'completed');
    expect(await sql(a)).not.toBe(first);
  });
});

describe('the SQL of the seeds', () => {
  let client: pg.Client;
  let other: pg.Client;
  beforeAll(async () => {
    await migrateUp({ url: database.url, modules, exposePublic: true });
    client = new pg.Client({ connectionString: database.serverUrl });
    other = new pg.Client({ connectionString: database.serverUrl });
    await client.connect();
    await other.connect();
  });
  afterAll(async () => {
    await client.end();
    await other.end();
  });
  const begin = (which: pg.Client, tenantId: string) => which.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantId}'`);

  test('schedules a background job (seed 003)', async () => {
    await begin(client, a);
    const { rows } = await client.query(`-- Schedule a background job
SELECT public.schedule_job(
  p_job_type := 'payment_processing',
  p_job_name := 'Process Payment',
  p_payload := '{"amount": 5000}'::jsonb
);`);
    await client.query('commit');
    expect(await read(a, rows[0].schedule_job)).toMatchObject({
      job_type: 'payment_processing',
      job_name: 'Process Payment',
      payload: { amount: 5000 },
      status: 'pending',
      priority: 5,
    });
  });

  test('gets the next background job, and locks it: another worker gets the one after (seed 000)', async () => {
    const next = `SELECT * FROM background_jobs
WHERE status = 'pending'
ORDER BY priority ASC, created_at ASC
LIMIT 1
FOR UPDATE SKIP LOCKED;`;
    const late = await enqueue(a, 'k', {}, { priority: 5 });
    const urgent = await enqueue(a, 'k', {}, { priority: 1 });
    await enqueue(b, 'k', {}, { priority: 1 });
    await enqueue(a, 'k', {}, { priority: 1, delayMs: 3_600_000 });
    await begin(client, a);
    await begin(other, a);
    expect((await client.query(next)).rows.map((row) => row.id)).toEqual([urgent]);
    expect((await other.query(next)).rows.map((row) => row.id)).toEqual([late]);
    // A worker of ours passes over both, too, and takes the other tenant's.
    expect((await claim()).map((job) => job.tenant_id)).toEqual([b]);
    await client.query(`update background_jobs set status = 'processing', attempts = attempts + 1 where id = $1`, [urgent]);
    await client.query('commit');
    await other.query('rollback');
    await begin(client, a);
    await client.query(`update background_jobs set status = 'completed', result = '{"ok": true}', finished_at = now() where id = $1`, [urgent]);
    await client.query('commit');
    expect(await read(a, urgent)).toMatchObject({ status: 'completed', attempts: 1, result: { ok: true } });
  });
});

/** Rows of the live table that this transaction has read so far, by any kind of scan. */
const counted = async (client: pg.PoolClient): Promise<number> =>
  Number(
    (await client.query(`select seq_tup_read + idx_tup_fetch as n from pg_stat_xact_user_tables where schemaname = 'plinth_jobs' and relname = 'jobs_live'`))
      .rows[0].n,
  );

describe('claim', () => {
  test('takes the most urgent first, then the oldest, of all tenants, and only kinds it was asked for', async () => {
    const ids = [await enqueue(a, 'k'), await enqueue(b, 'k'), await enqueue(a, 'k', {}, { priority: 1 }), await enqueue(b, 'k', {}, { priority: 9 })];
    await enqueue(a, 'other');
    expect((await claim(10)).map((job) => job.id).sort()).toEqual([...ids].sort());
    await database.admin.query(`update plinth_jobs.jobs set status = 'pending'`);
    expect((await claim(1)).map((job) => job.id)).toEqual([ids[2]]);
    expect((await claim(1)).map((job) => job.id)).toEqual([ids[0]]);
    expect((await claim(1)).map((job) => job.id)).toEqual([ids[1]]);
  });

  test('of any number of workers at once, each job goes to one', async () => {
    await plinth.transaction({ tenantId: a }, async (tx) => {
      for (let n = 0; n < 200; n++) tx.jobs.enqueue('k', { n });
    });
    const claimed = (
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          const mine: ClaimedJob[] = [];
          for (;;) {
            const jobs = await claim(7);
            if (jobs.length === 0) return mine;
            mine.push(...jobs);
          }
        }),
      )
    ).flat();
    expect(claimed.length).toBe(200);
    expect(new Set(claimed.map((job) => job.id)).size).toBe(200);
  });

  test('leaves a job alone until its time has come', async () => {
    const id = await enqueue(a, 'k', {}, { delayMs: 3_600_000 });
    expect(await read(a, id)).toMatchObject({ status: 'scheduled' });
    expect(await claim()).toEqual([]);
    await makeDue(id);
    expect((await claim()).map((job) => job.id)).toEqual([id]);
  });

  test('and every step after it reads what it takes, not the backlog', async () => {
    const client = await database.admin.connect();
    const reads = async (text: string, values: unknown[] = []): Promise<number> => {
      await client.query('begin');
      const before = await counted(client);
      await client.query(text, values);
      const after = await counted(client);
      await client.query('commit');
      return after - before;
    };
    try {
      await client.query(
        `insert into plinth_jobs.jobs (tenant_id, kind, priority, status, run_at, correlation_id)
         select $1, 'k', 1 + n % 9, case n % 2 when 0 then 'scheduled' else 'pending' end, clock_timestamp() + interval '1 hour', plinth_kernel.uuid_v7() from generate_series(1, 20000) n`,
        [a],
      );
      expect(await reads(`create temp table mine as select * from plinth_jobs.claim('w', 10, interval '1 minute', '{k}')`)).toBeLessThan(60);
      expect(await reads(`select plinth_jobs.extend(array_agg(tenant_id), array_agg(id), array_agg(run_id), interval '-1 minute') from mine`)).toBeLessThan(60);
      expect(await reads(`select plinth_jobs.recover(10)`)).toBeLessThan(90);
      const settled = `select plinth_jobs.settle((select jsonb_agg(to_jsonb(c) || '{"outcome": "completed"}') from plinth_jobs.claim('w', 10, interval '1 minute', '{k}') c))`;
      expect(await reads(settled)).toBeLessThan(120);
      await client.query('drop table mine');
    } finally {
      client.release();
    }
  });

  test('finds the next job for the SQL of the seeds by its index', async () => {
    const { rows } = await database.admin.query(
      `explain (costs off) select * from plinth.background_jobs where status = 'pending' order by priority, created_at limit 1 for update skip locked`,
    );
    expect(JSON.stringify(rows)).toContain('jobs_live_pending');
    expect(JSON.stringify(rows)).not.toMatch(/jobs_failed|jobs_finished/);
  });
});

describe('the fence', () => {
  test('a worker that lost its lease can neither complete nor fail nor report nor extend', async () => {
    const id = await enqueue(a, 'k');
    const zombie = await claimOne(1);
    await expect.poll(() => plinth.asWorker({}, (tx) => recoverJobs(tx))).toBe(1);
    const holder = await claimOne();
    expect(holder).toMatchObject({ id, attempt: 2 });
    for (const outcome of ['completed', 'failed', 'cancelled', 'snoozed', 'returned'] as const) expect(await settle(zombie, outcome)).toBe(false);
    expect(await plinth.asWorker({}, (tx) => extendLeases(tx, [zombie, holder], 15_000))).toEqual(new Map([[holder.run_id, false]]));
    expect(await code(plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth_jobs.report_progress($1, $2, 50)', [id, zombie.run_id])))).toBe(
      'jobs_lease_lost',
    );
    expect(await code(plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth_jobs.complete_in($1, $2)', [id, zombie.run_id])))).toBe(
      'jobs_lease_lost',
    );
    expect(await read(a, id)).toMatchObject({ status: 'processing', attempts: 2, progress: 0 });
    expect(await settle(holder, 'completed', { result: 42 })).toBe(true);
    expect(await settle(holder, 'completed')).toBe(false);
    expect(await read(a, id)).toMatchObject({ status: 'completed', attempts: 2, result: 42, progress: 100 });
    expect(await attemptsOf(a, id)).toEqual([
      { attempt: 1, outcome: 'lost', error: 'lease expired' },
      { attempt: 2, outcome: 'completed', error: null },
    ]);
  });

  test('the effects of a handler and the completion of its job commit together or not at all', async () => {
    const id = await enqueue(a, 'k');
    const zombie = await claimOne(1);
    await expect.poll(() => plinth.asWorker({}, (tx) => recoverJobs(tx))).toBe(1);
    const holder = await claimOne();
    const work = (job: ClaimedJob) =>
      plinth.transaction({ tenantId: a, correlationId: plinth.newId() }, async (tx) => {
        tx.jobs.enqueue('effect', { of: job.run_id });
        await tx.query('select plinth_jobs.complete_in($1, $2, $3)', [id, job.run_id, { ok: true }]);
      });
    expect(await code(work(zombie))).toBe('jobs_lease_lost');
    await work(holder);
    const { rows } = await database.admin.query(`select payload from plinth_jobs.jobs where kind = 'effect'`);
    expect(rows).toEqual([{ payload: { of: holder.run_id } }]);
  });

  test('another tenant cannot complete a job, whatever it knows of it', async () => {
    const id = await enqueue(a, 'k');
    const job = await claimOne();
    expect(await code(plinth.transaction({ tenantId: b }, (tx) => tx.query('select plinth_jobs.complete_in($1, $2)', [id, job.run_id])))).toBe(
      'jobs_lease_lost',
    );
    expect(await plinth.transaction({ tenantId: b }, (tx) => settleJobs(tx, [{ tenant_id: a, id, run_id: job.run_id, outcome: 'completed' }]))).toEqual(
      new Set(),
    );
    expect(await code(plinth.transaction({ tenantId: b }, (tx) => tx.query('select plinth.cancel_job($1)', [id])))).toBe('jobs_job_not_found');
    expect(await code(plinth.transaction({ tenantId: b }, (tx) => tx.query('select plinth.retry_job($1)', [id])))).toBe('jobs_job_not_found');
    expect(await plinth.transaction({ tenantId: b }, (tx) => claimJobs(tx, { worker: 'w', limit: 9, leaseMs: 1, kinds: ['k'] }))).toEqual([]);
    expect(await read(a, id)).toMatchObject({ status: 'processing' });
  });
});

describe('a failure', () => {
  test('is tried again after min(3600, 2^attempt) s, give or take a quarter, and ends as a dead letter with its attempts', async () => {
    const id = await enqueue(a, 'k', {}, { maxAttempts: 3 });
    for (const [attempt, wait] of [
      [1, 2],
      [2, 4],
    ] as const) {
      expect(await settle(await claimOne(), 'failed', { error: `no ${attempt}` })).toBe(true);
      const row = await read(a, id);
      expect(row).toMatchObject({ status: 'scheduled', attempts: attempt, error: `no ${attempt}` });
      expect(row?.waits_s).toBeGreaterThan(wait * 0.75 - 1);
      expect(row?.waits_s).toBeLessThan(wait * 1.25);
      await makeDue(id);
    }
    expect(await settle(await claimOne(), 'failed', { error: 'no 3' })).toBe(true);
    expect(await read(a, id)).toMatchObject({ status: 'failed', attempts: 3, error: 'no 3' });
    expect(await claim()).toEqual([]);
    expect((await attemptsOf(a, id)).map((row) => [row.attempt, row.outcome, row.error])).toEqual([
      [1, 'failed', 'no 1'],
      [2, 'failed', 'no 2'],
      [3, 'failed', 'no 3'],
    ]);
  });

  test.each([
    [1, 0, 1.5],
    [1, 1, 2.5],
    [2, 0.5, 4],
    [5, 0.5, 32],
    [11, 0.5, 2048],
    [12, 0.5, 3600],
    [999, 1, 4500],
  ])('the wait after attempt %i with jitter %d is %d s', async (attempt, jitter, seconds) => {
    const { rows } = await database.admin.query('select extract(epoch from plinth_jobs.backoff($1, $2))::float8 as s', [attempt, jitter]);
    expect(rows[0].s).toBeCloseTo(seconds, 6);
  });

  test('may name its own wait, or that it is final', async () => {
    const id = await enqueue(a, 'k');
    await settle(await claimOne(), 'failed', { error: 'later', delay_ms: 60_000 });
    expect((await read(a, id))?.waits_s).toBeGreaterThan(58);
    await makeDue(id);
    await settle(await claimOne(), 'failed', { error: 'never', final: true });
    expect(await read(a, id)).toMatchObject({ status: 'failed', attempts: 2, error: 'never' });
  });

  test('a dead letter runs again with more attempts, or is discarded', async () => {
    const id = await enqueue(a, 'k', { n: 1 }, { maxAttempts: 1, uniqueKey: 'u' });
    await settle(await claimOne(), 'failed', { error: 'no' });
    const blocker = await enqueue(a, 'k', {}, { uniqueKey: 'u' });
    const retry = () => plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.retry_job($1, 2)', [id]));
    expect(await code(retry())).toBe('jobs_duplicate');
    await plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.cancel_job($1)', [blocker]));
    await retry();
    expect(await code(retry())).toBe('jobs_not_failed');
    expect(await claimOne()).toMatchObject({ id, attempt: 2, max_attempts: 3, payload: { n: 1 } });
    await database.admin.query(`update plinth_jobs.jobs set attempts = 3 where id = $1`, [id]);
    const [late] = (await database.admin.query<ClaimedJob>('select tenant_id, id, run_id from plinth_jobs.jobs where id = $1', [id])).rows;
    if (late) await settle(late, 'failed', { error: 'no' });
    expect(await plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.cancel_job($1) as status', [id]))).toEqual([{ status: 'cancelled' }]);
  });

  test('dead letters are purged when they are old, and no others', async () => {
    const old = await enqueue(a, 'k', {}, { maxAttempts: 1 });
    const young = await enqueue(b, 'k', {}, { maxAttempts: 1 });
    for (const job of await claim()) await settle(job, 'failed', { error: 'no' });
    await database.admin.query(`update plinth_jobs.jobs set finished_at = clock_timestamp() - interval '31 days' where id = $1`, [old]);
    expect(await plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.purge_failed()::int as n'))).toEqual([{ n: 1 }]);
    expect(await read(a, old)).toBeUndefined();
    expect(await read(b, young)).toBeDefined();
  });
});

describe('a lease', () => {
  test('ends by the clock of the database, and a heartbeat extends it', async () => {
    const id = await enqueue(a, 'k', {}, { maxAttempts: 2 });
    const job = await claimOne(60_000);
    expect(await plinth.asWorker({}, (tx) => recoverJobs(tx))).toBe(0);
    await database.admin.query(`update plinth_jobs.jobs set lease_until = clock_timestamp() - interval '1 second'`);
    expect(await plinth.asWorker({}, (tx) => extendLeases(tx, [job], 60_000))).toEqual(new Map([[job.run_id, false]]));
    expect(await plinth.asWorker({}, (tx) => recoverJobs(tx))).toBe(0);
    await database.admin.query(`update plinth_jobs.jobs set lease_until = clock_timestamp() - interval '1 second'`);
    expect(await plinth.asWorker({}, (tx) => recoverJobs(tx))).toBe(1);
    expect(await read(a, id)).toMatchObject({ status: 'pending', attempts: 1, error: 'lease expired' });
    await claimOne(60_000);
    await database.admin.query(`update plinth_jobs.jobs set lease_until = clock_timestamp() - interval '1 second'`);
    await plinth.asWorker({}, (tx) => recoverJobs(tx));
    expect(await read(a, id)).toMatchObject({ status: 'failed', attempts: 2, error: 'lease expired' });
  });
});

describe('snooze, return, cancel', () => {
  test('neither a snoozed nor a returned job has used an attempt', async () => {
    const id = await enqueue(a, 'k');
    await settle(await claimOne(), 'snoozed', { delay_ms: 60_000 });
    expect(await read(a, id)).toMatchObject({ status: 'scheduled', attempts: 0 });
    await makeDue(id);
    await settle(await claimOne(), 'returned');
    expect(await read(a, id)).toMatchObject({ status: 'pending', attempts: 0 });
    expect((await attemptsOf(a, id)).map((row) => row.outcome)).toEqual(['snoozed']);
  });

  test('cancels at once what waits, and tells what runs', async () => {
    const cancel = (id: string) =>
      plinth.transaction({ tenantId: a }, async (tx) => (await tx.query<{ s: string }>(`select plinth.cancel_job($1, 'not needed') as s`, [id]))[0]?.s);
    const waiting = await enqueue(a, 'k');
    expect(await cancel(waiting)).toBe('cancelled');
    expect(await cancel(waiting)).toBe('cancelled');
    expect(await read(a, waiting)).toMatchObject({ status: 'cancelled', error: 'not needed' });
    for (const outcome of ['cancelled', 'failed', 'snoozed', 'returned'] as const) {
      const id = await enqueue(a, 'k');
      const job = await claimOne();
      expect(await cancel(id)).toBe('processing');
      expect(await plinth.asWorker({}, (tx) => extendLeases(tx, [job], 15_000))).toEqual(new Map([[job.run_id, true]]));
      await settle(job, outcome, { error: 'stopped' });
      expect(await read(a, id)).toMatchObject({ status: 'cancelled' });
    }
    const done = await enqueue(a, 'k');
    const job = await claimOne();
    await cancel(done);
    await settle(job, 'completed');
    expect(await read(a, done)).toMatchObject({ status: 'completed' });
    expect(await code(cancel(done))).toBe('jobs_already_finished');
    expect(await code(cancel(plinth.newId()))).toBe('jobs_job_not_found');
  });

  test('reports progress', async () => {
    const id = await enqueue(a, 'k');
    const job = await claimOne();
    await plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth_jobs.report_progress($1, $2, 40, 'halfway, almost')`, [id, job.run_id]));
    expect(await read(a, id)).toMatchObject({ progress: 40, progress_note: 'halfway, almost' });
  });
});

test('a trace shows the job and its attempts below it', async () => {
  const correlationId = plinth.newId();
  const id = await plinth.transaction({ tenantId: a, correlationId }, async (tx) => tx.jobs.enqueue('k', {}, { name: 'Traced' }));
  await settle(await claimOne(), 'failed', { error: 'no', delay_ms: 0 });
  await makeDue(id);
  await settle(await claimOne(), 'completed');
  const trace = await plinth.transaction({ tenantId: a }, (tx) =>
    tx.query('select kind, id, title, status, parent_id, attempt, ended_at is not null as ended from plinth.trace($1)', [correlationId]),
  );
  expect(trace).toMatchObject([
    { kind: 'job', id, title: 'k: Traced', status: 'completed', attempt: 2, ended: true },
    { kind: 'attempt', title: 'k attempt 1', status: 'failed', parent_id: id, attempt: 1, ended: true },
    { kind: 'attempt', title: 'k attempt 2', status: 'completed', parent_id: id, attempt: 2, ended: true },
  ]);
  expect(await plinth.transaction({ tenantId: b }, (tx) => tx.query('select * from plinth.trace($1)', [correlationId]))).toEqual([]);
});
