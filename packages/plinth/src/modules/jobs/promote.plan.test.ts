/** What becomes due is found without walking past what was promoted before, which stays in its index for as long as a snapshot is held. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { promoteJobs } from './work.ts';

const MANY = 30_000;

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('jobs_promote_plan');
});
afterAll(() => jobs.database.drop());

const promote = (): Promise<number> => jobs.plinth.asWorker({}, (tx) => promoteJobs(tx, 10_000));

/** Pages of a promotion, and how many jobs it found. Of two in one session the second: the first reads the catalogue too. */
const looked = (): Promise<number> =>
  jobs.plinth.asWorker({}, async (tx) => {
    await promoteJobs(tx, 10);
    const [row] = await tx.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
      'explain (analyze, buffers, format json) select plinth_jobs.promote(10)',
    );
    const plan = row?.['QUERY PLAN'][0].Plan;
    return (plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0);
  });

test('under a held snapshot; and what is committed long after its time is found all the same', { timeout: 60_000 }, async () => {
  const { a, b, database } = jobs;
  const { admin } = database;
  const holder = await admin.connect();
  await holder.query('begin isolation level repeatable read; select from plinth_jobs.jobs');
  try {
    await admin.query(
      `insert into plinth_jobs.jobs_scheduled (tenant_id, kind, status, run_at)
       select $1, 'k', 'scheduled', clock_timestamp() - interval '5 minutes' - n * interval '1 millisecond' from generate_series(1, ${MANY}) n`,
      [a],
    );
    let promoted = 0;
    for (let some = await promote(); some > 0; some = await promote()) promoted += some;
    expect(promoted).toBe(MANY);
    expect(await looked()).toBeLessThan(100);

    const due = await jobs.enqueue(b, 'k', {}, { delayMs: 60_000 });
    await jobs.makeDue(due);
    expect(await promote()).toBe(1);
    const late = await jobs.enqueue(b, 'k', {}, { delayMs: 60_000 });
    await admin.query(`update plinth_jobs.jobs set run_at = clock_timestamp() - interval '1 hour' where id = $1`, [late]);
    // Ten seconds later.
    await admin.query(`select setval('plinth_jobs.promoted_at', floor(extract(epoch from now()))::bigint - 11)`);
    expect(await promote()).toBe(1);
    expect(await Promise.all([due, late].map(async (id) => (await jobs.read(b, id))?.status))).toEqual(['pending', 'pending']);
  } finally {
    await holder.query('rollback');
    holder.release();
  }
});
