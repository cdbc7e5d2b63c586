import type { JobDefinition } from '#kernel/work.ts';
import { REDRIVE, redriveJob } from './redrive.ts';

const BATCH = 1000;
const SWEEP_BATCH = 5000;

/** Jobs of the module itself. */
export const jobDefinitions: Record<string, JobDefinition> = {
  [REDRIVE]: redriveJob,
  'jobs.purge_failed': {
    summary: 'Deletes dead letters that are older than 30 days.',
    installation: true,
    schedule: { cron: '20 3 * * *' },
    timeoutMs: 600_000,
    async handler(run) {
      let purged = 0;
      // A transaction a batch: locks are short, and a run that is stopped has still done its part.
      for (;;) {
        run.signal.throwIfAborted();
        const [row] = await run.asWorker((tx) => tx.query<{ n: number }>('select plinth_jobs.purge_failed(p_limit => $1)::int as n', [BATCH]));
        purged += row?.n ?? 0;
        if ((row?.n ?? 0) < BATCH) return { purged };
      }
    },
  },
  'jobs.sweep_queues': {
    summary: 'Deletes finished jobs of queues that are kept for a shorter time than the rest.',
    installation: true,
    schedule: { cron: '50 * * * *' },
    timeoutMs: 600_000,
    async handler(run) {
      let swept = 0;
      for (;;) {
        run.signal.throwIfAborted();
        const [row] = await run.asWorker((tx) => tx.query<{ n: number }>('select plinth_jobs.sweep_queues($1) as n', [SWEEP_BATCH]));
        swept += row?.n ?? 0;
        if ((row?.n ?? 0) < SWEEP_BATCH) return { swept };
      }
    },
  },
};
