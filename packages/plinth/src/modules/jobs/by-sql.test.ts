/** Workers in other languages: a role that serves a tenant and has SQL alone takes jobs, and what it says wrong is named. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';

interface Taken {
  id: string;
  run_id: string;
  tenant_id: string;
}

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('jobs_by_sql');
});
afterAll(() => jobs.database.drop());
beforeEach(() => jobs.clear());

const sql = <Row>(text: string, values: unknown[] = []): Promise<Row[]> => jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query<Row>(text, values));
const take = async (limit = 1): Promise<Taken[]> => sql<Taken>(`select * from plinth_jobs.claim('ruby-1', $1, interval '1 minute', '{k}')`, [limit]);
const settle = (rows: unknown): Promise<{ run_id: string; status: string }[]> => sql('select * from plinth_jobs.settle($1::jsonb)', [JSON.stringify(rows)]);
/** A sign of life is written only when the last one has aged. */
const beat = async (): Promise<void> => {
  await jobs.database.admin.query(`update plinth_jobs.workers set beat_at = beat_at - interval '30 seconds'`);
  await sql(`select plinth_jobs.beat('ruby-1', interval '1 minute')`);
};
const claimsKept = async (): Promise<number> => Number((await jobs.database.admin.query('select count(*) as n from plinth_jobs.claims')).rows[0].n);

describe('a worker that has SQL alone', () => {
  test('takes jobs of its tenant only, and the work and its end commit together', async () => {
    const id = await jobs.enqueue(jobs.a, 'k');
    const other = await jobs.enqueue(jobs.b, 'k');
    const [job, ...more] = await take(10);
    expect([job?.id, more]).toEqual([id, []]);
    await sql(`select plinth_jobs.complete_in($1, $2, '{"sent": true}')`, [job?.id, job?.run_id]);
    expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'completed', result: { sent: true } });
    expect(await jobs.read(jobs.b, other)).toMatchObject({ status: 'pending' });
  });

  test('leaves nothing behind of claims that are over, however long it lives, and keeps those that are not', async () => {
    for (let n = 0; n < 6; n++) await jobs.enqueue(jobs.a, 'k', { n });
    const ended: Taken[] = [];
    for (let n = 0; n < 4; n++) ended.push(...(await take()));
    const both = await take(2);
    expect(await claimsKept()).toBe(5);
    for (const job of ended.slice(0, 3)) await sql('select plinth_jobs.complete_in($1, $2)', [job.id, job.run_id]);
    await settle([{ ...ended[3], outcome: 'failed', error: 'boom' }]);
    await settle([{ ...both[0], outcome: 'completed' }]);
    await beat();
    expect(await claimsKept()).toBe(1);

    await jobs.database.admin.query(`update plinth_jobs.workers set beat_at = clock_timestamp() - interval '1 hour'`);
    expect(await jobs.recover()).toBe(1);
    expect(await jobs.read(jobs.a, both[1]?.id ?? '')).toMatchObject({ status: 'pending', attempts: 1 });
  });

  test.each([
    ['an outcome that there is not', { outcome: 'complete' }, 'complete'],
    ['no outcome', {}, 'outcome'],
    ['no tenant', { outcome: 'completed', tenant_id: null }, 'tenant_id'],
    ['no tenant in a failure', { outcome: 'failed', tenant_id: null }, 'tenant_id'],
    ['no attempt', { outcome: 'failed', run_id: null }, 'run_id'],
  ])('is told of %s, instead of nothing', async (_what, given, named) => {
    const ids = [await jobs.enqueue(jobs.a, 'k'), await jobs.enqueue(jobs.a, 'k')];
    const [first, second] = await take(2);
    const failing = settle([
      { ...first, outcome: 'completed' },
      { ...second, ...given },
    ]);
    await expect(failing).rejects.toMatchObject({ code: 'jobs_settlement_invalid', status: 422, message: expect.stringMatching(`^Outcome 2 of 2 .*${named}`) });
    for (const id of ids) expect(await jobs.read(jobs.a, id)).toMatchObject({ status: 'processing' });
  });

  test('is told that outcomes are a list', async () => {
    await jobs.enqueue(jobs.a, 'k');
    const [job] = await take();
    expect(await errorCode(settle({ ...job, outcome: 'completed' }))).toBe('jobs_settlement_invalid');
    expect(await errorCode(settle(null))).toBe('jobs_settlement_invalid');
    expect(await settle([])).toEqual([]);
  });
});
