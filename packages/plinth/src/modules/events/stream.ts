import { readTime } from '#kernel/column-types.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { isSealed, reveal } from './personal.ts';
import { name, refuse, type Stream } from './row.ts';
import type { Upcasters } from './upcast.ts';

/** An event of a stream, as it is read. */
export interface StreamEvent {
  id: string;
  type: string;
  /** Version of the event type that `data` has; after upcasting the newest. 1 for types that were not registered. */
  schemaVersion: number;
  /** Place in the stream: 1, 2, 3, ... */
  version: number;
  data: Record<string, unknown>;
  /** Fields of `data` are encrypted where they are stored: no state of them may be kept beside. */
  personal?: true;
  metadata: Record<string, unknown>;
  actor: { type: string; id: string };
  correlationId: string | null;
  causationId: string | null;
  occurredAt: Date;
  createdAt: Date;
}

export interface ReadOptions {
  /** `forward` (default): oldest first. */
  direction?: 'forward' | 'backward' | undefined;
  /** First version that is read, in the direction. Default: the oldest, or the newest when backward. */
  from?: number | undefined;
  /** Last version that is read, in the direction. Default: to the end. */
  to?: number | undefined;
  /** Most events. Default: all. */
  limit?: number | undefined;
  /** Events a round trip. Default 500, at most 10,000. */
  pageSize?: number | undefined;
  /** A time before which none of these events was written: fewer months have to be looked into. */
  since?: Date | undefined;
  /** Brings old events into the newest form of their types. */
  upcasters?: Upcasters | undefined;
}

interface Row {
  id: string;
  event_type: string;
  event_version: number | null;
  version: string;
  payload: Record<string, unknown>;
  metadata: Record<string, unknown>;
  actor_type: string;
  actor_id: string;
  correlation_id: string | null;
  causation_id: string | null;
  occurred_at: Date | string;
  created_at: Date | string;
}

/** In a joined transaction times are what the driver makes of them; Drizzle leaves them as texts. */
const timeOf = (at: Date | string): Date => (typeof at === 'string' ? new Date(readTime(at) ?? Number.NaN) : at);

const eventOf = (row: Row): StreamEvent => ({
  id: row.id,
  type: row.event_type,
  schemaVersion: row.event_version ?? 1,
  version: Number(row.version),
  data: row.payload,
  metadata: row.metadata,
  actor: { type: row.actor_type, id: row.actor_id },
  correlationId: row.correlation_id,
  causationId: row.causation_id,
  occurredAt: timeOf(row.occurred_at),
  createdAt: timeOf(row.created_at),
});

const LAST = Number.MAX_SAFE_INTEGER;
const DEFAULT_PAGE = 500;
const LARGEST_PAGE = 10_000;

const whole = (field: string, value: number, least: number, most: number): number => {
  if (!Number.isSafeInteger(value) || value < least || value > most) throw refuse(field, `${field} is a whole number from ${least} to ${most}`);
  return value;
};

/**
 * Reads the events of a stream page by page, with those that the transaction collected so far. Events that others commit meanwhile are
 * read too, in their place: versions never have a gap. Errors: events_event_invalid for options that make no sense, events_upcast_failed.
 *
 * @example
 * for await (const event of readStream(tx, { type: 'order', id: '4711' }, { direction: 'backward', limit: 10 })) console.log(event.version, event.type);
 */
export async function* readStream(tx: AnyTransaction, stream: Stream, options: ReadOptions = {}): AsyncGenerator<StreamEvent, void, void> {
  const backward = options.direction === 'backward';
  const key = [name('stream.type', stream.type), name('stream.id', stream.id)];
  const pageSize = whole('pageSize', options.pageSize ?? DEFAULT_PAGE, 1, LARGEST_PAGE);
  const to = whole('to', options.to ?? (backward ? 1 : LAST), 0, LAST);
  let next = whole('from', options.from ?? (backward ? LAST : 1), 0, LAST);
  let left = whole('limit', options.limit ?? LAST, 0, LAST);
  await tx.flush();
  while (left > 0) {
    const asked = Math.min(left, pageSize);
    const rows = await tx.query<Row>(
      `select id, event_type, event_version, version, payload, metadata, actor_type, actor_id, correlation_id, causation_id, occurred_at, created_at
       from plinth_events.read_stream($1, $2, $3, $4, $5, $6, $7)`,
      [...key, next, to, asked, backward, options.since],
    );
    const data = await reveal(
      tx,
      rows.map((row) => ({ tenantId: tx.context.tenantId ?? '', value: row.payload })),
    );
    for (const [index, row] of rows.entries()) {
      const event: StreamEvent = isSealed(row.payload) ? { ...eventOf(row), data: data[index] ?? row.payload, personal: true } : eventOf(row);
      yield options.upcasters ? options.upcasters.upcast(event) : event;
    }
    if (rows.length < asked) return;
    left -= rows.length;
    next = Number(rows.at(-1)?.version) + (backward ? -1 : 1);
  }
}
