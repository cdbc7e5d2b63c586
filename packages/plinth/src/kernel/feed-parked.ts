import { toPlinthError } from './errors.ts';
import type { Feed } from './feed-read.ts';
import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/**
 * Events that a consumer could not handle and that were put aside, so that their shard goes on. They are tried again when somebody asks for it,
 * in a transaction of their own that also says that they were handled: still exactly once, no longer in order.
 */

interface Parking {
  consumer: string;
  shard: number;
  /** Null: the next one of the shard, whichever it is. */
  position: string | null;
  error: string;
  attempts: number;
}

const LONGEST_ERROR = 1000;

const parkSql = (feed: Feed): string => `
  insert into ${feed.parked} (tenant_id, consumer, shard, position, event_id, event_type, stream, correlation_id, error, attempts)
  select r."tenantId", $3, $2, r.position, r.id, r.type, r."streamId", r."correlationId", $4, $5
  from (select ${feed.select} from ${feed.name} as e where e.shard = $2 and e.position = $1) as r returning id`;

/** Puts the next event of a shard aside and moves the cursor past it. Undefined: it is no longer the next, somebody else has handled or parked it. */
export async function park(tx: AnyTransaction, feed: Feed, input: Parking): Promise<string | undefined> {
  const [skipped] = await tx.query<{ position: string | null }>('select plinth_kernel.feed_skip($1, $2, $3::smallint, $4::bigint) as position', [
    feed.name,
    input.consumer,
    input.shard,
    input.position,
  ]);
  if (!skipped?.position) return undefined;
  const values = [skipped.position, input.shard, input.consumer, input.error.slice(0, LONGEST_ERROR), input.attempts];
  return (await tx.query<{ id: string }>(parkSql(feed), values))[0]?.id;
}

const dueSql = (feed: Feed): string => `
  select p.tenant_id, p.id, p.event_id, p.shard, p.position from ${feed.parked} as p where p.consumer = $2 and p.status = 'due'
    and not exists (select from plinth_kernel.feed_consumers as c where c.feed = $1 and c.consumer = $2 and c.paused_until > clock_timestamp())
  order by p.position limit 1 for update of p skip locked`;

interface Due {
  tenant_id: string;
  id: string;
  shard: number;
  position: string;
}

/** Tries one parked event again that is due. */
export async function retryParked<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
  limits: { timeoutMs: number; idleMs: number },
): Promise<'none' | 'handled' | 'gone' | 'failed'> {
  let due: Due | undefined;
  const end = (tx: AnyTransaction, row: Due, status: 'handled' | 'gone'): Promise<unknown> =>
    tx.query(`update ${feed.parked} set status = $3, updated_at = clock_timestamp(), ended_at = clock_timestamp() where tenant_id = $1 and id = $2`, [
      row.tenant_id,
      row.id,
      status,
    ]);
  try {
    return await plinth.asWorker(limits, async (tx) => {
      [due] = await tx.query<Due>(dueSql(feed), [feed.name, name]);
      if (!due) return 'none';
      const [event] = await tx.query<FeedEvent>(`select ${feed.select} from ${feed.name} as e where e.shard = $1 and e.position = $2`, [
        due.shard,
        due.position,
      ]);
      if (event) await consumer.handle(tx, await feed.open(tx, [event]));
      await end(tx, due, event ? 'handled' : 'gone');
      return event ? 'handled' : 'gone';
    });
  } catch (error) {
    // Nobody is to blame: it stays due.
    if (!due || ['kernel_unavailable', 'kernel_serialization'].includes(toPlinthError(error).code)) throw error;
    const { tenant_id, id } = due;
    const message = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_ERROR);
    await plinth.asWorker({}, (tx) =>
      tx.query(
        `update ${feed.parked} set status = 'parked', error = $3, attempts = attempts + 1, updated_at = clock_timestamp() where tenant_id = $1 and id = $2 and status = 'due'`,
        [tenant_id, id, message],
      ),
    );
    return 'failed';
  }
}
