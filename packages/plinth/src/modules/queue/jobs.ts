import type { JobDefinition } from '#kernel/work.ts';

const BATCH = 10_000;

/** Jobs of the module itself. */
export const jobDefinitions: Record<string, JobDefinition> = {
  'queue.tidy': {
    summary: 'Sweeps deduplication keys whose window is over, and checks the cursors of the queues.',
    installation: true,
    schedule: { cron: '*/5 * * * *' },
    timeoutMs: 240_000,
    async handler(run) {
      let swept = 0;
      for (;;) {
        run.signal.throwIfAborted();
        const [row] = await run.asWorker((tx) => tx.query<{ n: number }>('select plinth_queue.tidy($1)::int as n', [BATCH]));
        swept += row?.n ?? 0;
        if ((row?.n ?? 0) < BATCH) return { swept };
      }
    },
  },
};
