/** Caps: how many jobs run at once, of a queue, a tenant, a key; exact with many claimers and after crashes. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { LaneRow, LimitsSteps } from './limits.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { ClaimedJob } from './work.ts';

let jobs: JobsFixture;
let limits: LimitsSteps;
beforeAll(async () => {
  jobs = await jobsFixture('job_limits');
  limits = limitsSteps(jobs);
});
afterAll(() => jobs.database.drop());
beforeEach(() => limits.clear());

const tenantsOf = (claimed: readonly { tenant_id: string }[]) =>
  claimed
    .map((job) => (job.tenant_id === jobs.a ? 'a' : 'b'))
    .sort()
    .join('');

describe('caps', () => {
  test('a tenant at its cap waits, in all queues together, and delays nobody', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 3 });
    await limits.fill(jobs.a, 20, { queue: 'mail' });
    await limits.fill(jobs.a, 20, { queue: 'other' });
    await limits.fill(jobs.b, 5, { queue: 'mail' });
    const first = await jobs.claim(50);
    expect(tenantsOf(first)).toBe('aaabbbbb');
    expect(await jobs.claim(50)).toEqual([]);
    const held = first.find((job) => job.tenant_id === jobs.a);
    if (!held) throw new Error('nothing of a');
    await jobs.settle(held, 'completed');
    expect(await jobs.claim(50)).toHaveLength(1);
  });

  test.each(['completed', 'failed', 'cancelled', 'snoozed', 'returned'] as const)('the place of an attempt that ends as %s is free again', async (outcome) => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 1 });
    await limits.fill(jobs.a, 3);
    const [one] = await jobs.claim(5);
    if (!one) throw new Error('nothing');
    expect(await jobs.claim(5)).toEqual([]);
    await jobs.settle(one, outcome, { delay_ms: 60_000 });
    expect(await jobs.claim(5)).toHaveLength(1);
    expect(await limits.holds()).toBe(1);
  });

  test('a dead worker gives its places back', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 2 });
    await limits.fill(jobs.a, 4);
    expect(await jobs.claim(5, ['k'], 15_000, 'dies')).toHaveLength(2);
    expect(await jobs.claim(5)).toEqual([]);
    await jobs.falls('dies');
    expect(await jobs.recover()).toBe(2);
    expect(await jobs.claim(5)).toHaveLength(2);
  });

  test('a key with cap 1 is serial, each key for itself; jobs without a key are not counted', async () => {
    await limits.set(jobs.a, { per: 'key', maxRunning: 1 });
    await limits.fill(jobs.a, 3, { key: 'x' });
    await limits.fill(jobs.a, 3, { key: 'y' });
    await limits.fill(jobs.a, 3);
    expect((await jobs.claim(50)).map((job) => job.concurrency_key).sort()).toEqual(['', '', '', 'x', 'y']);
  });

  test('keys and queues that look alike together are told apart', async () => {
    await limits.set(jobs.a, { per: 'key', queue: 'a/b', maxRunning: 1 });
    await limits.set(jobs.a, { per: 'key', queue: 'a', maxRunning: 1 });
    await limits.fill(jobs.a, 3, { queue: 'a/b', key: 'c' });
    await limits.fill(jobs.a, 3, { queue: 'a', key: 'b/c' });
    expect(await jobs.claim(50)).toHaveLength(2);
    expect(await limits.lanes()).toEqual([]);
  });

  test('a tenant with thousands of keys leaves the others their lanes, and all its keys get their turn', async () => {
    await limits.fill(jobs.a, 3000, { keys: 3000, key: 'customer:' });
    await limits.fill(jobs.b, 1);
    await limits.fill(jobs.b, 1, { queue: 'z' });
    const seen = new Set<string>();
    for (const limited of [false, true]) {
      if (limited) await limits.set(jobs.a, { per: 'key', maxRunning: 1 });
      for (let look = 0; look < 60; look += 1) {
        const lanes = await limits.lanes();
        expect(lanes.filter((lane) => lane.tenant_id === jobs.a).length).toBeLessThanOrEqual(256);
        expect(lanes.filter((lane) => lane.tenant_id === jobs.b)).toHaveLength(2);
        for (const lane of lanes) seen.add(lane.concurrency_key);
      }
      expect(seen.size).toBeGreaterThan(1000);
      seen.clear();
    }
    // Keys at their cap take no place.
    const busy = (await limits.lanes()).filter((lane) => lane.tenant_id === jobs.a).slice(0, 100);
    await limits.fill(jobs.a, 3000, { keys: 3000, key: 'customer:' });
    expect(await limits.claimTurns('w', 500, busy, 1)).toHaveLength(100);
    const left = (await limits.lanes()).filter((lane) => lane.tenant_id === jobs.a);
    expect(left.length).toBeGreaterThanOrEqual(128);
    expect(left.filter((lane) => busy.some((one) => one.concurrency_key === lane.concurrency_key))).toEqual([]);
  });

  test('a key that has a limit of its own goes by it', async () => {
    await limits.set(jobs.a, { per: 'key', maxRunning: 1 });
    await limits.set(jobs.a, { per: 'key', maxRunning: 2, key: 'x' });
    await limits.fill(jobs.a, 5, { key: 'x' });
    await limits.fill(jobs.a, 5, { key: 'y' });
    expect((await jobs.claim(50)).map((job) => job.concurrency_key).sort()).toEqual(['x', 'x', 'y']);
  });

  test('a queue over all tenants, tenants in a queue, and both at once', async () => {
    await limits.setForAll({ per: 'queue', queue: 'mail', maxRunning: 5 });
    await limits.setForAll({ per: 'tenant', queue: 'mail', maxRunning: 4 });
    await limits.fill(jobs.a, 20, { queue: 'mail' });
    await limits.fill(jobs.b, 20, { queue: 'mail' });
    await limits.fill(jobs.b, 7, { queue: 'free' });
    const claimed = await jobs.claim(100);
    expect(claimed.filter((job) => job.queue === 'mail')).toHaveLength(5);
    expect(claimed.filter((job) => job.queue === 'free')).toHaveLength(7);
    expect(claimed.filter((job) => job.queue === 'mail' && job.tenant_id === jobs.a).length).toBeLessThanOrEqual(4);
  });

  test('an operator gives a tenant another cap than all have; the one that the tenant sets for itself holds as well', async () => {
    await limits.setForAll({ per: 'tenant', maxRunning: 2 });
    await limits.setFor(jobs.a, { per: 'tenant', maxRunning: 6 });
    await limits.fill(jobs.a, 10);
    await limits.fill(jobs.b, 10);
    expect(tenantsOf(await jobs.claim(50))).toBe('aaaaaabb');
    await limits.set(jobs.b, { per: 'tenant', maxRunning: 1 });
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 100 });
    expect(await jobs.claim(50)).toEqual([]);
  });

  test('what one lane of a scope does not use is left to the next', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 5 });
    await limits.fill(jobs.a, 1, { priority: 1 });
    await limits.fill(jobs.a, 10, { priority: 2 });
    expect((await limits.claimTurns('w', 50, await limits.lanes(), 50)).map((job) => job.priority)).toEqual([1, 2, 2, 2, 2]);
  });

  test('hold for a tenant that claims its own jobs, and it takes none of others', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 2 });
    await limits.fill(jobs.a, 5);
    await limits.fill(jobs.b, 5);
    const claimed = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query<{ tenant_id: string }>(
        `select c.* from plinth_jobs.claim_lanes('mine', 50, null, '{default,default}', '{5,5}', array[$1, $2]::uuid[], '{"",""}', '{0,0}', '{50,50}') c`,
        [jobs.a, jobs.b],
      ),
    );
    expect(tenantsOf(claimed)).toBe('aa');
    expect(tenantsOf(await jobs.claim(50))).toBe('bbbbb');
  });

  test('lanes come in pages that leave out none, with and without limits', async () => {
    await limits.fill(jobs.a, 7, { keys: 7, key: 'k' });
    await limits.fill(jobs.b, 3, { keys: 3, key: 'k' });
    await limits.fill(jobs.b, 1, { queue: 'z', priority: 1 });
    const page = (after: readonly unknown[]) =>
      jobs.plinth.asWorker({}, (tx) => tx.query<LaneRow>('select * from plinth_jobs.lanes(null, 3, $1, $2, $3, $4)', [...after]));
    for (const limited of [false, true]) {
      if (limited) await limits.set(jobs.a, { per: 'tenant', maxRunning: 100 });
      const seen: LaneRow[] = [];
      for (let found = await page([null, null, null, null]); found.length > 0; ) {
        seen.push(...found);
        const last = found.at(-1);
        found = await page([last?.queue, last?.priority, last?.tenant_id, last?.concurrency_key]);
      }
      expect(seen).toEqual(await limits.lanes());
      expect(seen).toHaveLength(11);
    }
  });

  test('a claim of few shares by tenant, not by the number of its keys', async () => {
    await limits.fill(jobs.a, 2_000, { keys: 200 });
    await limits.fill(jobs.b, 200);
    const taken = { a: 0, b: 0 };
    for (let round = 0; round < 60; round += 1) for (const job of await jobs.claim(2)) taken[job.tenant_id === jobs.a ? 'a' : 'b'] += 1;
    // Half of 120 by chance, from which 30 is more than five deviations away; by lanes it would be one.
    expect(taken.b).toBeGreaterThan(30);
    expect(taken.a).toBeGreaterThan(30);
  });

  test('more lanes than a claim looks at hide none', async () => {
    await jobs.database.admin.query(
      `insert into plinth_jobs.jobs_ready (tenant_id, kind, queue) select t, 'k', 'bulk' from (select gen_random_uuid() as t from generate_series(1, 1200)) t, generate_series(1, 10)`,
    );
    await limits.fill(jobs.a, 1, { queue: 'mail', priority: 1 });
    let rounds = 0;
    // One in three looks, by chance; a thousand that see nothing have none.
    for (let seen = false; !seen; rounds += 1) {
      expect(rounds).toBeLessThan(1_000);
      seen = (await jobs.claim(1)).some((job) => job.queue === 'mail');
    }
  });

  test('setting a cap locks no job of others, nor those that it does not count', async () => {
    await limits.fill(jobs.a, 1);
    await limits.fill(jobs.a, 1, { queue: 'other' });
    await limits.fill(jobs.b, 1);
    const running = await jobs.claim(3);
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query(`select plinth.set_job_limit('tenant', p_max_running := 1, p_queue := 'other')`);
      for (const job of running) if (job.tenant_id === jobs.b || job.queue === 'default') expect(await jobs.settle(job, 'completed')).toBe(true);
    });
    expect(await limits.holds()).toBe(1);
  });

  test('what was claimed while the transaction that sets a cap was open is counted by upkeep, however long it was open', async () => {
    await limits.fill(jobs.a, 10);
    let early: ClaimedJob[] = [];
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query(`select plinth.set_job_limit('tenant', p_max_running := 3)`);
      early = await jobs.claim(5);
      // Upkeep that does not see the limit yet must not take it for counted.
      await limits.tidy(1_000_000);
    });
    expect(early).toHaveLength(5);
    await limits.tidy(1_000_000);
    expect(await jobs.claim(5)).toEqual([]);
    const ended = early.slice(0, 3);
    for (const job of ended) await jobs.settle(job, 'completed');
    expect(await jobs.claim(5)).toHaveLength(1);
  });

  test('a job that somebody had locked when the cap was set is counted by the next upkeep', async () => {
    await limits.fill(jobs.a, 3);
    const [job] = await jobs.claim(1);
    await jobs.plinth.transaction({ tenantId: jobs.a }, async (tx) => {
      await tx.query('select plinth_jobs.report_progress($1, $2, 50)', [job?.id, job?.run_id]);
      await limits.set(jobs.a, { per: 'tenant', maxRunning: 1 });
    });
    await limits.tidy(1_000_000);
    expect(await jobs.claim(5)).toEqual([]);
  });

  test('the cap that comes back when an exception is removed counts what ran under the exception', async () => {
    await limits.setForAll({ per: 'tenant', maxRunning: 2 });
    const exception = await limits.setFor(jobs.a, { per: 'tenant', rate: 1_000, burst: 1_000 });
    await limits.fill(jobs.a, 10);
    expect(await jobs.claim(6)).toHaveLength(6);
    await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => tx.query('select plinth.remove_job_limit($1)', [exception]));
    expect(await jobs.claim(6)).toEqual([]);
    expect(await limits.holds()).toBe(6);
  });

  test('the cap of one key that comes back when the exception of a tenant for each key is removed counts what ran under the exception', async () => {
    await limits.setForAll({ per: 'key', key: 'x', maxRunning: 2 });
    const exception = await limits.setFor(jobs.a, { per: 'key', rate: 1_000, burst: 1_000 });
    await limits.fill(jobs.a, 10, { key: 'x' });
    expect(await jobs.claim(6)).toHaveLength(6);
    await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => tx.query('select plinth.remove_job_limit($1)', [exception]));
    expect(await jobs.claim(6)).toEqual([]);
    expect(await limits.holds()).toBe(6);
  });

  test('a limit counts what runs already', async () => {
    await limits.fill(jobs.a, 10);
    const before = await jobs.claim(4);
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 5 });
    expect(await jobs.claim(50)).toHaveLength(1);
    for (const job of before) await jobs.settle(job, 'completed');
    expect(await jobs.claim(50)).toHaveLength(4);
  });

  test('the place of an attempt that SQL of others ended is found free by upkeep', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 1 });
    await limits.fill(jobs.a, 2);
    const [job] = await jobs.claim(5);
    await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query(`update plinth.background_jobs set status = 'completed', finished_at = now() where id = $1`, [job?.id]),
    );
    expect(await jobs.claim(5)).toEqual([]);
    expect(await limits.tidy(1_000_000)).toBe(1);
    expect(await jobs.claim(5)).toHaveLength(1);
  });

  test('upkeep empties what has grown and keeps what is held', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 5, rate: 1000 });
    await limits.fill(jobs.a, 10);
    expect(await jobs.claim(4)).toHaveLength(4);
    const size = () => jobs.database.admin.query(`select pg_relation_filenode('plinth_jobs.holds') as node`).then(({ rows }) => rows[0].node);
    const before = await size();
    await limits.tidy(0);
    expect(await size()).not.toBe(before);
    expect(await limits.holds()).toBe(4);
    expect(await jobs.claim(50)).toHaveLength(1);
  });

  test('a claim in an older snapshot is refused where a cap is counted', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 1 });
    await limits.fill(jobs.a, 2);
    const client = new pg.Client({ connectionString: jobs.database.serverUrl });
    await client.connect();
    await client.query('begin isolation level repeatable read; set local role plinth_worker');
    const error = await client.query(`select * from plinth_jobs.claim('w', 5)`).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'PL409', detail: '{"code":"jobs_claim_isolation"}' });
    await client.end();
  });
});

describe('setting limits', () => {
  test('a tenant limits only itself, sees only its own, and what it does is in its audit log', async () => {
    const id = await limits.set(jobs.a, { per: 'tenant', maxRunning: 3, reason: 'their database is small' });
    expect(await limits.set(jobs.a, { per: 'tenant', maxRunning: 4 })).toBe(id);
    expect(await errorCode(limits.remove(jobs.b, id))).toBe('jobs_limit_not_found');
    expect(await errorCode(limits.set(jobs.a, { per: 'queue', queue: 'mail', maxRunning: 3 }))).toBe('jobs_limit_invalid');
    const audit = await jobs.plinth.transaction({ tenantId: jobs.a }, (tx) =>
      tx.query(`select action, reason, after ->> 'max_running' as cap from plinth_audit.entries where entity_id = $1 order by id`, [id]),
    );
    expect(audit).toEqual([
      { action: 'job_limit.set', reason: 'their database is small', cap: '3' },
      { action: 'job_limit.set', reason: null, cap: '4' },
    ]);
    await limits.remove(jobs.a, id);
    await limits.fill(jobs.a, 10);
    expect(await jobs.claim(50)).toHaveLength(10);
  });

  test('a tenant cannot remove what an operator has set for it', async () => {
    const id = await limits.setFor(jobs.a, { per: 'tenant', maxRunning: 3 });
    expect(await errorCode(limits.remove(jobs.a, id))).toBe('jobs_limit_not_found');
  });

  test.each([
    [{ per: 'planet', maxRunning: 1 }],
    [{ per: 'tenant' }],
    [{ per: 'tenant', maxRunning: 0 }],
    [{ per: 'tenant', rate: 5, period: '0.1 seconds' }],
    [{ per: 'tenant', key: 'x', maxRunning: 1 }],
    [{ per: 'tenant', queue: 'q'.repeat(101), maxRunning: 1 }],
  ])('refuses %o', async (wish) => {
    expect(await errorCode(limits.set(jobs.a, wish))).toBe('jobs_limit_invalid');
  });
});
