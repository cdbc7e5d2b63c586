/** What becomes of attempts that fail: waits, poison, dead letters run again by the thousand, waiting jobs moved. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture, Options } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { redriveJob } from './redrive.ts';
import { announceKinds } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_retries');
});
afterAll(() => jobs.database.drop());
beforeEach(async () => {
  await jobs.clear();
  await jobs.database.admin.query(`delete from plinth_jobs.kinds where kind = 'k'`);
});

const query = <Row = Record<string, unknown>>(text: string, values: unknown[] = [], tenantId = jobs.a) =>
  jobs.plinth.transaction({ tenantId }, (tx) => tx.query<Row>(text, values));
/** Waits after each failed attempt, s; the last entry is the status at the end. */
async function waits(options: Options): Promise<(number | string)[]> {
  const id = await jobs.enqueue(jobs.a, 'k', {}, options);
  const seen: (number | string)[] = [];
  for (;;) {
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
    const row = await jobs.read(jobs.a, id);
    if (row?.status !== 'scheduled') return [...seen, String(row?.status)];
    seen.push(Math.round(row.waits_s));
    await jobs.makeDue(id);
  }
}
const dead = async (count: number, options: Options = {}, tenantId = jobs.a): Promise<string[]> => {
  const ids = await jobs.plinth.transaction({ tenantId }, async (tx) =>
    tx.jobs.enqueueMany(Array.from({ length: count }, (_, n) => ({ kind: 'k', payload: { n }, ...options }))),
  );
  for (let claimed = await jobs.claim(500); claimed.length > 0; claimed = await jobs.claim(500)) {
    await Promise.all(claimed.map((job) => jobs.settle(job, 'failed', { error: `boom ${job.payload.n}`, final: true })));
  }
  return ids;
};

describe('waits between attempts', () => {
  test('of a job: a list whose last one repeats, an exponential, none', async () => {
    expect(await waits({ maxAttempts: 4, backoff: [10, 60] })).toEqual([10, 60, 60, 'failed']);
    expect(await waits({ maxAttempts: 5, backoff: { baseS: 100, mostS: 400, jitter: 0 } })).toEqual([100, 200, 400, 400, 'failed']);
    expect(await waits({ maxAttempts: 5, backoff: 'none' })).toEqual(['failed']);
    expect(await errorCode(jobs.enqueue(jobs.a, 'k', {}, { backoff: [] }))).toBe('jobs_job_invalid');
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.retry_policies')).rowCount).toBe(3);
    for (const { id } of (await jobs.database.admin.query<{ id: string }>('select id from plinth_jobs.jobs')).rows)
      await query('select plinth.cancel_job($1)', [id]);
  });

  test('of a kind, which a job of it may overrule, and a handler both', async () => {
    await jobs.plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'k', summary: 's', max_attempts: 3, timeout_ms: 1, backoff: [30] }]));
    expect(await waits({})).toEqual([30, 30, 'failed']);
    expect(await waits({ backoff: [5] })).toEqual([5, 5, 'failed']);
    await jobs.plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'k', summary: 's', max_attempts: 3, timeout_ms: 1, backoff: 'none' }]));
    expect(await waits({})).toEqual(['failed']);
    const id = await jobs.enqueue(jobs.a, 'k');
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'later', delay_ms: 60_000 });
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled' });
    await jobs.plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'k', summary: 's', max_attempts: 3, timeout_ms: 1 }]));
  });

  test('policies of jobs that have completed are forgotten', async () => {
    await jobs.enqueue(jobs.a, 'k', {}, { backoff: [1] });
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.retry_policies')).rowCount).toBe(0);
  });
});

describe('poison', () => {
  /** A worker dies with all there is. */
  const loses = async (): Promise<void> => {
    await jobs.database.admin.query(`update plinth_jobs.jobs set run_at = clock_timestamp() where status = 'scheduled'`);
    expect((await jobs.claim(50, ['k'], 60_000)).length).toBeGreaterThan(0);
    await jobs.falls('w');
    await jobs.recover();
  };

  test('a job whose worker died under it three times in a row is given up, with attempts left', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { maxAttempts: 20 });
    await loses();
    await loses();
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled' });
    await jobs.makeDue(id);
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no', delay_ms: 0 });
    await jobs.makeDue(id);
    await loses();
    await loses();
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled', attempts: 5 });
    await loses();
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'failed', attempts: 6, error: 'lease expired, 3 times in a row: it seems to end its worker' });
  });

  test('those that were lost together twice come again one by one', async () => {
    const ids = await Promise.all(Array.from({ length: 30 }, () => jobs.enqueue(jobs.a, 'k')));
    const waits = async () => (await Promise.all(ids.map((id) => jobs.read(jobs.a, id)))).map((job) => [job?.status, job?.waits_s] as const);
    await loses();
    expect((await waits()).map(([status]) => status)).toEqual(ids.map(() => 'pending'));
    await loses();
    const spread = await waits();
    expect(spread.map(([status]) => status)).toEqual(ids.map(() => 'scheduled'));
    const seconds = spread.map(([, wait]) => wait ?? 0);
    // By chance over eight seconds: that thirty of them are all within four has a chance of one to many millions.
    expect(Math.max(...seconds) - Math.min(...seconds)).toBeGreaterThan(4);
    expect(Math.max(...seconds)).toBeLessThanOrEqual(8);
  });

  test('the kind says how often', async () => {
    await jobs.plinth.asWorker({}, (tx) => announceKinds(tx, [{ kind: 'k', summary: 's', max_attempts: 9, timeout_ms: 1, max_lost: 1 }]));
    const id = await jobs.enqueue(jobs.a, 'k');
    await loses();
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'failed', attempts: 1 });
  });
});

describe('redrive', () => {
  interface Page {
    redriven: number;
    skipped: number;
    last_id: string;
    next_run_at: Date | null;
    more: boolean;
  }
  const page = (filter: object, more = '', values: unknown[] = [], tenantId = jobs.a) =>
    query<Page>(
      `select redriven::int as redriven, skipped::int as skipped, last_id, next_run_at, more from plinth.redrive_jobs($1${more})`,
      [JSON.stringify(filter), ...values],
      tenantId,
    );

  test("takes what meets the filter, after a preview, and no other tenant's", async () => {
    await dead(12);
    await dead(2, { queue: 'other' });
    await dead(3, {}, jobs.b);
    const [preview] = await query(`select * from plinth.preview_redrive('{"error": "BOOM 1", "queue": "default"}', 2)`);
    expect(preview).toMatchObject({ matching: '3', capped: false, sample: [{ error: 'boom 1', job_type: 'k' }, { error: 'boom 10' }] });
    expect(await page({ error: 'BOOM 1', queue: 'default' })).toMatchObject([{ redriven: 3, skipped: 0, more: false }]);
    expect(await page({ kind: 'other' })).toMatchObject([{ redriven: 0 }]);
    expect(await page({ failed_before: '2020-01-01T00:00:00Z' })).toMatchObject([{ redriven: 0 }]);
    expect(await page({ failed_after: '2020-01-01T00:00:00Z', queue: 'other' })).toMatchObject([{ redriven: 2 }]);
    expect((await jobs.claim(50)).length).toBe(5);
    expect(await errorCode(page({ knd: 'k' }))).toBe('jobs_filter_invalid');
    const { rows } = await jobs.database.admin.query(`select tenant_id, metadata from plinth_audit.entries where action = 'jobs.redriven' order by id`);
    expect(rows).toMatchObject([{ tenant_id: jobs.a, metadata: { jobs: 3, filter: { error: 'BOOM 1' } } }, { metadata: { jobs: 2 } }]);
  });

  test('with another payload, spread over time, page by page, without those whose key is taken', async () => {
    const ids = await dead(7);
    const [held] = await dead(1, { uniqueKey: 'u' });
    await jobs.enqueue(jobs.a, 'taken', {}, { uniqueKey: 'u' });
    const blocker = await jobs.enqueue(jobs.a, 'k', {}, { uniqueKey: 'u', delayMs: 3_600_000 });
    const [first] = await page({}, `, p_limit := 4, p_payload := '{"edited": true}', p_per_second := 0.5`);
    expect(first).toMatchObject({ redriven: 4, skipped: 0, more: true, last_id: ids[3] });
    const [second] = await page({}, `, p_limit := 4, p_payload := '{"edited": true}', p_per_second := 0.5, p_after := $2, p_run_at := $3`, [
      first?.last_id,
      first?.next_run_at,
    ]);
    expect(second).toMatchObject({ redriven: 3, skipped: 1, more: true });
    const rows = await query<{ run_at: Date }>('select run_at from plinth.background_jobs where id = any ($1) order by id', [ids]);
    const [firstAt = 0, ...othersAt] = rows.map(({ run_at }) => run_at.getTime());
    expect(othersAt.map((at) => at - firstAt)).toEqual([2_000, 4_000, 6_000, 8_000, 10_000, 12_000]);
    expect(new Date(first?.next_run_at ?? 0).getTime() - firstAt).toBe(8_000);
    expect(await jobs.read(jobs.a, ids[6] ?? '')).toMatchObject({ payload: { edited: true } });
    expect(await jobs.read(jobs.a, held ?? '')).toMatchObject({ status: 'failed' });
    await query('select plinth.cancel_job($1)', [blocker]);
    expect(await page({}, ', p_cancel := true')).toMatchObject([{ redriven: 1 }]);
    expect(await jobs.read(jobs.a, held ?? '')).toMatchObject({ status: 'cancelled' });
  });

  test('a rate that is no rate is refused by name', async () => {
    for (const wrong of ['0', '-1', 'NaN', 'Infinity', '5e-324'])
      expect(await errorCode(query(`select * from plinth.redrive_jobs(p_per_second := $1)`, [wrong])), wrong).toBe('jobs_job_invalid');
  });

  test('as a job: 2,500 in pages, with progress', async () => {
    await dead(2500);
    const notes: string[] = [];
    const transactions: number[] = [];
    const plinth = jobs.plinth as unknown as Plinth<ModuleMap>;
    const result = await redriveJob.handler({
      payload: { filter: { kind: 'k' }, per_second: 100_000 },
      signal: new AbortController().signal,
      progress: async (_percent: number, note?: string) => void notes.push(note ?? ''),
      transaction: (body: Parameters<typeof plinth.transaction>[1]) => {
        transactions.push(1);
        return plinth.transaction({ tenantId: jobs.a }, body);
      },
    } as unknown as Parameters<typeof redriveJob.handler>[0]);
    expect(result).toEqual({ redriven: 2500, skipped: 0 });
    expect(notes).toEqual(['1000 done, 0 skipped', '2000 done, 0 skipped', '2500 done, 0 skipped']);
    expect((await jobs.database.admin.query(`select 1 from plinth_jobs.jobs where status in ('pending', 'scheduled')`)).rowCount).toBe(2500);
  });

  test('one dead letter runs again with another payload, later', async () => {
    const [id = ''] = await dead(1);
    await query(`select plinth.retry_job($1, 2, '{"fixed": 1}', now() + interval '1 minute')`, [id]);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled', payload: { fixed: 1 }, max_attempts: 3 });
    const [other = ''] = await dead(1);
    expect(await errorCode(query(`select plinth.retry_job($1, 2, '[]')`, [other]))).toBe('jobs_job_invalid');
  });
});

test('a waiting job gets another time and priority, one that runs does not', async () => {
  const id = await jobs.enqueue(jobs.a, 'k', { n: 1 }, { delayMs: 60_000 });
  const move = (runAt: string | null, priority: number | null, tenantId = jobs.a) =>
    query('select plinth.reschedule_job($1, $2, $3)', [id, runAt, priority], tenantId);
  await move(null, 3);
  expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled', priority: 3, payload: { n: 1 } });
  await move('2020-01-01', null);
  expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'pending', priority: 3 });
  await move('2120-01-01', 1);
  expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'scheduled', priority: 1 });
  expect(await errorCode(move(null, 1, jobs.b))).toBe('jobs_job_not_found');
  expect(await errorCode(move(null, 101))).toBe('jobs_job_invalid');
  await move('2020-01-01', null);
  expect((await jobs.claimOne()).priority).toBe(1);
  expect(await errorCode(move(null, 2))).toBe('jobs_not_waiting');
});
