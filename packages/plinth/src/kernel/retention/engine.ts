import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { toPlinthError } from '../errors.ts';
import type { Leaving } from './archive.ts';
import { takeOut } from './leave.ts';
import type { RetentionServices } from './services.ts';

/** What retention would do, or has found to do: a row of plinth_kernel.retention_plan. */
export interface PlanItem {
  kind: string;
  /** `drop` and `keep` are whole partitions, `sweep` rows in batches, `finish` a partition that an earlier run left on its way. */
  action: 'drop' | 'keep' | 'sweep' | 'finish';
  target: string;
  /** Tenant of a sweep; null: every tenant without a policy of its own. */
  tenantId: string | null;
  /** Exact in a dry run; otherwise an estimate, and for a sweep 1. */
  rows: number | null;
  bytes: number | null;
  lowerId: string;
  upperId: string;
  /** Why it is kept, or what policy a sweep follows. */
  reason: string | null;
}

export interface RetentionOptions {
  /** `module.table`; default all. */
  kinds?: readonly string[] | undefined;
  /** Rows a transaction of a sweep, 1 to 5,000. Default 5,000. */
  batch?: number | undefined;
}

export interface RetentionResult {
  plan: PlanItem[];
  partitionsDropped: number;
  partitionsKept: { partition: string; reason: string }[];
  rowsSwept: number;
  failures: { target: string; code: string; message: string }[];
}

const PLAN = `select kind, action, target, tenant_id as "tenantId", row_count::float8 as rows, size_bytes::float8 as bytes, lower_id as "lowerId", upper_id as "upperId", reason
  from plinth_kernel.retention_plan($1, $2)`;

/** What retention would do now; with `exact` every row is counted. Reads only. */
export const planRetention = (services: Pick<RetentionServices, 'asWorker'>, options: RetentionOptions, exact: boolean): Promise<PlanItem[]> =>
  services.asWorker((tx) => tx.query<PlanItem>(PLAN, [options.kinds ?? null, exact]));

const LEAVING = `select id, kind, table_name as table, partition_name as partition, relation, lower_id as "lowerId", upper_id as "upperId", state,
    plinth_kernel.partition_column(table_name::regclass) as "rangeColumn", archive_key as "archiveKey", plinth_kernel.retention_archives(kind) as archives
  from plinth_kernel.retention_partitions`;

async function begin(services: RetentionServices, item: PlanItem): Promise<Leaving | undefined> {
  const [row] = await services.asWorker(async (tx) => {
    const [begun] = await tx.query<{ id: string }>('select plinth_kernel.partition_begin($1, $2) as id', [item.kind, item.target]);
    return tx.query<Leaving>(`${LEAVING} where id = $1`, [begun?.id]);
  });
  return row;
}

const leftBehind = async (services: RetentionServices, item: PlanItem): Promise<Leaving | undefined> => {
  const rows = await services.asWorker((tx) =>
    tx.query<Leaving>(`${LEAVING} where kind = $1 and partition_name = $2 and state not in ('dropped', 'returned')`, [item.kind, item.target]),
  );
  return rows[0];
};

const SWEEP = 'select plinth_kernel.retention_sweep($1, $2, $3, $4, $5) as deleted';

/**
 * Deletes batch after batch, each its own short transaction, and rests as long as a batch took, so that half of the disk and
 * of replication stays for others. Returns how many rows went; ends with a batch that is not full.
 */
export async function inBatches({ signal }: Pick<RetentionServices, 'signal'>, batch: number, remove: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    signal?.throwIfAborted();
    const began = performance.now();
    const deleted = await remove();
    total += deleted;
    if (deleted < batch) return total;
    await pause(Math.min(performance.now() - began, 1_000));
  }
}

const sweep = (services: RetentionServices, item: PlanItem, batch: number): Promise<number> =>
  inBatches(services, batch, async () => {
    const [row] = await services.asWorker((tx) => tx.query<{ deleted: number }>(SWEEP, [item.kind, item.tenantId, item.lowerId, item.upperId, batch]));
    return row?.deleted ?? 0;
  });

/**
 * Carries out the policies: finishes what was left, drops whole partitions, sweeps rows. A failure of one target is recorded and the
 * others go on; the next run takes it up. Safe to kill anywhere.
 */
export async function runRetention(services: RetentionServices, options: RetentionOptions = {}): Promise<RetentionResult> {
  const plan = await planRetention(services, options, false);
  const result: RetentionResult = { plan, partitionsDropped: 0, partitionsKept: [], rowsSwept: 0, failures: [] };
  const touched = new Set<string>();
  for (const item of plan) {
    services.signal?.throwIfAborted();
    try {
      if (await carryOut(services, item, options, result)) touched.add(item.kind);
    } catch (error) {
      services.signal?.throwIfAborted();
      const known = toPlinthError(error);
      result.failures.push({
        target: item.target,
        code: known.code,
        message: known.code === 'kernel_internal' ? String((error as Error).message) : known.message,
      });
    }
  }
  for (const kind of touched) await services.asWorker((tx) => tx.query('select plinth_kernel.retention_analyze($1)', [kind])).catch(() => {});
  return result;
}

/** True when rows went. */
async function carryOut(services: RetentionServices, item: PlanItem, options: RetentionOptions, result: RetentionResult): Promise<boolean> {
  const { kind, target } = item;
  if (item.action === 'keep') {
    result.partitionsKept.push({ partition: target, reason: item.reason ?? '' });
    await services.step({ kind, action: 'keep', target }, async () => ({ note: item.reason ?? '' }));
    return false;
  }
  if (item.action === 'sweep') {
    const swept = await services.step({ kind, action: 'sweep', target, tenantId: item.tenantId ?? undefined }, async () => ({
      rows: await sweep(services, item, options.batch ?? 5_000),
    }));
    result.rowsSwept += swept.rows ?? 0;
    return (swept.rows ?? 0) > 0;
  }
  const leaving = item.action === 'drop' ? await begin(services, item) : await leftBehind(services, item);
  if (!leaving) return false;
  const { dropped, note } = await takeOut(services, leaving);
  if (dropped) result.partitionsDropped += 1;
  else result.partitionsKept.push({ partition: target, reason: note ?? '' });
  return dropped;
}
