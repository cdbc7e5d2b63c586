/**
 * Caps against a model: eight claimers at once, attempts that end in every way, workers that die. PLINTH_CAP_CLAIMS=1000000 for the long
 * run, PLINTH_SEED to repeat one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import type { LimitsSteps } from './limits.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { ClaimedJob, Settlement } from './work.ts';
import { recoverJobs, registerWorker, settleJobs } from './work.ts';

const CLAIMS = Number(process.env.PLINTH_CAP_CLAIMS ?? 10_000);
const SEED = drawnSeed();
const CLAIMERS = 8;
/** Caps are the numbers below times this: small ones make every claim fight for a place, large ones get through more claims. */
const SCALE = CLAIMS > 20_000 ? 5 : 1;
/** So many are enqueued at a time, when half of those before are used up: in a long run the ring turns under them. */
const PORTION = Math.min(CLAIMS, 20_000);

let jobs: JobsFixture;
let limits: LimitsSteps;
beforeAll(async () => {
  jobs = await jobsFixture('cap_model');
  limits = limitsSteps(jobs);
});
afterAll(() => jobs.database.drop());

/** Which caps a job counts under, worked out apart from the SQL. */
const capsOf = (job: ClaimedJob): [string, number][] => [
  ...(job.queue === 'bounded' ? [['queue bounded', 60 * SCALE] as [string, number]] : []),
  [`tenant ${job.tenant_id}`, (job.tenant_id === jobs.a ? 90 : 70) * SCALE],
  ...(job.queue === 'bounded' ? [[`tenant ${job.tenant_id} in bounded`, 40 * SCALE] as [string, number]] : []),
  ...(job.concurrency_key === '' ? [] : [[`key ${job.tenant_id} ${job.concurrency_key}`, (job.concurrency_key === '3' ? 5 : 2) * SCALE] as [string, number]]),
];

test(`caps are never exceeded in ${CLAIMS} claims by ${CLAIMERS} claimers that also die (seed ${SEED})`, { timeout: 60_000 + CLAIMS * 3 }, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  await limits.setForAll({ per: 'queue', queue: 'bounded', maxRunning: 60 * SCALE });
  await limits.setForAll({ per: 'tenant', maxRunning: 70 * SCALE });
  await limits.setFor(jobs.a, { per: 'tenant', maxRunning: 90 * SCALE });
  await limits.setForAll({ per: 'tenant', queue: 'bounded', maxRunning: 40 * SCALE });
  for (const tenantId of [jobs.a, jobs.b]) {
    await limits.set(tenantId, { per: 'key', maxRunning: 2 * SCALE });
    await limits.set(tenantId, { per: 'key', maxRunning: 5 * SCALE, key: '3' });
  }

  const running = new Map<string, number>();
  const most = new Map<string, number>();
  const count = (job: ClaimedJob, step: number): void => {
    for (const [scope, cap] of capsOf(job)) {
      const now = (running.get(scope) ?? 0) + step;
      running.set(scope, now);
      most.set(scope, Math.max(most.get(scope) ?? 0, now));
      if (now > cap) throw new Error(`${scope}: ${now} run, the cap is ${cap} (seed ${SEED})`);
    }
  };
  let claimed = 0;
  let put = 0;
  let deaths = 0;
  const enqueueMore = async (): Promise<void> => {
    if (put >= CLAIMS || put - claimed > PORTION / 2) return;
    put += PORTION;
    await jobs.database.admin.query(
      `insert into plinth_jobs.jobs_ready (slot, tenant_id, kind, queue, priority, concurrency_key, max_attempts)
       select (select last_value from plinth_jobs.open_slot), t, 'k', case n % 3 when 0 then 'bounded' else 'open' end, 1 + n % 2, case when n % 5 < 2 then '' else (n % 23)::text end, 1000
       from unnest($1::uuid[]) t, generate_series(1, $2::integer) n`,
      [[jobs.a, jobs.b], PORTION / 2],
    );
  };
  const open = new Map<string, number>();
  /** Claims of which these are the last jobs. */
  const closed = (ending: readonly ClaimedJob[]): string[] =>
    [...new Set(ending.map((job) => job.claim_id))].filter((id) => {
      const left = (open.get(id) ?? 0) - ending.filter((job) => job.claim_id === id).length;
      open.set(id, left);
      return left === 0;
    });

  const settleAll = async (held: readonly ClaimedJob[]): Promise<void> => {
    for (const job of held) count(job, -1);
    await jobs.plinth.asWorker({}, (tx) =>
      settleJobs(
        tx,
        held.map((job) => ({ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome: 'completed' })),
      ),
    );
  };

  const claimer = async (n: number): Promise<void> => {
    let worker = `w${n}`;
    let mine: ClaimedJob[] = [];
    const register = () => jobs.plinth.asWorker({}, (tx) => registerWorker(tx, { id: worker, name: 'w', leaseMs: 3_600_000 }));
    await register();
    for (let idle = 0; claimed < CLAIMS && idle < 2_000; ) {
      await enqueueMore();
      const lanes = await limits.lanes();
      for (const lane of lanes) if (lane.room !== null && lane.room < 1) throw new Error(`a lane without room is offered (seed ${SEED})`);
      const from = lanes.length > 0 ? random(lanes.length) : 0;
      const taken = await limits.claimTurns(worker, 100 * SCALE, [...lanes.slice(from), ...lanes.slice(0, from)], 1 + random(40));
      claimed += taken.length;
      idle = taken.length > 0 ? 0 : idle + 1;
      for (const job of taken) count(job, 1);
      if (taken[0]) open.set(taken[0].claim_id, taken.length);
      mine.push(...taken);
      if (random(150) === 0 && mine.length > 0) {
        // It dies; the others take its jobs back. What it held leaves the model before the database lets go of it.
        deaths += 1;
        for (const job of mine) count(job, -1);
        mine = [];
        await jobs.falls(worker);
        await jobs.plinth.asWorker({}, (tx) => recoverJobs(tx, 10_000));
        worker = `w${n}-${deaths}`;
        await register();
        continue;
      }
      const ending = mine.filter(() => random(4) > 0);
      if (ending.length === 0) continue;
      mine = mine.filter((job) => !ending.includes(job));
      for (const job of ending) count(job, -1);
      const outcomes: Settlement[] = ending.map((job) => {
        const dice = random(40);
        const outcome = dice === 0 ? 'returned' : dice === 1 ? 'failed' : dice === 2 ? 'snoozed' : dice === 3 ? 'cancelled' : 'completed';
        return { tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, outcome, delay_ms: 0 };
      });
      const { statuses } = await jobs.plinth.asWorker({ durable: false }, (tx) => settleJobs(tx, outcomes, closed(ending)));
      if (statuses.size !== outcomes.length) throw new Error(`an outcome was refused (seed ${SEED})`);
      if (random(20) === 0) {
        await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.promote(1000)'));
        await limits.tidy(2_000_000);
        await jobs.plinth.asWorker({ durable: false }, (tx) => tx.query('select plinth_jobs.rotate(2000000)'));
      }
    }
    if (mine.length > 0) await settleAll(mine);
  };
  /** Claims and ends nothing until no lane has room; ends all then. Returns how many of the bounded queue ran at once. */
  const fillUp = async (): Promise<number> => {
    for (const tenantId of [jobs.a, jobs.b]) await limits.fill(tenantId, 100 * SCALE, { queue: 'bounded', priority: 1 });
    await jobs.plinth.asWorker({}, (tx) => registerWorker(tx, { id: 'last', name: 'w', leaseMs: 3_600_000 }));
    const held: ClaimedJob[] = [];
    for (;;) {
      const lanes = await limits.lanes();
      const taken = await limits.claimTurns(
        'last',
        100 * SCALE,
        lanes.filter((lane) => lane.queue === 'bounded'),
        40,
      );
      if (taken.length === 0) break;
      for (const job of taken) count(job, 1);
      held.push(...taken);
    }
    await settleAll(held);
    return held.length;
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: CLAIMERS }, (_, n) => claimer(n)));
  const tookMs = performance.now() - startedMs;
  // Whoever died while another was taking back is taken back now.
  await jobs.recover();
  // How near to its cap the random part comes is luck. That the cap is what holds the queue, and nothing below it, is not.
  const full = await fillUp();

  // The same from the database's own times: an attempt that was let go of at its end cannot overlap one that was let in for it.
  const { rows } = await jobs.database.admin.query<{ scope: string; most: number }>(
    `with spans as (select tenant_id, run_id, started_at as s, finished_at as e from plinth_jobs.jobs where status in ('completed', 'cancelled') and started_at is not null
       union all select tenant_id, id, started_at, created_at from plinth_jobs.attempts),
     steps as (select tenant_id, s as at, 1 as step from spans union all select tenant_id, e, -1 from spans),
     sums as (select tenant_id, sum(step) over (partition by tenant_id order by at, step rows unbounded preceding) as n from steps)
     select tenant_id::text as scope, max(n)::int as most from sums group by tenant_id`,
  );
  console.info(
    `${claimed} claims, ${deaths} deaths, ${Math.round(claimed / (tookMs / 1000))}/s; most at once: ${[...most].map(([scope, n]) => `${scope.replace(jobs.a, 'a').replace(jobs.b, 'b')} ${n}`).join(', ')}`,
  );
  expect(claimed).toBeGreaterThanOrEqual(CLAIMS);
  for (const { scope, most: seen } of rows) expect(seen, `seed ${SEED}`).toBeLessThanOrEqual((scope === jobs.a ? 90 : 70) * SCALE);
  expect(full, 'as many as the cap allows').toBe(60 * SCALE);
  expect(await limits.holds()).toBe(0);
});
