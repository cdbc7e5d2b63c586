import { cut, HELD, LOST, retryAt, retryLost, verdict } from './feed-aside.ts';
import type { Told } from './feed-failure.ts';
import { blamesHandler, opened, textOf } from './feed-failure.ts';
import type { Feed } from './feed-read.ts';
import { readAt } from './feed-read.ts';
import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer } from './work.ts';

/**
 * Events that were put aside, tried again: those that fail when their time has come, those that wait for them as soon as they may, and those that
 * somebody asked for. Each try is a transaction of its own that also says what came of it: still exactly once. Within a tenant they keep their order,
 * but for those that were parked.
 */

interface Row {
  tenant_id: string;
  id: string;
  shard: number;
  position: string;
  status: 'failing' | 'waiting' | 'due';
  attempts: number;
  /** How many of the last tries ended their process. */
  lost: number;
  /** Whoever tried it last ended before he was done, or has not said yet how it ended. */
  abandoned: boolean;
}

/**
 * What may be tried now: of each tenant the first of its rows, if its time has come; and what somebody asked for. Tenants are found one by one by the
 * index, because behind the first row of one there may be any number. Another process may be at it: then the row is locked, and so are those behind
 * it, in effect, as it is the first. What it has ended meanwhile is seen by the conditions on `p`, which are asked again of a row that has changed.
 */
const nextSql = (feed: Feed): string => `
  with recursive held as (
    (select p.tenant_id from ${feed.parked} as p where p.consumer = $2 and p.${HELD} order by p.tenant_id limit 1)
    union all
    select (select p.tenant_id from ${feed.parked} as p where p.consumer = $2 and p.${HELD} and p.tenant_id > h.tenant_id order by p.tenant_id limit 1)
    from held as h where h.tenant_id is not null
  ), heads as (
    select f.tenant_id, f.id from held as h cross join lateral (
      select p.tenant_id, p.id from ${feed.parked} as p where p.consumer = $2 and p.${HELD} and p.tenant_id = h.tenant_id order by p.position limit 1) as f
    union all
    select p.tenant_id, p.id from ${feed.parked} as p where p.consumer = $2 and p.status = 'due' and p.ended_at is null
  )
  select p.tenant_id, p.id, p.shard, p.position, p.status, p.attempts, p.lost, plinth_kernel.was_abandoned(p.xmax) as abandoned
  from heads as h join ${feed.parked} as p on p.tenant_id = h.tenant_id and p.id = h.id
  where p.status in ('failing', 'waiting', 'due') and (p.retry_at is null or p.retry_at <= clock_timestamp())
    and not exists (select from plinth_kernel.feed_consumers as c where c.feed = $1 and c.consumer = $2 and c.paused_until > clock_timestamp())
  order by p.status = 'waiting', p.updated_at, p.position limit 1 for update of p skip locked`;

/**
 * Those behind the first of a tenant, in their order, up to one that somebody holds: a tenant may be giving one up in a transaction that it leaves open, and
 * nobody else waits for that.
 */
const behindSql = (feed: Feed): string => `
  with behind as materialized (
    select p.id, p.position from ${feed.parked} as p where p.consumer = $1 and p.tenant_id = $2 and p.${HELD} and p.position >= $3 order by p.position limit $4
  ), free as materialized (
    select p.* from ${feed.parked} as p where p.tenant_id = $2 and p.id = any (array(select b.id from behind as b)) and p.${HELD} for update skip locked
  )
  select f.tenant_id, f.id, f.shard, f.position, f.status, f.attempts, f.lost, false as abandoned from behind as b left join free as f on f.id = b.id order by b.position`;

/** What is tried together: one that failed before is tried alone, and those behind it up to the next that failed or that somebody holds. */
async function rowsToTry(tx: AnyTransaction, feed: Feed, name: string, consumer: Consumer): Promise<Row[]> {
  const [head] = await tx.query<Row>(nextSql(feed), [feed.name, name]);
  if (head?.status !== 'waiting') return head ? [head] : [];
  const rows = await tx.query<Row>(behindSql(feed), [name, head.tenant_id, head.position, consumer.batchSize ?? 500]);
  const end = rows.findIndex(({ status }) => status !== 'waiting');
  return rows.slice(0, end < 0 ? rows.length : end).map((row) => ({ ...row, abandoned: head.abandoned }));
}

const idsOf = (rows: readonly Row[]): unknown[] => [rows[0]?.tenant_id, rows.map(({ id }) => id)];

/** Rows that only waited leave nothing behind: nothing was wrong with them. */
async function end(tx: AnyTransaction, feed: Feed, rows: readonly Row[], there: ReadonlySet<string>): Promise<void> {
  await tx.query(`delete from ${feed.parked} where tenant_id = $1 and id = any ($2::uuid[]) and attempts = 0 and ${HELD}`, idsOf(rows));
  await tx.query(
    `update ${feed.parked} set status = case when position = any ($3::bigint[]) then 'handled' else 'gone' end, retry_at = null, updated_at = clock_timestamp(), ended_at = clock_timestamp()
     where tenant_id = $1 and id = any ($2::uuid[]) and ended_at is null`,
    [...idsOf(rows), [...there]],
  );
}

/** Of these rows, those that nobody holds who is about to say himself what becomes of them. */
const freeOf = (feed: Feed): string =>
  `(select p.id from ${feed.parked} as p where p.tenant_id = $1 and p.id = any ($2::uuid[]) and p.ended_at is null for update skip locked)`;

/** Notes that a try failed: of several that each is to be tried alone, of one when it is tried again, if at all. `lost`: how many in a row ended their process. */
async function noteFailure(tx: AnyTransaction, feed: Feed, consumer: Consumer, rows: readonly Row[], error: string, lost: number): Promise<void> {
  const [only, ...more] = rows;
  if (!only) return;
  if (more.length > 0) {
    await tx.query(
      `update ${feed.parked} set status = 'failing', updated_at = clock_timestamp() where tenant_id = $1 and id in ${freeOf(feed)} and status = 'waiting'`,
      idsOf(rows),
    );
    return;
  }
  const attempts = only.attempts + 1;
  const { status, soon } = only.status === 'due' ? { status: 'parked', soon: false } : verdict(consumer, attempts, lost);
  // Should whoever tried it still be there, he has a moment to say so, and sets this right.
  const at = `greatest(${retryAt('$5::integer')}, clock_timestamp() + case when $7::integer > 0 then interval '5 seconds' else '0' end)`;
  await tx.query(
    `update ${feed.parked} set status = $3, error = $4, attempts = $5::integer, lost = $7::integer, updated_at = clock_timestamp(),
       retry_at = case when $3 = 'failing' then case when $6 then ${at} else ${retryLost('$7::integer')} end end
     where tenant_id = $1 and id in ${freeOf(feed)}`,
    [...idsOf(rows), status, cut(error), attempts, soon, lost],
  );
}

/**
 * Rows whose try ended without their fault are not to be taken for ones that ended their process. Another process may have noted that already, and have put
 * them off for it, up to an hour: that is taken back. What ended the try may end this too, so it is said again; but not to a database that is gone.
 */
async function notLost<Modules extends ModuleMap>(plinth: Plinth<Modules>, feed: Feed, rows: readonly Row[]): Promise<void> {
  const text = `update ${feed.parked} as p set lost = 0, attempts = r.attempts, retry_at = null, updated_at = clock_timestamp(),
      status = case p.status when 'parked' then 'due' else p.status end
    from unnest($2::uuid[], $3::integer[], $4::integer[]) as r (id, attempts, lost)
    where p.tenant_id = $1 and p.id = r.id and p.ended_at is null and (p.attempts, p.lost) in ((r.attempts, r.lost), (r.attempts + 1, r.lost + 1))`;
  const values = [...idsOf(rows), rows.map(({ attempts }) => attempts), rows.map(({ lost }) => lost)];
  for (let said = false, tries = 0; !said && tries < MOST_CORRECTIONS; tries++)
    said = await plinth
      .asWorker({ timeoutMs: CORRECTION_MS }, (tx) => tx.query(text, values))
      .then(
        () => true,
        () => false,
      );
}
const MOST_CORRECTIONS = 3;
/** Somebody may hold a row and keep it. */
const CORRECTION_MS = 2_000;

export interface Tried {
  /** Rows that were taken; 0 when there was nothing to do. */
  tried: number;
  handled: number;
}

/** Tries what was put aside and may be tried now: one event, or several of one tenant that only waited. */
export async function tryAside<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
  limits: { timeoutMs: number; idleMs: number },
): Promise<Tried> {
  let rows: Row[] = [];
  const told: Told = { revealed: false };
  try {
    return await plinth.asWorker({ ...limits, durable: consumer.durable }, async (tx) => {
      rows = await rowsToTry(tx, feed, name, consumer);
      const [first] = rows;
      if (!first) return { tried: 0, handled: 0 };
      if (first.abandoned) {
        // Committed before it is tried again: should it end this process too, that is counted.
        await noteFailure(tx, feed, consumer, rows, LOST, first.lost + 1);
        return { tried: rows.length, handled: 0 };
      }
      const { events, cut: shortened } = await readAt(
        tx,
        feed,
        first.shard,
        rows.map(({ position }) => position),
      );
      const reached = Number(events.at(-1)?.position);
      if (shortened) rows = rows.filter(({ position }) => Number(position) <= reached);
      if (events.length > 0) await consumer.handle(tx, await opened(tx, feed, events, told));
      await end(tx, feed, rows, new Set(events.map(({ position }) => position)));
      return { tried: rows.length, handled: events.length };
    });
  } catch (error) {
    if (rows.length === 0) throw error;
    const blamed = blamesHandler(error);
    if (!blamed) {
      await notLost(plinth, feed, rows);
      throw error;
    }
    await plinth.asWorker({}, (tx) => noteFailure(tx, feed, consumer, rows, textOf(error, told), 0));
    return { tried: rows.length, handled: 0 };
  }
}
