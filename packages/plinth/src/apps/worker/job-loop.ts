import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, Pause, Settlement } from '#modules/jobs';
import { promoteJobs } from '#modules/jobs';
import type { Claims } from './claims.ts';
import { createClaims } from './claims.ts';
import { Fifo } from './fifo.ts';
import type { Journal } from './journal.ts';
import { createJournal } from './journal.ts';
import type { Member } from './member.ts';
import { startMember } from './member.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';
import { DEFAULT_TIMEOUT_MS, RunningJob, runJob } from './run-job.ts';
import type { Ended, SettleQueue } from './settle-queue.ts';
import { createSettleQueue } from './settle-queue.ts';
import { StopReason } from './stop-reason.ts';
import { tellEnd, tellFailed } from './tell.ts';

export interface JobLoopOptions {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  definitions: Readonly<Record<string, JobDefinition>>;
  name: string;
  /** Jobs at a time, now: may change while it runs. */
  readonly concurrency: number;
  /** Most jobs that wait here for a slot. */
  prefetch: number;
  /** A job that waited here so long for a slot is given back: others may have one. */
  prefetchMs: number;
  queues?: readonly string[] | undefined;
  pollMs: number;
  leaseMs: number;
  stopMs: number;
  durable: boolean;
  listens: boolean;
  /** Resolves when the kinds are known with their defaults: no job runs before. */
  announced: Promise<void>;
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

/** Tenant of a pause that holds for all. */
const EVERY_TENANT = '00000000-0000-0000-0000-000000000000';
/** How often running jobs are looked at for their time limit. */
const SWEEP_MS = 100;
/** Outcomes that may wait to be stored before no further job begins. */
const MOST_UNSETTLED = 4_000;
/** The same, in bytes of their results. */
const MOST_UNSETTLED_BYTES = 32 * 1024 * 1024;
/**
 * Jobs that begin in one turn of the event loop. Handlers that wait for nothing would otherwise all run before the next claim and the
 * outcomes of the first could be sent, and the database would stand still for as long.
 */
const MOST_A_TURN = 64;

/** A claim of which not every job has ended here. */
interface OpenClaim {
  readonly id: string;
  left: number;
}

/** A job that this process holds, from its claim until its outcome is stored: one object for all of it, because there are many. */
class HeldJob {
  readonly state: State;
  readonly job: ClaimedJob;
  readonly of: OpenClaim;
  sinceMs: number;
  tookMs = 0;
  watched = false;
  maybeSettled = false;
  settlement: Settlement | undefined;
  /** Its claim, when it was the last of it. */
  claim: string | undefined;

  constructor(state: State, job: ClaimedJob, of: OpenClaim, sinceMs: number) {
    this.state = state;
    this.job = job;
    this.of = of;
    this.sinceMs = sinceMs;
  }

  stored(status: string | undefined): void {
    tellEnd(this.state.options, this.job, this.settlement, status ?? (this.maybeSettled ? 'completed' : undefined), this.tookMs);
    if (this.watched) this.state.journal.seen();
    settledSoon(this.state);
  }
}

export function startJobLoop(options: JobLoopOptions): JobLoop {
  const { plinth, services, stats, leaseMs } = options;
  const running = new Set<RunningJob>();
  const lost = new StopReason('lease_lost', 'another attempt has taken over, or the job is gone');
  const member = startMember({
    ...options,
    onCancelled(runIds) {
      for (const runId of runIds) state.cancelled.add(runId);
      for (const one of running) if (state.cancelled.has(one.job.run_id)) one.stop(new StopReason('cancelled', 'cancelled'));
    },
    onPaused: (pauses) => giveBackPaused(state, pauses),
    onKnown: () => state.onFree?.(),
    onLost() {
      for (const one of running) one.stop(lost);
      state.waiting.takeAll();
      state.open.clear();
    },
  });
  const settling = createSettleQueue({
    plinth,
    log: services.log,
    onStored: (outcomes, tookMs) => countStored(options.metrics, outcomes, tookMs),
    onFailed: (jobs) => tellFailed(options, jobs),
    giveUpMs: leaseMs * 2,
    durable: options.durable,
    more: () => state.begins < 1,
    onGivenUp: () => member.renew(),
  });
  const state: State = { options, running, settling, journal: createJournal(plinth, services.log), ...beginning() };
  const claims = createClaims({
    ...options,
    plinth: claimsTimed(options),
    get concurrency() {
      return options.concurrency;
    },
    member,
    log: services.log,
    held: () => running.size + state.waiting.size,
    ended: () => state.ran,
    unsettled: () => settling.size,
    known: () => [...state.open.keys(), ...settling.closing()],
    promote: (limit) => plinth.asWorker({ durable: options.durable }, (tx) => promoteJobs(tx, limit)),
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
      await state.journal.stop();
      await member.stop();
      stats.running = running.size;
    },
  };
}

async function wind(state: State, claims: Claims, graceMs: number): Promise<void> {
  state.stopping = true;
  await claims.stop();
  for (const held of state.waiting.takeAll()) end(held, { outcome: 'returned' });
  await drained(state, graceMs);
  for (const one of state.running) one.stop(new StopReason('shutdown', 'the worker shuts down'));
  // Handlers have stopMs to end, then the job is given back whatever they do: the fence keeps a straggler from the database.
  await drained(state, state.options.stopMs + 1_000);
}

function take(state: State, jobs: readonly ClaimedJob[]): void {
  const { options, open, waiting, seen } = state;
  options.stats.claimed += jobs.length;
  options.metrics.claims.record(jobs.length);
  const sinceMs = performance.now();
  let claim: OpenClaim | undefined;
  for (const job of jobs) {
    if (claim?.id !== job.claim_id) claim = openClaim(open, job.claim_id);
    claim.left += 1;
    waiting.push(new HeldJob(state, job, claim, sinceMs));
    if (job.waited_ms > seen.waitMs) seen.waitMs = job.waited_ms;
  }
  fill(state);
}

function openClaim(open: Map<string, OpenClaim>, id: string): OpenClaim {
  const claim = open.get(id) ?? { id, left: 0 };
  open.set(id, claim);
  return claim;
}

interface State {
  options: JobLoopOptions;
  running: Set<RunningJob>;
  settling: SettleQueue;
  journal: Journal;
  /** Claimed and not begun. */
  waiting: Fifo<HeldJob>;
  /** Since load() was asked last. */
  seen: { peak: number; waitMs: number };
  open: Map<string, OpenClaim>;
  /** Attempts that were cancelled before they began. */
  cancelled: Set<string>;
  stopping: boolean;
  /** Attempts that were run to their end here. */
  ran: number;
  /** Jobs that may still begin in this turn of the event loop. */
  begins: number;
  onFree?: () => void;
  settled?: NodeJS.Immediate | undefined;
  ended: Set<() => void>;
}

const beginning = (): Omit<State, 'options' | 'running' | 'settling' | 'journal'> => ({
  waiting: new Fifo(),
  seen: { peak: 0, waitMs: 0 },
  open: new Map(),
  cancelled: new Set(),
  stopping: false,
  ran: 0,
  begins: MOST_A_TURN,
  ended: new Set(),
});

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

function countStored(metrics: WorkerMetrics, outcomes: number, tookMs: number): void {
  metrics.settled.record(outcomes);
  metrics.settleDuration.record(tookMs / 1000);
}

function loadOf(state: State): { peak: number; waitMs: number } {
  const { seen, running, waiting } = state;
  state.seen = { peak: running.size, waitMs: 0 };
  const { first } = waiting;
  const here = first ? performance.now() - first.sinceMs + Math.max(0, first.job.waited_ms) : 0;
  return { peak: seen.peak, waitMs: Math.max(seen.waitMs, here) };
}

/** Begins jobs while there are slots. */
function fill(state: State): void {
  const { options, running, waiting, settling } = state;
  const full = (): boolean => settling.size >= MOST_UNSETTLED || settling.bytes >= MOST_UNSETTLED_BYTES;
  while (waiting.size > 0 && running.size < options.concurrency && state.begins > 0 && !full()) begin(waiting.take() as HeldJob);
  if (state.begins < 1) settledSoon(state);
  options.stats.running = running.size;
  options.stats.waiting = waiting.size;
  if (running.size > state.seen.peak) state.seen.peak = running.size;
}

function begin(held: HeldJob): void {
  const { state, job } = held;
  const definition = state.options.definitions[job.kind];
  if (state.stopping || !definition) end(held, { outcome: 'returned' });
  else if (state.cancelled.size > 0 && state.cancelled.delete(job.run_id)) end(held, { outcome: 'cancelled', error: 'cancelled' });
  else if (job.late) end(held, { outcome: 'failed', final: true, error: 'its deadline had passed before it could begin' });
  else work(held, definition);
}

function work(held: HeldJob, definition: JobDefinition): void {
  const { state, job } = held;
  const { options, running } = state;
  state.begins -= 1;
  const mine = new RunningJob(job, definition.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  running.add(mine);
  options.metrics.running.add(1);
  options.metrics.wait.record(Math.max(0, job.waited_ms) / 1000, { queue: job.queue });
  void runJob({ plinth: options.plinth, services: options.services, journal: state.journal, stopMs: options.stopMs }, mine, definition).then((outcome) => {
    const byHandler = mine.settled;
    mine.settled = true;
    running.delete(mine);
    state.ran += 1;
    options.metrics.running.add(-1);
    held.tookMs = performance.now() - mine.startedMs;
    held.watched = mine.watched;
    held.maybeSettled = mine.maybeSettled;
    end(held, outcome, byHandler);
    if (state.ended.size > 0) for (const listener of state.ended) listener();
    fill(state);
    settledSoon(state);
  });
}

/** Stores how an attempt ended; `outcome` is undefined when the handler stored it itself, or has lost the job. */
function end(held: HeldJob, outcome: Partial<Settlement> | undefined, byHandler = false): void {
  const { state, job, of } = held;
  const { options, settling, open } = state;
  of.left -= 1;
  // One that was given up with its worker is not open any more.
  const closes = of.left === 0 && open.delete(of.id) ? of.id : undefined;
  if (outcome) {
    held.settlement = { tenant_id: job.tenant_id, id: job.id, run_id: job.run_id, place: job.place, ...outcome } as Settlement;
    held.claim = closes;
    settling.push(held as HeldJob & Ended);
    return;
  }
  if (closes !== undefined) settling.close(closes);
  tellEnd(options, job, undefined, byHandler ? 'completed' : undefined, held.tookMs);
  if (held.watched) state.journal.seen();
}

/** Attempts end and outcomes are stored by the batch: once for each, jobs that waited for that begin, and there is room for a claim. */
function settledSoon(state: State): void {
  state.settled ??= setImmediate(() => {
    state.settled = undefined;
    state.begins = MOST_A_TURN;
    if (state.waiting.size > 0) fill(state);
    state.onFree?.();
  });
}

function sweepTimes(state: State): void {
  const now = performance.now();
  for (const one of state.running) {
    if (one.endsMs > now) continue;
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = state.options.definitions[one.job.kind] ?? {};
    one.stop(new StopReason('timeout', `timed out after ${timeoutMs} ms`));
  }
  const { first } = state.waiting;
  if (first && now - first.sinceMs > state.options.prefetchMs) for (const held of state.waiting.takeAll()) end(held, { outcome: 'returned' });
  state.options.stats.waiting = state.waiting.size;
  if (state.running.size === 0) state.cancelled.clear();
}

/** What was fetched ahead of a pause goes back, so that it does not start after it. */
function giveBackPaused(state: State, pauses: readonly Pause[]): void {
  for (const held of state.waiting.takeAll()) {
    if (pauses.some((pause) => isPaused(pause, held.job))) end(held, { outcome: 'returned' });
    else state.waiting.push(held);
  }
}

const isPaused = (pause: Pause, job: ClaimedJob): boolean =>
  (pause.tenant_id === job.tenant_id || pause.tenant_id === EVERY_TENANT) &&
  (pause.queue ?? job.queue) === job.queue &&
  (pause.kind ?? job.kind) === job.kind &&
  (pause.concurrency_key ?? job.concurrency_key) === job.concurrency_key;

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
      if (state.running.size === 0 && state.settling.left === 0) finish();
    };
    const timer = setTimeout(finish, timeoutMs);
    const looking = setInterval(look, 5);
    state.ended.add(look);
    look();
  });
