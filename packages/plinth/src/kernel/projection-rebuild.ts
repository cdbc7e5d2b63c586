import type { Queryable } from './database.ts';
import { fail } from './errors.ts';
import { consumeOnce } from './feed.ts';
import type { Told } from './feed-failure.ts';
import { textOf } from './feed-failure.ts';
import type { Feed } from './feed-read.ts';
import { checkpoint, feedOf, readBatch } from './feed-read.ts';
import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { Projection, ProjectionTables } from './projection.ts';
import { declareProjection, projectionConsumer, projectionsOf, quoted } from './projection.ts';
import type { Owner } from './projection-owner.ts';
import { patiently, withOwner } from './projection-owner.ts';
import type { TableComparison } from './projection-tables.ts';
import { compareTables, createShadow, shadowOf, swapTable } from './projection-tables.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer, FeedEvent } from './work.ts';

/**
 * Making a projection anew beside the live one: shadow tables, filled by a consumer of their own that reads the log from its beginning, compared and put
 * in place in one transaction. Everything is in the database and committed with what it says, so a rebuild that is killed goes on where it was.
 */

export interface RebuildOptions {
  /** Connection that owns the tables (or is a superuser) and is a member of plinth_worker: PLINTH_MAINTENANCE_URL. */
  ownerUrl: string;
  /** Batches at a time; each takes shards of its own. Default 4, at most 8. */
  parallel?: number;
  /** Throw away what an interrupted rebuild has done so far. Default: go on with it, if it was of the same revision. */
  restart?: boolean;
  /** What to do when the tables differ although they were made by the same revision. Default `keep` the live ones, and say where they differ. */
  onDifference?: 'keep' | 'swap';
  /** Heard of about every half second. */
  onProgress?: (progress: RebuildProgress) => void;
}

export interface RebuildProgress {
  phase: 'replaying' | 'swapping';
  /** Events read so far, of those that the live one has read; an inline one does not count its events. */
  handled: number;
  of: number | undefined;
  /** Unread events; at most 1,000 a shard are counted. */
  waiting: number;
}

export interface RebuildReport {
  name: string;
  revision: string;
  /** Revision that the tables were made by before; null: not known, or more than one. */
  formerRevision: string | null;
  /** That of the processes which run it; of another one, the projection stays `stale`. */
  declaredRevision: string;
  resumed: boolean;
  swapped: boolean;
  /** Data subjects that were erased since the tables were made and whose personal fields they may have held: the reason to differ, and to swap. */
  erasures: number;
  /** Empty when the live one had not read nearly everything, failed, or had never run: then there is nothing to compare with. */
  comparison: TableComparison[];
  /** By table, how it was put in place: by renaming it, or (where something depends on the table itself) by replacing the rows. */
  how: Record<string, 'renamed' | 'copied'>;
}

interface State {
  revision: string | null;
  declared: string;
  phase: string | null;
  rebuild_revision: string | null;
  shadows: string[] | null;
  cancel_reason: string | null;
  erasures: string;
  begun: string | null;
}

/** Near enough to stop the live one for the rest. */
const CAUGHT_UP = 200;
/** A live one with more to read than this is not brought up to the new one only to be compared with it. */
const COMPARABLE = 1_000;
const LOOK_MS = 500;
const MOST_PARALLEL = 8;

/** Consumer that fills the shadow tables of a projection. */
export const rebuildConsumer = (name: string): string => `${name}~rebuild`;

interface Rebuild {
  plinth: Plinth<ModuleMap>;
  feed: Feed;
  name: string;
  projection: Projection;
  options: RebuildOptions;
  owner: Owner;
  shadows: ProjectionTables;
  /** Whether the handler failed on personal fields in readable form. */
  told: Told;
  /** When it began: another one may begin in its place once the connection of the owner, which keeps others out, is lost. */
  begun: string | null;
}

/** Finds a projection of the cards. Errors: kernel_projection_unknown. */
export function projectionOf(modules: ModuleMap, name: string): Projection {
  const found = projectionsOf(modules).get(name);
  if (!found) throw fail('projection_unknown', { message: `There is no projection ${name.slice(0, 200)}` });
  return found;
}

/**
 * Makes a projection anew and puts it in place; readers see the old tables until they see the new ones. Kill it at any time: the next call goes on. Errors:
 * kernel_projection_unknown, kernel_projection_busy, kernel_projection_invalid, kernel_projection_cancelled, what the handler throws.
 */
export async function rebuildProjection<Modules extends ModuleMap>(plinthOf: Plinth<Modules>, name: string, options: RebuildOptions): Promise<RebuildReport> {
  const plinth = plinthOf as unknown as Plinth<ModuleMap>;
  const projection = projectionOf(plinth.modules, name);
  return withOwner(options.ownerUrl, async (owner) => {
    await lockOrThrow(owner, name);
    const shadows = Object.fromEntries(Object.entries(projection.tables).map(([key, table]) => [key, quoted(shadowOf(table))]));
    const rebuild: Rebuild = { plinth, feed: feedOf(plinth.modules), name, projection, options, owner, shadows, told: { revealed: false }, begun: null };
    const resumed = await prepare(rebuild);
    rebuild.begun = (await plinth.asWorker({}, (tx) => stateOf(tx, name)))?.begun ?? null;
    try {
      await replay(rebuild);
      return await finish(rebuild, resumed);
    } catch (error) {
      // Cancelled, whatever else ended it.
      const state = await plinth.asWorker({}, (tx) => stateOf(tx, name)).catch(() => undefined);
      if (state?.cancel_reason && state.begun === rebuild.begun && !owner.gone()) await forget(rebuild);
      else await note(plinth, name, 'error = $2', [textOf(error, rebuild.told).slice(0, 1000)]).catch(() => undefined);
      throw error;
    }
  });
}

/** Ends a rebuild that nobody works on, and asks the process that does otherwise. True: nothing is left of it. Errors: kernel_projection_unknown when there is none. */
export async function cancelRebuild<Modules extends ModuleMap>(plinthOf: Plinth<Modules>, name: string, reason: string, ownerUrl: string): Promise<boolean> {
  const plinth = plinthOf as unknown as Plinth<ModuleMap>;
  const projection = projectionOf(plinth.modules, name);
  const [asked] = await plinth.asWorker({}, (tx) => tx.query<{ known: boolean }>('select plinth_kernel.projection_cancel($1, $2) as known', [name, reason]));
  if (!asked?.known) throw fail('projection_unknown', { message: `${name} is not being rebuilt` });
  return withOwner(ownerUrl, async (owner) => {
    if (!(await lock(owner, name))) return false;
    await forget({ plinth, feed: feedOf(plinth.modules), name, projection, owner });
    return true;
  });
}

const lock = async (owner: Queryable, name: string): Promise<boolean> =>
  (await owner.query<{ got: boolean }>('select pg_try_advisory_lock(hashtextextended($1, 0)) as got', [`plinth projection ${name}`]))[0]?.got === true;

async function lockOrThrow(owner: Queryable, name: string): Promise<void> {
  if (!(await lock(owner, name))) throw fail('projection_busy', { message: `${name} is being rebuilt by another process` });
}

const note = (plinth: Plinth<ModuleMap>, name: string, set: string, values: unknown[]): Promise<unknown> =>
  plinth.asWorker({}, (tx) => tx.query(`update plinth_kernel.feed_projections set ${set}, updated_at = clock_timestamp() where name = $1`, [name, ...values]));

const stateOf = async (tx: Queryable, name: string): Promise<State | undefined> =>
  (
    await tx.query<State>(
      `select revision, declared, phase, rebuild_revision, shadows, cancel_reason, case when opened then erasures else 0 end as erasures, rebuild_started_at::text as begun from plinth_kernel.projection_states() where name = $1`,
      [name],
    )
  )[0];

/** Shadow tables and their consumer, made together; or those of a rebuild that was interrupted: true. */
async function prepare(rebuild: Rebuild): Promise<boolean> {
  const { plinth, feed, name, projection, options, owner } = rebuild;
  await plinth.asWorker({}, async (tx) => {
    await declareProjection(tx, name, projection, 'visitor');
    // Nobody else may have read the log since a dump was restored, and a rebuild that has read nearly everything asks no consumer's turn.
    await tx.query('select plinth_kernel.feed_epoch($1)', [feed.name]);
  });
  const revision = String(projection.revision);
  const state = await plinth.asWorker({}, (tx) => stateOf(tx, name));
  const names = Object.values(projection.tables).map(shadowOf);
  if (state?.rebuild_revision === revision && !options.restart && state.cancel_reason === null && String(state.shadows) === String(names)) {
    await note(plinth, name, `error = null, phase = 'replaying'`, []);
    return true;
  }
  await patiently(owner, name, async () => {
    for (const table of Object.values(projection.tables)) await createShadow(owner, table);
    await owner.query('set local role plinth_worker');
    await owner.query('select plinth_kernel.feed_stop($1, $2), plinth_kernel.feed_start($1, $2, $3)', [feed.name, rebuildConsumer(name), 'beginning']);
    await owner.query('select plinth_kernel.projections_fold()');
    await owner.query(
      `update plinth_kernel.feed_projections set phase = 'replaying', rebuild_revision = $2, shadows = $3, cancel_reason = null, error = null, comparison = null,
         rebuild_erasures = erasures, rebuild_started_at = clock_timestamp(), updated_at = clock_timestamp() where name = $1`,
      [name, revision, JSON.stringify(names)],
    );
  });
  return false;
}

async function forget({ feed, name, projection, owner }: Omit<Rebuild, 'options' | 'shadows' | 'told' | 'begun'>): Promise<void> {
  await patiently(owner, name, async () => {
    for (const table of Object.values(projection.tables)) await owner.query(`drop table if exists ${quoted(shadowOf(table))}`);
    await owner.query('set local role plinth_worker');
    await owner.query('select plinth_kernel.feed_stop($1, $2)', [feed.name, rebuildConsumer(name)]);
    await owner.query(
      `update plinth_kernel.feed_projections set phase = null, rebuild_revision = null, rebuild_erasures = null, shadows = null, error = cancel_reason, updated_at = clock_timestamp() where name = $1`,
      [name],
    );
  });
}

const PROGRESS = `select s.consumer, sum(s.handled)::float8 as handled, sum(s.waiting)::float8 as waiting, max(s.failures) as failures from unnest($2::text[]) as c (name)
  cross join lateral plinth_kernel.feed_status($1, c.name) as s group by s.consumer`;

interface Standing {
  consumer: string;
  handled: number;
  waiting: number;
  failures: number;
}

function refuseCancelled(name: string, state: State | undefined): void {
  if (state?.cancel_reason) throw fail('projection_cancelled', { message: `The rebuild of ${name} was cancelled: ${state.cancel_reason}` });
}

/** How far both are. Throws when somebody has cancelled the rebuild. */
async function look({ plinth, feed, name, options, owner, begun }: Rebuild): Promise<{ progress: RebuildProgress; live: Standing | undefined }> {
  const { rows, state } = await plinth.asWorker({}, async (tx) => ({
    rows: await tx.query<Standing>(PROGRESS, [feed.name, [name, rebuildConsumer(name)]]),
    state: await stateOf(tx, name),
  }));
  refuseCancelled(name, state);
  if (owner.gone()) throw fail('unavailable', { message: `The connection that keeps others from rebuilding ${name} is lost` });
  if (state?.begun !== begun) throw fail('projection_busy', { message: `${name} is being rebuilt anew by another process` });
  const shadow = rows.find((row) => row.consumer !== name);
  if (!shadow) throw fail('projection_cancelled', { message: `The consumer of the rebuild of ${name} is gone` });
  const live = rows.find((row) => row.consumer === name);
  const progress = { phase: 'replaying' as const, handled: shadow.handled, of: live?.handled, waiting: shadow.waiting };
  options.onProgress?.(progress);
  return { progress, live };
}

/** The reader that writes the projection to these tables, and tells what may be kept of its failure. */
const readerOf = ({ name, projection, told }: Rebuild, tables?: ProjectionTables): Reader => {
  const consumer: Reader = projectionConsumer(name, projection, tables);
  return {
    ...consumer,
    async handle(tx, events) {
      try {
        await consumer.handle(tx, events);
      } catch (error) {
        told.revealed ||= events.some((event) => event.personal);
        throw error;
      }
    },
  };
};

/** Reads the log into the shadow tables until little is left. */
async function replay(rebuild: Rebuild): Promise<void> {
  const { plinth, name, options, owner, shadows } = rebuild;
  // Nothing may be put aside: the new tables hold everything, or are not put in place.
  const consumer: Consumer = { ...readerOf(rebuild, shadows), onPoison: 'stop' };
  let lookedMs = performance.now();
  let near = (await look(rebuild)).progress.waiting < CAUGHT_UP;
  const loop = async (): Promise<void> => {
    while (!near && !owner.gone()) {
      const handled = await consumeOnce(plinth, rebuildConsumer(name), consumer).catch(async (error: unknown) => {
        near = true;
        throw error;
      });
      if (handled === 0 || performance.now() - lookedMs > LOOK_MS) {
        lookedMs = performance.now();
        near = (await look(rebuild)).progress.waiting < CAUGHT_UP;
      }
    }
  };
  const loops = await Promise.allSettled(Array.from({ length: Math.min(MOST_PARALLEL, Math.max(1, options.parallel ?? 4)) }, loop));
  const failed = loops.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
}

/** The consumer of a projection, which any transaction will do for. */
type Reader = Omit<Consumer, 'handle'> & { handle(tx: AnyTransaction, events: readonly FeedEvent[]): Promise<void> };

/** Brings a consumer to a snapshot, in a transaction that holds all of its cursors. */
async function drain(tx: AnyTransaction, feed: Feed, name: string, consumer: Reader, until: string): Promise<void> {
  for (;;) {
    const batch = await readBatch(tx, feed, { consumer: name, until, ...(consumer.batchSize ? { batchSize: consumer.batchSize } : {}) });
    if (batch.claims.length === 0) return;
    if (batch.events.length > 0) await consumer.handle(tx, consumer.stored ? batch.events : await feed.open(tx, batch.events));
    await checkpoint(tx, feed, name, batch);
  }
}

/**
 * Stops whoever writes the live tables, brings both to the same point, compares, and swaps; one transaction, so that everybody sees all of it or nothing.
 * An async projection stands still meanwhile; transactions that write events for an inline one wait.
 */
async function finish(rebuild: Rebuild, resumed: boolean): Promise<RebuildReport> {
  const { plinth, feed, name, projection, options, owner, shadows } = rebuild;
  const revision = String(projection.revision);
  const { progress, live } = await look(rebuild);
  options.onProgress?.({ ...progress, phase: 'swapping' });
  const near = live !== undefined && live.waiting < COMPARABLE && live.failures === 0;
  await note(plinth, name, `phase = 'swapping'`, []);
  return holding(rebuild, async (aside) => {
    // Events that are aside are in the new tables and not in the old ones.
    const comparable = projection.kind === 'inline' || (near && aside === 0);
    const until = (await owner.query<{ now: string }>('select pg_current_snapshot()::text as now'))[0]?.now ?? '';
    await plinth.joinQueryable(owner, {}, async (tx) => {
      await drain(tx, feed, rebuildConsumer(name), readerOf(rebuild, shadows), until);
      if (comparable && projection.kind !== 'inline') await drain(tx, feed, name, readerOf(rebuild), until);
    });
    const comparison: TableComparison[] = [];
    const tables = Object.values(projection.tables);
    if (comparable) for (const table of tables) comparison.push(await compareTables(owner, table, shadowOf(table), projection.uncompared ?? []));
    // Whoever cancels from here on waits for this row, and finds that nothing is being rebuilt.
    await owner.query('select from plinth_kernel.feed_projections where name = $1 for update', [name]);
    const state = await stateOf(owner, name);
    refuseCancelled(name, state);
    const erasures = Number(state?.erasures ?? 0);
    const formerRevision = state?.revision ?? null;
    const declaredRevision = state?.declared ?? revision;
    // While processes of another revision run, the tables are not of one alone.
    const same = formerRevision === revision && declaredRevision === revision;
    const swapped = !(comparison.some((one) => !one.equal) && same && erasures === 0 && options.onDifference !== 'swap');
    const how = swapped ? await swap(rebuild) : {};
    await owner.query(
      `update plinth_kernel.feed_projections set comparison = $2, updated_at = clock_timestamp(), error = $4,
         phase = case when $3 then null else 'replaying' end, rebuild_revision = case when $3 then null else rebuild_revision end, shadows = case when $3 then null else shadows end,
         revision = case when $3 then $5 else revision end, rebuilt_at = case when $3 then clock_timestamp() else rebuilt_at end,
         erasures = case when $3 then erasures - coalesce(rebuild_erasures, 0) else erasures end, rebuild_erasures = case when $3 then null else rebuild_erasures end where name = $1`,
      [
        name,
        // Not the rows: they hold what readers of this table may not see, or what was erased since.
        JSON.stringify(comparison.map(({ onlyLive: _live, onlyShadow: _shadow, ...counts }) => counts)),
        swapped,
        swapped ? null : 'The tables differ although the same revision made them; the live ones were kept.',
        revision,
      ],
    );
    return { name, revision, formerRevision, declaredRevision, resumed, swapped, erasures, comparison, how };
  });
}

/** The new tables in the places of the old ones, and the live consumer where the one that filled them is. */
async function swap({ feed, name, projection, owner }: Rebuild): Promise<RebuildReport['how']> {
  const how: RebuildReport['how'] = {};
  await owner.query('reset role');
  for (const table of Object.values(projection.tables)) how[table] = await swapTable(owner, table, shadowOf(table));
  await owner.query('set local role plinth_worker');
  if (projection.kind !== 'inline') {
    await owner.query('insert into plinth_kernel.feed_consumers (feed, consumer) values ($1, $2) on conflict do nothing', [feed.name, name]);
    await owner.query(
      `insert into plinth_kernel.feed_cursors (feed, consumer, shard, epoch, s1, handled)
       select feed, $2, shard, epoch, s1, handled from plinth_kernel.feed_cursors where feed = $1 and consumer = $3
       on conflict (feed, consumer, shard) do update set epoch = excluded.epoch, s1 = excluded.s1, s1_at = clock_timestamp(), s2 = null, last = 0, handled = excluded.handled,
         failures = 0, failed_to = null, failing_since = null, last_error = null, retry_at = null, updated_at = clock_timestamp()`,
      [feed.name, name, rebuildConsumer(name)],
    );
  }
  // What was put aside is in the new tables.
  await owner.query(
    `update ${feed.parked} set status = 'superseded', retry_at = null, updated_at = clock_timestamp(), ended_at = clock_timestamp() where consumer = $1 and ended_at is null`,
    [name],
  );
  await owner.query('select plinth_kernel.feed_stop($1, $2)', [feed.name, rebuildConsumer(name)]);
  return how;
}

/** A transaction as plinth_worker on the owner's connection that holds whatever writes the live tables. */
function holding<T>(rebuild: Rebuild, body: (aside: number) => Promise<T>): Promise<T> {
  const { feed, name, projection, owner } = rebuild;
  const cursors = async (): Promise<void> => {
    await owner.query('set local role plinth_worker');
    refuseCancelled(name, await stateOf(owner, name));
    await owner.query(`select from plinth_kernel.feed_cursors where feed = $1 and consumer = any ($2) order by consumer, shard for update`, [
      feed.name,
      [name, rebuildConsumer(name)],
    ]);
  };
  const held = async (): Promise<T> => {
    if (projection.kind === 'inline') {
      await owner.query('reset role');
      for (const table of Object.values(projection.tables)) await owner.query(`lock table ${quoted(table)} in share row exclusive mode`);
      await owner.query('set local role plinth_worker');
    }
    // Before the tables: whoever tries one of these holds its row first, and then writes.
    const aside = await owner.query(`select from ${feed.parked} where consumer = $1 and ended_at is null order by tenant_id, id for update`, [name]);
    return body(aside.length);
  };
  return patiently(owner, name, held, cursors);
}
