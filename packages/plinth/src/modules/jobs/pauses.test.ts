/** Pauses: by queue, kind, tenant and key, with a reason, a person and an end. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { LimitsSteps } from './limits.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { JobPause } from './limits.ts';
import { nextRoomInMs, pauseJobs, resumeJobs } from './limits.ts';

let jobs: JobsFixture;
let limits: LimitsSteps;
beforeAll(async () => {
  jobs = await jobsFixture('job_pauses');
  limits = limitsSteps(jobs);
});
afterAll(() => jobs.database.drop());
beforeEach(() => limits.clear());

const actor = { type: 'user', id: 'ada' } as const;
const pause = (tenantId: string, wish: Partial<JobPause>) => jobs.plinth.transaction({ tenantId, actor }, (tx) => pauseJobs(tx, { reason: 'why', ...wish }));
const resume = (tenantId: string, id: string) => jobs.plinth.transaction({ tenantId, actor }, (tx) => resumeJobs(tx, id));
const names = (claimed: readonly { tenant_id: string; queue: string; kind: string; concurrency_key: string }[]) =>
  [...new Set(claimed.map((job) => `${job.tenant_id === jobs.a ? 'a' : 'b'} ${job.queue} ${job.kind} ${job.concurrency_key}`))].sort();
const ALL_A = ['a default j ', 'a default k ', 'a default k x', 'a mail k '];
const fillAll = async () => {
  await limits.fill(jobs.a, 2);
  await limits.fill(jobs.a, 2, { kind: 'j' });
  await limits.fill(jobs.a, 2, { key: 'x' });
  await limits.fill(jobs.a, 2, { queue: 'mail' });
  await limits.fill(jobs.b, 2);
};

describe('a pause', () => {
  test.each([
    [{}, []],
    [{ queue: 'mail' }, ALL_A.filter((name) => !name.includes('mail'))],
    [{ kind: 'k' }, ['a default j ']],
    [{ key: 'x' }, ALL_A.filter((name) => !name.endsWith('x'))],
    [{ queue: 'default', kind: 'j' }, ALL_A.filter((name) => !name.includes(' j '))],
    [{ queue: 'mail', kind: 'j' }, ALL_A],
  ] as const)('of %o stops that, of its tenant, and nothing else; resumed it goes on', async (wish, left) => {
    await fillAll();
    const id = await pause(jobs.a, wish);
    expect(names(await jobs.claim(50, ['k', 'j']))).toEqual([...left, 'b default k '].sort());
    await resume(jobs.a, id);
    expect(names(await jobs.claim(50, ['k', 'j']))).toEqual(ALL_A.filter((name) => !(left as readonly string[]).includes(name)));
  });

  test('by an operator stops a queue of all tenants, or everything', async () => {
    await fillAll();
    const queue = await jobs.plinth.asWorker({}, (tx) => pauseJobs(tx, { reason: 'the provider is down', queue: 'default' }));
    expect(names(await jobs.claim(50))).toEqual(['a mail k ']);
    const all = await jobs.plinth.asWorker({}, (tx) => pauseJobs(tx, { reason: 'migration' }));
    await limits.fill(jobs.a, 1, { queue: 'other' });
    expect(await limits.lanes()).toEqual([]);
    await jobs.plinth.asWorker({}, (tx) => resumeJobs(tx, queue));
    expect(await jobs.claim(50)).toEqual([]);
    await jobs.plinth.asWorker({}, (tx) => resumeJobs(tx, all));
    expect(names(await jobs.claim(50))).toEqual(['a default k ', 'a default k x', 'a other k ', 'b default k ']);
  });

  test('of a key that more tenants have than a look sees hides no job behind them', async () => {
    await jobs.database.admin.query(
      `insert into plinth_jobs.jobs_ready (tenant_id, kind, queue, concurrency_key) select gen_random_uuid(), 'k', 'bulk', 'x' from generate_series(1, 1200)`,
    );
    await limits.fill(jobs.a, 1, { queue: 'mail' });
    await jobs.plinth.asWorker({}, (tx) => pauseJobs(tx, { reason: 'the provider is down', key: 'x' }));
    expect(await limits.lanes()).toMatchObject([{ queue: 'mail' }]);
    expect(names(await jobs.claim(5))).toEqual(['a mail k ']);
  });

  test('with an end ends by itself, and workers can ask when', async () => {
    await limits.fill(jobs.a, 1);
    await pause(jobs.a, { forMs: 3_600_000 });
    const inMs = (await jobs.plinth.asWorker({}, (tx) => nextRoomInMs(tx))) ?? 0;
    expect(inMs).toBeGreaterThan(3_590_000);
    expect(await jobs.claim(5)).toEqual([]);
    await jobs.database.admin.query(`update plinth_jobs.pauses set ends_at = clock_timestamp()`);
    expect(await jobs.claim(5)).toHaveLength(1);
  });

  test('is shown with its reason and by whom, is audited, and is resumed only by its tenant', async () => {
    const id = await pause(jobs.a, { reason: 'their server is down', queue: 'mail' });
    expect(await errorCode(resume(jobs.b, id))).toBe('jobs_pause_not_found');
    await resume(jobs.a, id);
    expect(await errorCode(resume(jobs.a, id))).toBe('jobs_pause_not_found');
    const read = (tenantId: string) =>
      jobs.plinth.transaction({ tenantId }, (tx) => tx.query('select status, queue, job_type, reason, source, paused_by, resumed_by from plinth.job_pauses'));
    expect(await read(jobs.a)).toEqual([
      { status: 'resumed', queue: 'mail', job_type: null, reason: 'their server is down', source: 'tenant', paused_by: 'ada', resumed_by: 'ada' },
    ]);
    expect(await read(jobs.b)).toEqual([]);
    const audit = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query('select action, actor_id, reason from plinth_audit.entries where entity_id = $1 order by id', [id]),
    );
    expect(audit).toEqual([
      { action: 'jobs.paused', actor_id: 'ada', reason: 'their server is down' },
      { action: 'jobs.resumed', actor_id: 'ada', reason: null },
    ]);
  });

  test('of an operator cannot be ended by the tenant that it stops', async () => {
    const id = await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => pauseJobs(tx, { reason: 'abuse' }));
    expect(await errorCode(resume(jobs.a, id))).toBe('jobs_pause_not_found');
    await limits.fill(jobs.a, 1);
    await limits.fill(jobs.b, 1);
    expect(names(await jobs.claim(5))).toEqual(['b default k ']);
  });

  test.each([[{ reason: ' ' }], [{ queue: '' }], [{ kind: 'k'.repeat(201) }], [{ forMs: 0 }]] as const)('with %o is refused', async (wish) => {
    expect(await errorCode(pause(jobs.a, wish))).toBe('jobs_limit_invalid');
  });
});
