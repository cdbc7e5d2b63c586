import { raiser, toPlinthError } from '#kernel/errors.ts';
import type { Step, StepOutcome } from '#kernel/retention/services.ts';
import { errors } from './errors.ts';
import type { MaintenanceServices, RunReport, Task } from './maintain.ts';

const fail = raiser('maintenance', errors);

/** Tenant that stands for the whole installation where a row must name one. */
export const INSTALLATION = '00000000-0000-0000-0000-000000000000';

const LOCK = `select pg_try_advisory_xact_lock(hashtextextended('plinth maintenance', 0)) as got`;

/**
 * Runs `body` while nobody else in this database runs maintenance. The lock lives as long as a transaction that does nothing else: it ends
 * with the process, however that ends. Should only its connection end, the work goes on; steps of two runs cannot harm each other.
 * Errors: maintenance_busy.
 */
export async function alone<T>(services: MaintenanceServices, body: () => Promise<T>): Promise<T> {
  let done: { result: T } | undefined;
  try {
    await services.asWorker(async (guard) => {
      const [lock] = await guard.query<{ got: boolean }>(LOCK);
      if (!lock?.got) throw fail('busy');
      await guard.query('set local idle_in_transaction_session_timeout = 0');
      done = { result: await body() };
    });
  } catch (error) {
    if (!done) throw error;
  }
  if (!done) throw fail('run_failed');
  return done.result;
}

/** Opens the record of a run; those that still say running have no process any more. */
export const openRun = (services: MaintenanceServices, id: string, task: Task, kinds: readonly string[] | undefined): Promise<unknown> =>
  services.asWorker(async (tx) => {
    await tx.query(
      `update plinth_maintenance.runs set status = 'interrupted', ended_at = clock_timestamp(), error = 'its process ended' where status = 'running'`,
    );
    await tx.query('insert into plinth_maintenance.runs (id, task, kinds) values ($1, $2, $3)', [id, task, kinds ?? null]);
  });

export const closeRun = (services: MaintenanceServices, report: RunReport): Promise<unknown> =>
  services.asWorker((tx) =>
    tx.query('update plinth_maintenance.runs set status = $2, report = $3, error = $4, ended_at = clock_timestamp() where id = $1', [
      report.id,
      report.status,
      JSON.stringify(summaryOf(report)),
      report.error?.slice(0, 2000) ?? null,
    ]),
  );

/** What the run's row tells: nothing that names a tenant. */
const summaryOf = (report: RunReport): Record<string, unknown> => ({
  partitions_made: report.partitionsMade,
  partitions_dropped: report.partitionsDropped,
  partitions_kept: report.partitionsKept.length,
  rows_swept: report.rowsSwept,
  failures: report.failures,
  warnings: report.warnings,
});

/** Records a step before it begins and how it ended. */
export async function recordStep(
  services: MaintenanceServices,
  runId: string,
  step: Omit<Step, 'action'> & { action: Step['action'] | 'report' },
  body: () => Promise<StepOutcome>,
): Promise<StepOutcome> {
  const tenantId = step.tenantId ?? INSTALLATION;
  const [row] = await services.asWorker((tx) =>
    tx.query<{ id: string }>(
      `insert into plinth_maintenance.steps (tenant_id, run_id, kind, action, target, causation_id) values ($1, $2, $3, $4, $5, $2) returning id`,
      [tenantId, runId, step.kind, step.action, step.target],
    ),
  );
  const end = (status: 'completed' | 'failed', outcome: StepOutcome): Promise<unknown> =>
    services.asWorker((tx) =>
      tx.query(
        `update plinth_maintenance.steps set status = $3, row_count = $4, size_bytes = $5, note = left($6, 2000), ended_at = clock_timestamp() where tenant_id = $1 and id = $2`,
        [tenantId, row?.id, status, outcome.rows ?? null, outcome.bytes ?? null, outcome.note ?? null],
      ),
    );
  try {
    const outcome = await body();
    await end('completed', outcome);
    return outcome;
  } catch (error) {
    // The first failure is the one to tell; a connection that is gone cannot take its record either.
    await end('failed', { note: toPlinthError(error).message }).catch(() => {});
    throw error;
  }
}
