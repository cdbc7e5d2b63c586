/** What workers cost that have nothing to do. */
import type pg from 'pg';
import type { Plinth } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import type { BenchContext } from '../harness.ts';
import { KIND, startJobWorker } from './ours.ts';

export interface IdleCost {
  transactionsPerSecond: number;
  rowsWrittenPerSecond: number;
  walBytesPerSecond: number;
}

interface Counters {
  transactions: number;
  written: number;
  wal: number;
}

async function counters(admin: pg.Client): Promise<Counters> {
  const { rows } = await admin.query<Counters>(
    `select (xact_commit + xact_rollback)::float8 as transactions, (tup_inserted + tup_updated + tup_deleted)::float8 as written,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::float8 as wal
     from pg_catalog.pg_stat_database where datname = current_database()`,
  );
  return rows[0] ?? { transactions: 0, written: 0, wal: 0 };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A busy backend passes on its counts at most once a second, an idle one after ten seconds (PGSTAT_IDLE_INTERVAL): so long it settles. */
const SETTLE_MS = 12_000;

/**
 * `workers` workers, each with a pool and a listener of its own as in a process of its own, over `queues` queues that have had a
 * job each, watched for `durationMs`.
 */
export async function idleCost(context: BenchContext, workers: number, queues: number, durationMs: number): Promise<IdleCost> {
  const plinths: Plinth[] = Array.from({ length: workers }, () => createPlinth({ database: { url: context.serverUrl, max: 4 } }));
  let left = queues;
  const { promise: used, resolve } = Promise.withResolvers<void>();
  const running = plinths.map((plinth, index) =>
    startJobWorker(
      plinth,
      async () => {
        if (--left === 0) resolve();
      },
      { name: `idle-${index}` },
    ),
  );
  try {
    await context.plinth.transaction({ tenantId: context.tenantId }, async (tx) => {
      for (let queue = 0; queue < queues; queue++) tx.jobs.enqueue(KIND, {}, { queue: `queue-${queue}` });
    });
    await used;
    await pause(SETTLE_MS);
    const before = await counters(context.admin);
    await pause(durationMs);
    const after = await counters(context.admin);
    const perSecond = (key: keyof Counters): number => ((after[key] - before[key]) / durationMs) * 1000;
    return { transactionsPerSecond: perSecond('transactions'), rowsWrittenPerSecond: perSecond('written'), walBytesPerSecond: perSecond('wal') };
  } finally {
    await Promise.all(running.map((worker) => worker.stop()));
    await Promise.all(plinths.map((plinth) => plinth.close()));
  }
}
