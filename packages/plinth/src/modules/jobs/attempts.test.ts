/** Attempts at jobs and how they end: the fence, failures, leases, cancelling. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';
import { claimJobs, claimLanes, disownClaims, registerWorker, settleJobs } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_attempts');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

describe('the fence', () => {
  test('a worker that lost its lease can neither complete nor fail nor report nor extend', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const zombie = await jobs.claimOne(1, 'zombie');
    await expect.poll(() => jobs.recover()).toBe(1);
    const holder = await jobs.claimOne(60_000, 'holder');
    expect(holder).toMatchObject({ id, attempt: 2 });
    for (const outcome of ['completed', 'failed', 'cancelled', 'snoozed', 'returned'] as const) expect(await jobs.settle(zombie, outcome)).toBe(false);
    expect(await errorCode(jobs.beat('zombie'))).toBe('jobs_lease_lost');
    expect(await jobs.beat('holder')).toEqual([]);
    expect(
      await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth_jobs.report_progress($1, $2, 50)', [id, zombie.run_id]))),
    ).toBe('jobs_lease_lost');
    expect(
      await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth_jobs.complete_in($1, $2)', [id, zombie.run_id]))),
    ).toBe('jobs_lease_lost');
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'processing', attempts: 2, progress: 0 });
    expect(await jobs.settle(holder, 'completed', { result: 42 })).toBe(true);
    expect(await jobs.settle(holder, 'completed')).toBe(false);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'completed', attempts: 2, result: 42, progress: 100 });
    expect(await jobs.attemptsOf(jobs.a, id)).toEqual([
      { attempt: 1, outcome: 'lost', error: 'lease expired' },
      { attempt: 2, outcome: 'completed', error: null },
    ]);
  });

  test('the effects of a handler and the completion of its job commit together or not at all', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const zombie = await jobs.claimOne(1);
    await expect.poll(() => jobs.recover()).toBe(1);
    const holder = await jobs.claimOne();
    const work = (job: ClaimedJob) =>
      jobs.plinth.transaction({ tenantId: jobs.a, correlationId: jobs.plinth.newId() }, async (tx) => {
        tx.jobs.enqueue('effect', { of: job.run_id });
        await tx.query('select plinth_jobs.complete_in($1, $2, $3)', [id, job.run_id, { ok: true }]);
      });
    expect(await errorCode(work(zombie))).toBe('jobs_lease_lost');
    await work(holder);
    const { rows } = await jobs.database.admin.query(`select payload from plinth_jobs.jobs where kind = 'effect'`);
    expect(rows).toEqual([{ payload: { of: holder.run_id } }]);
  });

  test('a completion that a crash of the database undid, while others of its claim came after it, runs again', async () => {
    for (let n = 0; n < 4; n++) await jobs.enqueue(jobs.a, 'k', { n });
    const [first, second, third, last] = await jobs.claim(4);
    if (!first || !second || !third || !last) throw new Error('nothing to claim');
    const completed = (job: ClaimedJob) => ({ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome: 'completed' as const });
    const settle = (settled: readonly ClaimedJob[], closes: string[] = [], result?: unknown) =>
      jobs.plinth.asWorker({ durable: false }, (tx) =>
        settleJobs(
          tx,
          settled.map((job) => ({ ...completed(job), ...(result === undefined ? {} : { result }) })),
          closes,
        ),
      );
    await settle([first, second]);
    // What the server that came back knows of it: the claim, and not the completion.
    await jobs.database.admin.query(`update plinth_jobs.jobs_run set status = 'processing', progress = 0, finished_at = null where id = $1`, [first.id]);
    await jobs.database.admin.query('truncate plinth_jobs.uptime');
    await settle([third]);
    await settle([last], [last.claim_id], { ok: true });
    expect(await jobs.plinth.asWorker({}, (tx) => disownClaims(tx, 'w', []))).toBe(1);
    expect(await jobs.claim(4)).toMatchObject([{ id: first.id, attempt: 1 }]);
    const { rows } = await jobs.database.admin.query<{ n: number }>('select cardinality(job_ids) as n from plinth_jobs.claims');
    expect(rows).toEqual([{ n: 1 }]);
  });

  test.each([
    ['without a result', {}],
    ['with a result', { result: { ok: true } }],
    ['by the place of its row', { place: '' }],
  ] as const)('is stored %s while somebody else writes to the row', async (_, how) => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const job = await jobs.claimOne();
    const { rows: places } = await jobs.database.admin.query<{ place: Buffer }>(
      'select pg_catalog.tidsend(ctid) as place from plinth_jobs.jobs_run where id = $1',
      [id],
    );
    const more = 'place' in how ? { place: places[0]?.place.toString('hex') } : how;
    const { settled } = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query('select plinth.cancel_job($1)', [id]);
      const settling = jobs.settle(job, 'completed', more);
      await expect
        .poll(
          async () =>
            (await jobs.database.admin.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount,
          { timeout: 20_000 },
        )
        .toBe(1);
      return { settled: settling };
    });
    expect(await settled).toBe(true);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'completed' });
  });

  test('where its claim wrote it finds its job also when the row has moved or is another, and no job twice', async () => {
    for (const tenant of [jobs.a, jobs.a, jobs.a, jobs.b, jobs.b]) await jobs.enqueue(tenant, 'k');
    const turns = [jobs.a, jobs.b].map((tenantId) => ({ lane: { queue: 'default', priority: 5, tenantId, key: '' }, after: '0', quantum: 10 }));
    await jobs.plinth.asWorker({}, (tx) => registerWorker(tx, { id: 'w', name: 'w', leaseMs: 15_000 }));
    const claimed = await jobs.plinth.asWorker({}, (tx) => claimLanes(tx, { worker: 'w', limit: 10, kinds: ['k'], turns }));
    const { rows } = await jobs.database.admin.query<{ id: string; place: Buffer }>('select id, pg_catalog.tidsend(ctid) as place from plinth_jobs.jobs_run');
    expect(Object.fromEntries(claimed.map((job) => [job.id, job.place]))).toEqual(Object.fromEntries(rows.map((row) => [row.id, row.place.toString('hex')])));
    const [still, moved, zombie, swapped, last] = claimed;
    if (!still || !moved || !zombie || !swapped || !last) throw new Error('nothing to claim');
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth_jobs.report_progress($1, $2, 50, null)', [moved.id, moved.run_id]));
    await jobs.settle(zombie, 'returned');
    const of = (job: ClaimedJob, place = job.place) => ({ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome: 'completed' as const, place });
    const ends = [of(still), of(moved), of(zombie), of(swapped, last.place), of(last, swapped.place)];
    expect(await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => settleJobs(tx, [of(still)]))).toMatchObject({ statuses: new Map() });
    expect(await jobs.plinth.asWorker({}, (tx) => settleJobs(tx, ends, [still.claim_id]))).toEqual({
      statuses: new Map([still, moved, swapped, last].map((job) => [job.run_id, 'completed'])),
      failed: [],
    });
    expect(await jobs.plinth.asWorker({}, (tx) => settleJobs(tx, ends))).toMatchObject({ statuses: new Map() });
    expect((await jobs.database.admin.query(`select from plinth_jobs.jobs where status = 'completed' and progress = 100`)).rowCount).toBe(4);
    expect((await jobs.database.admin.query('select from plinth_jobs.claims')).rowCount).toBe(0);
    expect(await jobs.read(jobs.a, zombie.id)).toMatchObject({ status: 'pending' });
  });

  test('another tenant cannot complete a job, whatever it knows of it', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const job = await jobs.claimOne();
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query('select plinth_jobs.complete_in($1, $2)', [id, job.run_id])))).toBe(
      'jobs_lease_lost',
    );
    expect(
      await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => settleJobs(tx, [{ tenant_id: jobs.a, id, run_id: job.run_id, outcome: 'completed' }])),
    ).toMatchObject({ statuses: new Map() });
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query('select plinth.cancel_job($1)', [id])))).toBe('jobs_job_not_found');
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query('select plinth.retry_job($1)', [id])))).toBe('jobs_job_not_found');
    expect(await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => claimJobs(tx, { worker: 'w', limit: 9, leaseMs: 1, kinds: ['k'] }))).toEqual([]);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'processing' });
  });
});

describe('a failure', () => {
  test('is tried again after min(3600, 2^attempt) s, give or take a quarter, and ends as a dead letter with its attempts', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { maxAttempts: 3 });
    for (const [attempt, wait] of [
      [1, 2],
      [2, 4],
    ] as const) {
      expect(await jobs.settle(await jobs.claimOne(), 'failed', { error: `no ${attempt}` })).toBe(true);
      const row = await jobs.read(jobs.a, id);
      expect(row).toMatchObject({ status: 'scheduled', attempts: attempt, error: `no ${attempt}` });
      expect(row?.waits_s).toBeGreaterThan(wait * 0.75 - 0.1);
      expect(row?.waits_s).toBeLessThan(wait * 1.25 + 0.1);
      await jobs.makeDue(id);
    }
    expect(await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no 3' })).toBe(true);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'failed', attempts: 3, error: 'no 3' });
    expect(await jobs.claim()).toEqual([]);
    expect((await jobs.attemptsOf(jobs.a, id)).map((row) => [row.attempt, row.outcome, row.error])).toEqual([
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
    const { rows } = await jobs.database.admin.query('select extract(epoch from plinth_jobs.backoff($1, $2))::float8 as s', [attempt, jitter]);
    expect(rows[0].s).toBeCloseTo(seconds, 6);
  });

  test('may name its own wait, or that it is final', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'later', delay_ms: 60_000 });
    expect((await jobs.read(jobs.a, id))?.waits_s).toBeCloseTo(60, 0);
    await jobs.makeDue(id);
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'never', final: true });
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'failed', attempts: 2, error: 'never' });
  });

  test('a dead letter runs again with more attempts, or is discarded', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', { n: 1 }, { maxAttempts: 1, uniqueKey: 'u' });
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
    const blocker = await jobs.enqueue(jobs.a, 'k', {}, { uniqueKey: 'u' });
    const retry = () => jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.retry_job($1, 2)', [id]));
    expect(await errorCode(retry())).toBe('jobs_duplicate');
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1)', [blocker]));
    await retry();
    expect(await errorCode(retry())).toBe('jobs_not_failed');
    expect(await jobs.claimOne()).toMatchObject({ id, attempt: 2, max_attempts: 3, payload: { n: 1 } });
    await jobs.database.admin.query(`update plinth_jobs.jobs set attempts = 3 where id = $1`, [id]);
    const [late] = (await jobs.database.admin.query<ClaimedJob>('select tenant_id, id, run_id from plinth_jobs.jobs where id = $1', [id])).rows;
    if (late) await jobs.settle(late, 'failed', { error: 'no' });
    expect(await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1) as status', [id]))).toEqual([
      { status: 'cancelled' },
    ]);
  });

  test('dead letters are purged when they are old, and no others', async () => {
    const old = await jobs.enqueue(jobs.a, 'k', {}, { maxAttempts: 1 });
    const young = await jobs.enqueue(jobs.b, 'k', {}, { maxAttempts: 1 });
    for (const job of await jobs.claim()) await jobs.settle(job, 'failed', { error: 'no' });
    await jobs.database.admin.query(`update plinth_jobs.jobs set finished_at = clock_timestamp() - interval '31 days' where id = $1`, [old]);
    expect(await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.purge_failed()::int as n'))).toEqual([{ n: 1 }]);
    expect(await jobs.read(jobs.a, old)).toBeUndefined();
    expect(await jobs.read(jobs.b, young)).toBeDefined();
  });

  test('dead letters under a legal hold are not purged, nor those of whoever is placing one', async () => {
    const { admin } = jobs.database;
    const purge = () => jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.purge_failed()::int as n'));
    const ids = [await jobs.enqueue(jobs.a, 'k', {}, { maxAttempts: 1 }), await jobs.enqueue(jobs.b, 'k', {}, { maxAttempts: 1 })];
    for (const job of await jobs.claim()) await jobs.settle(job, 'failed', { error: 'no' });
    await admin.query(`update plinth_jobs.jobs set finished_at = clock_timestamp() - interval '31 days' where id = any ($1)`, [ids]);
    await admin.query(`insert into plinth_kernel.retention_holds (tenant_id, reason) values ($1, 'a lawsuit')`, [jobs.a]);
    const placing = await admin.connect();
    try {
      await placing.query('begin');
      await placing.query(`insert into plinth_kernel.retention_holds (tenant_id, kind, reason) values ($1, 'jobs.jobs', 'another')`, [jobs.b]);
      expect(await purge()).toEqual([{ n: 0 }]);
    } finally {
      await placing.query('rollback');
      placing.release();
    }
    expect(await purge()).toEqual([{ n: 1 }]);
    expect(await jobs.read(jobs.a, ids[0] ?? '')).toBeDefined();
    await admin.query('update plinth_kernel.retention_holds set released_at = now()');
    expect(await purge()).toEqual([{ n: 1 }]);
    await admin.query('delete from plinth_kernel.retention_holds');
  });
});

describe('a lease', () => {
  test('ends by the clock of the database, and a heartbeat extends it', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { maxAttempts: 2 });
    const job = await jobs.claimOne(60_000);
    expect(job).toMatchObject({ id, attempt: 1 });
    const { recover } = jobs;
    expect(await recover()).toBe(0);
    await jobs.falls('w');
    await jobs.beat('w');
    expect(await recover()).toBe(0);
    await jobs.falls('w');
    expect(await recover()).toBe(1);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'pending', attempts: 1, error: 'lease expired' });
    await jobs.claimOne(60_000);
    await jobs.falls('w');
    await recover();
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'failed', attempts: 2, error: 'lease expired' });
  });

  test('ends within seconds when the session of a worker ends, and not while it lives', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const session = new pg.Client({ connectionString: jobs.database.serverUrl });
    await session.connect();
    await session.query('select pg_advisory_lock(4711)');
    await jobs.plinth.asWorker({}, (tx) => registerWorker(tx, { id: 'w', name: 'w', leaseMs: 3_600_000, sessionLock: 4711n }));
    await jobs.plinth.asWorker({}, (tx) =>
      tx.query(`select plinth_jobs.claim_lanes('w', 1, null, '{default}', '{5}', array[$1::uuid], '{""}', '{0}', '{1}')`, [jobs.a]),
    );
    const { recover } = jobs;
    await jobs.database.admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 minute'`);
    expect(await recover()).toBe(0);
    await session.end();
    await expect.poll(recover).toBe(1);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'pending', attempts: 1 });
  });

  test('ends as ever when the clock was set back since the last sign of life', async () => {
    const register = (id: string, sessionLock?: bigint) =>
      jobs.plinth.asWorker({}, (tx) => registerWorker(tx, { id, name: id, leaseMs: 15_000, ...(sessionLock ? { sessionLock } : {}) }));
    await jobs.enqueue(jobs.a, 'k');
    await register('w', 4712n);
    await register('v');
    await jobs.plinth.asWorker({}, (tx) =>
      tx.query(`select plinth_jobs.claim_lanes('w', 1, null, '{default}', '{5}', array[$1::uuid], '{""}', '{0}', '{1}')`, [jobs.a]),
    );
    await jobs.database.admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() + interval '1 hour' where id = 'w'`);
    expect(await jobs.recover()).toBe(0);
    await jobs.beat('v');
    await expect.poll(jobs.recover, { timeout: 20_000 }).toBe(1);
  });
});

describe('snooze, return, cancel', () => {
  test('what is given back or was lost keeps its place in its lane', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(await jobs.enqueue(jobs.a, 'k', { n }, { concurrencyKey: 'c' }));
    for (const job of (await jobs.claim(2)).reverse()) await jobs.settle(job, 'returned');
    await jobs.claim(2);
    await jobs.falls('w');
    await jobs.recover();
    for (const id of ids) expect((await jobs.claimOne()).id).toBe(id);
  });

  test('neither a snoozed nor a returned job has used an attempt', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    await jobs.settle(await jobs.claimOne(), 'snoozed', { delay_ms: 60_000 });
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled', attempts: 0 });
    await jobs.makeDue(id);
    await jobs.settle(await jobs.claimOne(), 'returned');
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'pending', attempts: 0 });
    expect((await jobs.attemptsOf(jobs.a, id)).map((row) => row.outcome)).toEqual(['snoozed']);
  });

  test('cancels at once what waits, and tells what runs', async () => {
    const cancel = (id: string) =>
      jobs.plinth.transaction(
        { tenantId: jobs.a },
        async (tx) => (await tx.query<{ s: string }>(`select plinth.cancel_job($1, 'not needed') as s`, [id]))[0]?.s,
      );
    const waiting = await jobs.enqueue(jobs.a, 'k');
    expect(await cancel(waiting)).toBe('cancelled');
    expect(await cancel(waiting)).toBe('cancelled');
    expect(await jobs.read(jobs.a, waiting)).toMatchObject({ status: 'cancelled', error: 'not needed' });
    for (const outcome of ['cancelled', 'failed', 'snoozed', 'returned'] as const) {
      const id = await jobs.enqueue(jobs.a, 'k');
      const job = await jobs.claimOne();
      expect(await cancel(id)).toBe('processing');
      expect(await jobs.beat('w')).toEqual([job.run_id]);
      await jobs.settle(job, outcome, { error: 'stopped' });
      expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'cancelled' });
    }
    const done = await jobs.enqueue(jobs.a, 'k');
    const job = await jobs.claimOne();
    await cancel(done);
    await jobs.settle(job, 'completed');
    expect(await jobs.read(jobs.a, done)).toMatchObject({ status: 'completed' });
    expect(await errorCode(cancel(done))).toBe('jobs_already_finished');
    expect(await errorCode(cancel(jobs.plinth.newId()))).toBe('jobs_job_not_found');
  });

  test('reports progress', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const job = await jobs.claimOne();
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query(`select plinth_jobs.report_progress($1, $2, 40, 'halfway, almost')`, [id, job.run_id]),
    );
    expect(await jobs.read(jobs.a, id)).toMatchObject({ progress: 40, progress_note: 'halfway, almost' });
  });
});

test('a trace shows the job and its attempts below it', async () => {
  const correlationId = jobs.plinth.newId();
  const id = await jobs.plinth.transaction({ tenantId: jobs.a, correlationId }, async (tx) => tx.jobs.enqueue('k', {}, { name: 'Traced' }));
  await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no', delay_ms: 0 });
  await jobs.makeDue(id);
  await jobs.settle(await jobs.claimOne(), 'completed');
  const trace = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
    tx.query('select kind, id, title, status, parent_id, attempt, xact, ended_at is not null as ended from plinth.trace($1)', [correlationId]),
  );
  expect(trace).toMatchObject([
    { kind: 'job', id, title: 'k: Traced', status: 'completed', attempt: 2, ended: true },
    { kind: 'attempt', title: 'k attempt 1', status: 'failed', parent_id: id, attempt: 1, ended: true },
    { kind: 'attempt', title: 'k attempt 2', status: 'completed', parent_id: id, attempt: 2, ended: true },
  ]);
  const [enqueued, failed, completed] = trace;
  expect(enqueued?.xact).toMatch(/^\d+$/);
  expect(failed?.xact, 'an attempt commits after the job was enqueued').toMatch(/^\d+$/);
  expect(failed?.xact).not.toBe(enqueued?.xact);
  expect(completed?.xact, 'which transaction ended a job is not kept').toBeNull();
  expect(await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query('select * from plinth.trace($1)', [correlationId]))).toEqual([]);
});
