import { toPlinthError } from '#kernel/errors.ts';
import type { PlanItem, RetentionOptions, RetentionResult } from '#kernel/retention/engine.ts';
import { planRetention, runRetention } from '#kernel/retention/engine.ts';
import { premakePartitions } from '#kernel/retention/premake.ts';
import type { RetentionServices, Step } from '#kernel/retention/services.ts';
import type { WorkServices } from '#kernel/work.ts';
import { assertKinds } from './kinds.ts';
import { monthlyReports, vacuum, weeklyReports } from './reviews.ts';
import { alone, closeRun, openRun, recordStep } from './run-record.ts';

/** `daily`, `weekly` and `monthly` are what the schedules run; `retention` and `premake` are parts of them, by hand. */
export type Task = 'daily' | 'weekly' | 'monthly' | 'retention' | 'premake';

/** What maintenance works with. `asWorker` opens a transaction as plinth_worker: `(body) => plinth.asWorker({}, body)`. */
export interface MaintenanceServices extends Omit<RetentionServices, 'step'> {
  log?: WorkServices['log'] | undefined;
  /** Hears of every step before it begins and after it ended. */
  onStep?: ((step: Step, phase: 'begin' | 'end') => void) | undefined;
}

export interface MaintainOptions extends RetentionOptions {
  task: Task;
  /** Tells what retention would remove, to the row, and changes nothing: no run is recorded. */
  dryRun?: boolean | undefined;
  /** Whole periods that are ready ahead of now. Default 3. */
  ahead?: number | undefined;
}

export interface RunReport extends Omit<RetentionResult, 'plan'> {
  /** Undefined for a dry run. */
  id: string | undefined;
  task: Task;
  status: 'planned' | 'completed' | 'failed';
  plan: PlanItem[];
  partitionsMade: number;
  /** Things that a person should look at: too few partitions ahead, a detach that was cut off. */
  warnings: string[];
  error?: string | undefined;
}

/** Fewer whole periods ahead than this is an alarm: inserts fail when there are none. */
const LEAST_AHEAD = 2;

const emptyReport = (task: Task, id?: string): RunReport => ({
  id,
  task,
  status: 'planned',
  plan: [],
  partitionsMade: 0,
  partitionsDropped: 0,
  partitionsKept: [],
  rowsSwept: 0,
  failures: [],
  warnings: [],
});

/**
 * Runs maintenance, alone in its database, and records what it did. Safe to kill anywhere and to run again: it takes up what was left.
 * The report says `failed` when something could not be done; only an error that stops everything is thrown.
 * Errors: maintenance_busy, maintenance_kind_unknown.
 */
export async function maintain(services: MaintenanceServices, options: MaintainOptions): Promise<RunReport> {
  await assertKinds(services, options.kinds);
  if (options.dryRun) return { ...emptyReport(options.task), plan: await planRetention(services, options, true) };
  return alone(services, async () => {
    const id = await services.asWorker(async (tx) => tx.newId());
    const report = { ...emptyReport(options.task, id), status: 'completed' as RunReport['status'] };
    await openRun(services, id, options.task, options.kinds);
    const recording: RetentionServices = {
      ...services,
      async step(step, body) {
        services.onStep?.(step, 'begin');
        const outcome = await recordStep(services, id, step, body);
        services.onStep?.(step, 'end');
        return outcome;
      },
    };
    try {
      await work(services, recording, options, report);
    } catch (error) {
      report.error = toPlinthError(error).code === 'kernel_internal' ? String((error as Error).message) : toPlinthError(error).message;
    }
    if (report.error !== undefined || report.failures.length > 0) report.status = 'failed';
    await closeRun(services, report);
    for (const warning of report.warnings) services.log?.warn({ run_id: id, task: options.task }, warning);
    return report;
  });
}

async function work(services: MaintenanceServices, recording: RetentionServices, options: MaintainOptions, report: RunReport): Promise<void> {
  const { task } = options;
  if (task !== 'retention' && task !== 'weekly') await premake(recording, options.ahead ?? 3, report);
  await watch(services, report);
  if (task === 'daily' || task === 'monthly' || task === 'retention') Object.assign(report, await runRetention(recording, options));
  if (task === 'weekly') {
    await vacuum(recording);
    await weeklyReports(services, report.id ?? '');
  }
  if (task === 'monthly') await monthlyReports(services, report.id ?? '');
}

async function premake(services: RetentionServices, ahead: number, report: RunReport): Promise<void> {
  const made = await services.step({ kind: 'all', action: 'premake', target: `${ahead} periods ahead` }, async () => ({
    rows: await premakePartitions(services.asWorker, ahead),
  }));
  report.partitionsMade = made.rows ?? 0;
}

/** What partitions look like, from every kind; also for `plinth doctor`. */
export interface PartitionHealth {
  kind: string;
  every: 'month' | 'day';
  partitions: number;
  /** Whole periods that are ready ahead of now. */
  ahead: number;
  detachPending: string | null;
}

export const partitionHealth = (services: Pick<MaintenanceServices, 'asWorker'>): Promise<PartitionHealth[]> =>
  services.asWorker((tx) =>
    tx.query<PartitionHealth>('select kind, every, partitions, ahead, detach_pending as "detachPending" from plinth_kernel.partition_health()'),
  );

/** Sentences for what is wrong with partitions; none when all is well. */
export const partitionWarnings = (health: readonly PartitionHealth[]): string[] =>
  health.flatMap(({ kind, every, ahead, detachPending }) => [
    ...(ahead < LEAST_AHEAD ? [`${kind} has partitions for only ${ahead} ${every}s ahead: run plinth maintain premake`] : []),
    ...(detachPending ? [`the detach of ${detachPending} was cut off: run plinth maintain retention`] : []),
  ]);

async function watch(services: MaintenanceServices, report: RunReport): Promise<void> {
  report.warnings.push(...partitionWarnings(await partitionHealth(services)));
}
