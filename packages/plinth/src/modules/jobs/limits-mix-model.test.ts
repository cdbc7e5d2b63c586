/**
 * Limits and pauses against a model while they are set, changed, removed, taken back, and while jobs run, are cancelled, snoozed and lost: what a
 * claim takes, what it leaves, and why explain_job says so. PLINTH_RUNS=200 for a long run.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import type { Tx } from '../../index.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { ClaimedJob } from './work.ts';
import { settleJobs } from './work.ts';

const DAY_S = 86_400;
const SEED = drawnSeed();

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('limits_mix');
});
afterAll(() => jobs.database.drop());

type Who = 'a' | 'b' | 'all';
interface Limit {
  id: string;
  who: Who;
  source: 'i' | 't';
  per: 'queue' | 'tenant' | 'key';
  queue: string;
  key: string;
  cap?: number | undefined;
  /** Seconds between two starts. */
  every?: number | undefined;
  burst?: number | undefined;
}
interface Pause {
  id: string;
  who: Who;
  source: 'i' | 't';
  queue?: string | undefined;
  kind?: string | undefined;
  key?: string | undefined;
}
interface Row {
  id: string;
  who: 'a' | 'b';
  status: string;
  queue: string;
  key: string;
  kind: string;
  priority: number;
}
const QUEUES = ['p', 'q'];
const option = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined, freq: 2 });
const who = fc.constantFrom('a' as const, 'a' as const, 'b' as const);
const undo = fc.constantFrom('no', 'no', 'no', 'no', 'savepoint', 'all');
const limit = fc.record({
  by: fc.constantFrom('tenant', 'operator', 'all'),
  who,
  per: fc.constantFrom('queue' as const, 'tenant' as const, 'key' as const),
  queue: fc.constantFrom('', '', ...QUEUES),
  key: fc.constantFrom('', '', 'x', 'y'),
  what: fc.constantFrom('cap', 'cap', 'rate', 'both'),
  cap: fc.integer({ min: 1, max: 4 }),
  rate: fc.integer({ min: 1, max: 2 }),
  burst: fc.integer({ min: 1, max: 3 }),
  undo,
  /** A claim between what is asked for and its commit. */
  claimed: fc.boolean(),
});
const step = fc.oneof(
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant('enqueue' as const),
      who,
      queue: fc.constantFrom(...QUEUES),
      key: fc.constantFrom('', 'x', 'x', 'y'),
      kind: fc.constantFrom('k', 'k', 'l'),
      priority: fc.integer({ min: 4, max: 6 }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 5, arbitrary: limit.map((wish) => ({ do: 'limit' as const, ...wish })) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('remove' as const), which: fc.nat(), undo }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('pause' as const),
      by: fc.constantFrom('tenant', 'operator', 'all'),
      who,
      queue: option(...QUEUES),
      kind: option('k', 'l'),
      key: option('x', 'y'),
      undo,
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const), which: fc.nat(), undo }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      worker: fc.constantFrom('v', 'w'),
      count: fc.constantFrom(1, 1, 2, 5, 20),
      kinds: fc.constantFrom<string[]>(['k', 'l'], ['k', 'l'], ['l']),
      queue: option(...QUEUES),
      only: fc.option(who, { nil: undefined, freq: 1 }),
      undo,
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      which: fc.nat(),
      count: fc.integer({ min: 1, max: 4 }),
      outcome: fc.constantFrom('completed' as const, 'completed' as const, 'failed' as const, 'snoozed' as const, 'returned' as const, 'cancelled' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('complete' as const), which: fc.nat(), undo }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), which: fc.nat(), undo }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), worker: fc.constantFrom('v', 'w') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tidy' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), halfDays: fc.integer({ min: 1, max: 5 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type LimitStep = Extract<Step, { do: 'limit' }>;
class Undone extends Error {}

class Mix {
  limits: Limit[] = [];
  pauses: Pause[] = [];
  /** Seconds from now until a scope is as if nothing had started in it. */
  idle = new Map<string, number>();
  readonly runs = new Map<string, ClaimedJob>();
  readonly steps = limitsSteps(jobs);
  readonly seen = new Map<string, number>();

  rows = async (): Promise<Row[]> =>
    (
      await jobs.database.admin.query<Row>(
        `select id, case when tenant_id = $1 then 'a' else 'b' end as who, status, queue, concurrency_key as key, kind, priority from plinth_jobs.jobs
         where status in ('scheduled', 'pending', 'processing') order by id`,
        [jobs.a],
      )
    ).rows;

  /** Which limits hold for a job, and what is counted together: of one source the one for a tenant before the one for all, then the one for a key. */
  scopesOf(job: Row): [string, Limit][] {
    const found = new Map<string, Limit>();
    const exact = (one: Limit): number => (one.who === 'all' ? 0 : 2) + (one.key === '' ? 0 : 1);
    for (const one of this.limits) {
      if ((one.who !== 'all' && one.who !== job.who) || (one.queue !== '' && one.queue !== job.queue)) continue;
      if (one.per === 'key' && (job.key === '' || (one.key !== '' && one.key !== job.key))) continue;
      const scope = one.per === 'queue' ? `queue ${one.queue}` : `${one.per} ${one.source} ${job.who} ${one.queue}${one.per === 'key' ? ` ${job.key}` : ''}`;
      const other = found.get(scope);
      if (!other || exact(one) > exact(other)) found.set(scope, one);
    }
    return [...found];
  }
  busy = (scope: string, one: Limit): number => {
    const idle = this.idle.get(scope) ?? 0;
    return idle > (one.burst ?? 0) * (one.every ?? 0) + 1 ? 0 : idle;
  };
  starts = (scope: string, one: Limit): number =>
    one.every === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Math.floor((one.burst as number) - this.busy(scope, one) / one.every + 1e-6));
  running = (scope: string, rows: readonly Row[]): number =>
    rows.filter((row) => row.status === 'processing' && this.scopesOf(row).some(([name]) => name === scope)).length;
  /** What keeps a job from starting. */
  obstacles(job: Row, rows: readonly Row[]): string[] {
    const paused = this.pauses.filter(
      (one) =>
        (one.who === 'all' || one.who === job.who) &&
        (one.queue ?? job.queue) === job.queue &&
        (one.kind ?? job.kind) === job.kind &&
        (one.key ?? job.key) === job.key,
    );
    return [
      ...paused.map((one) => `paused ${one.id}`),
      ...this.scopesOf(job).flatMap(([scope, one]) => [
        ...(one.cap !== undefined && this.running(scope, rows) >= one.cap ? [`cap ${one.id} ${this.running(scope, rows)}`] : []),
        ...(this.starts(scope, one) === 0 ? [`rate ${one.id}`] : []),
      ]),
    ].sort();
  }

  async inTransaction<T>(who: Who, operator: boolean, undo: string, body: (tx: Tx) => Promise<T>): Promise<T | undefined> {
    const whole = async (tx: Tx): Promise<T | undefined> => {
      if (undo === 'savepoint') await tx.query('savepoint s');
      const made = await body(tx);
      if (undo === 'savepoint') await tx.query('rollback to savepoint s');
      if (undo === 'all') throw new Undone();
      return undo === 'no' ? made : undefined;
    };
    const tenant = who === 'all' ? {} : { tenantId: jobs[who] };
    try {
      return await (operator
        ? jobs.plinth.asWorker(tenant, (tx) => whole(tx as unknown as Tx))
        : jobs.plinth.transaction(tenant as { tenantId: string }, whole));
    } catch (error) {
      if (error instanceof Undone) return undefined;
      throw error;
    }
  }

  async limit(step: LimitStep): Promise<void> {
    const per = step.per === 'queue' && (step.by !== 'all' || step.queue === '') ? 'tenant' : step.per;
    const who: Who = step.by === 'all' ? 'all' : step.who;
    const source = step.by === 'tenant' ? 't' : 'i';
    const key = per === 'key' ? step.key : '';
    const cap = step.what === 'rate' ? undefined : step.cap;
    const rate = step.what === 'cap' ? undefined : step.rate;
    const id = await this.inTransaction(who, source === 'i', step.undo, async (tx) => {
      const [row] = await tx.query<{ id: string }>(`select plinth.set_job_limit($1, $2, $3, '2 days', $4, $5, $6) as id`, [
        per,
        cap ?? null,
        rate ?? null,
        rate === undefined ? null : step.burst,
        step.queue,
        key,
      ]);
      if (step.claimed) await this.claim({ do: 'claim', worker: 'w', count: 2, kinds: ['k', 'l'], queue: undefined, only: undefined, undo: 'no' }, true);
      return row?.id;
    });
    if (id) {
      this.limits = this.limits.filter((one) => one.id !== id);
      this.limits.push({ id, who, source, per, queue: step.queue, key, cap, every: rate && (2 * DAY_S) / rate, burst: rate && step.burst });
    }
    if (step.claimed) await this.steps.tidy(1_000_000);
  }

  async claim(step: Extract<Step, { do: 'claim' }>, open = false): Promise<void> {
    const before = await this.rows();
    const may = before.filter(
      (row) => row.status === 'pending' && step.kinds.includes(row.kind) && (step.queue ?? row.queue) === row.queue && (step.only ?? row.who) === row.who,
    );
    const free = may.filter((row) => this.obstacles(row, before).length === 0);
    const taken = await this.inTransaction<ClaimedJob[]>(step.only ?? 'all', true, step.undo, async (tx) =>
      tx.query<ClaimedJob>('select * from plinth_jobs.claim($1, $2, $3, $4, $5)', [
        step.worker,
        step.count,
        '1 hour',
        step.kinds,
        step.queue ? [step.queue] : null,
      ]),
    );
    if (!taken) return;
    const rows = new Map(before.map((row) => [row.id, row]));
    expect(taken.length).toBeLessThanOrEqual(step.count);
    if (free.length > 0 && !open) expect(taken.length, 'some may start').toBeGreaterThan(0);
    if (step.count === 1 && taken[0]) expect(taken[0].priority, 'the most urgent').toBe(Math.min(...free.map((row) => row.priority)));
    for (const run of taken) {
      const row = rows.get(run.id) as Row;
      expect(this.obstacles(row, [...rows.values()]), `${run.id} started`).toEqual([]);
      expect(may).toContain(row);
      for (const [scope, one] of this.scopesOf(row)) if (one.every !== undefined) this.idle.set(scope, this.busy(scope, one) + one.every);
      rows.set(run.id, { ...row, status: 'processing' });
      this.runs.set(run.id, run);
    }
  }

  async due(): Promise<void> {
    await jobs.database.admin.query(`update plinth_jobs.jobs_scheduled set run_at = clock_timestamp()`);
    await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.promote(1000)'));
  }

  async take(step: Step): Promise<void> {
    const pick = <T>(list: Iterable<T>, n: number): T | undefined => [...list][n % Math.max(1, [...list].length)];
    switch (step.do) {
      case 'enqueue':
        await jobs.plinth.transaction({ tenantId: jobs[step.who] }, async (tx) => {
          for (let n = 0; n < step.count; n++)
            tx.jobs.enqueue(step.kind, {}, { queue: step.queue, concurrencyKey: step.key, priority: step.priority, maxAttempts: 100 });
        });
        return;
      case 'limit':
        return this.limit(step);
      case 'remove': {
        const one = pick(this.limits, step.which);
        if (!one) return;
        const done = await this.inTransaction(one.who, one.source === 'i', step.undo, async (tx) => tx.query('select plinth.remove_job_limit($1)', [one.id]));
        if (done) this.limits = this.limits.filter((other) => other !== one);
        return;
      }
      case 'pause': {
        const who: Who = step.by === 'all' ? 'all' : step.who;
        const source = step.by === 'tenant' ? 't' : 'i';
        const { queue, kind, key } = step;
        const id = await this.inTransaction(who, source === 'i', step.undo, async (tx) =>
          tx.query<{ id: string }>(`select plinth.pause_jobs('r', $1, $2, $3) as id`, [queue ?? null, kind ?? null, key ?? null]),
        );
        if (id) this.pauses.push({ id: id[0]?.id ?? '', who, source, queue, kind, key });
        return;
      }
      case 'resume': {
        const one = pick(this.pauses, step.which);
        if (!one) return;
        const done = await this.inTransaction(one.who, one.source === 'i', step.undo, async (tx) => tx.query('select plinth.resume_jobs($1)', [one.id]));
        if (done) this.pauses = this.pauses.filter((other) => other !== one);
        return;
      }
      case 'claim':
        return this.claim(step);
      case 'end': {
        const all = [...this.runs.values()];
        const ends = all.slice(step.which % Math.max(1, all.length)).slice(0, step.count);
        await jobs.plinth.asWorker({}, (tx) =>
          settleJobs(
            tx,
            ends.map(({ tenant_id, id, run_id }) => ({ tenant_id, id, run_id, outcome: step.outcome, delay_ms: 0 })),
          ),
        );
        for (const { id } of ends) this.runs.delete(id);
        return this.due();
      }
      case 'complete': {
        const run = pick(this.runs.values(), step.which);
        if (!run) return;
        const done = await this.inTransaction(run.tenant_id === jobs.a ? 'a' : 'b', false, step.undo, async (tx) =>
          tx.query('select plinth_jobs.complete_in($1, $2)', [run.id, run.run_id]),
        );
        if (done) this.runs.delete(run.id);
        return;
      }
      case 'cancel': {
        const row = pick(await this.rows(), step.which);
        if (row) await this.inTransaction(row.who, false, step.undo, async (tx) => tx.query('select plinth.cancel_job($1)', [row.id]));
        return;
      }
      case 'die': {
        const { rows } = await jobs.database.admin.query<{ id: string }>('select id from plinth_jobs.jobs where worker = $1 and status = $2', [
          step.worker,
          'processing',
        ]);
        await jobs.falls(step.worker);
        await jobs.recover();
        for (const { id } of rows) this.runs.delete(id);
        return this.due();
      }
      case 'tidy':
        await this.steps.tidy(0);
        return;
      case 'wait':
        await jobs.database.admin.query(
          `update plinth_jobs.rates set idle_at = idle_at - $1 * interval '12 hours', next_at = next_at - $1 * interval '12 hours'`,
          [step.halfDays],
        );
        for (const [scope, idle] of this.idle) this.idle.set(scope, Math.max(0, idle - (step.halfDays * DAY_S) / 2));
    }
  }

  async check(): Promise<void> {
    const rows = await this.rows();
    expect(rows.filter((row) => row.status === 'processing').map((row) => row.id)).toEqual([...this.runs.keys()].sort());
    const lanes = new Map(rows.filter((row) => row.status === 'pending').map((row) => [`${row.who} ${row.queue} ${row.key} ${row.kind}`, row]));
    for (const row of lanes.values()) {
      const said = await jobs.plinth.transaction({ tenantId: jobs[row.who] }, (tx) =>
        tx.query<{ said: string }>(
          `select concat_ws(' ', o ->> 'cause', coalesce(o -> 'detail' ->> 'pause_id', o -> 'detail' ->> 'limit_id'), case when o ->> 'cause' = 'cap' then o -> 'detail' ->> 'running' end) as said
           from jsonb_array_elements(plinth.explain_job($1) -> 'obstacles') o where o ->> 'cause' <> 'no_worker'`,
          [row.id],
        ),
      );
      const should = this.obstacles(row, rows);
      expect(said.map((one) => one.said).sort(), JSON.stringify(row)).toEqual(should);
      for (const cause of should) this.seen.set(cause.split(' ')[0] as string, (this.seen.get(cause.split(' ')[0] as string) ?? 0) + 1);
    }
  }
}

test(`limits and pauses that come and go hold as in the model (seed ${SEED})`, { timeout: 600_000 }, async () => {
  console.info(`seed ${SEED}`);
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 80, size: 'max' }), async (steps) => {
      const mix = new Mix();
      await mix.steps.clear();
      for (const one of steps) {
        await mix.take(one);
        await mix.check();
        seen.set(one.do, (seen.get(one.do) ?? 0) + 1);
      }
      await mix.take({ do: 'end', which: 0, count: 1_000, outcome: 'completed' });
      expect(await mix.steps.holds(), 'places that nobody has').toBe(0);
      for (const [cause, times] of mix.seen) seen.set(cause, (seen.get(cause) ?? 0) + times);
    }),
    { seed: SEED, numRuns: drawnRuns(2), endOnFailure: process.env.PLINTH_SEED !== undefined },
  );
  console.info(JSON.stringify(Object.fromEntries(seen)));
});
