/** Jobs in the tests of an application: run in process, when the test says so, with nothing between a handler and the database left out. */
import { randomBytes } from 'node:crypto';
import { definitionsOf } from '#apps/worker/definitions.ts';
import { createJournal } from '#apps/worker/journal.ts';
import { DEFAULT_TIMEOUT_MS, RunningJob, runJob } from '#apps/worker/run-job.ts';
import { StopReason } from '#apps/worker/stop-reason.ts';
import type { JsonObject } from '#kernel/effects.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Transaction } from '#kernel/transaction.ts';
import type { JobDefinition, JobRun, ThreadJobDefinition, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, EnqueueOptions, JobsTransaction, Settled, Settlement } from '#modules/jobs';
import { claimJobs, recoverJobs, settleJobs, uniqueJob, unregisterWorker } from '#modules/jobs';
import type { EnqueuedJob, Expectation } from './enqueued.ts';
import { assertEnqueued, assertNotEnqueued } from './enqueued.ts';

export interface JobsKitOptions<Modules extends ModuleMap> {
  plinth: Plinth<Modules>;
  /** Handlers as startWorker takes them. Those of the modules' cards are there too. The modules of threads run in the test's own. */
  handlers?: Record<string, JobDefinition<Transaction<Modules>> | ThreadJobDefinition<Transaction<Modules>>>;
  /** Only jobs of this tenant are seen and run. Default: those of every tenant in the database. */
  tenantId?: string | undefined;
  /** What handlers get; default: a silent log, the clock of plinth, no adapters. */
  services?: Partial<WorkServices>;
  /**
   * A virtual clock that `advance` moves along, if the application has one. Let it begin at about now, `virtualClock(Date.now())`: where it is the clock
   * of plinth too, ids carry its time, and there are partitions for a few days around now.
   */
  clock?: { advance(ms: number): void };
}

/** One attempt that the kit ran, and how it ended. */
export interface RanJob {
  id: string;
  kind: string;
  tenantId: string;
  attempt: number;
  /** `lost`: the handler no longer held its job. */
  outcome: Settlement['outcome'] | 'lost';
  /** What became of the job: `scheduled` when it will be tried again, `failed` when it is a dead letter. */
  status: string;
  result: unknown;
  error: string | null;
  /** What the handler threw, as it was. */
  thrown?: unknown;
}

export interface Drained {
  /** In the order in which they ran, follow-ups included. */
  ran: RanJob[];
  /** Kinds of jobs that could run now and have no handler here. */
  unhandled: string[];
}

export interface JobsKit {
  /**
   * Runs everything that may run now, one after the other, the most urgent first, and what that enqueues, until nothing is left. Jobs whose
   * time has not come stay: see `advance`. Errors: an Error after `most` attempts (default 1,000), for jobs that enqueue each other for ever.
   */
  drain(options?: { most?: number }): Promise<Drained>;
  /**
   * Enqueues one job and runs it, and nothing else: with transactions, completeIn, failure and result as in a worker. Errors: those of
   * enqueueing; an Error when it may not run, for example because its kind is paused, or when another job holds its unique key.
   */
  run(kind: string, payload?: JsonObject, options?: Omit<EnqueueOptions, 'queue' | 'runAt' | 'delayMs'> & { tenantId?: string | undefined }): Promise<RanJob>;
  /**
   * Lets so much time pass for jobs, without waiting: what is scheduled, deadlines and unique keys with a window come so much nearer. Cron
   * schedules, rate limits and pauses keep to the clock of the database. Returns how many jobs may run now that could not before.
   */
  advance(time: number | { ms?: number; seconds?: number; minutes?: number; hours?: number; days?: number }): Promise<number>;
  /** The same, up to a moment: everything scheduled until then may run. */
  advanceTo(moment: Date): Promise<number>;
  /** Now, as the jobs see it: the clock of this process and everything that was advanced. */
  now(): Date;
  /**
   * Returns the jobs of that kind that are not over and whose payload has at least these fields (a function in their place is asked).
   * Errors: an AssertionError, which tells what there is instead.
   */
  assertEnqueued(kind: string, payload?: Record<string, unknown>, expected?: Expectation): Promise<EnqueuedJob[]>;
  /** Errors: an AssertionError when there is such a job. */
  assertNotEnqueued(kind: string, payload?: Record<string, unknown>, expected?: Omit<Expectation, 'times'>): Promise<void>;
}

const runHere = async (module: URL, run: JobRun): Promise<unknown> => ((await import(module.href)) as { default: (run: JobRun) => unknown }).default(run);

const silent: WorkServices['log'] = { info: () => {}, warn: () => {}, error: () => {} };
const LEASE_MS = 3_600_000;
const STOP_MS = 1_000;
const MOST_DRAINED = 1_000;
const DUE = `j.status = 'scheduled' and j.run_at < 'infinity'`;

/**
 * Works in any test runner: it fails by throwing. One kit a test; two that share a database see each other's jobs unless they have a tenant each.
 *
 * @example
 * const kit = jobsKit({ plinth, tenantId, handlers });
 * await signUp(plinth, tenantId, 'ada@example.org');
 * await kit.assertEnqueued('mail.send', { to: 'ada@example.org' });
 * const { ran } = await kit.drain();
 * await kit.advance({ hours: 24 });
 * await kit.assertEnqueued('mail.remind');
 */
export function jobsKit<Modules extends ModuleMap>(options: JobsKitOptions<Modules>): JobsKit {
  const plinth = options.plinth as unknown as Plinth<ModuleMap>;
  const { tenantId } = options;
  const services: WorkServices = { clock: plinth.clock, log: silent, adapters: {}, enabled: () => true, ...options.services };
  const definitions = definitionsOf(plinth.modules, services.enabled, (options.handlers ?? {}) as Record<string, JobDefinition | ThreadJobDefinition>, runHere);
  const attempts = attemptsWith(plinth, services, definitions);
  let advancedMs = 0;
  const now = (): Date => new Date(plinth.clock.now() + advancedMs);

  const advance: JobsKit['advance'] = async (time) => {
    const ms = typeof time === 'number' ? time : durationMs(time);
    if (!(ms >= 0)) throw new RangeError(`time does not go back: ${ms} ms`);
    const beforeMs = plinth.clock.now();
    options.clock?.advance(ms);
    // The clock of plinth may be that very clock, or go by it.
    if (plinth.clock.now() - beforeMs < ms) advancedMs += ms;
    return plinth.asWorker({}, (tx) => moveTime(tx, ms, tenantId));
  };

  return {
    now,
    advance,
    advanceTo: (moment) => advance(Math.max(0, moment.getTime() - now().getTime())),
    assertEnqueued: (kind, payload, expected = {}) => assertEnqueued(plinth, kind, payload ?? {}, { tenantId, ...expected }),
    assertNotEnqueued: (kind, payload, expected = {}) => assertNotEnqueued(plinth, kind, payload ?? {}, { tenantId, ...expected }),

    async drain({ most = MOST_DRAINED } = {}) {
      const ran: RanJob[] = [];
      await attempts.during(tenantId, async (claim) => {
        for (;;) {
          const job = await claim(Object.keys(definitions));
          // Gates that two transactions closed at the same moment are opened by whoever looks again.
          if (!job && (await plinth.asWorker({}, (tx) => recoverJobs(tx))).taken > 0) continue;
          if (!job) return;
          if (ran.length >= most) {
            await attempts.giveBack(job);
            throw new Error(
              `drain ran ${most} attempts and there are more, of ${job.kind}: do jobs enqueue each other for ever? Give a larger \`most\` if not`,
            );
          }
          ran.push(await attempts.run(job));
        }
      });
      return { ran, unhandled: await unhandledKinds(plinth, Object.keys(definitions), tenantId) };
    },

    async run(kind, payload = {}, { tenantId: ofRun, ...enqueueOptions } = {}) {
      const tenant = ofRun ?? tenantId;
      if (!tenant) throw new Error('kit.run needs a tenant: give tenantId to it or to jobsKit');
      if (!definitions[kind]) throw new Error(`there is no handler for jobs of kind ${kind}; there are: ${Object.keys(definitions).sort().join(', ')}`);
      // A queue of its own, so that nothing else is claimed.
      const queue = `plinth-testing-${randomBytes(8).toString('hex')}`;
      const id = await plinth.transaction({ tenantId: tenant }, async (tx) => {
        const made = (tx as unknown as JobsTransaction).jobs.enqueue(kind, payload, { ...enqueueOptions, queue });
        const key = enqueueOptions.uniqueKey;
        const holder = key === undefined ? made : await holderOf(tx, kind, key);
        // Thrown here, so that a holder is not replaced or pushed back by a job that does not run.
        if (holder !== undefined && holder !== made)
          throw new Error(`nothing was enqueued: job ${holder} of kind ${kind} holds the unique key ${JSON.stringify(key)}`);
        return made;
      });
      return attempts.during(tenant, async (claim) => {
        const job = await claim([kind], [queue]);
        if (!job) throw new Error(`job ${id} of kind ${kind} may not run now: select * from plinth.explain_job('${id}') says why`);
        return attempts.run(job);
      });
    },
  };
}

async function holderOf(tx: Transaction<ModuleMap>, kind: string, key: string): Promise<string | undefined> {
  await tx.flush();
  return uniqueJob(tx, kind, key);
}

const UNIT_MS = { ms: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 } as const;

const durationMs = (time: { [unit in keyof typeof UNIT_MS]?: number }): number =>
  (Object.keys(UNIT_MS) as (keyof typeof UNIT_MS)[]).reduce((sum, unit) => sum + (time[unit] ?? 0) * UNIT_MS[unit], 0);

interface Attempts {
  /** Is a worker while `body` runs, which claims one job at a time. */
  during<T>(tenantId: string | undefined, body: (claim: (kinds: string[], queues?: string[]) => Promise<ClaimedJob | undefined>) => Promise<T>): Promise<T>;
  run(job: ClaimedJob): Promise<RanJob>;
  giveBack(job: ClaimedJob): Promise<unknown>;
}

/** The steps of a worker, one after the other. */
function attemptsWith(plinth: Plinth<ModuleMap>, services: WorkServices, definitions: Record<string, JobDefinition>): Attempts {
  const journal = createJournal(plinth, services.log);
  const settle = (job: ClaimedJob, outcome: Partial<Settlement> | undefined): Promise<Settled> =>
    plinth.asWorker({}, (tx) =>
      settleJobs(tx, outcome ? [{ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, ...outcome } as Settlement] : [], [job.claim_id]),
    );
  return {
    giveBack: (job) => settle(job, { outcome: 'returned' }),

    async during(tenantId, body) {
      const worker = `plinth testing#${randomBytes(4).toString('hex')}`;
      // In the tenant: then only its jobs are claimed and promoted, and the worker is known under a name that begins with it.
      const claim = async (kinds: string[], queues?: string[]): Promise<ClaimedJob | undefined> => {
        const ask = (tx: Parameters<typeof claimJobs>[0]) => claimJobs(tx, { worker, limit: 1, leaseMs: LEASE_MS, kinds, queues });
        return (await (tenantId ? plinth.transaction({ tenantId }, ask) : plinth.asWorker({}, ask)))[0];
      };
      try {
        return await body(claim);
      } finally {
        await journal.flush();
        await plinth.asWorker({}, (tx) => unregisterWorker(tx, tenantId ? `${tenantId}:${worker}` : worker));
      }
    },

    async run(job) {
      const definition = definitions[job.kind] as JobDefinition;
      const timeoutMs = definition.timeoutMs ?? DEFAULT_TIMEOUT_MS;
      const running = new RunningJob(job, timeoutMs);
      const timer = setTimeout(() => running.stop(new StopReason('timeout', `timed out after ${timeoutMs} ms`)), timeoutMs);
      let thrown: { error: unknown } | undefined;
      const handler: JobDefinition['handler'] = async (run) => {
        try {
          return await definition.handler(run);
        } catch (error) {
          thrown = { error };
          throw error;
        }
      };
      const late: Partial<Settlement> = { outcome: 'failed', final: true, error: 'its deadline had passed before it could begin' };
      const outcome = job.late ? late : await runJob({ plinth, services, journal, stopMs: STOP_MS }, running, { ...definition, handler });
      clearTimeout(timer);
      const { statuses } = await settle(job, outcome);
      const accepted = statuses.has(job.run_id) ? outcome?.outcome : undefined;
      return {
        id: job.id,
        kind: job.kind,
        tenantId: job.tenant_id,
        attempt: job.attempt,
        outcome: accepted ?? (running.settled || running.maybeSettled ? 'completed' : 'lost'),
        ...(await stateOf(plinth, job)),
        ...(thrown ? { thrown: thrown.error } : {}),
      };
    },
  };
}

async function stateOf(plinth: Plinth<ModuleMap>, job: ClaimedJob): Promise<Pick<RanJob, 'status' | 'result' | 'error'>> {
  const [state] = await plinth.asWorker({ readOnly: true }, (tx) =>
    tx.query<Pick<RanJob, 'status' | 'result' | 'error'>>('select status, result, error from plinth_jobs.jobs where tenant_id = $1 and id = $2', [
      job.tenant_id,
      job.id,
    ]),
  );
  return state ?? { status: 'gone', result: null, error: null };
}

type Query = Parameters<typeof claimJobs>[0];

async function unhandledKinds(plinth: Plinth<ModuleMap>, kinds: string[], tenantId: string | undefined): Promise<string[]> {
  const rows = await plinth.asWorker({ readOnly: true }, (tx) =>
    tx.query<{ kind: string }>(
      `select distinct j.kind from plinth_jobs.jobs j where j.status = 'pending' and j.kind <> all ($1::text[]) and ($2::uuid is null or j.tenant_id = $2) order by 1 limit 100`,
      [kinds, tenantId ?? null],
    ),
  );
  return rows.map((row) => row.kind);
}

/** Everything that waits for a moment waits so much less. Returns how many jobs have become due. */
async function moveTime(tx: Query, ms: number, tenantId: string | undefined): Promise<number> {
  const parameters = [ms, tenantId ?? null];
  const mine = '($2::uuid is null or tenant_id = $2)';
  const by = `$1::float8 * interval '1 millisecond'`;
  const [due] = await tx.query<{ n: number }>(
    `select count(*)::int as n from plinth_jobs.jobs j where ${DUE} and j.run_at > clock_timestamp() and j.run_at <= clock_timestamp() + ${by} and ${mine}`,
    parameters,
  );
  await tx.query(`update plinth_jobs.jobs j set run_at = run_at - ${by} where ${DUE} and ${mine}`, parameters);
  await tx.query(
    `update plinth_jobs.jobs set deadline = deadline - ${by} where status in ('scheduled', 'pending') and deadline < 'infinity' and ${mine}`,
    parameters,
  );
  // What is overdue is looked for at once.
  await tx.query(`select setval('plinth_jobs.promoted_at', 1)`);
  await tx.query(`update plinth_jobs.unique_keys set expires_at = expires_at - ${by} where expires_at is not null and ${mine}`, parameters);
  return due?.n ?? 0;
}
