/** Batches: callbacks once, never twice and never not at all, whoever ends the last jobs and however many at once. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Tx } from '../../index.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';
import { settleJobs } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_batches');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const callbacks = async (): Promise<{ kind: string; batch: Record<string, unknown>; causation_id: string; tenant_id: string }[]> =>
  (
    await jobs.database.admin.query(
      `select kind, payload -> 'batch' as batch, causation_id, tenant_id from plinth_jobs.jobs where kind like 'on.%' order by kind`,
    )
  ).rows;
const batchOf = async (id: string, tenantId = jobs.a) =>
  (await jobs.plinth.transaction({ tenantId }, (tx) => tx.query('select * from plinth.job_batches where id = $1', [id])))[0];
const on = { onComplete: { kind: 'on.complete', payload: { mine: 1 } }, onSuccess: { kind: 'on.success' }, onFailure: { kind: 'on.failure' } };
const make = (count: number, more: { open?: boolean } = {}) =>
  jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) =>
    tx.jobs.batch({ name: 'B', ...on, ...more }, (add) => {
      add.many(
        'k',
        Array.from({ length: count }, (_, n) => ({ n })),
      );
    }),
  );
const completeIn = (job: ClaimedJob) =>
  jobs.plinth.transaction({ tenantId: job.tenant_id }, async (tx) => {
    await tx.query('select plinth_jobs.complete_in($1, $2)', [job.id, job.run_id]);
  });

describe('a batch', () => {
  test('tells its progress, and enqueues its callbacks when the last job has completed', async () => {
    const id = await make(3);
    expect(await batchOf(id)).toMatchObject({ name: 'B', status: 'running', total: '3', completed: '0', finished_at: null });
    expect(await batchOf(id, jobs.b)).toBeUndefined();
    const [first, ...others] = await jobs.claim(10);
    if (first) await jobs.settle(first, 'completed');
    expect(await batchOf(id)).toMatchObject({ status: 'running', total: '3', completed: '1' });
    expect(await callbacks()).toEqual([]);
    for (const job of others) await completeIn(job);
    expect(await batchOf(id)).toMatchObject({ status: 'completed', total: '3', completed: '3', failed: '0', finished_at: expect.any(Date) });
    const counts = { id, name: 'B', total: 3, completed: 3, failed: 0, cancelled: 0 };
    expect(await callbacks()).toEqual([
      { kind: 'on.complete', batch: counts, causation_id: id, tenant_id: jobs.a },
      { kind: 'on.success', batch: counts, causation_id: id, tenant_id: jobs.a },
    ]);
    const { rows } = await jobs.database.admin.query(`select payload -> 'mine' as mine from plinth_jobs.jobs where kind = 'on.complete'`);
    expect(rows).toEqual([{ mine: 1 }]);
  });

  test('with a failed and a cancelled job calls onFailure; a retry in between is waited for', async () => {
    const id = await make(3);
    const claimed = await jobs.claim(2);
    for (const job of claimed) await jobs.settle(job, 'failed', { error: 'no', final: true });
    const again = claimed[0]?.id ?? '';
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.retry_job($1)', [again]));
    const rest = await jobs.claim(10);
    for (const job of rest)
      if (job.id !== again) await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1)', [job.id]));
    for (const job of rest) if (job.id !== again) await jobs.settle(job, 'cancelled');
    expect(await batchOf(id)).toMatchObject({ status: 'running', failed: '1', cancelled: '1' });
    for (const job of rest) if (job.id === again) await jobs.settle(job, 'completed');
    expect((await callbacks()).map((row) => row.kind)).toEqual(['on.complete', 'on.failure']);
    expect(await batchOf(id)).toMatchObject({ status: 'failed', completed: '1', failed: '1', cancelled: '1' });
  });

  test('that lives longer than its jobs are kept forgets none of them', async () => {
    const id = await make(3, { open: true });
    const [failed, ...others] = await jobs.claim(10);
    if (failed) await jobs.settle(failed, 'failed', { error: 'no', final: true });
    const age = () => jobs.database.admin.query(`update plinth_jobs.gate_parts set ended_at = ended_at - interval '40 days'`);
    const sweep = async (kind: string): Promise<number | undefined> =>
      (await jobs.plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_kernel.retention_sweep($1) as n', [kind])))[0]?.n;
    await age();
    expect(await sweep('jobs.gate_parts')).toBe(0);
    for (const job of others) await jobs.settle(job, 'completed');
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => tx.jobs.closeBatch(id));
    const counts = { total: 3, completed: 2, failed: 1, cancelled: 0 };
    expect(await callbacks()).toMatchObject([
      { kind: 'on.complete', batch: counts },
      { kind: 'on.failure', batch: counts },
    ]);
    await age();
    expect(await sweep('jobs.gate_parts')).toBe(0);
    await jobs.database.admin.query(`update plinth_jobs.gates set finished_at = finished_at - interval '31 days'`);
    expect([await sweep('jobs.gates'), await sweep('jobs.gate_parts')]).toEqual([1, 4]);
  });

  test('ends with jobs that are cancelled while they wait, and at once without jobs', async () => {
    const id = await make(2);
    const { rows } = await jobs.database.admin.query<{ id: string }>(`select id from plinth_jobs.jobs where kind = 'k'`);
    for (const job of rows) await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1)', [job.id]));
    expect(await batchOf(id)).toMatchObject({ status: 'failed', cancelled: '2' });
    const empty = await make(0);
    expect(await batchOf(empty)).toMatchObject({ status: 'completed', total: '0' });
    expect((await callbacks()).map((row) => row.kind)).toEqual(['on.complete', 'on.complete', 'on.failure', 'on.success']);
  });

  test('a job of it adds more while it runs; afterwards nobody can', async () => {
    const id = await make(1);
    const job = await jobs.claimOne();
    await jobs.plinth.transaction({ tenantId: jobs.a, causationId: job.id }, async (tx) => {
      tx.jobs.enqueueMany('k', [{}, {}], { batchId: id });
      await tx.flush();
      await tx.query('select plinth_jobs.complete_in($1, $2)', [job.id, job.run_id]);
    });
    expect(await batchOf(id)).toMatchObject({ status: 'running', total: '3', completed: '1' });
    for (const other of await jobs.claim(10)) await jobs.settle(other, 'completed');
    expect(await callbacks()).toHaveLength(2);
    expect(await errorCode(jobs.enqueue(jobs.a, 'k', {}, { batchId: id }))).toBe('jobs_batch_finished');
    expect(await errorCode(jobs.enqueue(jobs.b, 'k', {}, { batchId: id }))).toBe('jobs_batch_finished');
  });

  test('whose callback or name is not valid is refused; one that slipped through says so and fails no job', async () => {
    const batch = (options: Parameters<Tx['jobs']['batch']>[0]) =>
      jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => tx.jobs.batch(options, (add) => void add('k')));
    for (const [options, field] of [
      [{ onComplete: { kind: 'cb', queue: '' } }, 'The queue of a job'],
      [{ onSuccess: { kind: 'cb', name: 'n'.repeat(501) } }, 'The name of a job'],
      [{ name: 'n'.repeat(501) }, 'The name of a batch'],
    ] as const)
      await expect(batch(options)).rejects.toMatchObject({ code: 'jobs_job_invalid', message: expect.stringContaining(field) });
    const id = await batch({ name: 'B', onComplete: { kind: 'cb' } });
    await jobs.database.admin.query(`update plinth_jobs.gates set on_complete = '{"kind": "cb", "queue": ""}' where id = $1`, [id]);
    expect(await jobs.settle(await jobs.claimOne(), 'completed')).toBe(true);
    const { rows } = await jobs.database.admin.query('select status, completed::int, error from plinth.job_batches where id = $1', [id]);
    expect(rows).toEqual([{ status: 'completed', completed: 1, error: expect.stringContaining('its callbacks could not be enqueued') }]);
  });

  test('that is open waits until it is closed', async () => {
    const id = await make(1, { open: true });
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect(await batchOf(id)).toMatchObject({ status: 'running', adding: true, total: '1', completed: '1' });
    expect(await errorCode(jobs.enqueue(jobs.b, 'k', {}, { batchId: id }))).toBe('jobs_batch_finished');
    const more = await jobs.enqueue(jobs.a, 'k', {}, { batchId: id });
    const close = (tenantId: string) => jobs.plinth.transaction({ tenantId }, async (tx) => tx.jobs.closeBatch(id));
    expect(await errorCode(close(jobs.b))).toBe('jobs_batch_not_found');
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => tx.jobs.closeBatch(more)))).toBe('jobs_batch_not_found');
    expect(await batchOf(id)).toMatchObject({ adding: true, completed: '1' });
    await close(jobs.a);
    await close(jobs.a);
    expect(await callbacks()).toEqual([]);
    expect((await jobs.claimOne()).id).toBe(more);
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1)', [more]));
    const { rows } = await jobs.database.admin.query<ClaimedJob>('select tenant_id, id, run_id from plinth_jobs.jobs where id = $1', [more]);
    for (const job of rows) await jobs.settle(job, 'completed');
    expect(await batchOf(id)).toMatchObject({ status: 'completed', total: '2' });
    expect(await callbacks()).toHaveLength(2);
  });
});

describe('a batch that SQL makes', () => {
  const sql = <Row>(text: string, values: unknown[] = [], tenantId = jobs.a): Promise<Row[]> =>
    jobs.plinth.transaction({ tenantId }, (tx) => tx.query<Row>(text, values));
  const idOf = async (text: string): Promise<string> => (await sql<{ id: string }>(`select ${text} as id`))[0]?.id ?? '';

  test('has its jobs, finishes with them and calls back; without jobs at once', async () => {
    const id = await idOf(
      `plinth.make_batch('[{"job_type": "k", "payload": {"n": 1}}, {"job_type": "k", "priority": 1}]', 'B', '{"job_type": "on.complete", "payload": {"mine": 1}, "max_attempts": 2}', p_on_failure := '{"job_type": "on.failure"}')`,
    );
    expect(await batchOf(id)).toMatchObject({ name: 'B', status: 'running', total: '2', adding: false });
    const [first, second] = await jobs.claim(10);
    if (first) await jobs.settle(first, 'failed', { error: 'no', final: true });
    expect(await callbacks()).toEqual([]);
    if (second) await jobs.settle(second, 'completed');
    const counts = { id, name: 'B', total: 2, completed: 1, failed: 1, cancelled: 0 };
    expect(await callbacks()).toMatchObject([
      { kind: 'on.complete', batch: counts, tenant_id: jobs.a },
      { kind: 'on.failure', batch: counts, tenant_id: jobs.a },
    ]);
    expect((await jobs.claim(1, ['on.complete']))[0]).toMatchObject({ max_attempts: 2, payload: { mine: 1 } });
    expect(await batchOf(await idOf('plinth.make_batch()'))).toMatchObject({ status: 'completed', total: '0' });
  });

  test('stays open until it is closed, by its tenant', async () => {
    const id = await idOf(`plinth.make_batch(p_on_success := '{"job_type": "on.success"}', p_open := true)`);
    await sql(`select plinth.schedule_job('k', p_batch_id := $1)`, [id]);
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect(await batchOf(id)).toMatchObject({ status: 'running', adding: true, completed: '1' });
    expect(await errorCode(sql('select plinth.close_batch($1)', [id], jobs.b))).toBe('jobs_batch_not_found');
    await sql('select plinth.close_batch($1)', [id]);
    expect((await callbacks()).map((row) => row.kind)).toEqual(['on.success']);
  });

  test.each([
    [`p_on_complete := '{"job_type": ""}'`, 'p_on_complete: job_type has 1 to 200 characters'],
    [`p_on_success := '[]'`, 'p_on_success: it is a JSON object'],
    [`p_on_failure := '{"kind": "k"}'`, 'p_on_failure: it takes job_type, job_name'],
    [`p_on_failure := '{"job_type": "k", "priority": 0}'`, 'p_on_failure: priority is 1 to 100'],
    [`p_name := repeat('n', 501)`, 'its name has at most 500 characters'],
    [`p_jobs := '[{"job_type": "k"}, {"job_type": ""}]'`, 'Job 2 of 2 is not valid'],
    [`p_jobs := '{}'`, 'Jobs are given as a JSON array'],
  ])('with %s is refused, and nothing is written', async (argument, message) => {
    await expect(sql(`select plinth.make_batch(${argument})`)).rejects.toMatchObject({ code: 'jobs_job_invalid', message: expect.stringContaining(message) });
    expect((await jobs.database.admin.query('select from plinth_jobs.gates')).rowCount).toBe(0);
  });
});

describe('the last jobs of a batch at once', () => {
  test('two that cannot see each other: neither waits, and the callback is enqueued when both have committed', async () => {
    const id = await make(2);
    const [one, two] = await jobs.claim(10);
    if (!one || !two) throw new Error('two jobs are there');
    const oneEnds = Promise.withResolvers<void>();
    const oneHas = Promise.withResolvers<void>();
    const slow = jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query('select plinth_jobs.complete_in($1, $2)', [one.id, one.run_id]);
      oneHas.resolve();
      await oneEnds.promise;
    });
    await oneHas.promise;
    await completeIn(two);
    expect(await callbacks()).toEqual([]);
    await jobs.checkGates();
    expect(await callbacks()).toEqual([]);
    oneEnds.resolve();
    await slow;
    await jobs.checkGates();
    expect((await callbacks()).map((row) => row.kind)).toEqual(['on.complete', 'on.success']);
    await jobs.checkGates();
    expect(await callbacks()).toHaveLength(2);
    expect(await batchOf(id)).toMatchObject({ status: 'completed', completed: '2' });
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.gate_checks')).rowCount).toBe(0);
  });

  test('a batch that is still open is not looked at again and again when its last job has ended', async () => {
    await make(1, { open: true });
    await completeIn(await jobs.claimOne());
    await jobs.database.admin.query('insert into plinth_jobs.gate_checks (tenant_id, gate_id) select g.tenant_id, g.id from plinth_jobs.gates g');
    await jobs.checkGates();
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.gate_checks')).rowCount).toBe(0);
  });

  test('and when the one that was seen in flight rolls back, the other end of its job finishes the batch', async () => {
    await make(2);
    const [one, two] = await jobs.claim(10);
    if (!one || !two) throw new Error('two jobs are there');
    const undone = jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query('select plinth_jobs.complete_in($1, $2)', [one.id, one.run_id]);
      await completeIn(two);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    await jobs.checkGates();
    expect(await callbacks()).toEqual([]);
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.gate_checks')).rowCount).toBe(0);
    await completeIn(one);
    await jobs.checkGates();
    expect(await callbacks()).toHaveLength(2);
  });

  test('many completers, of transactions of many sizes and outcomes: exactly once for every batch', async () => {
    const batches = 12;
    for (let n = 0; n < batches; n++) await make(1 + ((n * 7) % 16));
    const claimed: ClaimedJob[] = [];
    for (let got = await jobs.claim(500); got.length > 0; got = await jobs.claim(500)) claimed.push(...got);
    const seed = drawnSeed();
    process.stdout.write(`seed ${seed}\n`);
    const next = seeded(seed);
    const random = (below: number): number => Math.floor(next() * below);
    const mixed = claimed.map((job) => ({ job, at: random(1e6) })).sort((x, y) => x.at - y.at);
    const groups: ClaimedJob[][] = [];
    while (mixed.length > 0) groups.push(mixed.splice(0, 1 + random(4)).map(({ job }) => job));
    const end = async (group: ClaimedJob[]): Promise<void> => {
      if (group.length === 1 && group[0]) return completeIn(group[0]);
      await jobs.plinth.asWorker({}, (tx) =>
        settleJobs(
          tx,
          group.map(({ tenant_id, id, run_id }) => ({ tenant_id, id, run_id, outcome: 'completed' as const })),
        ),
      );
    };
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let group = groups.pop(); group; group = groups.pop()) await end(group);
      }),
    );
    await jobs.checkGates();
    const { rows } = await jobs.database.admin.query(`select causation_id, count(*)::int as n from plinth_jobs.jobs where kind = 'on.complete' group by 1`);
    expect(rows.length).toBe(batches);
    expect(rows.every((row) => row.n === 1)).toBe(true);
    expect((await jobs.database.admin.query(`select 1 from plinth_jobs.gates where finished_at is null or failed > 0`)).rowCount).toBe(0);
  });
});
