import type { Consumer, FeedEvent } from '#kernel/work.ts';
import type { CloudEvent } from './cloud-events.ts';
import { toCloudEvent } from './cloud-events.ts';

/** One event on its way to another system. */
export interface RelayMessage {
  /** Id of the event: what the other side tells duplicates by. */
  id: string;
  tenantId: string;
  type: string;
  /** Messages of one stream must arrive in their order; null: of no stream. */
  streamId: string | null;
  cloudEvent: CloudEvent;
}

/** Another system that takes events; `relayTo(bus)` makes a consumer of it. */
export interface EventBus {
  /** Shown to operators. The consumers of `startWorker({ relay })` are called `relay.<name>`. */
  readonly name: string;
  /**
   * Resolves when the other side has confirmed all of them. A message of a stream is sent only when those before it are confirmed, so that a failure leaves no gap.
   * May be called again with messages that were sent before. Errors: kernel_unavailable when the other side is to blame; any other error blames the message.
   */
  publish(messages: readonly RelayMessage[]): Promise<void>;
  close(): Promise<void>;
}

/** `details` of this module's feed. */
interface Details {
  typeVersion: number | null;
  streamType: string | null;
  streamId: string | null;
  version: number | null;
  metadata: Record<string, unknown> | null;
  occurredAt: string | null;
}

function messageOf(event: FeedEvent): RelayMessage {
  const details = event.details as Details | undefined;
  const cloudEvent = toCloudEvent({
    tenantId: event.tenantId,
    id: event.id,
    type: event.type,
    data: event.data,
    schemaVersion: details?.typeVersion,
    stream: details?.streamType && details.streamId ? { type: details.streamType, id: details.streamId } : undefined,
    version: details?.version,
    metadata: details?.metadata,
    correlationId: event.correlationId,
    causationId: event.causationId,
    occurredAt: details?.occurredAt ? new Date(details.occurredAt) : event.createdAt,
  });
  return { id: event.id, tenantId: event.tenantId, type: event.type, streamId: event.streamId, cloudEvent };
}

/**
 * A consumer that passes the log on to another system, as CloudEvents. The cursor moves when the other side has confirmed: at least once, and never
 * lost; `from: 'now'` leaves out what was there before it ran first. Personal fields stay encrypted: what is out of this database cannot be erased.
 */
export const relayTo = (
  bus: Pick<EventBus, 'name' | 'publish'>,
  options: { from?: 'beginning' | 'now' | undefined; batchSize?: number | undefined } = {},
): Consumer => ({
  summary: `Passes events on to ${bus.name}.`,
  from: options.from ?? 'beginning',
  batchSize: options.batchSize ?? 1_000,
  details: true,
  stored: true,
  // Confirmations of a long stream are waited for one by one.
  idleMs: 300_000,
  handle: (_tx, events) => bus.publish(events.map(messageOf)),
});

/** Messages in groups that can be sent at once: each holds at most one of a stream, in the order of the stream. */
export function waves(messages: readonly RelayMessage[]): RelayMessage[][] {
  const sent = new Map<string, number>();
  const groups: RelayMessage[][] = [];
  for (const message of messages) {
    const key = message.streamId === null ? undefined : `${message.tenantId} ${message.streamId}`;
    const nth = key === undefined ? 0 : (sent.get(key) ?? 0);
    if (key !== undefined) sent.set(key, nth + 1);
    const group = groups[nth] ?? [];
    group.push(message);
    groups[nth] = group;
  }
  return groups;
}
