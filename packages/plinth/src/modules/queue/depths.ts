/** How many messages wait and for how long, across tenants, without reading a backlog. As plinth_worker. */
import type { Queryable } from '#kernel/database.ts';

export interface MessageDepth {
  queue: string;
  /** At least so many: at most 1,000 of each tenant are counted. */
  waiting: number;
  /** Since the first of them could have been received, ms. */
  oldest_wait_ms: number;
}

/** The deepest queues of this name over all tenants, at most `limit`. */
export const messageDepths = (tx: Queryable, limit: number): Promise<MessageDepth[]> =>
  tx.query<MessageDepth>(
    `select queue, sum(waiting)::int as waiting, greatest(0, extract(epoch from clock_timestamp() - min(oldest_at)) * 1000)::float8 as oldest_wait_ms
     from plinth_queue.depths(1000, 1000) group by queue order by 2 desc, 1 limit $1`,
    [limit],
  );
