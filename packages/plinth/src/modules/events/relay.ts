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

/** Another system that takes events. */
export interface EventBus {
  /** The consumer is called `relay.<name>`: its place in the log. */
  readonly name: string;
  /**
   * Resolves when the other side has confirmed all of them. A message of a stream is sent only when those before it are confirmed, so that a failure leaves no gap.
   * May be called again with messages that were sent before. Errors: kernel_unavailable when the other side is to blame; any other error blames the message.
   */
  publish(messages: readonly RelayMessage[]): Promise<void>;
  close(): Promise<void>;
}

interface Detail {
  id: string;
  payload: Record<string, unknown>;
  type_version: number | null;
  aggregate_type: string | null;
  aggregate_id: string | null;
  version: string | null;
  metadata: Record<string, unknown> | null;
  occurred_at: Date | null;
}

function messageOf(event: FeedEvent, detail: Detail | undefined): RelayMessage {
  const cloudEvent = toCloudEvent({
    tenantId: event.tenantId,
    id: event.id,
    type: event.type,
    // As it is stored: what is out of this database cannot be erased.
    data: detail?.payload ?? event.data,
    schemaVersion: detail?.type_version,
    stream: detail?.aggregate_type && detail.aggregate_id ? { type: detail.aggregate_type, id: detail.aggregate_id } : undefined,
    version: detail?.version ? Number(detail.version) : undefined,
    metadata: detail?.metadata,
    correlationId: event.correlationId,
    causationId: event.causationId,
    occurredAt: detail?.occurred_at ?? event.createdAt,
  });
  return { id: event.id, tenantId: event.tenantId, type: event.type, streamId: event.streamId, cloudEvent };
}

/**
 * A consumer that passes the log on to another system, as CloudEvents. The cursor moves when the other side has confirmed: at least once, and never
 * lost; `from: 'now'` leaves out what was there before it ran first.
 */
export const relayTo = (bus: EventBus, options: { from?: 'beginning' | 'now' | undefined; batchSize?: number | undefined } = {}): Consumer => ({
  summary: `Passes events on to ${bus.name}.`,
  from: options.from ?? 'beginning',
  batchSize: options.batchSize ?? 500,
  async handle(tx, events) {
    const details = await tx.query<Detail>(
      `select e.id, e.payload, e.type_version, e.aggregate_type, e.aggregate_id, e.version, e.metadata, e.occurred_at
       from unnest($1::uuid[], $2::uuid[]) as a (tenant_id, id) join plinth_events.events as e on e.tenant_id = a.tenant_id and e.id = a.id and e.id = any ($2::uuid[])`,
      [events.map(({ tenantId }) => tenantId), events.map(({ id }) => id)],
    );
    const byId = new Map(details.map((detail) => [detail.id, detail]));
    await bus.publish(events.map((event) => messageOf(event, byId.get(event.id))));
  },
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
