/** The worker process: runs jobs, schedules, readers of the event feed and the modules' long-running parts, until it is stopped. */
import { hostname } from 'node:os';
import { createEgress } from '#adapters/http/egress.ts';
import { runDetached } from '#kernel/context.ts';
import { limited } from '#kernel/limited.ts';
import { createLog } from '#kernel/log.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Transaction } from '#kernel/transaction.ts';
import type { Consumer, JobDefinition, ThreadJobDefinition, WorkerRuntime, WorkServices } from '#kernel/work.ts';
import { whileCompatible } from './compatible.ts';
import { startConsumers } from './consumers.ts';
import { definitionsOf } from './definitions.ts';
import { startJobLoop } from './job-loop.ts';
import { startListener } from './listener.ts';
import type { WorkerStats } from './metrics.ts';
import { emptyStats, observeWorker, watchLoopDelay, workerMetrics } from './metrics.ts';
import type { JobMiddleware } from './middleware.ts';
import { withMiddleware } from './middleware.ts';
import { refuseTaken, startOwnConsumers } from './own-consumers.ts';
import type { RelayOptions } from './relay.ts';
import { startRelay } from './relay.ts';
import { holdTime } from './run-job.ts';
import type { Concurrency } from './scaler.ts';
import { slotLimits, startScaler } from './scaler.ts';
import { createThreadPool } from './thread-pool.ts';
import { startUpkeep } from './upkeep.ts';

export type { Egress, EgressOptions, EgressPolicy } from '#adapters/http/egress.ts';
export { createEgress } from '#adapters/http/egress.ts';
export { JobFailure } from '#modules/jobs';
export type { WorkerStats } from './metrics.ts';
export type { JobMiddleware } from './middleware.ts';
export type { RelayOptions } from './relay.ts';
export type { Concurrency } from './scaler.ts';
export { StopReason } from './stop-reason.ts';

export interface WorkerOptions<Modules extends ModuleMap> {
  plinth: Plinth<Modules>;
  /** Handlers of your own kinds, beside those on the modules' cards. */
  handlers?: Record<string, JobDefinition<Transaction<Modules>> | ThreadJobDefinition<Transaction<Modules>>> | undefined;
  /**
   * Readers of the event log of your own, by name, beside those on the modules' cards. A name is the consumer's place in the log: keep it, and let every
   * worker that has it run the same handler. One that is gone for good has to be forgotten (README of `events`), or the log is kept for it.
   */
  consumers?: Record<string, Consumer<Transaction<Modules>>> | undefined;
  /** Most threads for kinds that have a `thread`. Default: one fewer than the processor can run at once. Jobs that find none free wait in their slots. */
  threads?: number | undefined;
  /** Goes around every attempt at a job of any kind, the first one outermost. Default: none. */
  middleware?: readonly JobMiddleware<Transaction<Modules>>[] | undefined;
  /** Default: the clock of plinth, a log on standard error, every module, and an egress adapter that reaches the public internet only. */
  services?: Partial<WorkServices> | undefined;
  /**
   * Jobs at a time. Default 10; the pool should have as many connections and a few more. `{ min, max }`: as many as it takes for jobs not to wait
   * longer than `targetMs`, as far as the event loop and the pool of connections allow; `worker.stats.slots` tells how many there are now.
   */
  concurrency?: number | Concurrency | undefined;
  /** Most jobs that are claimed ahead and wait for a slot; it takes a quarter of a second's work, not more. Default 1,000. */
  prefetch?: number | undefined;
  /** How long a job that was claimed ahead waits for a slot before it is given back, because others may have one, ms. Default 2,000. */
  prefetchMs?: number | undefined;
  /**
   * True: claims and completions are on disk before the worker goes on. Default false (synchronous_commit off for these two): a crash
   * of the database may run a job again, it never loses one. Enqueueing, completeIn and what handlers commit always are.
   */
  durable?: boolean | undefined;
  /** Only jobs of these queues. Default: all. A worker of their own, in the same process or another, gives queues slots that no other work can take. */
  queues?: readonly string[] | undefined;
  /** Longest wait before looking for work without a hint, ms. Default 1,000. */
  pollMs?: number | undefined;
  /** How long its jobs are kept for a process without a sign of life, ms; it gives one a second. Default 15,000. */
  leaseMs?: number | undefined;
  /** How long a handler may take to end after its signal was aborted, ms. Default 1,000. */
  stopMs?: number | undefined;
  /** Other systems that events are passed on to: `{ nats: { servers } }`, `{ redis: { url } }`. Default: none. */
  relay?: RelayOptions | undefined;
  /** Shown in background_jobs.worker. Default: host and process id. */
  name?: string | undefined;
  /** Hear the hints of other processes by LISTEN, on a connection of its own. Default true. */
  listen?: boolean | undefined;
}

export interface Worker {
  readonly name: string;
  /** Counters of this process, live. */
  readonly stats: Readonly<WorkerStats>;
  /**
   * Takes no more, waits `graceMs` (default 3,000) for what runs, then aborts the rest (StopReason `shutdown`) and gives it back without
   * counting the attempt.
   */
  stop(options?: { graceMs?: number }): Promise<void>;
}

/**
 * Starts the worker and returns at once; failures of the database are logged and outlived, and so is one that a newer, incompatible version has migrated, on which
 * it does nothing (kernel_schema_newer). Errors: kernel_consumer_taken, kernel_files_missing; an Error for handlers of jobs
 * that are not valid, or two of one kind.
 *
 * @example
 * const worker = startWorker({ plinth, handlers: { 'invoice.send': { summary: 'Sends an invoice', handler: async (run) => { ... } } } });
 * process.once('SIGTERM', () => void worker.stop().then(() => plinth.close()));
 */
export const startWorker = <Modules extends ModuleMap>(options: WorkerOptions<Modules>): Worker => runDetached(() => start(options));

function start<Modules extends ModuleMap>(options: WorkerOptions<Modules>): Worker {
  const plinth = whileCompatible(limited(options.plinth as unknown as Plinth<ModuleMap>));
  const limits = slotLimits(options.concurrency ?? 10);
  const name = options.name ?? `${hostname()}:${process.pid}`;
  const egress = options.services?.adapters?.egress ? undefined : createEgress();
  const services = completed(options.services, plinth, egress ? { egress } : {});
  const stopMs = options.stopMs ?? 1_000;
  // A job that waits for a thread has not begun: its time limit is for what it does.
  const threads = createThreadPool({ most: options.threads, stopMs, onWait: holdTime });
  const definitions = withMiddleware(
    definitionsOf(plinth.modules, services.enabled, (options.handlers ?? {}) as Record<string, JobDefinition | ThreadJobDefinition>, threads.run),
    (options.middleware ?? []) as readonly JobMiddleware[],
  );
  const consumers = (options.consumers ?? {}) as Record<string, Consumer>;
  refuseTaken(plinth.modules, consumers, options.relay);
  // First, because a part may refuse to start, for want of an adapter: then nothing runs.
  const parts = startParts({ plinth, services, wake: plinth.wake });
  const stats = { ...emptyStats(), slots: limits.min };
  const shared = { plinth, services, definitions, pollMs: options.pollMs ?? 1_000, stats, metrics: workerMetrics() };
  const announced = Promise.withResolvers<void>();
  const jobs = startJobLoop({
    ...shared,
    announced: announced.promise,
    name,
    get concurrency() {
      return stats.slots;
    },
    prefetch: options.prefetch ?? 1_000,
    prefetchMs: options.prefetchMs ?? 2_000,
    durable: options.durable ?? false,
    queues: options.queues,
    leaseMs: options.leaseMs ?? 15_000,
    listens: options.listen !== false,
    stopMs,
  });
  const loopDelay = watchLoopDelay();
  const scaler = { ...shared, log: services.log, limits, queues: options.queues, loopDelay, load: jobs.load, resized: jobs.resized };
  const loops = [
    ...startUpkeep({ ...shared, onAnnounced: announced.resolve }),
    ...startConsumers(shared),
    ...startOwnConsumers(shared, consumers),
    ...(options.listen === false ? [] : [startListener(plinth, services.log, jobs.member)]),
    ...(limits.max > limits.min ? [startScaler(scaler)] : []),
  ];
  const relay = options.relay && startRelay(shared, options.relay);
  const unobserve = observeWorker(stats, loopDelay, options.queues);
  services.log.info({ worker: name, kinds: Object.keys(definitions), parts: parts.map((part) => part.name) }, 'worker started');
  let stopped: Promise<void> | undefined;
  const stop = async (graceMs: number): Promise<void> => {
    await Promise.all([jobs.stop(graceMs), ...loops.map((loop) => loop.stop()), relay?.stop(), ...parts.map((part) => stopPart(part, services))]);
    unobserve();
    await threads.close();
    egress?.close();
    services.log.info({ worker: name, ...stats }, 'worker stopped');
  };
  return { name, stats, stop: ({ graceMs } = {}) => (stopped ??= stop(graceMs ?? 3_000)) };
}

const completed = (given: Partial<WorkServices> | undefined, plinth: Plinth<ModuleMap>, adapters: Record<string, unknown>): WorkServices => ({
  clock: given?.clock ?? plinth.clock,
  log: given?.log ?? createLog({ part: 'worker' }),
  adapters: { ...adapters, ...given?.adapters },
  enabled: given?.enabled ?? (() => true),
});

interface Part {
  name: string;
  stop(): Promise<void>;
}

function startParts(runtime: WorkerRuntime): Part[] {
  const started: Part[] = [];
  try {
    for (const card of Object.values(runtime.plinth.modules)) {
      if (!runtime.services.enabled(card.name)) continue;
      for (const [name, start] of Object.entries(card.workers ?? {})) {
        const part = start(runtime);
        started.push({ name: `${card.name}.${name}`, stop: () => part.stop() });
      }
    }
    return started;
  } catch (error) {
    for (const part of started) void stopPart(part, runtime.services);
    throw error;
  }
}

const stopPart = (part: Part, services: WorkServices): Promise<void> =>
  part.stop().catch((error: unknown) => services.log.error({ part: part.name, err: error }, 'worker: a part did not stop cleanly'));
