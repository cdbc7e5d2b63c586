import type { LiveEvent } from '#modules/events';
import type { Offset } from './realtime-offset.ts';
import { offsetWriter } from './realtime-offset.ts';
import type { LiveBatch } from './realtime-tail.ts';

/** How a connection is spoken to: Server-Sent Events or WebSocket messages. The content is the same. */
export type Format = 'sse' | 'socket';

const TEXT_FRAME = 0x81;

/** A whole WebSocket message, unmasked (RFC 6455, 5.2), ready for any number of sockets. */
function socketFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(head + length);
  frame[0] = TEXT_FRAME;
  if (head === 2) frame[1] = length;
  else if (head === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, head);
  return frame;
}

/** One frame. `id` is the offset after it; without data it only moves the offset. JSON text has no line breaks, so it is one line of SSE. */
export function frame(format: Format, event: string, id: string | undefined, data: string | undefined): Buffer {
  if (format === 'socket')
    return socketFrame(
      `{"event":${JSON.stringify(event)}${id === undefined ? '' : `,"id":${JSON.stringify(id)}`}${data === undefined ? '' : `,"data":${data}`}}`,
    );
  const lines = `${id === undefined ? '' : `id: ${id}\n`}`;
  return Buffer.from(data === undefined ? `${lines}: ${event}\n\n` : `${lines}event: ${event}\ndata: ${data}\n\n`);
}

/** An event as readers get it; the fields of GET /api/v1/events/{id} without those that are null: every byte goes to thousands. */
function textOf(event: LiveEvent): string {
  const { payload, metadata, version } = event;
  const rest = JSON.stringify({
    id: event.id,
    event_type: event.type,
    aggregate_type: event.aggregateType ?? undefined,
    aggregate_id: event.aggregateId ?? undefined,
    version: version === null ? undefined : Number(version),
    actor_type: event.actorType,
    actor_id: event.actorId,
    correlation_id: event.correlationId ?? undefined,
    causation_id: event.causationId ?? undefined,
    occurred_at: event.occurredAt,
    created_at: event.createdAt,
  });
  // The database has written the payload as JSON already.
  return `${rest.slice(0, -1)},"payload":${payload},"metadata":${metadata ?? '{}'}}`;
}

/** The frames of what one look at the log brought: each is made once, when the first connection needs it. */
export interface Frames {
  readonly events: readonly LiveEvent[];
  /** Bytes of these events, in their order. */
  bytes(format: Format, indexes: readonly number[]): Buffer;
}

export function framesOf(batch: LiveBatch, log: Pick<Offset, 'epoch' | 'timeline'>): Frames {
  const { events, s1, s2, full, fromMs, untilMs } = batch;
  const inside = offsetWriter({ ...log, atMs: fromMs }, s1, s2);
  const made: Record<Format, Buffer[]> = { sse: [], socket: [] };
  const idOf = (index: number, position: string): string =>
    index === events.length - 1 && !full ? offsetWriter({ ...log, atMs: untilMs }, s2)('0') : inside(position);
  const one = (format: Format, index: number): Buffer => {
    const event = events[index];
    if (!event) throw new RangeError(`the batch has no event ${index}`);
    return (made[format][index] ??= frame(format, 'event', idOf(index, event.position), textOf(event)));
  };
  return {
    events,
    bytes(format, indexes) {
      const [only] = indexes;
      return indexes.length === 1 && only !== undefined ? one(format, only) : Buffer.concat(indexes.map((index) => one(format, index)));
    },
  };
}
