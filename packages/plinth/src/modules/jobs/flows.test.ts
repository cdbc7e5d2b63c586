/** Flows: jobs that wait for others, whatever becomes of those and whenever. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { dependenciesOf } from './batches.ts';
import type { JobsFixture, Options } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { ClaimedJob } from './work.ts';

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_flows');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const status = async (id: string) => (await jobs.read(jobs.a, id))?.status;
const after = (dependsOn: string[], options: Options = {}) => jobs.enqueue(jobs.a, 'k', {}, { dependsOn, ...options });
const cancel = (id: string) => jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.cancel_job($1)', [id]));
const waiting = async (): Promise<number> => (await jobs.database.admin.query(`select 1 from plinth_jobs.jobs where run_at = 'infinity'`)).rowCount ?? 0;

describe('a job that depends on others', () => {
  test('waits as scheduled, runs when the last of them has completed, and reads their results', async () => {
    const [one, two, last] = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      const first = tx.jobs.enqueue('k', { n: 1 });
      const second = tx.jobs.enqueue('k', { n: 2 });
      return [first, second, tx.jobs.enqueue('k', { n: 3 }, { dependsOn: [first, second, first], priority: 1 })] as const;
    });
    expect(await jobs.read(jobs.a, last)).toMatchObject({ status: 'scheduled', run_at: Number.POSITIVE_INFINITY });
    for (const [id, result] of [
      [one, { rows: 1 }],
      [two, { rows: 2 }],
    ] as const) {
      expect(await status(last)).toBe('scheduled');
      await jobs.settle(await jobs.claimOne(), 'completed', { result });
      expect(await status(id)).toBe('completed');
    }
    expect((await jobs.claimOne()).id).toBe(last);
    const results = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => dependenciesOf(tx, last));
    expect(results).toMatchObject([
      { depends_on: one, job_type: 'k', status: 'completed', result: { rows: 1 } },
      { depends_on: two, status: 'completed', result: { rows: 2 } },
    ]);
    expect(await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => dependenciesOf(tx, last))).toEqual([]);
  });

  test('of an earlier transaction: waiting, running, ended before, or not there', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const whileWaiting = await after([first]);
    const job = await jobs.claimOne();
    const whileRunning = await after([first]);
    await jobs.settle(job, 'completed');
    const whenOver = await after([first]);
    for (const id of [whileWaiting, whileRunning, whenOver]) expect(await status(id)).toBe('pending');
    expect(await errorCode(after([jobs.plinth.newId()]))).toBe('jobs_dependency_not_found');
    expect(await errorCode(jobs.enqueue(jobs.b, 'k', {}, { dependsOn: [first] }))).toBe('jobs_dependency_not_found');
    const own = jobs.plinth.newId();
    const circle = [{ job_type: 'k', id: own, depends_on: [own] }];
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.schedule_jobs($1)', [JSON.stringify(circle)])))).toBe(
      'jobs_dependency_not_found',
    );
  });

  test('fails with one that failed or was cancelled, and takes its own dependents along', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const second = await after([first]);
    const chain = [await after([second], { uniqueKey: 'u' })];
    for (let n = 0; n < 20; n++) chain.push(await after([chain.at(-1) ?? '']));
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no', final: true });
    expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'failed', attempts: 0, error: `job ${first}, which it depends on, failed` });
    for (const id of chain) expect(await status(id)).toBe('failed');
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.unique_keys')).rowCount).toBe(0);
    const third = await jobs.enqueue(jobs.a, 'k');
    const fourth = await after([third]);
    await cancel(third);
    expect(await jobs.read(jobs.a, fourth)).toMatchObject({ status: 'failed', error: `job ${third}, which it depends on, was cancelled` });
    expect(await status(await after([third]))).toBe('failed');
    expect(await waiting()).toBe(0);
  });

  test('or ignores that, or runs at once', async () => {
    const [bad, good] = [await jobs.enqueue(jobs.a, 'k', {}, { priority: 1 }), await jobs.enqueue(jobs.a, 'k')];
    const ignores = await after([bad, good], { onDependencyFailure: 'ignore' });
    const runs = await after([bad, good], { onDependencyFailure: 'run' });
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no', final: true });
    expect(await status(ignores)).toBe('scheduled');
    expect(await status(runs)).toBe('pending');
    for (const job of await jobs.claim(10)) await jobs.settle(job, 'completed');
    expect(await status(ignores)).toBe('pending');
  });

  test('keeps its time, its cancellation and its place in a batch', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const later = await after([first], { delayMs: 3_600_000 });
    const moved = await after([first], { delayMs: 3_600_000 });
    const cancelled = await after([first]);
    const batch = await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) =>
      tx.jobs.batch({ onComplete: { kind: 'on.complete' } }, (add) => add('k', {}, { dependsOn: [first], onDependencyFailure: 'run' })),
    );
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(`select plinth.reschedule_job($1, now(), 2)`, [moved]));
    expect(await jobs.read(jobs.a, moved)).toMatchObject({ status: 'scheduled', priority: 2, run_at: Number.POSITIVE_INFINITY });
    await cancel(cancelled);
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect((await jobs.read(jobs.a, later))?.waits_s).toBeGreaterThan(3500);
    expect(await status(moved)).toBe('pending');
    expect(await status(cancelled)).toBe('cancelled');
    for (const job of await jobs.claim(10)) await jobs.settle(job, 'completed');
    const { rows } = await jobs.database.admin.query(`select payload -> 'batch' ->> 'id' as id from plinth_jobs.jobs where kind = 'on.complete'`);
    expect(rows).toEqual([{ id: batch }]);
  });

  test('whose last two dependencies complete at once runs all the same', async () => {
    const [one, two] = [await jobs.enqueue(jobs.a, 'k'), await jobs.enqueue(jobs.a, 'k')];
    const last = await after([one, two]);
    const [first, second] = await jobs.claim(10);
    if (!first || !second) throw new Error('two jobs are there');
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query('select plinth_jobs.complete_in($1, $2)', [first.id, first.run_id]);
      await jobs.settle(second, 'completed');
    });
    expect(await status(last)).toBe('scheduled');
    await jobs.checkGates();
    expect(await status(last)).toBe('pending');
  });

  test('and is itself waited for is looked at once when that is asked for, and not for as long as it waits', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const middle = await after([first]);
    await after([middle]);
    await jobs.database.admin.query('insert into plinth_jobs.gate_checks (tenant_id, gate_id) values ($1, $2)', [jobs.a, middle]);
    await jobs.checkGates();
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.gate_checks')).rowCount).toBe(0);
    expect(await waiting()).toBe(2);
  });

  test.each(['repeatable read', 'serializable'] as const)('runs also when that one ended under a snapshot from before (%s)', async (isolation) => {
    const [first, other] = [await jobs.enqueue(jobs.a, 'k'), await jobs.enqueue(jobs.a, 'other')];
    // It has a dependent already, so that another one need not write to it.
    await after([first, other]);
    const run = await jobs.claimOne();
    const late: string[] = [];
    const end = (id: string, how: string, values: unknown[]) =>
      jobs.plinth.transaction({ tenantId: jobs.a, isolation }, async (tx) => {
        await tx.query('select 1 from plinth.background_jobs');
        late.push(await after([id], { onDependencyFailure: 'ignore' }));
        await tx.query(how, values);
      });
    await end(first, 'select plinth_jobs.complete_in($1, $2)', [first, run.run_id]);
    await end(other, 'select plinth.cancel_job($1)', [other]);
    expect(await Promise.all(late.map(status))).toEqual(['scheduled', 'scheduled']);
    await jobs.checkGates();
    expect(await Promise.all(late.map(status))).toEqual(['pending', 'pending']);
    expect((await jobs.database.admin.query('select 1 from plinth_jobs.gate_parts where status is null')).rowCount).toBe(0);
  });
});

type Plan = { after: number[]; policy: 'fail' | 'ignore' | 'run'; end: 'completed' | 'failed' | 'cancelled'; later: boolean };
const plans = fc.array(
  fc.record({
    after: fc.array(fc.nat(50), { maxLength: 4 }),
    policy: fc.constantFrom('fail' as const, 'ignore' as const, 'run' as const),
    end: fc.constantFrom('completed' as const, 'completed' as const, 'failed' as const, 'cancelled' as const),
    later: fc.boolean(),
  }),
  { minLength: 2, maxLength: 24 },
);

/** What becomes of each job, whatever the order in which they end. */
function model(plan: readonly Plan[]): string[] {
  const ends: string[] = [];
  for (const [n, job] of plan.entries()) {
    const deps = n === 0 ? [] : job.after.map((d) => ends[d % n]);
    ends.push(job.policy === 'fail' && deps.some((end) => end !== 'completed') ? 'failed' : job.end);
  }
  return ends;
}

describe('a dead letter of a flow that runs again', () => {
  const query = <Row = Record<string, unknown>>(text: string, values: unknown[] = []) =>
    jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query<Row>(text, values));
  const retry = (id: string, withDependents = false) => query('select plinth.retry_job($1, p_with_dependents := $2)', [id, withDependents]);
  const redrive = async () => (await query('select redriven::int, skipped::int from plinth.redrive_jobs()'))[0];
  const fail = async (id: string): Promise<void> => {
    const job = await jobs.claimOne();
    expect(job.id).toBe(id);
    await jobs.settle(job, 'failed', { error: 'no', final: true });
  };
  const complete = async (id: string): Promise<void> => {
    const job = await jobs.claimOne();
    expect(job.id).toBe(id);
    await jobs.settle(job, 'completed');
  };
  const sentence = async (id: string) => (await query<{ e: { sentence: string } }>('select plinth.explain_job($1) as e', [id]))[0]?.e.sentence;

  test('waits again for what it depends on, also for what had failed before it was enqueued', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const second = await after([first]);
    await fail(first);
    const third = await after([second, first]);
    expect(await redrive()).toEqual({ redriven: 3, skipped: 0 });
    expect(await Promise.all([first, second, third].map(status))).toEqual(['pending', 'scheduled', 'scheduled']);
    await complete(first);
    await complete(second);
    await complete(third);
    expect(await waiting()).toBe(0);
  });

  test('is waited for once more by what ignores its failure and has not begun, because others are not over', async () => {
    const [first, other] = [await jobs.enqueue(jobs.a, 'k'), await jobs.enqueue(jobs.a, 'other')];
    const last = await after([first, other], { onDependencyFailure: 'ignore' });
    await fail(first);
    await redrive();
    await jobs.settle((await jobs.claim(1, ['other']))[0] as ClaimedJob, 'completed');
    expect(await status(last)).toBe('scheduled');
    await complete(first);
    expect(await status(last)).toBe('pending');
  });

  test('runs at once where it was to run when one of them failed, though others still wait', async () => {
    const [first, other] = [await jobs.enqueue(jobs.a, 'k'), await jobs.enqueue(jobs.a, 'other')];
    const last = await after([first, other], { onDependencyFailure: 'run', maxAttempts: 1 });
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no', final: true });
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no' });
    expect(await status(last)).toBe('failed');
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query('select plinth.retry_job($1)', [last]));
    expect(await status(last)).toBe('pending');
  });

  test('is not run before a dependency that is still a dead letter, and says which', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const second = await after([first]);
    await fail(first);
    expect(await sentence(second)).toMatch(`It failed with job ${first}, which it depends on`);
    expect(await errorCode(retry(second))).toBe('jobs_dependency_failed');
    expect(await status(second)).toBe('failed');
    await retry(first);
    await complete(first);
    expect(await status(second)).toBe('failed');
    expect(await sentence(second)).toMatch('plinth.retry_job runs it again');
    await retry(second);
    await complete(second);
  });

  test('takes along those that failed because of it, in their order, but for those that others hold back', async () => {
    const [first, other] = [await jobs.enqueue(jobs.a, 'k', {}, { priority: 1 }), await jobs.enqueue(jobs.a, 'k')];
    const second = await after([first]);
    const third = await after([first, second], { uniqueKey: 'u' });
    const held = await after([first, other]);
    const ignores = await after([first], { onDependencyFailure: 'ignore' });
    await fail(first);
    await fail(other);
    await complete(ignores);
    await retry(first, true);
    expect(await Promise.all([first, second, third, held].map(status))).toEqual(['pending', 'scheduled', 'scheduled', 'failed']);
    await complete(first);
    await complete(second);
    await complete(third);
    expect(await errorCode(retry(held))).toBe('jobs_dependency_failed');
    await retry(other, true);
    await complete(other);
    await complete(held);
  });

  test('fails once more with it, keeps its time, and is not put off for ever', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const second = await after([first]);
    await fail(first);
    await retry(first, true);
    await fail(first);
    expect(await jobs.read(jobs.a, second)).toMatchObject({ status: 'failed', error: `job ${first}, which it depends on, failed` });
    await retry(first);
    await query(`select plinth.retry_job($1, p_run_at := clock_timestamp() + interval '1 hour')`, [second]);
    await complete(first);
    expect((await jobs.read(jobs.a, second))?.waits_s).toBeGreaterThan(3500);
    expect(await errorCode(query(`select plinth.retry_job($1, p_run_at := 'infinity')`, [second]))).toBe('jobs_job_invalid');
    expect(await errorCode(query(`select plinth.redrive_jobs(p_run_at := 'infinity')`))).toBe('jobs_job_invalid');
    expect(await errorCode(query(`select plinth.schedule_job('k', p_run_at := 'infinity')`))).toBe('jobs_job_invalid');
  });
});

test('any flow ends as its model does: workers at once, dependents that come while their dependencies end', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      await jobs.clear();
      const ids: string[] = [];
      let enqueued = false;
      const work = async (): Promise<void> => {
        for (;;) {
          const claimed = await jobs.claim(3);
          if (claimed.length === 0) {
            await jobs.checkGates();
            const left = await jobs.database.admin.query(`select 1 from plinth_jobs.jobs where status in ('pending', 'processing', 'scheduled')`);
            if (enqueued && left.rowCount === 0) return;
          }
          await Promise.all(
            claimed.map((job: ClaimedJob) => jobs.settle(job, plan[Number(job.payload.n)]?.end ?? 'completed', { final: true, error: 'planned' })),
          );
        }
      };
      const working = Promise.all([work(), work(), work()]);
      const of = (n: number): string[] => (n === 0 ? [] : (plan[n]?.after ?? []).map((d) => ids[d % n] ?? ''));
      // Runs of jobs that are not `later` are enqueued in one transaction.
      for (let n = 0; n < plan.length; ) {
        let to = n + 1;
        while (to < plan.length && !plan[to]?.later) to++;
        await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
          for (; n < to; n++) ids[n] = tx.jobs.enqueue('k', { n }, { dependsOn: of(n), onDependencyFailure: plan[n]?.policy });
        });
      }
      enqueued = true;
      await working;
      const { rows } = await jobs.database.admin.query<{ id: string; status: string }>('select id, status from plinth_jobs.jobs');
      const found = new Map(rows.map((row) => [row.id, row.status]));
      expect(ids.map((id) => found.get(id))).toEqual(model(plan));
      expect((await jobs.database.admin.query('select 1 from plinth_jobs.gates where finished_at is null')).rowCount).toBe(0);
    }),
    { seed: drawnSeed(), numRuns: drawnRuns(25), verbose: 1 },
  );
}, 120_000);
