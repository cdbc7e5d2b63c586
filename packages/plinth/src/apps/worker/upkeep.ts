import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { premakePartitions } from '#kernel/retention/premake.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import { announceKinds, dropUnnamedSchedules, JOB_SIGNALS, promoteJobs, putCardSchedules, rotateRing, runDueSchedules } from '#modules/jobs';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';
import { DEFAULT_TIMEOUT_MS } from './run-job.ts';

export interface UpkeepOptions {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  definitions: Readonly<Record<string, JobDefinition>>;
  pollMs: number;
  stats: WorkerStats;
  metrics: WorkerMetrics;
  /** The database knows the kinds of this process with their defaults. */
  onAnnounced: () => void;
}

const HOUR_MS = 3_600_000;
/** A machine that slept for days, or whose clock was set, has none for today when it goes on. */
const PARTITIONS_MS = 60_000;
const RING = { busyFrom: 100, busyMs: 250, restMs: 1_000, restTurns: 20 };
/** A schedule made by another process without a hint is seen after the longest; one that another process holds now, after the shortest. */
const SCHEDULE_WAIT_MS = { shortest: 50, longest: 15_000 };

/**
 * What keeps jobs going besides running them: partitions, the list of kinds, schedules. Every worker does all of it. Partitions are no job: where there is none for today, no job
 * could finish.
 */
export function startUpkeep(options: UpkeepOptions): Loop[] {
  const { plinth, services, stats, metrics } = options;
  const common = { log: services.log, wake: plinth.wake };
  return [
    startLoop({ ...common, name: 'announce', turn: announcing(options) }),
    startLoop({
      ...common,
      name: 'partitions',
      async turn() {
        await premakePartitions((body) => plinth.asWorker({}, body));
        return PARTITIONS_MS;
      },
    }),
    startLoop({
      ...common,
      name: 'ring',
      turn: ringTurn(options),
    }),
    startLoop({
      ...common,
      name: 'schedule',
      signals: [JOB_SIGNALS.scheduled],
      async turn() {
        const { jobIds, nextInMs } = await plinth.asWorker({}, (tx) => runDueSchedules(tx));
        if (jobIds.length > 0) {
          stats.scheduled += jobIds.length;
          metrics.scheduled.add(jobIds.length);
          services.log.info({ jobs: jobIds }, 'schedules enqueued jobs');
          plinth.wake.signal([JOB_SIGNALS.enqueued]);
        }
        return Math.min(SCHEDULE_WAIT_MS.longest, Math.max(SCHEDULE_WAIT_MS.shortest, nextInMs ?? SCHEDULE_WAIT_MS.longest));
      },
    }),
  ];
}

/** Where little is claimed, little fills up: the database is asked now and then only. Overdue scheduled jobs are looked for at the same time. */
function ringTurn({ plinth, services, stats }: UpkeepOptions): () => Promise<number> {
  let claimedBefore = 0;
  let turns = 0;
  let behind = false;
  return async () => {
    const busy = behind || stats.claimed > claimedBefore + RING.busyFrom;
    claimedBefore = stats.claimed;
    turns += 1;
    if (!busy && turns % RING.restTurns !== 1) return RING.restMs;
    const { did, more } = await plinth.asWorker({ durable: false }, (tx) => rotateRing(tx));
    behind = more;
    if (did) services.log.info({ ring: did }, 'worker: the ring of ready jobs was turned');
    if (turns % RING.restTurns === 1) {
      const promoted = await plinth.asWorker({}, (tx) => promoteJobs(tx, 1_000));
      if (promoted > 0) plinth.wake.signal([JOB_SIGNALS.enqueued]);
    }
    return busy || behind ? RING.busyMs : RING.restMs;
  };
}

const MOST_INTEGER = 2_147_483_647;

/** At the start and every hour. The kinds first, because no job is claimed before their defaults are in force. */
async function announce({ plinth, definitions, onAnnounced }: UpkeepOptions): Promise<void> {
  const kinds = Object.entries(definitions).map(([kind, one]) => ({
    kind,
    summary: one.summary,
    max_attempts: one.maxAttempts ?? 3,
    backoff: one.backoff,
    max_lost: one.maxLost,
    timeout_ms: Math.min(MOST_INTEGER, Math.ceil(one.timeoutMs ?? DEFAULT_TIMEOUT_MS)),
  }));
  await plinth.asWorker({}, (tx) => announceKinds(tx, kinds));
  onAnnounced();
  await plinth.asWorker({}, async (tx) => {
    await putCardSchedules(tx, definitions);
    tx.signal(JOB_SIGNALS.scheduled);
  });
}

function announcing(options: UpkeepOptions): () => Promise<number> {
  const { plinth, services, definitions } = options;
  let begun = false;
  return async () => {
    await announce(options);
    const dropped = begun ? await plinth.asWorker({}, (tx) => dropUnnamedSchedules(tx, definitions)) : [];
    if (dropped.length > 0) services.log.info({ schedules: dropped }, 'worker: schedules were deleted that are in no code any more');
    begun = true;
    return HOUR_MS;
  };
}
