import type { JsonObject } from '#kernel/effects.ts';
import { PlinthError } from '#kernel/errors.ts';
import type { IdSource } from '#kernel/ids.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { errors } from './errors.ts';
import type { EventsTransaction } from './publish.ts';
import type { EventOptions, ExpectedVersion, Stream } from './row.ts';
import { fail, name, refuse, rowOf, streamRow } from './row.ts';

type Row = Record<string, unknown>;

export interface NewEvent extends EventOptions {
  type: string;
  /** Default: `{}`. */
  data?: JsonObject | undefined;
}

export interface Append {
  stream: Stream;
  events: readonly NewEvent[];
  /** Version before the first event. Default: any. */
  expectedVersion?: ExpectedVersion | undefined;
}

export interface AppendOptions {
  /** One append a key and tenant, for 90 days: repeating it writes nothing, with other content it is an error. */
  idempotencyKey?: string | undefined;
}

export interface Appended {
  stream: Stream;
  id: string;
  version: number;
}

/** Most events of one append; a transaction may hold several. */
export const MOST_APPENDED = 10_000;

/** What an error calls the append: `events.append("order:4711")`. */
export const labelOf = (appends: readonly Append[]): string =>
  `events.append(${appends
    .map(({ stream }) => JSON.stringify(`${String(stream?.type)}:${String(stream?.id)}`))
    .slice(0, 5)
    .join(', ')}${appends.length > 5 ? ', ...' : ''})`;

/**
 * The one effect of an append, however many events and streams it has, so that an error names it as a whole. `batch`, the id of its first
 * event, holds together what one idempotency key stands for.
 */
export function appendEffect(newId: IdSource, appends: readonly Append[], options: AppendOptions): { row: Row; rows?: Row[]; ids: string[] } {
  const key = options.idempotencyKey === undefined ? undefined : name('idempotencyKey', options.idempotencyKey);
  const count = appends.reduce((sum, { events }) => sum + events.length, 0);
  if (count < 1 || count > MOST_APPENDED) throw refuse('events', `An append has 1 to ${MOST_APPENDED} events, not ${count}`);
  const ids: string[] = [];
  const rows: Row[] = [];
  for (const { stream, events, expectedVersion } of appends) {
    if (!stream) throw refuse('stream', 'An append names a stream by type and id');
    if (events.length === 0) {
      if (expectedVersion === undefined || expectedVersion === 'any') throw refuse('expectedVersion', 'An append has events, or the version to check');
      rows.push(streamRow(stream, expectedVersion));
    }
    for (const [index, { type, data, ...event }] of events.entries()) {
      const id = newId();
      ids.push(id);
      rows.push(rowOf(id, type, data ?? {}, { ...event, stream, expectedVersion: index === 0 ? expectedVersion : undefined }));
    }
  }
  if (key !== undefined) for (const row of rows) Object.assign(row, { idempotency_key: key, batch: ids[0] });
  const [only] = rows;
  if (rows.length === 1 && only) return { row: only, ids };
  // The stream beside the rows tells write_effects that this effect is not a plain event.
  return { row: { aggregate_id: rows[0]?.aggregate_id }, rows, ids };
}

/**
 * Appends to one or several streams now, with everything else that the transaction collected, and tells the versions; after a repeated
 * idempotency key those of the first time, with `duplicate`. Errors: events_version_conflict (detail: expected, actual), events_idempotency_conflict,
 * events_payload_rejected, events_event_invalid; the transaction is over after one.
 */
export async function appendNow(
  tx: EventsTransaction,
  appends: readonly Append[],
  options: AppendOptions = {},
): Promise<{ events: Appended[]; duplicate: boolean }> {
  // What was collected before goes first, so that the append is alone: an error is then its own, and finding that out needs no second connection.
  await tx.flush();
  const asked = tx.events.appendAll(appends, options);
  await tx.flush().catch((error: unknown) => {
    throw plainError(error);
  });
  const ids = options.idempotencyKey === undefined ? asked : await firstIds(tx, options.idempotencyKey);
  const rows = await tx.query<{ id: string; aggregate_type: string; aggregate_id: string; version: string }>(
    'select id, aggregate_type, aggregate_id, version from plinth_events.events where tenant_id = $1 and id = any ($2::uuid[])',
    [tx.context.tenantId, ids],
  );
  const order = new Map(ids.map((id, index) => [id, index]));
  rows.sort((one, other) => (order.get(one.id) ?? 0) - (order.get(other.id) ?? 0));
  return {
    events: rows.map((row) => ({ id: row.id, stream: { type: row.aggregate_type, id: row.aggregate_id }, version: Number(row.version) })),
    duplicate: ids[0] !== asked[0],
  };
}

/** An effect that failed for a reason of this module, as that error itself: the caller asked for this one effect and need not be told which. */
export function plainError(error: unknown): unknown {
  if (!(error instanceof PlinthError) || error.code !== 'kernel_effect_failed') return error;
  const { effect_code, effect: _effect, effect_index: _index, ...detail } = error.detail;
  const entry = Object.keys(errors).find((one) => effect_code === `events_${one}`);
  const message = (error.cause as Error | undefined)?.message ?? error.message;
  return entry ? fail(entry as keyof typeof errors, { message, wayOut: error.wayOut, detail, cause: error }) : error;
}

/** Id of the event that an idempotency key stands for, after writing what waits; undefined for a key never used. */
export async function firstId(tx: AnyTransaction, idempotencyKey: string): Promise<string | undefined> {
  return (await firstIds(tx, idempotencyKey))[0];
}

/** Ids of all events that an idempotency key stands for, after writing what waits; none for a key never used. */
export async function firstIds(tx: AnyTransaction, idempotencyKey: string): Promise<string[]> {
  await tx.flush();
  const [row] = await tx.query<{ ids: string[] }>(
    'select coalesce(event_ids, array[event_id])::text[] as ids from plinth_events.dedup where tenant_id = $1 and key = $2',
    [tx.context.tenantId, idempotencyKey],
  );
  return row?.ids ?? [];
}
