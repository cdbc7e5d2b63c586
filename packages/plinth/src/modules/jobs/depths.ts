/** How much waits in the queues and for how long, across tenants, without reading a backlog. As plinth_worker. */
import type { Queryable } from '#kernel/database.ts';

export interface QueueDepth {
  queue: string;
  /** Jobs that may start now: at least so many. At most 1,000 of each priority and tenant are counted, of 5,000 tenants and 100,000 jobs of a priority. */
  waiting: number;
  /** Since the oldest of them could have started, ms. */
  oldest_wait_ms: number;
}

/** At most `limit` queues, the deepest and those in which somebody has waited longest: one that nobody works must not hide behind others that are deep. */
export const queueDepths = (tx: Queryable, limit: number): Promise<QueueDepth[]> =>
  tx.query<QueueDepth>(
    `select queue, waiting, greatest(0, extract(epoch from clock_timestamp() - oldest_at) * 1000)::float8 as oldest_wait_ms from (
       select * from (select queue, sum(waiting)::int as waiting, min(oldest_at) as oldest_at from plinth_jobs.queue_depths(null, 1000, 5000) group by queue) q
       order by least(row_number() over (order by waiting desc, queue), row_number() over (order by oldest_at, queue)) limit $1) chosen
     order by waiting desc, queue`,
    [limit],
  );

export interface QueueLoad {
  /** For how long the oldest job has waited, ms, of a thousand tenants of each queue; 0 when none waits. */
  oldestWaitMs: number;
  /** Jobs that may start now: at least so many. At most 1,000 of each priority and tenant are counted, of 20 tenants. */
  waiting: number;
  /** Processes that give signs of life; those that take from other queues count, too. */
  workers: number;
}

/** What waits in these queues, or in all. */
export async function queueLoad(tx: Queryable, queues: readonly string[] | undefined): Promise<QueueLoad> {
  const [row] = await tx.query<QueueLoad>(
    `select coalesce((select greatest(0, extract(epoch from clock_timestamp() - min(oldest_at)) * 1000) from plinth_jobs.queue_depths($1, 1, 1000)), 0)::float8 as "oldestWaitMs",
       coalesce((select sum(waiting) from plinth_jobs.queue_depths($1, 1000, 20)), 0)::int as waiting,
       (select count(*) from plinth_jobs.workers as w where w.beat_at + w.lease > clock_timestamp())::int as workers`,
    [queues ?? null],
  );
  return row ?? { oldestWaitMs: 0, waiting: 0, workers: 0 };
}

/** How many workers give signs of life, and for how long the first schedule that is due has waited for one, s. As plinth_reader. */
export async function schedulerHealth(tx: Queryable): Promise<{ workers: number; lateS: number }> {
  const [row] = await tx.query<{ workers: number; lateS: number }>(
    `select (select count(*) from plinth_jobs.workers as w where w.beat_at + w.lease > clock_timestamp())::int as workers,
       coalesce((select greatest(0, extract(epoch from clock_timestamp() - min(s.next_run_at))) from plinth_jobs.schedules as s where s.enabled and s.error is null), 0)::float8 as "lateS"`,
  );
  return row ?? { workers: 0, lateS: 0 };
}
