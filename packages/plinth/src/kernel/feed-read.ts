import type { Look } from './look.ts';
import { under } from './look.ts';
import type { FeedCard, ModuleMap } from './module.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/**
 * Reading a log without loss, duplicates or inversions, however long its writers' transactions are: a cursor holds two snapshots
 * and gets the rows that became visible between them, by position (the idea of PgQ, 2007). `id > last` loses rows of
 * transactions that commit late, and a horizon of finished transactions stalls behind the longest (docs/adr/0007-snapshot-cursors.md).
 */

/** A log that can be read: its table and the SELECT list that makes FeedEvents of its rows. */
export interface Feed {
  /** `schema.table`, also the name of the feed in plinth_kernel.feed_cursors. */
  name: string;
  select: string;
  /** Names of these columns, as they are selected from `p`. */
  names: string;
  /** How much of a row is read into memory, an expression: only what is compressed has to be looked at, which is then read anyway. */
  bytes: string;
  /** `schema.table` of events that were put aside. */
  parked: string;
  /** Makes them readable. */
  open: NonNullable<FeedCard['open']>;
}

/** One shard of a batch, as it was claimed. Snapshots and positions are text: they do not fit a JavaScript number. */
export interface Claim {
  shard: number;
  s1: string;
  s2: string;
  last: string;
  above: string;
  up_to: string;
  failures: number;
  move: boolean;
  /** Events of it may have been put aside that later ones of their tenants come after. */
  aside: boolean;
  /** How many in a row who claimed it ended before they were done; 0: the last one did not. */
  lost: number;
}

export interface Batch {
  events: FeedEvent[];
  claims: Claim[];
  /** By claim: where it is now inside its window, or null: the window has been read to its end. */
  lasts: (string | null)[];
  /** By claim: how many of the events are of it. */
  handled: number[];
}

const DEFAULT_BATCH = 500;
/**
 * A batch ends before the event that would take its payloads beyond this. Whoever handles it holds all of it, several times over as objects: five hundred
 * events of a mebibyte, which one tenant may have published, would end the process for all of them. The first event is always in it.
 */
const MOST_BYTES = 8 * 1_048_576;

/** How many bytes a JSON column is when it is read, an expression: stored it may be a hundredth of that. Only what is compressed is looked at. */
export const bytesRead = (column: string): string =>
  `case when pg_catalog.pg_column_compression(${column}) is null then pg_catalog.pg_column_size(${column}) else pg_catalog.octet_length((${column})::text) end`;

const columnsOf = (card: FeedCard): Record<Exclude<keyof FeedEvent, 'details' | 'personal'>, string> => ({
  tenantId: 'e.tenant_id',
  id: 'e.id',
  position: 'e.position',
  type: 'e.type',
  schemaVersion: '1',
  streamId: 'e.stream_id',
  data: 'e.data',
  correlationId: 'e.correlation_id',
  causationId: 'e.causation_id',
  createdAt: 'e.created_at',
  ...card.columns,
});

/** The log that consumers read, as a consumer asks for it: the one that a card offers. Errors: an Error when there is none, or more than one. */
export function feedOf(modules: ModuleMap, reader: Pick<Consumer, 'details' | 'stored' | 'bare'> = {}): Feed {
  const offered = Object.values(modules).flatMap((card) => (card.feed ? [{ name: card.name, feed: card.feed }] : []));
  const [first, ...more] = offered;
  if (!first || more.length > 0) throw new Error(`consumers need exactly one module that offers a feed, and there are ${offered.length}`);
  const { details, open } = first.feed;
  const given = { ...columnsOf(first.feed), ...(reader.details && details ? { details } : {}), ...(reader.bare ? { data: `'{}'::jsonb` } : {}) };
  const columns = Object.entries(given).map(([name, expression]) => `${expression} as "${name}"`);
  const size = bytesRead(given.data);
  return {
    name: `plinth_${first.name}.${first.feed.table}`,
    select: columns.join(', '),
    names: Object.keys(given)
      .map((name) => `p."${name}"`)
      .join(', '),
    bytes: reader.details && details ? `${size} + pg_column_size(${details})` : size,
    parked: `plinth_${first.name}.${first.feed.parked}`,
    open: open && !reader.stored && !reader.bare ? open : async (_tx, events) => events,
  };
}

const CLAIMS = `unnest($1::smallint[], $2::pg_snapshot[], $3::pg_snapshot[], $4::bigint[], $5::bigint[], $6::bigint[]) as c (shard, s1, s2, last, above, up_to)`;
/** Bounds of the epoch. `+ 0` keeps the planner from reading all of it by (shard, position): without statistics that looks as cheap as reading by xact. */
const EPOCH = 'e.shard = c.shard and e.position + 0 > c.above and e.position + 0 <= c.up_to';

/**
 * The rows of windows. Two arms, because each is a range of the index (shard, xact, position): transactions that were open at s1 (a few ids,
 * however old) and those that began between s1 and s2. The ids are looked for one by one (`offset 0` keeps it so): the planner takes an array of
 * unknown length for a long one, and would rather read all of the shard.
 */
const windowSql = (feed: Feed, select: string): string => `
    select o.* from pg_snapshot_xip(c.s1) as x (xact) cross join lateral (
      select ${select} from ${feed.name} as e where ${EPOCH} and e.xact = x.xact and pg_visible_in_snapshot(e.xact, c.s2) offset 0) as o
    union all
    select ${select} from ${feed.name} as e
    where ${EPOCH} and e.xact >= pg_snapshot_xmax(c.s1) and e.xact < pg_snapshot_xmax(c.s2) and pg_visible_in_snapshot(e.xact, c.s2)`;

/** Whole windows, in no order, where they hold fewer rows than $7 and fit into a batch; otherwise one row of them, and how many there are up to $7. */
const wholeSql = (feed: Feed): string => `
  select ${feed.names}, p.shard, p.found from (
    select r.*, count(*) over ()::int as found, sum(r.bytes) over () as total, row_number() over () as nth from (
      select r.* from ${CLAIMS} cross join lateral (${windowSql(feed, `${feed.select}, e.shard, ${feed.bytes} as bytes`)}) as r limit $7) as r) as p
  where (p.found < $7 and p.total <= ${MOST_BYTES}) or p.nth = 1`;

/** Where windows begin: by the index alone, once for a window. */
const lowestSql = (feed: Feed): string =>
  `select c.shard, (select min(r.position) - 1 from (${windowSql(feed, 'e.position')}) as r)::text as lowest from ${CLAIMS}`;

/**
 * The next rows of a backlog in the order of positions, by the index (shard, position). Little but what is returned is read, where looking for the
 * lowest positions of a window of a million rows took most of the time. One arm a claim, with values that the planner sees: joined to a list of
 * claims it would believe that few rows are left, and sort them all.
 */
function nextSql(feed: Feed, claims: number): string {
  const arms = Array.from({ length: claims }, (_, index) => {
    const [shard, s1, s2, last, upTo] = [1, 2, 3, 4, 5].map((nth) => `$${index * PER_ARM + nth + 1}`);
    return `(select ${feed.select}, e.shard, e.position as at, ${feed.bytes} as bytes from ${feed.name} as e
      where e.shard = ${shard}::smallint and e.position > ${last}::bigint and e.position <= ${upTo}::bigint
        and pg_visible_in_snapshot(e.xact, ${s2}::pg_snapshot) and not pg_visible_in_snapshot(e.xact, ${s1}::pg_snapshot)
      order by e.position limit $1)`;
  });
  const rows = claims === 1 ? (arms[0] ?? '') : `(select r.* from (${arms.join(' union all ')}) as r order by r.at limit $1)`;
  return cutBySize(feed, rows);
}

/** Rows in their order up to as many bytes as a batch has, the first in any case; `found`: how many there were before. */
const cutBySize = (feed: Feed, rows: string): string => `
  select ${feed.names}, p.shard, p.found from (select r.*, count(*) over ()::int as found, sum(r.bytes) over (order by r.at) as total from ${rows} as r) as p
  where p.total <= ${MOST_BYTES} or p.total = p.bytes order by p.at`;

const PER_ARM = 5;

const IN_ORDER = { enable_sort: 'off', enable_bitmapscan: 'off', jit: 'off' };

/**
 * Runs a query that is to follow an index in its order. Without statistics the planner takes a log for small, and would read and sort all that is left
 * for every page. Without jit: where nothing but a sort will do, its forbidden cost would have the query compiled.
 */
export const readInOrder = <Row>(tx: AnyTransaction, text: string, values: readonly unknown[]): Promise<Row[]> =>
  under(tx, IN_ORDER, () => tx.query<Row>(text, values));

/**
 * For queries that find what is new by an index, whatever the statistics say. They are planned once: with every partition of a log in it, planning
 * takes 2 to 4 ms and running 0.3, and readers that follow a log do little else.
 */
export const BY_INDEX = { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', enable_bitmapscan: 'off', jit: 'off' };

/** `found`: how many rows there were before those were left out that are too many bytes. */
type Row = FeedEvent & { shard: number; found: number };

/** Positions have fewer than 2^53 values for longer than anybody keeps a log. */
const byPosition = (a: FeedEvent, b: FeedEvent): number => Number(a.position) - Number(b.position);

const eventOf = ({ shard: _shard, found: _found, ...event }: Row): FeedEvent => event;
const isWhole = (rows: readonly Row[]): boolean => rows.length === (rows[0]?.found ?? 0);

/**
 * Claims free cursors of a consumer for this transaction (role plinth_worker, read committed) and reads one batch, at most
 * `batchSize` events (default 500; one until a shard is past a batch that failed) and 8 MiB of payloads. No claims means that others hold all of them, or a pause.
 */
export async function readBatch(tx: AnyTransaction, feed: Feed, input: { consumer: string; batchSize?: number; until?: string }): Promise<Batch> {
  const claims = await tx.query<Claim>('select * from plinth_kernel.feed_claim($1, $2, $3)', [feed.name, input.consumer, input.until ?? null]);
  if (claims.length === 0) return { events: [], claims, lasts: [], handled: [] };
  const limit = claims.some((claim) => claim.failures > 0) ? 1 : (input.batchSize ?? DEFAULT_BATCH);
  if (claims.every((claim) => claim.last === '0')) {
    const rows = await under(tx, BY_INDEX, () => tx.queryPrepared<Row>(wholeSql(feed), [...windowsOf(claims), limit + 1]));
    if (rows.length <= limit && isWhole(rows)) return batchOf(claims, rows.sort(byPosition), []);
  }
  const lasts = await startsOf(tx, feed, claims);
  const arms = claims.flatMap((claim, index) => [claim.shard, claim.s1, claim.s2, lasts[index], claim.up_to]);
  const rows = await readInOrder<Row>(tx, nextSql(feed, claims.length), [limit, ...arms]);
  return batchOf(claims, rows, rows.length === limit || !isWhole(rows) ? lasts : []);
}

/** Events of a shard at these positions, in their order; `cut`: the last of them did not fit into the batch. */
export async function readAt(tx: AnyTransaction, feed: Feed, shard: number, positions: readonly string[]): Promise<{ events: FeedEvent[]; cut: boolean }> {
  const rows = await tx.query<Row>(
    cutBySize(
      feed,
      `(select ${feed.select}, e.shard, e.position as at, ${feed.bytes} as bytes from ${feed.name} as e where e.shard = $1 and e.position = any ($2::bigint[]))`,
    ),
    [shard, positions],
  );
  return { events: rows.map(eventOf), cut: !isWhole(rows) };
}

const windowsOf = (claims: readonly Claim[]): unknown[] =>
  (['shard', 's1', 's2', 'last', 'above', 'up_to'] as const).map((key) => claims.map((claim) => claim[key]));

/** Where to go on in each window. One that is only begun has to be found, which costs all of it, unless nothing lies before it. */
async function startsOf(tx: AnyTransaction, feed: Feed, claims: readonly Claim[]): Promise<string[]> {
  const unknown = claims.filter((claim) => claim.last === '0' && claim.s1 !== '1:1:');
  const found = new Map<number, string | null>();
  if (unknown.length > 0)
    for (const { shard, lowest } of await tx.query<{ shard: number; lowest: string | null }>(lowestSql(feed), windowsOf(unknown)))
      found.set(shard, lowest ?? claims.find((claim) => claim.shard === shard)?.up_to ?? null);
  return claims.map((claim) => (claim.last !== '0' ? claim.last : (found.get(claim.shard) ?? claim.above)));
}

/** `lasts`: where the windows were begun that may have more; none when they have been read to their end. */
function batchOf(claims: Claim[], rows: Row[], lasts: readonly string[]): Batch {
  const cut = rows.at(-1)?.position ?? '0';
  const counts = new Map<number, number>();
  for (const { shard } of rows) counts.set(shard, (counts.get(shard) ?? 0) + 1);
  return {
    events: rows.map(eventOf),
    claims,
    // One that was already further than this batch stays where it is.
    lasts: claims.map((_, index) => (lasts[index] === undefined ? null : Number(lasts[index]) > Number(cut) ? lasts[index] : cut)),
    handled: claims.map((claim) => counts.get(claim.shard) ?? 0),
  };
}

/** Moves the claimed cursors past a batch, in the same transaction as what was done with it. */
export async function checkpoint(tx: AnyTransaction, feed: Feed, consumer: string, batch: Batch): Promise<void> {
  // A quiet shard need not move: its versions would pile up behind long transactions, and every claim reads them.
  const moved = batch.claims.flatMap((claim, index) => (batch.handled[index] !== 0 || batch.lasts[index] !== null || claim.move ? [index] : []));
  if (moved.length === 0) return;
  await tx.query('select plinth_kernel.feed_checkpoint($1, $2, $3, $4, $5, $6)', [
    feed.name,
    consumer,
    moved.map((index) => batch.claims[index]?.shard),
    moved.map((index) => batch.claims[index]?.s2),
    moved.map((index) => batch.lasts[index]),
    moved.map((index) => batch.handled[index]),
  ]);
}

/**
 * Whether a claim would find something, without taking a lock: locks are writes, and a quiet log must cost none. Cursors of a
 * window that has begun, or of an epoch that is over, have always to be moved.
 */
const peekSql = (feed: Feed): string => `
  select from plinth_kernel.feed_windows($1) as c
  where c.consumer = $2 and (c.retry_at is null or c.retry_at <= clock_timestamp())
    and not exists (select from plinth_kernel.feed_consumers as p where p.feed = $1 and p.consumer = $2 and p.paused_until > clock_timestamp())
    and (c.s2 is not null or c.up_to < 9223372036854775807
    or exists (select from pg_snapshot_xip(c.s1) as x (xact) cross join lateral (select from ${feed.name} as e where ${EPOCH} and e.xact = x.xact limit 1) as o)
    or exists (select from ${feed.name} as e where ${EPOCH} and e.xact >= pg_snapshot_xmax(c.s1))) limit 1`;

/** Finds a row when a claim of this consumer may find something. */
export const peek = (feed: Feed, consumer: string): Look => ({ text: peekSql(feed), values: [feed.name, consumer], settings: BY_INDEX });
