import { BY_INDEX, bytesRead, readInOrder } from '#kernel/feed-read.ts';
import type { Look } from '#kernel/look.ts';
import { lookIn } from '#kernel/look.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { COLUMNS as EVENT_COLUMNS } from './event-shapes.ts';
import { pageSql as pageOfRows } from './page-size.ts';
import { fail } from './row.ts';

/** Reading the log without a stored cursor: the reader carries the snapshots itself (kernel/feed.ts tells why snapshots). */

/**
 * Events to read: those not visible in `s1` and visible in `s2`, above position `last`. Without `s2` the window ends with the statement
 * that reads it. Snapshots and positions are text: they do not fit a JavaScript number.
 */
export interface LiveWindow {
  s1: string;
  s2?: string | undefined;
  last: string;
}

export interface LiveEvent {
  tenantId: string;
  id: string;
  position: string;
  type: string;
  aggregateType: string | null;
  aggregateId: string | null;
  version: string | null;
  actorType: string;
  actorId: string;
  /** JSON text, as the database writes it. */
  payload: string;
  metadata: string | null;
  correlationId: string | null;
  causationId: string | null;
  occurredAt: Date;
  createdAt: Date;
}

export interface LivePage {
  /** By position; within a stream that is the order of versions. */
  events: LiveEvent[];
  /** Snapshot that ends the window. */
  s2: string;
  /** There is more in the window, above the position of the last event. */
  full: boolean;
}

/** Where the log stands. */
export interface LogState {
  epoch: number;
  /** Events up to this position came with a restored dump; their transaction ids mean nothing here. */
  above: string;
  timeline: number;
  snapshot: string;
  /** Events before this moment are gone, ms since 1970. */
  keptFromMs: number;
  /** The clock of the database. */
  nowMs: number;
}

const FEED = 'plinth_events.events';

const COLUMNS = `e.tenant_id as "tenantId", e.id, e.position, e.type::text, e.aggregate_type::text as "aggregateType", e.aggregate_id::text as "aggregateId", e.version,
  e.actor_type as "actorType", e.actor_id as "actorId", e.payload, e.metadata, e.correlation_id as "correlationId", e.causation_id as "causationId",
  coalesce(e.occurred_at, e.created_at) as "occurredAt", e.created_at as "createdAt"`;

/** A page ends before the event that would take it beyond this, payloads and metadata. Its first event is always in it. */
const MOST_BYTES = 2 * 1_048_576;

/**
 * Rows of a page in their order, cut by their size; only those that are kept become text. `rows` is how many there were before the cut.
 */
const cutBySize = (page: string): string =>
  `(select p."tenantId", p.id, p.position, p.type, p."aggregateType", p."aggregateId", p.version, p."actorType", p."actorId", p.payload::text, p.metadata::text,
    p."correlationId", p."causationId", p."occurredAt", p."createdAt", p.at, p.rows from (
    select q.*, count(*) over () as rows, sum(${bytesRead('q.payload')} + coalesce(${bytesRead('q.metadata')}, 0)) over (order by q.at) as bytes, row_number() over (order by q.at) as nth from ${page} as q) as p
  where p.nth = 1 or p.bytes <= ${MOST_BYTES})`;

/** The log as plinth_worker sees it; begins a new epoch where a dump was restored into another cluster. */
export async function readLogState(tx: AnyTransaction): Promise<LogState> {
  await tx.query('select plinth_kernel.feed_epoch($1)', [FEED]);
  const [row] = await tx.query<{ epoch: number; above: string; timeline: number; snapshot: string; from: Date | null; now: Date }>(
    `select e.epoch, e.after_position as above, plinth_events.timeline() as timeline, pg_catalog.pg_current_snapshot()::text as snapshot, pg_catalog.clock_timestamp() as now,
       (select plinth_kernel.v7_time(min(p.lower_id::text)::uuid) from plinth_kernel.partition_list($1::text::regclass) as p) as "from"
     from plinth_kernel.feed_epochs as e where e.feed = $1 order by e.epoch desc limit 1`,
    [FEED],
  );
  if (!row) throw new Error(`the log ${FEED} has no epoch`);
  return { epoch: row.epoch, above: row.above, timeline: row.timeline, snapshot: row.snapshot, keptFromMs: row.from?.getTime() ?? 0, nowMs: row.now.getTime() };
}

/** What a transaction has seen when it reads from now on: take it before the data. */
export async function readSnapshot(tx: AnyTransaction): Promise<string> {
  const [row] = await tx.query<{ snapshot: string }>('select pg_catalog.pg_current_snapshot()::text as snapshot');
  return row?.snapshot ?? '';
}

/**
 * Where `/realtime` has to begin so that a page and what it is told leave no gap (plinth.realtime_offset). Take it in the transaction of the page, before its rows
 * are read; under repeatable read and serializable anywhere in it. Errors: events_offset_on_standby.
 *
 * @example
 * const page = await plinth.transaction({ tenantId, readOnly: true }, async (tx) => ({ offset: await realtimeOffset(tx), orders: await tx.query('select ...') }));
 */
export async function realtimeOffset(tx: AnyTransaction): Promise<string> {
  const [row] = await tx.query<{ offset: string }>('select plinth.realtime_offset() as "offset"');
  return row?.offset ?? '';
}

/** Two arms by the index (shard, xact, position), and `+ 0` and `offset 0` to keep the planner to it, as in kernel/feed-read.ts. */
const pageSql = (shards: string, where: string, bounded: boolean): string => {
  const seen = `${where}e.position + 0 > $2 and e.position + 0 > $3${bounded ? ' and pg_catalog.pg_visible_in_snapshot(e.xact, $5)' : ''}`;
  return `select s.s2::text as s2, r.* from (select ${bounded ? '$5::pg_snapshot' : 'pg_catalog.pg_current_snapshot()'} as s2) as s left join lateral ${cutBySize(`(
    select o.* from pg_catalog.pg_snapshot_xip($1::pg_snapshot) as x (xact) cross join lateral (
      select ${COLUMNS}, e.position as at from ${FEED} as e where e.shard = ${shards} and e.xact = x.xact and ${seen} offset 0) as o
    union all
    select ${COLUMNS}, e.position as at from ${FEED} as e where e.shard = ${shards} and e.xact >= pg_catalog.pg_snapshot_xmax($1::pg_snapshot) and ${seen}
    order by at limit $4)`)} as r on true order by r.at`;
};
const SHARDS = [0, 1, 2, 3, 4, 5, 6, 7];
const EVERY = `any (array[${SHARDS.join(', ')}]::smallint[])`;

/**
 * The next page of a window that has more than one: in the order of positions by the index (shard, position), so that a page costs what it holds.
 * Looking for the lowest positions of a window costs all of it, and a transaction may have written a million events. One arm a shard, as in
 * kernel/feed-read.ts.
 */
const nextPageSql = (shards: readonly string[], where: string): string =>
  `select $5::text as s2, r.* from ${cutBySize(
    `(select u.* from (${shards
      .map(
        (shard) => `(select ${COLUMNS}, e.position as at from ${FEED} as e where e.shard = ${shard} and ${where}e.position > greatest($2::bigint, $3::bigint)
      and pg_catalog.pg_visible_in_snapshot(e.xact, $5::pg_snapshot) and not pg_catalog.pg_visible_in_snapshot(e.xact, $1::pg_snapshot) order by e.position limit $4)`,
      )
      .join(' union all ')}) as u order by u.at limit $4)`,
  )} as r order by r.at`;

type Row = LiveEvent & { s2: string; id: string | null; rows: string };

function pageOf(rows: readonly Row[], window: LiveWindow, limit: number): LivePage {
  const events = rows.filter((row): row is Row & { id: string } => row.id !== null);
  const found = Number(rows[0]?.rows ?? 0);
  return { events, s2: rows[0]?.s2 ?? window.s2 ?? window.s1, full: found === limit || events.length < found };
}

const TIMEOUT_MS = 10_000;
const newOf = (text: string, values: readonly (string | null)[]): Look => ({ text, values, settings: BY_INDEX });

/** Clocks of two machines drift apart a little between two looks; a server takes longer than this to start again. */
const APART_MS = 100;

const GIVEN_AGAIN = `select from pg_catalog.unnest(case when $4::uuid is null then '{${SHARDS.join(',')}}'::smallint[] else array[plinth_kernel.shard_of($4::uuid)] end) as s (shard)
  cross join lateral (select e.position, e.created_at from ${FEED} as e
    where e.shard = s.shard and e.xact < pg_catalog.pg_snapshot_xmax($1::pg_snapshot) and pg_catalog.pg_visible_in_snapshot(e.xact, $1::pg_snapshot) order by e.xact desc limit 1) as o
  where o.position > $3::bigint and o.created_at > pg_catalog.to_timestamp(($2::double precision + ${APART_MS}) / 1000)`;

/**
 * Whether ids of transactions that had ended when a reader saw `snapshot`, at `atMs`, were given to others later, whose events it would pass over. A crash gives those again that had not
 * reached the disk (of what was rolled back, and of commits that do not wait for it); a disk that was set back, or a base backup that was started as it is, gives all since then
 * again; neither begins a timeline. Ids are given in order: the newest event in the snapshot tells. Of all tenants, or only those that share a shard with one.
 */
export async function areGivenAgain(
  plinth: Pick<Plinth<ModuleMap>, 'lookAsWorker'>,
  { snapshot, atMs, above, tenantId }: { snapshot: string; atMs: number; above: string; tenantId?: string },
): Promise<boolean> {
  const rows = await plinth.lookAsWorker({ ...newOf(GIVEN_AGAIN, [snapshot, String(atMs), above, tenantId ?? null]), timeoutMs: TIMEOUT_MS });
  return rows.length > 0;
}

/** One page of every tenant's events. `above`: LogState.above. */
export async function readLivePage(
  plinth: Pick<Plinth<ModuleMap>, 'asWorker' | 'lookAsWorker'>,
  window: LiveWindow,
  above: string,
  limit: number,
): Promise<LivePage> {
  const values = [window.s1, window.last, above, String(limit), ...(window.s2 === undefined ? [] : [window.s2])];
  const begun = window.s2 !== undefined && window.last !== '0';
  const rows = begun
    ? plinth.asWorker({ readOnly: true, timeoutMs: TIMEOUT_MS }, (tx) => readInOrder<Row>(tx, nextPageSql(SHARDS.map(String), ''), values))
    : plinth.lookAsWorker<Row>({ ...newOf(pageSql(EVERY, '', window.s2 !== undefined), values), timeoutMs: TIMEOUT_MS });
  return pageOf(await rows, window, limit);
}

/** One page of the tenant of the transaction; the window has an end. */
export async function readTenantPage(tx: AnyTransaction, window: LiveWindow & { s2: string }, above: string, limit: number): Promise<LivePage> {
  const [shard, where] = ['plinth_kernel.shard_of($6::uuid)', 'e.tenant_id = $6::uuid and '];
  const values = [window.s1, window.last, above, String(limit), window.s2, tx.context.tenantId ?? null];
  const rows = window.last === '0' ? lookIn<Row>(tx, newOf(pageSql(shard, where, true), values)) : readInOrder<Row>(tx, nextPageSql([shard], where), values);
  return pageOf(await rows, window, limit);
}

/** One page of a stream as JSON text, after a version, of at most 8 MiB; `after` null reads no events. Errors: events_event_not_found when the stream has none. */
export async function readStreamPage(
  tx: AnyTransaction,
  stream: { type: string; id: string },
  after: string | null,
  limit: number,
): Promise<{ tail: string; events: { version: string; text: string }[] }> {
  const [head] = await tx.query<{ version: string }>(
    'select version from plinth.event_streams where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3',
    [tx.context.tenantId, stream.type, stream.id],
  );
  if (!head) throw fail('event_not_found', { message: `There is no stream ${stream.type}:${stream.id}` });
  const events =
    after === null
      ? []
      : await tx.query<{ version: string; text: string }>(
          pageOfRows(
            `select ${EVENT_COLUMNS} from plinth_events.read_stream($1, $2, $3, $4, $5, false)`,
            'version',
            '',
            'r.version, row_to_json(r)::text as text',
          ),
          [stream.type, stream.id, String(BigInt(after) + 1n), Number.MAX_SAFE_INTEGER, limit],
        );
  const last = events.at(-1)?.version;
  return { tail: last !== undefined && BigInt(last) > BigInt(head.version) ? last : head.version, events };
}
