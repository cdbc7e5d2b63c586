import type { Batch, Feed } from './feed-read.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/**
 * Nobody waits for the event of another tenant. One that a consumer fails on is put aside (`failing`), and its shard goes on. Later events of the same
 * tenant must not overtake it: as long as one of a tenant is aside, those that the shard reads are put behind it (`waiting`), in the transaction that
 * moves the cursor, which is what makes it exactly once. feed-parked.ts tries and catches up, beside the live feed.
 *
 * A tenant is held if, and only if, it has a row here that is failing or waiting. The reader of the shard, who holds its cursor, is the only one who
 * adds rows; who ends the last one while a batch is being read sees that batch's events as `waiting`, and goes on with those.
 */

export const HELD = `status in ('failing', 'waiting')`;

/** More tenants of a shard than this do not fail each for a reason of its own: then it is the handler, and the shard waits. */
const MOST_HELD = 100;
/** Tries of one event in a row that may end their process; then it is parked, or tried ever more seldom: it may have been somebody else's fault. */
const MOST_LOST = 3;
/** Of these, so many beside its shard-mates; the third is beside the live feed. */
export const MOST_LOST_LIVE = 2;
export const LOST = 'The process that handled it ended before it was done, or lost its connection.';
const LONGEST_ERROR = 1000;

const DEFAULT_ATTEMPTS = 5;

/** SQL: when a row is tried again that has failed `attempts` times: at once, then after 1, 2, 4 ... 60 s. */
export const retryAt = (attempts: string): string =>
  `clock_timestamp() + case when ${attempts} > 1 then least(60, power(2, least(${attempts}, 8) - 2)) else 0 end * interval '1 second'`;

/** SQL: when a row is tried again whose last tries, `lost` of them, ended their process: after 10 s, 1, 6 and 36 minutes, then every hour. */
export const retryLost = (lost: string): string =>
  `clock_timestamp() + least(interval '1 hour', interval '10 seconds' * power(6, least(${lost}, 9) - ${MOST_LOST}))`;

/** What becomes of an event that failed after so many tries, the last `lost` of which ended their process. */
export function verdict(consumer: Consumer, attempts: number, lost: number): { status: 'failing' | 'parked'; soon: boolean } {
  const deadly = lost >= MOST_LOST;
  if (consumer.onPoison === 'park' && (deadly || attempts >= (consumer.attempts ?? DEFAULT_ATTEMPTS))) return { status: 'parked', soon: false };
  return { status: 'failing', soon: !deadly };
}

export const cut = (text: string): string => text.slice(0, LONGEST_ERROR);

/** One on which processes ended is tried once more at once: its tenant waits, and alone it tells more of who was to blame. */
const holdSql = (feed: Feed): string => `
  insert into ${feed.parked} (tenant_id, consumer, shard, position, event_id, event_type, stream, correlation_id, error, attempts, lost, status, retry_at)
  select r."tenantId", $3, $2, r.position, r.id, r.type, r."streamId", r."correlationId", $4, $5::integer, $6::integer, $7,
    case when $7 = 'failing' and $6::integer = 0 then ${retryAt('$5::integer')} end
  from (select ${feed.select} from ${feed.name} as e where e.shard = $2 and e.position = $1) as r returning id`;

export interface Failure {
  consumer: string;
  shard: number;
  position: string;
  error: string;
  attempts: number;
  /** How many of the tries ended their process. */
  lost: number;
}

/**
 * Puts the next event of a shard aside and moves the cursor past it. False: it is no longer the next, because somebody else has handled it; or too many
 * tenants are held already.
 */
export async function putAside(tx: AnyTransaction, feed: Feed, consumer: Consumer, failure: Failure): Promise<boolean> {
  const { status } = verdict(consumer, failure.attempts, failure.lost);
  const [held] = await tx.query<{ tenants: number }>(
    `select count(distinct p.tenant_id)::int as tenants from ${feed.parked} as p where p.consumer = $1 and p.shard = $2 and p.${HELD}`,
    [failure.consumer, failure.shard],
  );
  if (status === 'failing' && (held?.tenants ?? 0) >= MOST_HELD) return false;
  const [skipped] = await tx.query<{ position: string | null }>('select plinth_kernel.feed_skip($1, $2, $3::smallint, $4::bigint, $5) as position', [
    feed.name,
    failure.consumer,
    failure.shard,
    failure.position,
    status === 'failing',
  ]);
  if (!skipped?.position) return false;
  await tx.query(holdSql(feed), [skipped.position, failure.shard, failure.consumer, cut(failure.error), failure.attempts, failure.lost, status]);
  return true;
}

const waitSql = (feed: Feed): string => `
  with held as (
    select distinct p.tenant_id from ${feed.parked} as p where p.consumer = $1 and p.${HELD} and p.tenant_id = any ($2::uuid[])
  ), behind as (
    insert into ${feed.parked} (tenant_id, consumer, shard, position, event_id, event_type, stream, correlation_id, status, attempts)
    select e.tenant_id, $1, plinth_kernel.shard_of(e.tenant_id), e.position, e.id, e.type, e.stream, e.correlation_id, 'waiting', 0
    from unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::uuid[]) as e (tenant_id, position, id, type, stream, correlation_id) join held using (tenant_id))
  select tenant_id from held`;

/** The events of a batch that are to be handled now. Those of tenants that are held are put behind what was put aside. */
export async function withoutHeld(tx: AnyTransaction, feed: Feed, consumer: string, batch: Batch): Promise<readonly FeedEvent[]> {
  const shards = batch.claims.filter(({ aside }) => aside).map(({ shard }) => shard);
  const { events } = batch;
  if (shards.length === 0 || events.length === 0) return events;
  const rows = await tx.query<{ tenant_id: string }>(waitSql(feed), [
    consumer,
    events.map(({ tenantId }) => tenantId),
    events.map(({ position }) => position),
    events.map(({ id }) => id),
    events.map(({ type }) => type),
    events.map(({ streamId }) => streamId),
    events.map(({ correlationId }) => correlationId),
  ]);
  const held = new Set(rows.map((row) => row.tenant_id));
  if (held.size === 0) await forgetShards(tx, feed, consumer, shards);
  return events.filter(({ tenantId }) => !held.has(tenantId));
}

/** Shards in which nobody is held any more need not be asked. Whoever holds somebody in them waits for their cursors, which this transaction has. */
const forgetShards = (tx: AnyTransaction, feed: Feed, consumer: string, shards: readonly number[]): Promise<unknown> =>
  tx.query(
    `update plinth_kernel.feed_cursors as f set aside = false where f.feed = $1 and f.consumer = $2 and f.shard = any ($3::smallint[])
       and not exists (select from ${feed.parked} as p where p.consumer = $2 and p.shard = f.shard and p.${HELD})`,
    [feed.name, consumer, shards],
  );
