import type { AnyTransaction } from '#kernel/transaction.ts';
import type { PartitionHealth } from './maintain.ts';
import { partitionHealth } from './maintain.ts';

const AGE = `select extract(epoch from clock_timestamp() - coalesce(max(r.ended_at) filter (where r.status = 'completed'), min(r.started_at)))::float8 as "ageS"
  from plinth.maintenance_runs as r where r.task = 'daily'`;

/** What ends in nothing being written, or in rows that stay, when nobody looks. `ageS`: since the daily task was completed last, or first begun; undefined before. As plinth_reader. */
export async function maintenanceHealth(tx: AnyTransaction): Promise<{ partitions: PartitionHealth[]; ageS: number | undefined }> {
  const partitions = await partitionHealth({ asWorker: (body) => body(tx) });
  const [row] = await tx.query<{ ageS: number | null }>(AGE);
  return { partitions, ageS: row?.ageS ?? undefined };
}
