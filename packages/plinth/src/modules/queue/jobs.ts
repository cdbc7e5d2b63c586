import type { JobDefinition, JobRun } from '#kernel/work.ts';

const BATCH = 10_000;

/** Calls the function until there is less to do than it does at a time. */
async function inBatches(run: JobRun, name: string): Promise<number> {
  for (let all = 0; ; ) {
    run.signal.throwIfAborted();
    const [row] = await run.asWorker((tx) => tx.query<{ n: number }>(`select ${name}($1)::int as n`, [BATCH]));
    all += row?.n ?? 0;
    if ((row?.n ?? 0) < BATCH) return all;
  }
}

/** Jobs of the module itself. */
export const jobDefinitions: Record<string, JobDefinition> = {
  'queue.tidy': {
    summary: 'Sweeps deduplication keys whose window is over, and checks the cursors of the queues.',
    installation: true,
    schedule: { cron: '*/5 * * * *' },
    timeoutMs: 240_000,
    async handler(run) {
      return { swept: await inBatches(run, 'plinth_queue.tidy') };
    },
  },
  'queue.drop_gone': {
    summary: 'Forgets messages that nobody received within 30 days.',
    installation: true,
    schedule: { cron: '40 3 * * *' },
    timeoutMs: 240_000,
    async handler(run) {
      return { gone: await inBatches(run, 'plinth_queue.drop_gone') };
    },
  },
};
