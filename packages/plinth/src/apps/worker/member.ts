import { randomBytes } from 'node:crypto';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { Beat, Pause, WorkerEntry } from '#modules/jobs';
import { beatWorker, JOB_SIGNALS, recoverJobs, registerWorker, unregisterWorker } from '#modules/jobs';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';
import { tellFailed } from './tell.ts';

/** This process among the workers: it is known, gives signs of life, and takes back what the dead left behind. */
export interface Member {
  /** Under which its claims stand. Another one after it was given up. */
  readonly id: string;
  /** It is registered under its id, so that others would notice its death. */
  readonly known: boolean;
  /** A session holds the advisory lock of this key now: from here on its end is a death. */
  sessionHeld(lock: bigint): void;
  /** Gives up everything it claimed, as if it had died, and goes on under another id. */
  renew(): void;
  stop(): Promise<void>;
}

export interface MemberOptions {
  plinth: Plinth<ModuleMap>;
  services: { log: WorkServices['log'] };
  name: string;
  leaseMs: number;
  /** What it takes; no queues: of all. */
  definitions: Readonly<Record<string, JobDefinition>>;
  queues?: readonly string[] | undefined;
  stats: WorkerStats;
  metrics: WorkerMetrics;
  /** A session is being opened that will hold the lock. */
  listens: boolean;
  /** These attempts should stop. */
  onCancelled: (runIds: readonly string[]) => void;
  /** These pauses are in force since lately: what was claimed before them may not begin. */
  onPaused: (pauses: readonly Pause[]) => void;
  /** It is registered. */
  onKnown: () => void;
  /** Everything that was claimed so far belongs to others. */
  onLost: () => void;
}

/** A beat a second finds a death within seconds; it is one small row. */
const LONGEST_BEAT_MS = 1_000;
const RECOVER_BATCH = 100;
/** A worker that claims before others know of its session is found by its lease alone when it dies: it waits so long for the lock, ms. */
const SESSION_WAIT_MS = 5_000;

/** Takes back what the dead left behind. */
async function recover(options: MemberOptions): Promise<void> {
  const { plinth, services, stats, metrics } = options;
  const { taken, failed } = await plinth.asWorker({ single: true }, (tx) => recoverJobs(tx, RECOVER_BATCH));
  if (taken === 0) return;
  stats.recovered += taken;
  metrics.recovered.add(taken);
  services.log.warn({ jobs: taken }, 'jobs of workers that died were taken back');
  tellFailed(options, failed);
  plinth.wake.signal([JOB_SIGNALS.enqueued]);
}

const entryOf = ({ name, leaseMs, definitions, queues }: MemberOptions, id: string, sessionLock: bigint | undefined): WorkerEntry => ({
  id,
  name,
  leaseMs,
  sessionLock,
  kinds: Object.keys(definitions),
  queues,
});

async function heed(options: MemberOptions, { cancelled, deaths, paused }: Beat): Promise<void> {
  if (cancelled.length > 0) options.onCancelled(cancelled);
  if (paused) options.onPaused(paused);
  if (deaths) await recover(options);
}

export function startMember(options: MemberOptions): Member {
  const { plinth, leaseMs, services } = options;
  const beatMs = Math.min(LONGEST_BEAT_MS, leaseMs / 3);
  const newId = (): string => `${options.name.replaceAll('#', '_')}#${randomBytes(4).toString('hex')}`;
  let id = newId();
  let held: bigint | undefined;
  let registered = false;
  let lastMs = performance.now();
  let known = false;

  const register = async (): Promise<void> => {
    const [own, holding] = [id, held];
    await plinth.asWorker({ timeoutMs: leaseMs }, (tx) => registerWorker(tx, entryOf(options, own, holding)));
    if (own !== id) return;
    // The session may have taken its lock meanwhile: then it is told at the next turn.
    registered = holding === held;
    lastMs = performance.now();
    known = true;
    options.onKnown();
  };
  const renew = (): void => {
    id = newId();
    registered = false;
    known = false;
    options.onLost();
    loop.nudge();
  };
  const beat = async (): Promise<void> => {
    const own = id;
    try {
      const told = await plinth.asWorker({ timeoutMs: Math.max(1_000, leaseMs / 3), durable: false, single: true }, (tx) => beatWorker(tx, own));
      lastMs = performance.now();
      await heed(options, told);
    } catch (error) {
      // A process that could not give a sign of life for a whole lease must take its jobs for lost.
      if ((error as { code?: unknown }).code === 'jobs_lease_lost' || performance.now() - lastMs > leaseMs) {
        services.log.warn({ worker: own, err: error }, 'worker: it was given up, its jobs run elsewhere');
        renew();
      } else throw error;
    }
  };
  const loop: Loop = startLoop({
    name: 'heartbeat',
    log: services.log,
    wake: plinth.wake,
    signals: [JOB_SIGNALS.cancelled, JOB_SIGNALS.paused],
    longestBackoffMs: leaseMs / 6,
    async turn() {
      const patienceMs = options.listens && held === undefined && !registered ? lastMs + SESSION_WAIT_MS - performance.now() : 0;
      if (patienceMs > 0) return patienceMs;
      await (registered ? beat() : register());
      return registered ? beatMs * (1 + Math.random() / 10) : 0;
    },
  });
  return {
    get id() {
      return id;
    },
    get known() {
      return known;
    },
    sessionHeld(lock) {
      held = lock;
      registered = false;
      loop.nudge();
    },
    renew,
    async stop() {
      await loop.stop();
      await plinth.asWorker({ timeoutMs: 1_000 }, (tx) => unregisterWorker(tx, id)).catch(() => {});
    },
  };
}
