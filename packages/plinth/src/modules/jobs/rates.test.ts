/** Rates by the database's clock, weights, and what a lane in the way costs the others. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { LimitsSteps } from './limits.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import { nextRoomInMs, setJobWeight } from './limits.ts';

let jobs: JobsFixture;
let limits: LimitsSteps;
beforeAll(async () => {
  jobs = await jobsFixture('job_rates');
  limits = limitsSteps(jobs);
});
afterAll(() => jobs.database.drop());
beforeEach(() => limits.clear());

/** As if so many seconds had gone by. */
const later = (seconds: number) =>
  jobs.database.admin.query(`update plinth_jobs.rates set idle_at = idle_at - $1 * interval '1 second', next_at = next_at - $1 * interval '1 second'`, [
    seconds,
  ]);
const nextRoom = () => jobs.plinth.asWorker({}, (tx) => nextRoomInMs(tx));

describe('rates', () => {
  test('a burst at once, then one in each interval; a lane that has used its rate up is not looked at until then', async () => {
    await limits.set(jobs.a, { per: 'tenant', rate: 6, period: '1 hour', burst: 2 });
    await limits.fill(jobs.a, 20);
    await limits.fill(jobs.b, 3);
    expect(await nextRoom()).toBeUndefined();
    expect((await jobs.claim(50)).filter((job) => job.tenant_id === jobs.a)).toHaveLength(2);
    expect(await limits.lanes()).toEqual([]);
    expect(await nextRoom()).toBeGreaterThan(590_000);
    expect(await nextRoom()).toBeLessThanOrEqual(600_000);
    await later(500);
    expect(await jobs.claim(50)).toEqual([]);
    await later(101);
    expect((await limits.lanes()).map((lane) => lane.room)).toEqual([1]);
    expect(await jobs.claim(50)).toHaveLength(1);
    await later(7200);
    expect(await jobs.claim(50)).toHaveLength(2);
  });

  test('ending sets nothing free: a rate counts starts', async () => {
    await limits.set(jobs.a, { per: 'tenant', rate: 1, period: '1 hour' });
    await limits.fill(jobs.a, 5);
    for (const job of await jobs.claim(5)) await jobs.settle(job, 'completed');
    expect(await jobs.claim(5)).toEqual([]);
  });

  test('of a queue counts all tenants, of a key each key, and a burst defaults to what a second allows', async () => {
    await limits.setForAll({ per: 'queue', queue: 'sms', rate: 600, period: '1 minute' });
    await limits.fill(jobs.a, 20, { queue: 'sms' });
    await limits.fill(jobs.b, 20, { queue: 'sms' });
    expect(await limits.claimTurns('w', 100, await limits.lanes(), 100)).toHaveLength(10);
    await limits.set(jobs.a, { per: 'key', rate: 2, period: '1 hour', burst: 2 });
    await limits.fill(jobs.a, 5, { key: 'x' });
    await limits.fill(jobs.a, 5, { key: 'y' });
    expect((await limits.claimTurns('w', 100, await limits.lanes(), 100)).filter((job) => job.queue === 'default')).toHaveLength(4);
  });

  test('by four who claim at once no more start than the rate and the burst allow', async () => {
    await limits.set(jobs.a, { per: 'tenant', rate: 100, burst: 10 });
    await limits.fill(jobs.a, 2000);
    const starts: number[] = [];
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        // The burst and a second of the rate, which may take a slow machine longer.
        while (starts.length < 110) for (const job of await limits.claimTurns('w', 50, await limits.lanes(), 50)) starts.push(Number(job.started_at));
      }),
    );
    starts.sort((x, y) => x - y);
    // started_at has whole milliseconds here.
    for (let n = 0; n < starts.length; n += 1) {
      for (let m = n; m < starts.length; m += 1) expect(m - n + 1).toBeLessThanOrEqual(10 + ((starts[m] ?? 0) - (starts[n] ?? 0) + 2) / 10);
    }
  });

  test('a corrected rate holds from the next start on, whatever the old one had used up', async () => {
    const once = { per: 'tenant', rate: 1, period: '1 day' };
    const often = { per: 'tenant', rate: 3, period: '1 hour', burst: 3 };
    await limits.fill(jobs.a, 30);
    const id = await limits.set(jobs.a, once);
    expect(await jobs.claim(50)).toHaveLength(1);
    await limits.set(jobs.a, often);
    expect((await limits.lanes()).map((lane) => lane.room)).toEqual([3]);
    expect(await jobs.claim(50)).toHaveLength(3);
    expect(await jobs.claim(50)).toEqual([]);
    await limits.set(jobs.a, once);
    expect(await jobs.claim(50)).toEqual([]);
    await later(3_601);
    expect(await jobs.claim(50)).toHaveLength(1);
    await limits.remove(jobs.a, id);
    await limits.set(jobs.a, often);
    expect(await jobs.claim(50)).toHaveLength(3);
  });

  test('together with a cap both hold', async () => {
    await limits.set(jobs.a, { per: 'tenant', maxRunning: 3, rate: 5, period: '1 hour', burst: 5 });
    await limits.fill(jobs.a, 20);
    const first = await jobs.claim(50);
    expect(first).toHaveLength(3);
    for (const job of first) await jobs.settle(job, 'completed');
    expect(await jobs.claim(50)).toHaveLength(2);
    expect(await jobs.claim(50)).toEqual([]);
  });
});

describe('weights', () => {
  test('are told with the lanes, of a queue before of a tenant, and divide what is claimed', async () => {
    await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => setJobWeight(tx, 3, { reason: 'bigger plan' }));
    await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => setJobWeight(tx, 7, { queue: 'mail' }));
    await limits.fill(jobs.a, 50);
    await limits.fill(jobs.b, 50);
    await limits.fill(jobs.a, 1, { queue: 'mail', priority: 9 });
    expect((await limits.lanes()).map((lane) => [lane.queue, lane.tenant_id === jobs.a ? 'a' : 'b', lane.weight, lane.room]).sort()).toEqual([
      ['default', 'a', 3, null],
      ['default', 'b', 1, null],
      ['mail', 'a', 7, null],
    ]);
    const claimed = await jobs.claim(40);
    expect(claimed.filter((job) => job.tenant_id === jobs.a)).toHaveLength(30);
    await jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => setJobWeight(tx, undefined));
    expect((await limits.lanes()).find((lane) => lane.queue === 'default' && lane.tenant_id === jobs.a)?.weight).toBe(1);
  });

  test('are for operators', async () => {
    expect(await errorCode(jobs.plinth.transaction({ tenantId: jobs.a }, (tx) => setJobWeight(tx, 3)))).toBe('kernel_forbidden');
    expect(await errorCode(jobs.plinth.asWorker({ tenantId: jobs.a }, (tx) => setJobWeight(tx, 1001)))).toBe('jobs_limit_invalid');
  });
});

describe('a tenant at its cap with a large backlog', () => {
  test('costs a claim and a look for lanes no more pages than one with a small backlog, also with a lane for each job', async () => {
    const client = await jobs.database.admin.connect();
    const pages = async (text: string): Promise<number> => {
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(`explain (analyze, buffers, format json) ${text}`);
      const plan = rows[0]?.['QUERY PLAN'][0].Plan;
      return (plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0);
    };
    const look = async () => {
      await pages('select * from plinth_jobs.lanes()');
      const found = await pages('select * from plinth_jobs.lanes()');
      const asked = `select * from plinth_jobs.claim_lanes('w', 10, null, '{default}', '{5}', '{${jobs.a}}', '{""}', '{0}', '{10}')`;
      await pages(asked);
      return { found, claimed: await pages(asked) };
    };
    try {
      await limits.set(jobs.a, { per: 'tenant', maxRunning: 2 });
      await limits.fill(jobs.a, 3);
      await limits.fill(jobs.b, 1);
      expect(await jobs.claim(3)).toHaveLength(3);
      const small = await look();
      await limits.fill(jobs.a, 50_000);
      await limits.fill(jobs.a, 20_000, { queue: 'keyed', keys: 20_000, key: 'k' });
      expect(await limits.lanes()).toEqual([]);
      const large = await look();
      expect(large.claimed).toBeLessThanOrEqual(small.claimed + 2);
      // The index is a level or two deeper, in one queue more.
      expect(large.found).toBeLessThanOrEqual(small.found + 30);
    } finally {
      client.release();
    }
  });
});
