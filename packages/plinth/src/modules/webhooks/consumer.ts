import type { Consumer } from '#kernel/work.ts';

/** Name of the hint that a delivery is due. */
export const DUE = 'webhooks.due';

/** Turns events into deliveries, in the transaction that moves the cursor: exactly one for an event and a subscription. */
export const fanOut: Consumer = {
  summary: 'Makes a delivery for every event and every subscription that wants it.',
  batchSize: 1000,
  bare: true,
  // Undone by a crash together with its cursor, it is done again, and makes deliveries with the same ids.
  durable: false,
  async handle(tx, events) {
    const rows = events.map((event, place) => ({
      tenant_id: event.tenantId,
      id: event.id,
      type: event.type,
      correlation_id: event.correlationId,
      place,
    }));
    const [result] = await tx.query<{ made: number }>('select plinth_webhooks.fan_out($1) as made', [JSON.stringify(rows)]);
    if (result && result.made > 0) tx.signal(DUE);
  },
};
