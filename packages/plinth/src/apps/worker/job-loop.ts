import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, Settlement } from '#modules/jobs';
import { beatWorker, claimJobs, JOB_SIGNALS } from '#modules/jobs';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';
import type { RunningJob } from './run-job.ts';
import { runJob } from './run-job.ts';
import type { SettleQueue } from './settle-queue.ts';
import { createSettleQueue } from './settle-queue.ts';
import { StopReason } from './stop-reason.ts';

export interface JobLoopOptions {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  definitions: Readonly<Record<string, JobDefinition>>;
  name: string;
  concurrency: number;
  queues?: readonly string[] | undefined;
  pollMs: number;
  leaseMs: number;
  stopMs: number;
  stats: WorkerStats;
  metrics: WorkerMetrics;
}

/** Takes jobs while there are free slots, runs them, keeps their leases, stores how they ended. */
export interface JobLoop {
  /** Takes no more, waits `graceMs` for what runs, then aborts it and gives back what does not end. */
  stop(graceMs: number): Promise<void>;
}

export function startJobLoop(options: JobLoopOptions): JobLoop {
  const { plinth, services, stats } = options;
  const running = new Map<string, RunningJob>();
  const ended = new Set<() => void>();
  const settling = createSettleQueue(plinth, services.log, options.leaseMs * 2);
  const state: State = { options, running, settling, stopping: false, more: false, ended };
  const claims = startLoop({ name: 'claim', log: services.log, wake: plinth.wake, signals: [JOB_SIGNALS.enqueued], turn: () => claimTurn(state) });
  state.claims = claims;
  const beats = startLoop({
    name: 'heartbeat',
    log: services.log,
    wake: plinth.wake,
    signals: [JOB_SIGNALS.cancelled],
    longestBackoffMs: options.leaseMs / 6,
    turn: heartbeat(state),
  });

  const drained = (timeoutMs: number): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        if (running.size > 0) return;
        finish();
      };
      const finish = (): void => {
        clearTimeout(timer);
        ended.delete(done);
        resolve();
      };
      const timer = setTimeout(finish, timeoutMs);
      ended.add(done);
      done();
    });

  return {
    async stop(graceMs) {
      state.stopping = true;
      await claims.stop();
      await drained(graceMs);
      for (const { controller } of running.values()) controller.abort(new StopReason('shutdown', 'the worker shuts down'));
      // Handlers have stopMs to end, then the job is given back whatever they do: the fence keeps a straggler from the database.
      await drained(options.stopMs + 1_000);
      await beats.stop();
      stats.running = running.size;
    },
  };
}

interface State {
  options: JobLoopOptions;
  running: Map<string, RunningJob>;
  settling: SettleQueue;
  claims?: Loop;
  stopping: boolean;
  /** True when the last claim was filled: there is probably more. */
  more: boolean;
  soon?: NodeJS.Timeout | undefined;
  ended: Set<() => void>;
}

async function claimTurn(state: State): Promise<number> {
  const { options, running } = state;
  const limit = options.concurrency - running.size;
  const kinds = Object.keys(options.definitions);
  if (limit <= 0 || kinds.length === 0) return options.pollMs;
  const jobs = await options.plinth.asWorker({}, (tx) =>
    claimJobs(tx, { worker: options.name, limit, leaseMs: options.leaseMs, kinds, queues: options.queues }),
  );
  state.more = jobs.length === limit;
  for (const job of jobs) {
    if (state.stopping) void state.settling.push({ ...held(job), outcome: 'returned' });
    else void work(state, job);
  }
  options.stats.claimed += jobs.length;
  // Spread, so that a fleet does not poll in step.
  return options.pollMs * (0.75 + Math.random() / 2);
}

const held = (job: ClaimedJob): Pick<Settlement, 'tenant_id' | 'id' | 'run_id'> => ({ tenant_id: job.tenant_id, id: job.id, run_id: job.run_id });

async function work(state: State, job: ClaimedJob): Promise<void> {
  const { options, running } = state;
  const definition = options.definitions[job.kind];
  if (!definition) throw new Error(`claimed a job of kind ${job.kind} without a handler for it`);
  const mine: RunningJob = { job, controller: new AbortController(), settled: false };
  running.set(job.run_id, mine);
  options.stats.running = running.size;
  options.metrics.running.add(1);
  options.metrics.wait.record(Math.max(0, job.started_at.getTime() - job.run_at.getTime()) / 1000, { queue: job.queue });
  const startedMs = performance.now();
  const outcome = await runJob({ plinth: options.plinth, services: options.services, stopMs: options.stopMs }, mine, definition);
  const byHandler = mine.settled;
  mine.settled = true;
  const accepted = outcome ? await state.settling.push({ ...held(job), ...outcome }) : byHandler;
  tell(options, job, accepted ? (outcome ?? { outcome: 'completed' }) : undefined, performance.now() - startedMs);
  running.delete(job.run_id);
  options.stats.running = running.size;
  options.metrics.running.add(-1);
  for (const listener of state.ended) listener();
  if (state.more) claimSoon(state);
}

/** Slots come free in batches, as outcomes are stored in batches: a moment later one claim fills them all. */
function claimSoon(state: State): void {
  state.soon ??= setTimeout(() => {
    state.soon = undefined;
    state.claims?.nudge();
  }, 2);
}

/** Counts and logs the end of an attempt; `end` is undefined when it was refused. */
function tell(options: JobLoopOptions, job: ClaimedJob, end: Partial<Settlement> | undefined, tookMs: number): void {
  const { stats, metrics, services } = options;
  const dead = end?.outcome === 'failed' && (end.final === true || job.attempt >= (job.max_attempts ?? options.definitions[job.kind]?.maxAttempts ?? 3));
  const outcome = end === undefined ? 'lost' : dead ? 'dead_letter' : (end.outcome ?? 'completed');
  metrics.attempts.add(1, { kind: job.kind, outcome });
  metrics.duration.record(tookMs / 1000, { kind: job.kind, outcome });
  const fields = {
    job_id: job.id,
    kind: job.kind,
    tenant_id: job.tenant_id,
    correlation_id: job.correlation_id,
    run_id: job.run_id,
    attempt: job.attempt,
    took_ms: Math.round(tookMs),
    outcome,
  };
  if (outcome === 'completed') {
    stats.completed += 1;
    services.log.info(fields, 'job completed');
  } else if (outcome === 'dead_letter') {
    stats.deadLetters += 1;
    services.log.error({ ...fields, error: end?.error }, 'job failed for good');
  } else if (outcome === 'failed') {
    stats.failed += 1;
    services.log.warn({ ...fields, error: end?.error }, 'job failed and will be tried again');
  } else {
    stats[outcome] += 1;
    services.log.info(fields, `job ${outcome}`);
  }
}

/**
 * Extends the leases of what runs here, three times a lease; the answer says what was cancelled or lost. A process that could not
 * do so for a whole lease must take its jobs for lost.
 */
function heartbeat(state: State): () => Promise<number> {
  const { options, running } = state;
  const everyMs = options.leaseMs / 3;
  let lastMs = performance.now();
  return async () => {
    const mine = [...running.values()].filter((one) => !one.settled);
    if (mine.length === 0) {
      lastMs = performance.now();
      return everyMs;
    }
    try {
      const cancelled = await options.plinth.asWorker({ timeoutMs: everyMs }, (tx) => beatWorker(tx, options.name));
      lastMs = performance.now();
      for (const one of mine) {
        if (!one.settled && cancelled.has(one.job.run_id)) one.controller.abort(new StopReason('cancelled', 'cancelled'));
      }
      return everyMs;
    } catch (error) {
      if (performance.now() - lastMs > options.leaseMs) {
        for (const one of mine) one.controller.abort(new StopReason('lease_lost', 'the database could not be reached for the length of the lease'));
      }
      if ((error as { code?: unknown }).code === 'jobs_lease_lost') {
        for (const one of mine) one.controller.abort(new StopReason('lease_lost', 'another attempt has taken over, or the job is gone'));
        return everyMs;
      }
      throw error;
    }
  };
}
