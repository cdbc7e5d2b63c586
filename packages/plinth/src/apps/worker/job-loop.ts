import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, Settlement } from '#modules/jobs';
import type { Claims } from './claims.ts';
import { createClaims } from './claims.ts';
import type { Journal } from './journal.ts';
import { createJournal } from './journal.ts';
import type { Member } from './member.ts';
import { startMember } from './member.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';
import type { RunningJob } from './run-job.ts';
import { DEFAULT_TIMEOUT_MS, runJob, runningJob } from './run-job.ts';
import type { SettleQueue } from './settle-queue.ts';
import { createSettleQueue } from './settle-queue.ts';
import { StopReason } from './stop-reason.ts';

export interface JobLoopOptions {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  definitions: Readonly<Record<string, JobDefinition>>;
  name: string;
  /** Jobs at a time, now: may change while it runs. */
  readonly concurrency: number;
  /** Most jobs that wait here for a slot. */
  prefetch: number;
  queues?: readonly string[] | undefined;
  pollMs: number;
  leaseMs: number;
  stopMs: number;
  durable: boolean;
  listens: boolean;
  stats: WorkerStats;
  metrics: WorkerMetrics;
}

/** Takes jobs while there are free slots, runs them, stores how they ended. */
export interface JobLoop {
  readonly member: Member;
  /** What was seen since it was asked last. */
  load(): { peak: number; waitMs: number };
  /** There are more or fewer slots. */
  resized(): void;
  /** Takes no more, gives back what has not begun, waits `graceMs` for what runs, then aborts it and gives back what does not end. */
  stop(graceMs: number): Promise<void>;
}

/** How often running jobs are looked at for their time limit. */
const SWEEP_MS = 100;
/** A job that waited here so long for a slot is given back: others may have one. */
const LONGEST_WAIT_MS = 2_000;
/** Outcomes that may wait to be stored before no further job begins. */
const MOST_UNSETTLED = 4_000;

/** A job that was claimed and has not begun. */
interface Waiting {
  job: ClaimedJob;
  sinceMs: number;
}

export function startJobLoop(options: JobLoopOptions): JobLoop {
  const { plinth, services, stats, leaseMs } = options;
  const running = new Map<string, RunningJob>();
  const lost = new StopReason('lease_lost', 'another attempt has taken over, or the job is gone');
  const member = startMember({
    ...options,
    log: services.log,
    onCancelled(runIds) {
      for (const runId of runIds) {
        running.get(runId)?.stop(new StopReason('cancelled', 'cancelled'));
        state.cancelled.add(runId);
      }
    },
    onLost() {
      for (const one of running.values()) one.stop(lost);
      state.waiting.length = 0;
      state.open.clear();
    },
  });
  const settling = createSettleQueue({
    plinth,
    log: services.log,
    onStored: (outcomes, tookMs) => {
      options.metrics.settled.record(outcomes);
      options.metrics.settleDuration.record(tookMs / 1000);
    },
    giveUpMs: leaseMs * 2,
    durable: options.durable,
    onGivenUp: () => member.renew(),
  });
  const journal = createJournal(plinth, services.log);
  const state: State = {
    options,
    running,
    settling,
    journal,
    waiting: [],
    seen: { peak: 0, waitMs: 0 },
    open: new Map(),
    cancelled: new Set(),
    stopping: false,
    ended: new Set(),
  };
  const claims = createClaims({
    ...options,
    plinth: claimsTimed(options),
    get concurrency() {
      return options.concurrency;
    },
    member,
    log: services.log,
    held: () => running.size + state.waiting.length,
    unsettled: () => settling.size,
    known: () => [...state.open.keys(), ...settling.closing()],
    onClaimed: (jobs) => take(state, jobs),
  });
  state.onFree = claims.freed;
  const sweep = setInterval(() => sweepTimes(state), SWEEP_MS);

  return {
    member,
    load: () => loadOf(state),
    resized() {
      fill(state);
      claims.freed();
    },
    async stop(graceMs) {
      await wind(state, claims, graceMs);
      clearInterval(sweep);
      await journal.stop();
      await member.stop();
      stats.running = running.size;
    },
  };
}

async function wind(state: State, claims: Claims, graceMs: number): Promise<void> {
  state.stopping = true;
  await claims.stop();
  for (const { job } of state.waiting.splice(0)) end(state, job, { outcome: 'returned' });
  await drained(state, graceMs);
  for (const one of state.running.values()) one.stop(new StopReason('shutdown', 'the worker shuts down'));
  // Handlers have stopMs to end, then the job is given back whatever they do: the fence keeps a straggler from the database.
  await drained(state, state.options.stopMs + 1_000);
}

function take(state: State, jobs: readonly ClaimedJob[]): void {
  const { options, open, waiting, seen } = state;
  options.stats.claimed += jobs.length;
  options.metrics.claims.record(jobs.length);
  const sinceMs = performance.now();
  for (const job of jobs) {
    open.set(job.claim_id, (open.get(job.claim_id) ?? 0) + 1);
    waiting.push({ job, sinceMs });
    if (job.waited_ms > seen.waitMs) seen.waitMs = job.waited_ms;
  }
  fill(state);
}

interface State {
  options: JobLoopOptions;
  running: Map<string, RunningJob>;
  settling: SettleQueue;
  journal: Journal;
  waiting: Waiting[];
  /** Since load() was asked last. */
  seen: { peak: number; waitMs: number };
  /** Claims by their id: how many of their jobs have not ended. */
  open: Map<string, number>;
  /** Attempts that were cancelled before they began. */
  cancelled: Set<string>;
  stopping: boolean;
  onFree?: () => void;
  settled?: NodeJS.Immediate | undefined;
  ended: Set<() => void>;
}

/** A claim is the one thing that claiming writes; now and then it is giving back what got lost. */
function claimsTimed({ plinth, metrics }: JobLoopOptions): Plinth<ModuleMap> {
  return {
    ...plinth,
    async asWorker(input, body) {
      if (input.readOnly) return plinth.asWorker(input, body);
      const startedMs = performance.now();
      const result = await plinth.asWorker(input, body);
      metrics.claimDuration.record((performance.now() - startedMs) / 1000);
      return result;
    },
  };
}

function loadOf(state: State): { peak: number; waitMs: number } {
  const { seen, running, waiting } = state;
  state.seen = { peak: running.size, waitMs: 0 };
  const [first] = waiting;
  const here = first ? performance.now() - first.sinceMs + Math.max(0, first.job.waited_ms) : 0;
  return { peak: seen.peak, waitMs: Math.max(seen.waitMs, here) };
}

/** Begins jobs while there are slots. */
function fill(state: State): void {
  const { options, running, waiting } = state;
  let begun = 0;
  while (begun < waiting.length && running.size < options.concurrency && state.settling.size < MOST_UNSETTLED) {
    const { job } = waiting[begun] as Waiting;
    begun += 1;
    begin(state, job);
  }
  if (begun > 0) waiting.splice(0, begun);
  options.stats.running = running.size;
  options.stats.waiting = waiting.length;
  if (running.size > state.seen.peak) state.seen.peak = running.size;
}

function begin(state: State, job: ClaimedJob): void {
  const { options } = state;
  const definition = options.definitions[job.kind];
  if (state.stopping || !definition) end(state, job, { outcome: 'returned' });
  else if (state.cancelled.delete(job.run_id)) end(state, job, { outcome: 'cancelled', error: 'cancelled' });
  else if (job.late) end(state, job, { outcome: 'failed', final: true, error: 'its deadline had passed before it could begin' });
  else void work(state, job, definition);
}

async function work(state: State, job: ClaimedJob, definition: JobDefinition): Promise<void> {
  const { options, running } = state;
  const mine = runningJob(job, definition.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  running.set(job.run_id, mine);
  options.metrics.running.add(1);
  options.metrics.wait.record(Math.max(0, job.waited_ms) / 1000, { queue: job.queue });
  const startedMs = performance.now();
  const outcome = await runJob({ plinth: options.plinth, services: options.services, journal: state.journal, stopMs: options.stopMs }, mine, definition);
  const byHandler = mine.settled;
  mine.settled = true;
  running.delete(job.run_id);
  options.metrics.running.add(-1);
  end(state, job, outcome, { byHandler, startedMs, watched: mine.watched });
  for (const listener of state.ended) listener();
  fill(state);
  state.onFree?.();
}

/** Of an attempt that did begin. */
interface Ran {
  byHandler: boolean;
  startedMs: number;
  watched: boolean;
}

/** Stores how an attempt ended; `outcome` is undefined when the handler stored it itself, or has lost the job. */
function end(state: State, job: ClaimedJob, outcome: Partial<Settlement> | undefined, ran?: Ran): void {
  const { options, settling, open } = state;
  const left = (open.get(job.claim_id) ?? 0) - 1;
  if (left === 0) open.delete(job.claim_id);
  else if (left > 0) open.set(job.claim_id, left);
  const closes = left === 0 ? job.claim_id : undefined;
  const tookMs = ran ? performance.now() - ran.startedMs : 0;
  if (!outcome) {
    if (closes !== undefined) settling.close(closes);
    tell(options, job, ran?.byHandler ? { outcome: 'completed' } : undefined, tookMs);
    if (ran?.watched) state.journal.seen();
    return;
  }
  const settlement = { tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, ...outcome } as Settlement;
  void settling.push(settlement, closes).then((accepted) => {
    tell(options, job, accepted ? outcome : undefined, tookMs);
    if (ran?.watched) state.journal.seen();
    settledSoon(state);
  });
}

/** Outcomes are stored by the batch: once for each, jobs that waited for that begin, and there is room for a claim. */
function settledSoon(state: State): void {
  state.settled ??= setImmediate(() => {
    state.settled = undefined;
    if (state.waiting.length > 0) fill(state);
    state.onFree?.();
  });
}

function sweepTimes(state: State): void {
  const now = performance.now();
  for (const one of state.running.values()) {
    if (one.endsMs > now) continue;
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = state.options.definitions[one.job.kind] ?? {};
    one.stop(new StopReason('timeout', `timed out after ${timeoutMs} ms`));
  }
  if (state.waiting[0] && now - state.waiting[0].sinceMs > LONGEST_WAIT_MS) {
    for (const { job } of state.waiting.splice(0)) end(state, job, { outcome: 'returned' });
  }
  state.options.stats.waiting = state.waiting.length;
  if (state.running.size === 0) state.cancelled.clear();
}

/** Resolves when nothing runs and every outcome is stored, at the latest after `timeoutMs`. */
const drained = (state: State, timeoutMs: number): Promise<void> =>
  new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      clearInterval(looking);
      state.ended.delete(look);
      resolve();
    };
    const look = (): void => {
      if (state.running.size === 0 && state.settling.size === 0) finish();
    };
    const timer = setTimeout(finish, timeoutMs);
    const looking = setInterval(look, 5);
    state.ended.add(look);
    look();
  });

/** Counts and logs the end of an attempt; `outcome` is undefined when it was refused. */
function tell(options: JobLoopOptions, job: ClaimedJob, end: Partial<Settlement> | undefined, tookMs: number): void {
  const { stats, metrics, services, definitions } = options;
  const most = job.max_attempts ?? definitions[job.kind]?.maxAttempts ?? 3;
  const dead = end?.outcome === 'failed' && (end.final === true || job.attempt >= most);
  const outcome = end === undefined ? 'lost' : dead ? 'dead_letter' : (end.outcome ?? 'completed');
  metrics.attempts.add(1, { kind: job.kind, outcome });
  metrics.duration.record(tookMs / 1000, { kind: job.kind, outcome });
  if (outcome === 'completed') {
    stats.completed += 1;
    // What went well is in the history; a line for each would cost more than the job.
    services.log.debug?.(factsOf(job, outcome, tookMs), 'job completed');
    return;
  }
  const fields = factsOf(job, outcome, tookMs);
  if (outcome === 'dead_letter') {
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

const factsOf = (job: ClaimedJob, outcome: string, tookMs: number): object => ({
  job_id: job.id,
  kind: job.kind,
  tenant_id: job.tenant_id,
  correlation_id: job.correlation_id,
  run_id: job.run_id,
  attempt: job.attempt,
  took_ms: Math.round(tookMs),
  outcome,
});
