/** Jobs against a model: whatever is asked for in whatever order, states, attempts, keys, batches, dependents and refusals are those of the model. PLINTH_RUNS=200 for a long run. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import type { Tx } from '../../index.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { type Job, Life, type Outcome, Refusal, type Wish, waits } from './life-model.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { ClaimedJob } from './work.ts';
import { settleJobs } from './work.ts';

const RUNS = Number(process.env.PLINTH_RUNS ?? 2);
const HOUR_MS = 3_600_000;

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_life');
});
afterAll(() => jobs.database.drop());

const which = fc.nat(30);
const row = fc.record({
  key: fc.option(fc.constantFrom('u', 'v'), { nil: undefined, freq: 2 }),
  until: fc.constantFrom<Wish['until']>('done', 'started', 'window'),
  onDuplicate: fc.constantFrom<Wish['onDuplicate']>('keep', 'reject', 'replace', 'debounce'),
  delayed: fc.boolean(),
  maxAttempts: fc.integer({ min: 1, max: 3 }),
  priority: fc.integer({ min: 4, max: 6 }),
  dependsOn: fc.oneof({ weight: 3, arbitrary: fc.constant<number[]>([]) }, { weight: 2, arbitrary: fc.array(which, { minLength: 1, maxLength: 3 }) }),
  onFailure: fc.constantFrom<Wish['onFailure']>('fail', 'ignore', 'run'),
  batch: fc.option(which, { nil: undefined, freq: 2 }),
});
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;
const rows = fc.array(row, { minLength: 1, maxLength: 3 });
const outcome = fc.constantFrom<Outcome>('completed', 'completed', 'failed', 'failed', 'final', 'cancelled', 'snoozed', 'returned');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('enqueue' as const), rows, sql: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('batch' as const), rows: fc.array(row, { maxLength: 3 }), open: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), which }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('claim' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('end' as const), ends: fc.array(fc.record({ which, outcome }), { minLength: 1, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('complete' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('retry' as const), which, withDependents: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('move' as const), which, delayed: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('due' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('window' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('redrive' as const), cancel: fc.boolean() }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
interface Call {
  tenant: 'a' | 'b';
  step: Step;
  /** Taken back: in a savepoint of a transaction that commits, or with all of it. */
  undo: 'no' | 'savepoint' | 'all';
  isolation: 'read committed' | 'repeatable read' | 'serializable';
}
const call: fc.Arbitrary<Call> = fc.record({
  tenant: fc.constantFrom('a', 'a', 'b'),
  step,
  undo: fc.constantFrom('no', 'no', 'no', 'no', 'savepoint', 'all'),
  isolation: fc.constantFrom('read committed', 'read committed', 'read committed', 'repeatable read', 'serializable'),
});

class Undone extends Error {}

/** Both at once: what is done to the database is done to the model of its tenant. */
class Pair {
  readonly models = { a: new Life(), b: new Life() };
  readonly runs = new Map<string, ClaimedJob>();
  readonly seen = new Map<string, number>();
  #made = 0;

  tenantOf = (tenant: 'a' | 'b'): string => jobs[tenant];
  #count(kind: string): void {
    this.seen.set(kind, (this.seen.get(kind) ?? 0) + 1);
  }

  #wish(model: Life, id: string, drawn: Row, beside: readonly string[], fresh?: string): Wish {
    const ids = [...model.jobs.keys(), ...beside];
    const batches = [...model.batches.keys()];
    const { batch, dependsOn, ...rest } = drawn;
    return {
      ...rest,
      id,
      n: ++this.#made,
      delayed: rest.delayed || (rest.onDuplicate === 'debounce' && rest.key !== undefined),
      dependsOn: ids.length === 0 ? [] : [...new Set(dependsOn.map((n) => ids[n % ids.length] as string))],
      batchId: fresh ?? (batch === undefined || batches.length === 0 ? undefined : batches[batch % batches.length]),
    };
  }

  /** Does it in the transaction, and tells what the model says of it. */
  async #app(tx: Tx, model: Life, { step }: Call): Promise<() => unknown> {
    const pick = (ids: Iterable<string>, n: number): string => {
      const all = [...ids];
      return all[n % Math.max(1, all.length)] ?? '00000000-0000-7000-8000-000000000000';
    };
    const one = async (sql: string, ...values: unknown[]): Promise<Record<string, unknown>> => (await tx.query(sql, values))[0] as Record<string, unknown>;
    switch (step.do) {
      case 'enqueue': {
        const wishes: Wish[] = [];
        for (const drawn of step.rows) {
          const beside = wishes.map(({ id }) => id);
          const wish = this.#wish(model, '', drawn, beside);
          wish.id = step.sql ? ((await one('select plinth_kernel.uuid_v7() as id')).id as string) : tx.jobs.enqueue('k', { n: wish.n }, optionsOf(wish));
          wishes.push(wish);
        }
        if (step.sql) {
          const { ids } = await one('select plinth.schedule_jobs($1) as ids', JSON.stringify(wishes.map(sqlRow)));
          return () => expect(ids).toEqual(model.enqueue(wishes));
        }
        await tx.flush();
        return () => void model.enqueue(wishes);
      }
      case 'batch': {
        const wishes: Wish[] = [];
        const id = tx.jobs.batch(
          { open: step.open, onComplete: { kind: 'cb.complete' }, onSuccess: { kind: 'cb.success' }, onFailure: { kind: 'cb.failure' } },
          (add) => {
            for (const drawn of step.rows) {
              const wish = this.#wish(model, '', drawn, [], 'fresh');
              wish.id = add('k', { n: wish.n }, { ...optionsOf(wish), batchId: undefined });
              wishes.push(wish);
            }
          },
        );
        await tx.flush();
        return () => {
          model.batch(id, step.open);
          model.enqueue(
            wishes.map((wish) => ({ ...wish, batchId: id })),
            id,
          );
        };
      }
      case 'close': {
        const id = pick(model.batches.keys(), step.which);
        if (model.batches.has(id)) tx.jobs.closeBatch(id);
        await tx.flush();
        return () => model.closeBatch(id);
      }
      case 'complete': {
        const id = pick(
          [...this.runs.values()].filter((run) => run.tenant_id === tx.context.tenantId).map((run) => run.id),
          step.which,
        );
        const run = this.runs.get(id);
        if (run) await tx.query('select plinth_jobs.complete_in($1, $2)', [id, run.run_id]);
        return () => {
          if (!run) return;
          model.ended(id, 'completed');
          this.runs.delete(id);
        };
      }
      case 'cancel': {
        const id = pick(model.jobs.keys(), step.which);
        await tx.query('select plinth.cancel_job($1)', [id]);
        return () => model.cancel(id);
      }
      case 'retry': {
        const id = pick(
          [...model.jobs.values()].filter((job) => job.status === 'failed').map((job) => job.id),
          step.which,
        );
        await tx.query('select plinth.retry_job($1, p_with_dependents := $2)', [id, step.withDependents]);
        return () => model.retry(id, step.withDependents);
      }
      case 'move': {
        const id = pick(model.jobs.keys(), step.which);
        await tx.query(`select plinth.reschedule_job($1, clock_timestamp() + $2::interval)`, [id, step.delayed ? '1 hour' : '-1 second']);
        return () => model.reschedule(id, step.delayed);
      }
      case 'redrive': {
        const { redriven } = await one('select redriven::int as redriven from plinth.redrive_jobs(p_cancel := $1)', step.cancel);
        return () => expect(redriven).toBe(model.redrive(step.cancel));
      }
      default:
        throw new Error(`not of the application: ${step.do}`);
    }
  }

  async #asApplication(one: Call): Promise<void> {
    const { tenant } = one;
    const before = this.models[tenant].copy();
    const runsBefore = new Map(this.runs);
    let said = 'no error';
    let should = 'no error';
    const modelled = (apply: () => unknown): void => {
      try {
        apply();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        should = error.message;
      }
    };
    let apply: (() => unknown) | undefined;
    said = await errorCode(
      jobs.plinth
        .transaction({ tenantId: this.tenantOf(tenant), isolation: one.isolation }, async (tx) => {
          if (one.undo === 'savepoint') await tx.query('savepoint before');
          apply = await this.#app(tx, this.models[tenant], one);
          if (one.undo === 'savepoint') await tx.query('rollback to savepoint before');
          if (one.undo === 'all') throw new Undone();
        })
        .catch((error: unknown) => {
          if (!(error instanceof Undone)) throw error;
        }),
    );
    if (apply) modelled(apply);
    else modelled(this.#dry(one));
    expect(said, JSON.stringify(one)).toBe(should);
    this.#count(said === 'no error' ? one.step.do : said);
    if (said !== 'no error' || one.undo !== 'no') {
      this.models[tenant] = before;
      this.runs.clear();
      for (const [id, run] of runsBefore) this.runs.set(id, run);
    }
  }

  /** What the model says of a call that was refused. */
  #dry(one: Call): () => unknown {
    const model = this.models[one.tenant];
    const { step } = one;
    const pick = (ids: Iterable<string>, n: number): string => {
      const all = [...ids];
      return all[n % Math.max(1, all.length)] ?? 'none';
    };
    switch (step.do) {
      case 'enqueue':
        this.#made -= step.rows.length;
        return () => {
          const beside = step.rows.map((_, n) => `dry ${n}`);
          model.enqueue(step.rows.map((drawn, n) => this.#wish(model, `dry ${n}`, drawn, beside.slice(0, n))));
        };
      case 'batch':
        return () =>
          model.enqueue(
            step.rows.map((drawn, n) => this.#wish(model, `dry ${n}`, drawn, [], 'fresh')),
            'fresh',
          );
      case 'cancel':
        return () => model.cancel(pick(model.jobs.keys(), step.which));
      case 'retry':
        return () =>
          model.retry(
            pick(
              [...model.jobs.values()].filter((job) => job.status === 'failed').map((job) => job.id),
              step.which,
            ),
            step.withDependents,
          );
      case 'move':
        return () => model.reschedule(pick(model.jobs.keys(), step.which), step.delayed);
      default:
        return () => undefined;
    }
  }

  async take(one: Call): Promise<void> {
    const { step } = one;
    const modelOf = (run: ClaimedJob): Life => this.models[run.tenant_id === jobs.a ? 'a' : 'b'];
    switch (step.do) {
      case 'claim': {
        const pending = (['a', 'b'] as const).flatMap((tenant) => [...this.models[tenant].jobs.values()].filter((job) => job.status === 'pending'));
        const claimed = await jobs.claim(step.count);
        expect(claimed.length).toBe(Math.min(step.count, pending.length));
        for (const run of claimed) {
          modelOf(run).claimed(run.id);
          this.runs.set(run.id, run);
        }
        return;
      }
      case 'end': {
        const running = [...this.runs.values()];
        const ends = new Map(
          step.ends.flatMap((end) => (running.length === 0 ? [] : [[(running[end.which % running.length] as ClaimedJob).id, end.outcome] as const])),
        );
        const settlements = [...ends].map(([id, outcome]) => {
          const { tenant_id, run_id } = this.runs.get(id) as ClaimedJob;
          return {
            tenant_id,
            id,
            run_id,
            outcome: outcome === 'final' ? ('failed' as const) : (outcome as 'failed'),
            final: outcome === 'final',
            delay_ms: HOUR_MS,
          };
        });
        const { statuses } = await jobs.plinth.asWorker({}, (tx) => settleJobs(tx, settlements));
        expect(statuses.size).toBe(settlements.length);
        for (const outcomes of [['completed'], ['failed', 'final', 'cancelled', 'snoozed', 'returned']])
          for (const [id, outcome] of ends)
            if (outcomes.includes(outcome)) {
              modelOf(this.runs.get(id) as ClaimedJob).ended(id, outcome);
              this.#count(outcome);
            }
        // A zombie's word counts for nothing.
        for (const id of ends.keys()) expect(await jobs.settle(this.runs.get(id) as ClaimedJob, 'completed')).toBe(false);
        for (const id of ends.keys()) this.runs.delete(id);
        return;
      }
      case 'die': {
        await jobs.falls('w');
        expect(await jobs.recover()).toBe(this.runs.size);
        for (const run of this.runs.values()) modelOf(run).ended(run.id, 'lost');
        this.runs.clear();
        await jobs.database.admin.query(
          `update plinth_jobs.jobs_scheduled set run_at = clock_timestamp() + interval '1 hour' where run_at < clock_timestamp() + interval '10 minutes'`,
        );
        return;
      }
      case 'due': {
        const scheduled = (['a', 'b'] as const).flatMap((tenant) =>
          [...this.models[tenant].jobs.values()].filter((job) => job.status === 'scheduled' && !job.gate?.open),
        );
        const job = scheduled[step.which % Math.max(1, scheduled.length)];
        if (!job) return;
        await jobs.makeDue(job.id);
        await jobs.plinth.asWorker({}, (tx) => tx.query('select plinth_jobs.promote()'));
        for (const model of Object.values(this.models)) model.due(job.id);
        return;
      }
      case 'window':
        await jobs.database.admin.query('update plinth_jobs.unique_keys set expires_at = clock_timestamp() where expires_at is not null');
        for (const model of Object.values(this.models)) for (const held of model.keys.values()) held.over ||= held.until === 'window';
        return;
      default:
        return this.#asApplication(one);
    }
  }

  async check(): Promise<void> {
    await jobs.checkGates();
    for (const tenant of ['a', 'b'] as const) {
      const model = this.models[tenant];
      await jobs.plinth.transaction({ tenantId: this.tenantOf(tenant) }, async (tx) => {
        const found = await tx.query<{ id: string; said: string }>(
          `select id, format('%s %s/%s n%s p%s%s%s', status, attempts, max_attempts, payload ->> 'n', priority, case when run_at = 'infinity' and status = 'scheduled' then ' waits' end,
             case when cancel_requested_at is not null and status = 'processing' then ' cancel' end) as said
           from plinth.background_jobs where job_type = 'k'`,
        );
        const should = [...model.jobs.values()].map(
          (job) =>
            [
              job.id,
              `${job.status} ${job.attempts}/${job.maxAttempts} n${job.n} p${job.priority}${job.gate?.open ? ' waits' : ''}${job.cancelAsked && job.status === 'processing' ? ' cancel' : ''}`,
            ] as const,
        );
        expect(new Map(found.map(({ id, said }) => [id, said]))).toEqual(new Map(should));
        // A key whose time is over is as good as none; whoever looks at its job next may sweep it away.
        const keys = await tx.query<{ key: string; job_id: string }>(
          `select key, job_id from plinth_jobs.unique_keys where coalesce(expires_at > clock_timestamp(), true)`,
        );
        expect(new Map(keys.map(({ key, job_id }) => [key, job_id]))).toEqual(
          new Map([...model.keys].flatMap(([key, { id, over }]) => (over ? [] : [[key, id]]))),
        );
        const held = await tx.query<{ id: string; by: string[] }>(
          `select j.id, array(select coalesce(d #>> '{}', o ->> 'cause') from jsonb_array_elements(plinth.explain_job(j.id) -> 'obstacles') o
               left join jsonb_array_elements(o -> 'detail' -> 'job_ids') d on true where o ->> 'cause' in ('dependency', 'scheduled', 'backoff') order by 1) as by
           from plinth.background_jobs j where j.job_type = 'k' and j.status in ('scheduled', 'pending')`,
        );
        const heldBy = (job: Job): string[] => {
          if (job.gate?.open) return [...job.gate.parts].flatMap(([id, end]) => (end ? [] : [id])).sort();
          return job.status === 'pending' ? [] : [job.attempts > 0 ? 'backoff' : 'scheduled'];
        };
        expect(new Map(held.map(({ id, by }) => [id, by]))).toEqual(new Map([...model.jobs.values()].filter(waits).map((job) => [job.id, heldBy(job)])));
        const batches = await tx.query<{ id: string; said: string; calls: string[] | null }>(
          `select id, status || ' ' || completed || ' ' || failed || ' ' || cancelled as said,
             (select array_agg(j.job_type::text order by j.job_type) from plinth.background_jobs j where j.job_type like 'cb.%' and j.payload -> 'batch' ->> 'id' = b.id::text) as calls
           from plinth.job_batches b`,
        );
        const batchesShould = [...model.batches].map(([id, { parts, finished }]) => {
          const ends = [...parts].filter(([part]) => part !== id).map(([, end]) => end);
          const of = (end: string): number => ends.filter((one) => one === end).length;
          const bad = of('failed') + of('cancelled') > 0;
          const said = `${finished ? (bad ? 'failed' : 'completed') : 'running'} ${of('completed')} ${of('failed')} ${of('cancelled')}`;
          return [id, { said, calls: finished ? ['cb.complete', bad ? 'cb.failure' : 'cb.success'] : null }] as const;
        });
        expect(new Map(batches.map(({ id, said, calls }) => [id, { said, calls }]))).toEqual(new Map(batchesShould));
      });
    }
    const { rows: left } = await jobs.database.admin.query(
      `select (select count(*)::int from plinth_jobs.holds) as holds, (select count(*)::int from plinth_jobs.jobs where status = 'processing') as running,
         (select count(*)::int from plinth_jobs.gate_checks) as checks, (select count(*)::int from plinth_jobs.cancel_requests) as requests,
         (select count(*)::int from plinth_jobs.jobs where status = 'processing' and cancel_requested_at is not null) as asked`,
    );
    expect(left[0]).toEqual({ holds: this.runs.size, running: this.runs.size, checks: 0, requests: left[0].asked, asked: left[0].asked });
  }
}

const sqlRow = (wish: Wish) => ({
  id: wish.id,
  job_type: 'k',
  payload: { n: wish.n },
  priority: wish.priority,
  max_attempts: wish.maxAttempts,
  ...(wish.delayed ? { delay_ms: HOUR_MS } : {}),
  ...(wish.key === undefined
    ? {}
    : { unique_key: wish.key, on_duplicate: wish.onDuplicate, ...(wish.until === 'window' ? { unique_for_ms: HOUR_MS } : { unique_until: wish.until }) }),
  ...(wish.dependsOn.length === 0 ? {} : { depends_on: wish.dependsOn, on_dependency_failure: wish.onFailure }),
  ...(wish.batchId === undefined ? {} : { batch_id: wish.batchId }),
});

const optionsOf = (wish: Wish) => ({
  priority: wish.priority,
  maxAttempts: wish.maxAttempts,
  ...(wish.delayed ? { delayMs: HOUR_MS } : {}),
  ...(wish.key === undefined
    ? {}
    : { uniqueKey: wish.key, onDuplicate: wish.onDuplicate, ...(wish.until === 'window' ? { uniqueForMs: HOUR_MS } : { uniqueUntil: wish.until }) }),
  ...(wish.dependsOn.length === 0 ? {} : { dependsOn: wish.dependsOn, onDependencyFailure: wish.onFailure }),
  ...(wish.batchId === undefined ? {} : { batchId: wish.batchId }),
});

test('states, attempts, keys, batches and dependents of jobs are those of the model', { timeout: 600_000 }, async () => {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  console.log(`job life model: seed ${seed} (PLINTH_SEED=${seed} repeats it)`);
  const seen = new Map<string, number>();
  const limits = limitsSteps(jobs);
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 30, maxLength: 60, size: 'max' }), async (calls) => {
      await limits.clear();
      await limits.setForAll({ per: 'tenant', maxRunning: 1000 });
      const pair = new Pair();
      for (const one of calls) {
        await pair.take(one);
        await pair.check();
      }
      for (const [kind, times] of pair.seen) seen.set(kind, (seen.get(kind) ?? 0) + times);
    }),
    { seed, numRuns: RUNS, endOnFailure: process.env.PLINTH_SEED !== undefined },
  );
  console.log(`job life model: ${JSON.stringify(Object.fromEntries(seen))}`);
});
