import { createHash } from 'node:crypto';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JsonChange } from './json-changes.ts';
import { isJson, jsonChanges } from './json-changes.ts';
import type { Stream } from './row.ts';
import { fail, name, refuse } from './row.ts';
import type { StreamEvent } from './stream.ts';
import { readStream } from './stream.ts';
import type { Upcasters } from './upcast.ts';

/** How the state of an aggregate follows from its events. */
export interface Fold<State> {
  /** Names the snapshots: `order-total`. At most 200 characters. */
  name: string;
  initial: () => State;
  /** The state after one more event. It may change the state that it is given. */
  reduce: (state: State, event: StreamEvent) => State;
  upcasters?: Upcasters | undefined;
  /**
   * Keeps a snapshot once this many events came after the last one; 100 to 500 suit most. The state must then be plain JSON. Default: none are kept, because
   * only the author of a fold knows that all of its code shows in `revision`: a snapshot of other code would be a wrong state that nobody notices.
   */
  snapshotEvery?: number | undefined;
  /** Snapshots kept of one stream. Default 3. */
  snapshotsKept?: number | undefined;
  /**
   * Change it when states change for a reason that the text of `reduce`, `initial` and the upcasters does not show, such as
   * a function that they call: snapshots of other code are not used.
   */
  revision?: string | number | undefined;
}

export interface LoadOptions {
  /** State right after this version. Default: the newest. */
  version?: number | undefined;
  /** State after the last event that was written by then. */
  at?: Date | undefined;
}

export interface Aggregate<State> {
  state: State;
  /** Version of the last event in the state; 0 when there is none: the expected version of what is appended next. */
  version: number;
  /** Version of the snapshot that it was folded from, 0: from the beginning. */
  snapshotVersion: number;
}

export interface StateDifference<State> {
  before: Aggregate<State>;
  after: Aggregate<State>;
  changes: JsonChange[];
  /** What happened in between. */
  events: StreamEvent[];
}

const LONGEST_FOLD_NAME = 200;
const SNAPSHOTS_KEPT = 3;

/** `order-total 3f2a...`: the name and what the code looks like. */
const snapshotName = <State>(fold: Fold<State>): string => {
  const code = [fold.revision ?? null, String(fold.initial), String(fold.reduce), fold.upcasters?.fingerprint ?? null];
  return `${fold.name} ${createHash('sha256').update(JSON.stringify(code)).digest('hex').slice(0, 16)}`;
};

interface Start {
  head: string;
  version: string | null;
  state: unknown;
  taken_at: Date | null;
}

/**
 * State of an aggregate, folded from its events, or from a snapshot and the events after it; with what the transaction appended so far. Where a
 * snapshot is due it is written with the transaction, unless that is read only. Errors: events_version_not_found for a version that is not there
 * yet, events_history_gone when events that it needs have left with the retention policy, events_upcast_failed, events_state_not_json.
 *
 * @example
 * const total: Fold<{ cents: number }> = { name: 'order-total', initial: () => ({ cents: 0 }),
 *   reduce: (state, event) => (event.type === 'order.paid' ? { cents: state.cents + Number(event.data.cents) } : state) };
 * const { state, version } = await loadAggregate(tx, { type: 'order', id: '4711' }, total);
 */
export async function loadAggregate<State>(tx: AnyTransaction, stream: Stream, fold: Fold<State>, options: LoadOptions = {}): Promise<Aggregate<State>> {
  if (fold.name.length < 1 || fold.name.length > LONGEST_FOLD_NAME) throw refuse('name', `The name of a fold has 1 to ${LONGEST_FOLD_NAME} characters`);
  if (options.version !== undefined && (!Number.isSafeInteger(options.version) || options.version < 0))
    throw refuse('version', `${options.version} is not a version: a whole number from 0 on`);
  if (options.at !== undefined && Number.isNaN(Number(options.at))) throw refuse('at', 'at is not a time');
  await tx.flush();
  const target = options.at === undefined ? options.version : await versionAt(tx, stream, options.at, options.version);
  const start = await startOf(tx, stream, fold, target);
  const snapshotVersion = Number(start?.version ?? 0);
  let state = snapshotVersion > 0 ? (start?.state as State) : fold.initial();
  let version = snapshotVersion;
  // A snapshot would keep in plain text what erasing a subject is to make unreadable, also in backups.
  let personal = false;
  for await (const event of readStream(tx, stream, { from: version + 1, to: target, since: start?.taken_at ?? undefined, upcasters: fold.upcasters })) {
    if (event.version !== version + 1) throw gone(stream, version + 1);
    state = fold.reduce(state, event);
    version = event.version;
    personal ||= event.personal === true;
  }
  const head = Number(start?.head ?? 0);
  if (version < Math.min(target ?? head, head)) throw gone(stream, version + 1);
  if (target !== undefined && version < target)
    throw fail('version_not_found', {
      message: `${stream.type} ${stream.id} is at version ${version} and has no version ${target}`,
      detail: { aggregate_type: stream.type, aggregate_id: stream.id, version: target, actual: version },
    });
  if (fold.snapshotEvery !== undefined && !personal && target === undefined && version - snapshotVersion >= fold.snapshotEvery)
    await keep(tx, stream, fold, version, state);
  return { state, version, snapshotVersion };
}

/** A version, or what had been written by a time. */
const pointOf = (point: number | Date): LoadOptions => (point instanceof Date ? { at: point } : { version: point });

/** What changed in an aggregate between two versions or times, and by which events. Errors as those of `loadAggregate`; events_event_invalid when they are not in order. */
export async function diffAggregate<State>(
  tx: AnyTransaction,
  stream: Stream,
  fold: Fold<State>,
  { from, to }: { from: number | Date; to: number | Date },
): Promise<StateDifference<State>> {
  const unordered = () => refuse('from', `${String(from)} and ${String(to)} are not two versions or times in order`);
  const comparable = from instanceof Date === to instanceof Date;
  if (Number.isNaN(Number(from)) || Number.isNaN(Number(to)) || (comparable && from > to)) throw unordered();
  const before = await loadAggregate(tx, stream, fold, pointOf(from));
  const after = await loadAggregate(tx, stream, fold, pointOf(to));
  if (before.version > after.version) throw unordered();
  const events = await Array.fromAsync(readStream(tx, stream, { from: before.version + 1, to: after.version, upcasters: fold.upcasters }));
  // The state after them may come from a snapshot, which needs none of them.
  if (events.length < after.version - before.version) throw gone(stream, before.version + 1);
  return { before, after, changes: jsonChanges(before.state, after.state), events };
}

/** Version of the head, and the newest snapshot that may be used. Undefined for a stream that never was. */
async function startOf<State>(tx: AnyTransaction, stream: Stream, fold: Fold<State>, target: number | undefined): Promise<Start | undefined> {
  const [start] = await tx.query<Start>(
    `select h.version as head, s.version, s.state, s.created_at as taken_at from plinth_events.streams as h left join lateral (
       select n.version, n.state, n.created_at from plinth_events.snapshots as n
       where n.tenant_id = h.tenant_id and n.aggregate_type = h.aggregate_type and n.aggregate_id = h.aggregate_id and n.fold = $4 and n.version <= $5 order by n.version desc limit 1
     ) as s on true where h.tenant_id = $1 and h.aggregate_type = $2 and h.aggregate_id = $3`,
    [
      tx.context.tenantId,
      name('stream.type', stream.type),
      name('stream.id', stream.id),
      fold.snapshotEvery === undefined ? null : snapshotName(fold),
      target ?? Number.MAX_SAFE_INTEGER,
    ],
  );
  return start;
}

/**
 * Versions were written in the order of the clock of the server, but for its corrections. A Date has no microseconds: all that was written in its millisecond was written
 * by then, so that the state at `createdAt` of an event has that event in it.
 */
async function versionAt(tx: AnyTransaction, stream: Stream, at: Date, most: number | undefined): Promise<number> {
  const [row] = await tx.query<{ version: string }>(
    `select version from plinth.event_store where tenant_id = $1 and aggregate_type = $2 and aggregate_id = $3 and version <= $4
       and created_at < $5::timestamptz + interval '1 ms' order by version desc limit 1`,
    [tx.context.tenantId, stream.type, stream.id, most ?? Number.MAX_SAFE_INTEGER, at],
  );
  if (row) return Number(row.version);
  const [begun] = await tx.query(
    `select from plinth_events.streams as s where s.tenant_id = $1 and s.aggregate_type = $2 and s.aggregate_id = $3 and s.version > 0 and s.created_at < $4::timestamptz + interval '1 ms'
       and not exists (select from plinth.event_store as e where e.tenant_id = $1 and e.aggregate_type = $2 and e.aggregate_id = $3 and e.version = 1)`,
    [tx.context.tenantId, stream.type, stream.id, at],
  );
  // It may have had events by then, which are no longer kept.
  if (begun) throw gone(stream, 1);
  return 0;
}

async function keep<State>(tx: AnyTransaction, stream: Stream, fold: Fold<State>, version: number, state: State): Promise<void> {
  if (!isJson(state))
    throw fail('state_not_json', {
      message: `The state of ${fold.name} at version ${version} of ${stream.type} ${stream.id} is not plain JSON`,
      detail: { fold: fold.name, aggregate_type: stream.type, aggregate_id: stream.id, version },
    });
  await tx.query('select plinth_events.save_snapshot($1, $2, $3, $4, $5::text::jsonb, $6)', [
    stream.type,
    stream.id,
    snapshotName(fold),
    version,
    JSON.stringify(state),
    fold.snapshotsKept ?? SNAPSHOTS_KEPT,
  ]);
}

const gone = (stream: Stream, version: number) =>
  fail('history_gone', {
    message: `Version ${version} of ${stream.type} ${stream.id} is no longer kept, so its state cannot be folded`,
    detail: { aggregate_type: stream.type, aggregate_id: stream.id, version },
  });
