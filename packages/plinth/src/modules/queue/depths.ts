/** How many messages wait and for how long, across tenants, without reading a backlog. As plinth_worker. */
import type { Queryable } from '#kernel/database.ts';

export interface MessageDepth {
  queue: string;
  /** At least so many: at most 1,000 of each tenant are counted. */
  waiting: number;
  /** Since the first of them could have been received, ms. */
  oldest_wait_ms: number;
}

/** At most `limit` queues of this name over all tenants, the deepest and those in which a message has waited longest. */
export const messageDepths = (tx: Queryable, limit: number): Promise<MessageDepth[]> =>
  tx.query<MessageDepth>(
    `select queue, waiting, greatest(0, extract(epoch from clock_timestamp() - oldest_at) * 1000)::float8 as oldest_wait_ms from (
       select * from (select queue, sum(waiting)::int as waiting, min(oldest_at) as oldest_at from plinth_queue.depths(1000, 1000) group by queue) q
       order by least(row_number() over (order by waiting desc, queue), row_number() over (order by oldest_at, queue)) limit $1) chosen
     order by waiting desc, queue`,
    [limit],
  );
