import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import type { OwnerAccess } from '#kernel/retention/owner.ts';
import type { Storage } from '#kernel/retention/storage.ts';
import type { JobDefinition, JobRun } from '#kernel/work.ts';
import { errors } from './errors.ts';
import type { Task } from './maintain.ts';
import { maintain } from './maintain.ts';

const fail = raiser('maintenance', errors);

const offers = <T>(adapter: unknown, method: string): T | undefined =>
  typeof (adapter as Record<string, unknown> | undefined)?.[method] === 'function' ? (adapter as T) : undefined;

async function runTask(run: JobRun, task: Task, options: { kinds?: readonly string[] | undefined } = {}): Promise<unknown> {
  const { adapters, log } = run.services;
  const report = await maintain(
    {
      asWorker: run.asWorker,
      signal: run.signal,
      log,
      storage: offers<Storage>(adapters.storage, 'put'),
      owner: offers<OwnerAccess>(adapters.database, 'run'),
    },
    { task, ...options },
  );
  if (report.status === 'failed')
    throw fail('run_failed', { message: report.error ?? report.failures.map((failure) => `${failure.target}: ${failure.message}`).join('; ') });
  const { id, partitionsMade, partitionsDropped, rowsSwept, warnings } = report;
  return { run_id: id, partitions_made: partitionsMade, partitions_dropped: partitionsDropped, rows_swept: rowsSwept, warnings };
}

const SIX_HOURS = 6 * 3_600_000;

const scheduled = (task: Task, cron: string, summary: string): JobDefinition => ({
  summary,
  installation: true,
  schedule: { cron },
  timeoutMs: SIX_HOURS,
  handler: (run) => runTask(run, task),
});

const asked = z.object({ task: z.enum(['daily', 'weekly', 'monthly', 'retention', 'premake']), kinds: z.array(z.string()).optional() });

/** Times are UTC; change them by changing the schedules of tenant plinth-system. */
export const jobDefinitions: Record<string, JobDefinition> = {
  'maintenance.daily': scheduled('daily', '0 3 * * *', 'Makes partitions ahead and carries out the retention policies.'),
  'maintenance.weekly': scheduled('weekly', '0 4 * * 0', 'Vacuums and analyses every table; reports partition health, failed jobs and webhook failures.'),
  'maintenance.monthly': scheduled('monthly', '0 5 1 * *', 'Makes partitions ahead, archives and drops what is past its time, reports storage usage.'),
  'maintenance.run': {
    summary: 'A task that an operator asked for.',
    installation: true,
    timeoutMs: SIX_HOURS,
    maxAttempts: 1,
    handler: async (run) => {
      const { task, kinds } = asked.parse(run.payload);
      return runTask(run, task, { kinds });
    },
  },
};
