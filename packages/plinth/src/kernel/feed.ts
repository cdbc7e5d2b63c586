import { fail, toPlinthError } from './errors.ts';
import type { FeedCard, ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/**
 * Reading a log without loss, duplicates or inversions, however long its writers' transactions are: a cursor holds two snapshots
 * and gets the rows that became visible between them, by position (the idea of PgQ, 2007). `id > last` loses rows of
 * transactions that commit late, and a horizon of finished transactions stalls behind the longest (docs/adr/0007-snapshot-cursors.md).
 */

/** Sent after COMMIT by whoever writes to the log: there is something to read. A hint; polling is the truth. */
export const FEED_SIGNAL = 'kernel.feed';

/** A log that can be read: its table and the SELECT list that makes FeedEvents of its rows. */
export interface Feed {
  /** `schema.table`, also the name of the feed in plinth_kernel.feed_cursors. */
  name: string;
  select: string;
}

/** One shard of a batch, as it was claimed. Snapshots and positions are text: they do not fit a JavaScript number. */
interface Claim {
  shard: number;
  s1: string;
  s2: string;
  last: string;
  above: string;
  up_to: string;
  failures: number;
  move: boolean;
}

export interface Batch {
  events: FeedEvent[];
  claims: Claim[];
  full: boolean;
  /** Events of each claim, in their order. */
  handled: string[];
}

const DEFAULT_BATCH = 500;
const LONGEST_BATCH_MS = 60_000;
const MOST_EMPTY_CLAIMS = 16;

const columnsOf = (card: FeedCard): Record<keyof FeedEvent, string> => ({
  tenantId: 'e.tenant_id',
  id: 'e.id',
  position: 'e.position',
  type: 'e.type',
  streamId: 'e.stream_id',
  data: 'e.data',
  correlationId: 'e.correlation_id',
  causationId: 'e.causation_id',
  createdAt: 'e.created_at',
  ...card.columns,
});

/** The log that consumers read: the one that a card offers. Errors: an Error when there is none, or more than one. */
export function feedOf(modules: ModuleMap): Feed {
  const offered = Object.values(modules).flatMap((card) => (card.feed ? [{ name: card.name, feed: card.feed }] : []));
  const [first, ...more] = offered;
  if (!first || more.length > 0) throw new Error(`consumers need exactly one module that offers a feed, and there are ${offered.length}`);
  const columns = Object.entries(columnsOf(first.feed)).map(([name, expression]) => `${expression} as "${name}"`);
  return { name: `plinth_${first.name}.${first.feed.table}`, select: columns.join(', ') };
}

const WINDOW = 'e.shard = c.shard and e.position > greatest(c.last, c.above) and e.position <= c.up_to and pg_visible_in_snapshot(e.xact, c.s2)';

/**
 * Rows of the claimed windows, lowest positions first. Two arms, because each is a range of the index (shard, xact, position):
 * transactions that were open at s1 (a few ids, however old) and those that began between s1 and s2.
 */
const windowSql = (feed: Feed, select: string, order: string): string => `
  select r.* from unnest($1::smallint[], $2::pg_snapshot[], $3::pg_snapshot[], $4::bigint[], $5::bigint[], $6::bigint[]) as c (shard, s1, s2, last, above, up_to)
  cross join lateral (
    select ${select} from ${feed.name} as e where ${WINDOW} and e.xact = any (array(select pg_snapshot_xip(c.s1)))
    union all
    select ${select} from ${feed.name} as e where ${WINDOW} and e.xact >= pg_snapshot_xmax(c.s1) and e.xact < pg_snapshot_xmax(c.s2)
  ) as r order by r.${order} limit $7`;

const readSql = (feed: Feed): string => windowSql(feed, `${feed.select}, e.position as at, e.shard`, 'at');

/**
 * Where the next batch of a backlog ends. A window is not stored in the order of its positions, so each batch looks through what is left
 * of it; done by the index alone and followed by a read of just these rows, that costs a fifth of reading and sorting the rows.
 */
const cutSql = (feed: Feed): string => `select max(p.position) as cut from (${windowSql(feed, 'e.position', 'position')}) as p`;

type Row = FeedEvent & { at: string; shard: number };

/**
 * Claims free cursors of a consumer for this transaction (role plinth_worker, read committed) and reads one batch, at most
 * `batchSize` events (default 500; one while a shard recovers from a failure). No claims means that others hold all of them.
 */
export async function readBatch(tx: AnyTransaction, feed: Feed, input: { consumer: string; batchSize?: number }): Promise<Batch> {
  const claims = await tx.query<Claim>('select * from plinth_kernel.feed_claim($1, $2)', [feed.name, input.consumer]);
  if (claims.length === 0) return { events: [], claims, full: false, handled: [] };
  const limit = claims.some((claim) => claim.failures > 0) ? 1 : (input.batchSize ?? DEFAULT_BATCH);
  const column = (key: keyof Claim): unknown[] => claims.map((claim) => claim[key]);
  const window = [column('shard'), column('s1'), column('s2'), column('last'), column('above')];
  let upTo = column('up_to');
  if (claims.some((claim) => claim.last !== '0')) {
    const [{ cut } = { cut: null }] = await tx.query<{ cut: string | null }>(cutSql(feed), [...window, upTo, limit]);
    upTo = claims.map(() => cut ?? '0');
  }
  const rows = await tx.query<Row>(readSql(feed), [...window, upTo, limit]);
  const handled = claims.map((claim) => String(rows.filter((row) => row.shard === claim.shard).length));
  return { events: rows.map(({ at: _at, shard: _shard, ...event }) => event), claims, full: rows.length === limit, handled };
}

/** Moves the claimed cursors past a batch, in the same transaction as what was done with it. */
export async function checkpoint(tx: AnyTransaction, feed: Feed, consumer: string, batch: Batch): Promise<void> {
  if (batch.claims.length === 0 || (batch.events.length === 0 && !batch.claims.some((claim) => claim.move))) return;
  await tx.query('select plinth_kernel.feed_checkpoint($1, $2, $3, $4, $5, $6, $7)', [
    feed.name,
    consumer,
    batch.claims.map((claim) => claim.shard),
    batch.claims.map((claim) => claim.s2),
    batch.events.at(-1)?.position ?? '0',
    batch.full,
    batch.handled,
  ]);
}

/**
 * Whether a claim would find something, without taking a lock: locks are writes, and a quiet log must cost none. Cursors of a
 * window that has begun, or of an epoch that is over, have always to be moved.
 */
const peekSql = (feed: Feed): string => `
  select from plinth_kernel.feed_windows($1) as c
  where c.consumer = $2 and (c.retry_at is null or c.retry_at <= clock_timestamp()) and (c.s2 is not null or c.up_to < 9223372036854775807
    or exists (select from ${feed.name} as e where e.shard = c.shard and e.position > c.above and e.xact = any (array(select pg_snapshot_xip(c.s1))))
    or exists (select from ${feed.name} as e where e.shard = c.shard and e.position > c.above and e.xact >= pg_snapshot_xmax(c.s1))) limit 1`;

/** What this process knows of the consumers it runs: that they are registered, and whether the last claim found nothing. */
const running = new WeakMap<object, Map<string, { quiet: boolean }>>();

async function start<Modules extends ModuleMap>(plinth: Plinth<Modules>, feed: Feed, name: string, from: 'beginning' | 'now'): Promise<{ quiet: boolean }> {
  const known = running.get(plinth) ?? new Map<string, { quiet: boolean }>();
  running.set(plinth, known);
  const state = known.get(name);
  if (state) return state;
  await plinth.asWorker({}, (tx) => tx.query('select plinth_kernel.feed_start($1, $2, $3)', [feed.name, name, from]));
  const fresh = { quiet: false };
  known.set(name, fresh);
  return fresh;
}

/**
 * Gives a consumer (`<module>.<name>`) its next batch, handles it and moves the cursor, all in one transaction as plinth_worker.
 * Returns how many events were handled; 0 when there are none or other processes hold all shards. Errors: what the handler
 * throws, after the failure was noted on the cursors, which are then tried again later, one event at a time.
 */
export async function consumeOnce<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<number> {
  const feed = feedOf(plinth.modules);
  const state = await start(plinth, feed, name, consumer.from ?? 'beginning');
  if (state.quiet && (await plinth.asWorker({}, (tx) => tx.query(peekSql(feed), [feed.name, name]))).length === 0) return 0;
  // A claim of idle shards that ends a window of theirs says nothing about the other shards, so it is followed by another.
  for (let claims = 0; claims < MOST_EMPTY_CLAIMS; claims++) {
    const { handled, moved } = await attempt(plinth, feed, name, consumer);
    state.quiet = handled === 0;
    if (handled > 0 || !moved) return handled;
  }
  return 0;
}

async function attempt<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
): Promise<{ handled: number; moved: boolean }> {
  let failing: readonly number[] = [];
  try {
    return await plinth.asWorker({ timeoutMs: LONGEST_BATCH_MS }, async (tx) => {
      const batch = await readBatch(tx, feed, { consumer: name, ...(consumer.batchSize ? { batchSize: consumer.batchSize } : {}) });
      if (batch.events.length > 0) {
        failing = batch.claims.filter((_, index) => batch.handled[index] !== '0').map((claim) => claim.shard);
        await consumer.handle(tx, batch.events);
      }
      await checkpoint(tx, feed, name, batch);
      return { handled: batch.events.length, moved: batch.claims.some((claim) => claim.move) };
    });
  } catch (error) {
    if (failing.length > 0 && blamesHandler(error)) await noteFailure(plinth, feed, name, failing, error);
    throw error;
  }
}

/** A lost connection or a deadlock says nothing about the events. */
const blamesHandler = (error: unknown): boolean => !['kernel_unavailable', 'kernel_serialization'].includes(toPlinthError(error).code);

async function noteFailure<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  consumer: string,
  shards: readonly number[],
  error: unknown,
): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  await plinth
    .asWorker({}, (tx) => tx.query('select plinth_kernel.feed_fail($1, $2, $3, $4)', [feed.name, consumer, shards, message]))
    .catch((fault: unknown) => {
      throw fail('unavailable', { message: `The failure of ${consumer} could not be noted: ${message}`, cause: fault });
    });
}
