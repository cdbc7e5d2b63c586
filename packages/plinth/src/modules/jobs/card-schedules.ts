/** Schedules that stand in code, with the handlers of jobs. Workers differ: each makes its own, and none can tell that those of others are gone. */
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JobDefinition } from '#kernel/work.ts';
import { putSchedule, SYSTEM_TENANT } from './schedules.ts';

/** Workers say every hour which schedules they have. One that is not named for so long, although some worker has a handler for its kind, was taken out of the code. */
const UNNAMED = '2 hours';
/** The same where no worker that is asked has a handler: those that have one may be down, and the ticks in the meantime are to have their jobs. */
const UNKNOWN = '1 day';

/** Makes the schedules of these jobs, and says that they are still in somebody's code. One that was changed since by `putSchedule` stays as it is. */
export async function putCardSchedules(tx: AnyTransaction, definitions: Readonly<Record<string, JobDefinition>>): Promise<void> {
  // In one order, so that workers that start together wait instead of deadlocking.
  const scheduled = Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [kind, { schedule }] of scheduled)
    if (schedule) await putSchedule(tx, { name: kind, kind, ...schedule }, { tenantId: SYSTEM_TENANT, source: 'card' });
}

/**
 * Deletes schedules that no worker has named for long. Call it an hour after the start, not at it: of an installation that stood still, the workers
 * that come next may have them. Returns their names.
 */
export async function dropUnnamedSchedules(tx: AnyTransaction, definitions: Readonly<Record<string, JobDefinition>>): Promise<string[]> {
  const rows = await tx.query<{ name: string }>(
    `delete from plinth_jobs.schedules where tenant_id = $1 and source = 'card'
       and updated_at < clock_timestamp() - case when kind = any ($2) then $3::interval else $4::interval end returning name`,
    [SYSTEM_TENANT, Object.keys(definitions), UNNAMED, UNKNOWN],
  );
  return rows.map(({ name }) => name);
}
