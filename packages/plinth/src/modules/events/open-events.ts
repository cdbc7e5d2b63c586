import type { AnyTransaction } from '#kernel/transaction.ts';
import type { FeedEvent } from '#kernel/work.ts';
import { reveal } from './personal.ts';

/** Events of the feed as consumers see them: personal fields readable, or the tombstone. */
export async function openEvents(tx: AnyTransaction, events: readonly FeedEvent[]): Promise<readonly FeedEvent[]> {
  if (!tx.keys) return events;
  const data = await reveal(
    tx,
    events.map((event) => ({ tenantId: event.tenantId, value: event.data })),
  );
  return events.map((event, index) => (data[index] === event.data ? event : { ...event, data: data[index] ?? event.data, personal: true }));
}
