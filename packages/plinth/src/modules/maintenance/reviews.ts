import type { RetentionServices, StepOutcome } from '#kernel/retention/services.ts';
import type { MaintenanceServices } from './maintain.ts';
import { recordStep } from './run-record.ts';

/** Longest VACUUM of one table; autovacuum goes on where it was cut off. */
const VACUUM_TIMEOUT_MS = 3_600_000;

/** Vacuums and analyses every table of the cards; without an owner connection it only analyses, and autovacuum vacuums. */
export async function vacuum(services: RetentionServices): Promise<void> {
  const tables = await services.asWorker((tx) =>
    tx.query<{ kind: string; table: string }>('select kind, table_name as table from plinth_kernel.retention_kinds order by kind'),
  );
  for (const { kind, table } of tables) {
    services.signal?.throwIfAborted();
    await services.step({ kind, action: 'vacuum', target: table }, async (): Promise<StepOutcome> => {
      if (services.owner) {
        await services.owner.run(`vacuum (analyze, skip_locked) ${table}`, VACUUM_TIMEOUT_MS);
        return {};
      }
      await services.asWorker((tx) => tx.query('select plinth_kernel.retention_analyze($1)', [kind]));
      return { note: 'analysed; no owner connection is given, so autovacuum vacuums' };
    });
  }
}

/** Writes one report, as plinth_reader sees the installation. */
async function report(services: MaintenanceServices, runId: string, name: string): Promise<void> {
  await recordStep(services, runId, { kind: 'all', action: 'report', target: name }, async () => {
    await services.asWorker(async (tx) => {
      await tx.query('set local role plinth_reader');
      const [found] = await tx.query<{ data: unknown }>(`select plinth_maintenance.review_${name}() as data`);
      await tx.query('set local role plinth_worker');
      await tx.query('insert into plinth_maintenance.reports (run_id, name, data) values ($1, $2, $3)', [runId, name, JSON.stringify(found?.data ?? null)]);
    });
    return {};
  });
}

export async function weeklyReports(services: MaintenanceServices, runId: string): Promise<void> {
  for (const name of ['partitions', 'failed_jobs', 'webhooks'] as const) await report(services, runId, name);
}

export const monthlyReports = (services: MaintenanceServices, runId: string): Promise<void> => report(services, runId, 'storage');
