/** Why a job does not run: a test for each cause; and how deep the queues are. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import { errorCode } from '#testing/error-code.ts';
import { pagesOf } from '#testing/pages.ts';
import { queueDepths } from './depths.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { LimitsSteps } from './limits.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import { pauseJobs } from './limits.ts';
import { limitsApi } from './limits-api.ts';
import { announceKinds, registerWorker } from './work.ts';

let jobs: JobsFixture;
let limits: LimitsSteps;
beforeAll(async () => {
  jobs = await jobsFixture('job_explain');
  limits = limitsSteps(jobs);
});
afterAll(() => jobs.database.drop());
beforeEach(async () => {
  await limits.clear();
  await jobs.database.admin.query('delete from plinth_jobs.kinds');
  await jobs.plinth.asWorker({}, async (tx) => {
    await announceKinds(tx, [{ kind: 'k', summary: 's', max_attempts: 3, timeout_ms: 5 }]);
    await registerWorker(tx, { id: 'w', name: 'w', leaseMs: 60_000, kinds: ['k'] });
  });
});

const caller = (who: { tenantId?: string; operator?: boolean }, scopes = ['jobs.*']) => {
  const { tenantId, operator = false } = who;
  const actor = { type: operator ? 'operator' : 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator },
    correlationId: jobs.plinth.newId(),
    adapters: {},
    run: (call, body) => {
      if (!operator) return jobs.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body);
      return call.type === 'query' ? jobs.plinth.asReader({ actor }, body) : jobs.plinth.asWorker({ actor }, body);
    },
  };
  return createCaller(router(limitsApi))(context);
};
const explain = (id: string) => caller({ tenantId: jobs.a }).explain({ id });
const causes = async (id: string) => (await explain(id)).obstacles.map((obstacle) => obstacle.cause);

describe('a job waits because', () => {
  test('nothing holds it but those before it', async () => {
    await limits.fill(jobs.a, 3);
    await limits.fill(jobs.b, 3);
    const id = await jobs.enqueue(jobs.a, 'k');
    expect(await explain(id)).toMatchObject({
      status: 'pending',
      obstacles: [],
      ahead: 3,
      ahead_capped: false,
      sentence: 'Nothing holds it: 3 jobs of its lane come before it.',
    });
    await limits.fill(jobs.a, 2000);
    expect(await explain(await jobs.enqueue(jobs.a, 'k'))).toMatchObject({ ahead: 1000, ahead_capped: true });
  });

  test('its time has not come, or it waits after an attempt', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { delayMs: 3_600_000 });
    const told = await explain(id);
    expect(told.obstacles).toMatchObject([{ cause: 'scheduled' }]);
    expect(new Date(told.expected_at ?? 0).getTime()).toBe(
      (await jobs.read(jobs.a, id))?.run_at && new Date((await jobs.read(jobs.a, id))?.run_at as Date).getTime(),
    );
    const failing = await jobs.enqueue(jobs.a, 'k');
    await jobs.settle(await jobs.claimOne(), 'failed', { error: 'no route', delay_ms: 60_000 });
    expect((await explain(failing)).obstacles).toMatchObject([{ cause: 'backoff', sentence: 'It waits after attempt 1.', detail: { error: 'no route' } }]);
  });

  test('it is paused: which pause, why, until when', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { queue: 'mail' });
    const { id: pauseId } = await caller({ tenantId: jobs.a }).pauses.pause({ reason: 'server down', queue: 'mail', for_ms: 60_000 });
    const told = await explain(id);
    expect(told.obstacles).toMatchObject([
      { cause: 'paused', sentence: 'It is paused by ada: server down', detail: { pause_id: pauseId, queue: 'mail', reason: 'server down' } },
    ]);
    expect(told.expected_at).toBe(told.obstacles[0]?.until);
    await jobs.plinth.asWorker({}, (tx) => pauseJobs(tx, { reason: 'migration' }));
    const both = await explain(id);
    expect(both.obstacles.map((obstacle) => obstacle.sentence)).toEqual([
      'It is paused by ada: server down',
      'All tenants are paused by an operator: migration',
    ]);
    expect(both.expected_at).toBeUndefined();
  });

  test('a cap is reached: which, and how many run', async () => {
    await limits.set(jobs.a, { per: 'tenant', queue: 'mail', maxRunning: 2 });
    await limits.fill(jobs.a, 5, { queue: 'mail' });
    await jobs.claim(5);
    const id = await jobs.enqueue(jobs.a, 'k', {}, { queue: 'mail' });
    expect(await explain(id)).toMatchObject({
      sentence: '2 of 2 jobs run that may run at once for the tenant in queue mail.',
      obstacles: [{ cause: 'cap', detail: { per: 'tenant', queue: 'mail', running: 2, max_running: 2 } }],
      ahead: 3,
    });
  });

  test('a rate is used up: until when', async () => {
    await limits.set(jobs.a, { per: 'tenant', rate: 1, period: '1 hour' });
    await limits.fill(jobs.a, 1);
    await jobs.claim(5);
    const id = await jobs.enqueue(jobs.a, 'k');
    const told = await explain(id);
    expect(told.obstacles).toMatchObject([{ cause: 'rate', detail: { per: 'tenant', seconds_between_starts: 3600, burst: 1 } }]);
    expect(told.expected_at).toBe(told.obstacles[0]?.until);
  });

  test('under a rate those before it go first, at its pace', async () => {
    await limits.set(jobs.a, { per: 'tenant', rate: 1, period: '1 hour' });
    await limits.fill(jobs.a, 1);
    await jobs.claim(5);
    await limits.fill(jobs.a, 2);
    const told = await explain(await jobs.enqueue(jobs.a, 'k'));
    expect(told).toMatchObject({ ahead: 2, obstacles: [{ cause: 'rate' }] });
    expect(new Date(told.expected_at ?? 0).getTime() - new Date(told.obstacles[0]?.until ?? 0).getTime()).toBe(2 * 3_600_000);
  });

  test('both halves of a limit hold it', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 1, rate: 1, period: '1 hour' });
    await limits.fill(jobs.a, 1);
    await jobs.claim(5);
    const told = await explain(await jobs.enqueue(jobs.a, 'k'));
    expect(told.obstacles.map(({ cause, until }) => [cause, until !== undefined])).toEqual([
      ['cap', false],
      ['rate', true],
    ]);
    expect(told.expected_at).toBeUndefined();
  });

  test('no worker handles its kind, or none is alive', async () => {
    expect((await explain(await jobs.enqueue(jobs.a, 'unheard of'))).obstacles).toMatchObject([
      { cause: 'no_worker', sentence: 'No worker has ever announced a handler for unheard of.' },
    ]);
    await jobs.falls('w');
    expect((await explain(await jobs.enqueue(jobs.a, 'k'))).obstacles).toMatchObject([{ cause: 'no_worker', sentence: 'No worker is alive.' }]);
  });

  test('no worker that is alive handles its kind, or takes from its queue', async () => {
    await jobs.falls('w');
    await jobs.plinth.asWorker({}, async (tx) => {
      await announceKinds(tx, [{ kind: 'other', summary: 's', max_attempts: 3, timeout_ms: 5 }]);
      await registerWorker(tx, { id: 'x#1', name: 'x', leaseMs: 60_000, kinds: ['other'] });
      await registerWorker(tx, { id: 'y#1', name: 'y', leaseMs: 60_000, kinds: ['k'], queues: ['mail'] });
    });
    expect(await causes(await jobs.enqueue(jobs.a, 'other'))).toEqual([]);
    expect(await causes(await jobs.enqueue(jobs.a, 'k', {}, { queue: 'mail' }))).toEqual([]);
    const id = await jobs.enqueue(jobs.a, 'k');
    expect((await explain(id)).obstacles).toMatchObject([
      { cause: 'no_worker', sentence: 'No worker that handles k and is alive takes jobs of queue default.', detail: { kind: 'k', queue: 'default' } },
    ]);
    await jobs.falls('y#1');
    expect((await explain(id)).obstacles).toMatchObject([{ cause: 'no_worker', sentence: 'No worker that is alive has a handler for k.' }]);
  });

  test('a worker that has SQL alone takes other kinds, or from other queues: it is known by what it claims', async () => {
    const claims = (kinds: string[], queues: string[]) =>
      jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
        tx.query(`select from plinth_jobs.claim('ruby-1', 1, interval '1 minute', $1, $2)`, [kinds, queues]),
      );
    const delayed = (kind: string, queue: string) => jobs.enqueue(jobs.a, kind, {}, { queue, delayMs: 60_000 });
    await claims(['receipt'], ['paper']);
    expect(await causes(await delayed('receipt', 'paper'))).toEqual(['scheduled']);
    expect(await causes(await delayed('letter', 'paper'))).toEqual(['scheduled', 'no_worker']);
    expect(await causes(await delayed('receipt', 'mail'))).toEqual(['scheduled', 'no_worker']);
    await claims(['letter'], ['mail']);
    expect(await causes(await delayed('receipt', 'paper'))).toEqual(['scheduled']);
    expect(await causes(await delayed('letter', 'mail'))).toEqual(['scheduled']);
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(`select from plinth_jobs.claim('ruby-1', 1, interval '1 minute')`));
    expect(await causes(await delayed('anything', 'anywhere'))).toEqual(['scheduled']);
  });

  test('those that are alive claim for another tenant alone', async () => {
    await jobs.falls('w');
    await jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query(`select plinth_jobs.beat('w')`));
    expect((await explain(await jobs.enqueue(jobs.a, 'k'))).obstacles).toMatchObject([{ cause: 'no_worker', sentence: 'No worker is alive.' }]);
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(`select plinth_jobs.beat('w')`));
    expect(await causes(await jobs.enqueue(jobs.a, 'k'))).toEqual([]);
  });

  test('its deadline comes before what holds it ends', async () => {
    const id = await jobs.enqueue(jobs.a, 'k', {}, { queue: 'mail', deadline: new Date(Date.now() + 60_000) });
    await caller({ tenantId: jobs.a }).pauses.pause({ reason: 'server down', queue: 'mail', for_ms: 3_600_000 });
    const told = await explain(id);
    expect(told.sentence).toBe('Its deadline comes before what holds it ends: it will fail unrun.');
    expect(told.obstacles.map((obstacle) => obstacle.cause)).toEqual(['deadline', 'paused']);
    expect(told.expected_at).toBeUndefined();
  });

  test('its deadline has passed, or comes before its time', async () => {
    const deadline = new Date(Date.now() + 60_000);
    const late = await jobs.enqueue(jobs.a, 'k', {}, { deadline: new Date(Date.now() - 60_000) });
    expect(await explain(late)).toMatchObject({
      obstacles: [{ cause: 'deadline' }],
      sentence: 'Its deadline has passed: the worker that takes it fails it unrun.',
    });
    expect(await causes(await jobs.enqueue(jobs.a, 'k', {}, { deadline, delayMs: 120_000 }))).toEqual(['deadline', 'scheduled']);
    expect(await causes(await jobs.enqueue(jobs.a, 'k', {}, { deadline }))).toEqual([]);
  });

  test('it depends on a job that has not ended', async () => {
    const first = await jobs.enqueue(jobs.a, 'k');
    const id = await jobs.enqueue(jobs.a, 'k', {}, { dependsOn: [first] });
    expect(await explain(id)).toMatchObject({
      status: 'scheduled',
      sentence: 'It waits for 1 job to end.',
      obstacles: [{ cause: 'dependency', detail: { job_ids: [first] } }],
    });
    await jobs.settle(await jobs.claimOne(), 'completed');
    expect((await explain(id)).obstacles).toEqual([]);
  });

  test('several things at once are all named', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 1 });
    await limits.fill(jobs.a, 1);
    await jobs.claim(1);
    await caller({ tenantId: jobs.a }).pauses.pause({ reason: 'why', job_type: 'other' });
    await caller({ tenantId: jobs.a }).pauses.pause({ reason: 'why', job_type: 'k' });
    expect(await causes(await jobs.enqueue(jobs.a, 'k', {}, { delayMs: 60_000 }))).toEqual(['scheduled', 'paused', 'cap']);
  });
});

test('a job that runs or is over is told of as well; those of others are not found', async () => {
  const id = await jobs.enqueue(jobs.a, 'k');
  const job = await jobs.claimOne();
  expect(await explain(id)).toMatchObject({ status: 'processing', sentence: 'It runs.', obstacles: [], worker: { name: 'w' } });
  await jobs.falls('w');
  expect((await explain(id)).sentence).toMatch(/no sign of life/);
  await jobs.settle(job, 'completed');
  const told = await explain(id);
  expect(told).toMatchObject({ status: 'completed', sentence: 'It has completed.' });
  expect(told.ahead).toBeUndefined();
  expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.b }, (tx) => tx.query('select plinth.explain_job($1)', [id])))).toBe('jobs_job_not_found');
});

test('a job that was taken by UPDATE is said to be in the hands of who took it', async () => {
  const id = await jobs.enqueue(jobs.a, 'k');
  await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => tx.query(`update plinth.background_jobs set status = 'processing' where id = $1`, [id]));
  const told = await explain(id);
  expect(told.sentence).toBe('A program took it by UPDATE of plinth.background_jobs, which has to end it: it is never taken back.');
  expect(told.worker).toBeUndefined();
});

describe('depths', () => {
  test('tell how many wait and since when, counted to 1,000, of the tenant alone', async () => {
    await limits.fill(jobs.a, 1500);
    await limits.fill(jobs.a, 3, { queue: 'mail', priority: 1, keys: 3, key: 'x' });
    await limits.fill(jobs.b, 2, { queue: 'mail' });
    await jobs.database.admin.query(`update plinth_jobs.jobs_ready set run_at = run_at - interval '1 hour' where queue = 'mail'`);
    const { queues } = await caller({ tenantId: jobs.a }).queues({});
    expect(queues).toMatchObject([
      { queue: 'default', priority: 5, waiting: 1000, capped: true },
      { queue: 'mail', priority: 1, waiting: 3, capped: false },
    ]);
    expect(queues[1]?.oldest_wait_ms).toBeGreaterThan(3_599_000);
    expect(queues[0]?.oldest_wait_ms).toBeLessThan(600_000);
    const all = await jobs.plinth.asWorker({}, (tx) => tx.query('select queue, tenant_id, waiting from plinth_jobs.queue_depths(p_queues => $1)', [['mail']]));
    expect(all).toHaveLength(2);
  });

  test('are told of the deepest queues and of those in which somebody has waited longest', async () => {
    for (const [queue, count] of [
      ['deep', 5],
      ['deeper', 6],
      ['old', 1],
      ['older', 1],
    ] as const)
      await limits.fill(jobs.a, count, { queue });
    await jobs.database.admin.query(`update plinth_jobs.jobs_ready set run_at = run_at - interval '1 hour' * length(queue) where queue like 'old%'`);
    const told = async (limit: number) => (await jobs.plinth.asWorker({}, (tx) => queueDepths(tx, limit))).map(({ queue }) => queue).sort();
    expect(await told(2)).toEqual(['deeper', 'older']);
    expect(await told(4)).toEqual(['deep', 'deeper', 'old', 'older']);
  });

  test('are told of every queue, however many tenants wait in those before it, and cost a tenant nothing of theirs', async () => {
    const pages = () => pagesOf(jobs.database, { role: 'plinth_app', tenantId: jobs.a }, 'select * from plinth_jobs.queue_depths()');
    await limits.fill(jobs.a, 2, { queue: 'z' });
    const alone = await pages();
    await jobs.database.admin.query(
      `insert into plinth_jobs.jobs_ready_0 (tenant_id, kind, queue, slot) select gen_random_uuid(), 'k', 'a', 0 from generate_series(1, 1100) n`,
    );
    const depths = await jobs.plinth.asWorker({}, (tx) => queueDepths(tx, 10));
    expect(depths.map(({ queue, waiting }) => [queue, waiting])).toEqual([
      ['a', 1100],
      ['z', 2],
    ]);
    expect((await pages()) - alone).toBeLessThan(100);
  });
});

describe('the API', () => {
  test('sets, lists and removes limits and pauses of the tenant', async () => {
    const a = caller({ tenantId: jobs.a });
    const { id } = await a.limits.set({ per: 'tenant', max_running: 3, rate: 60, rate_period_ms: 60_000, burst: 5, reason: 'small' });
    await limits.fill(jobs.a, 2);
    await jobs.claim(2);
    expect((await a.limits.list()).limits).toMatchObject([
      { id, per: 'tenant', max_running: 3, running: 2, rate: 60, rate_period_ms: 60_000, burst: 5, source: 'tenant', reason: 'small', set_by: 'ada' },
    ]);
    expect((await caller({ tenantId: jobs.b }).limits.list()).limits).toEqual([]);
    await a.limits.remove({ id });
    expect((await a.limits.list()).limits).toEqual([]);
    const paused = await a.pauses.pause({ reason: 'why', queue: 'mail' });
    await a.pauses.resume({ id: paused.id, reason: 'done' });
    const again = await a.pauses.again({ id: paused.id });
    expect((await a.pauses.list()).pauses.map((one) => [one.id, one.status, one.queue])).toEqual([
      [again.id, 'active', 'mail'],
      [paused.id, 'resumed', 'mail'],
    ]);
  });

  test('asks for a permission of its own, and for an operator outside the tenant', async () => {
    const refused = (promise: Promise<unknown>) =>
      promise.then(
        () => 'allowed',
        (error: { message: string }) => error.message,
      );
    expect(await refused(caller({ tenantId: jobs.a }, ['jobs.read', 'jobs.write']).pauses.pause({ reason: 'why' }))).toMatch(/jobs\.limits/);
    expect(await refused(caller({ tenantId: jobs.a }).installation.pause({ reason: 'why' }))).not.toBe('allowed');
  });

  test('lets operators limit, weigh and pause one tenant or all', async () => {
    const operator = caller({ operator: true });
    const queue = await operator.installation.setLimit({ per: 'queue', queue: 'mail', max_running: 4 });
    await operator.installation.setLimit({ per: 'tenant', max_running: 2, tenant_id: jobs.a });
    await operator.installation.setWeight({ tenant_id: jobs.b, weight: 2 });
    const paused = await operator.installation.pause({ reason: 'abuse', tenant_id: jobs.b });
    await limits.fill(jobs.a, 9, { queue: 'mail' });
    await limits.fill(jobs.b, 9, { queue: 'mail' });
    expect(await jobs.claim(50)).toHaveLength(2);
    await operator.installation.resume({ id: paused.id, tenant_id: jobs.b });
    expect((await limits.lanes()).map((lane) => [lane.weight, lane.room])).toEqual([[2, 2]]);
    expect(await jobs.claim(50)).toHaveLength(2);
    await operator.installation.removeLimit({ id: queue.id });
    expect(await jobs.claim(50)).toHaveLength(7);
    const { rows } = await jobs.database.admin.query(
      `select tenant_id, action from plinth_audit.entries where action like 'job%' and actor_type = 'operator' order by id`,
    );
    expect(rows.map((row) => [row.tenant_id === jobs.b ? 'b' : row.tenant_id === jobs.a ? 'a' : 'all', row.action])).toEqual([
      ['all', 'job_limit.set'],
      ['a', 'job_limit.set'],
      ['b', 'job_weight.set'],
      ['b', 'jobs.paused'],
      ['b', 'jobs.resumed'],
      ['all', 'job_limit.removed'],
    ]);
  });
});
