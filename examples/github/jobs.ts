import type { JobDefinition } from 'plinth/module';
import { sentenceOf } from './payload.ts';

/** Says in a sentence what the payload tells, and completes the job in the same transaction: it takes effect once. */
export const summarise: JobDefinition = {
  summary: 'Summarises a payload of GitHub in one sentence.',
  maxAttempts: 20,
  handler: (run) =>
    run.transaction(async (tx) => {
      const { delivery_id: deliveryId, event_id: eventId } = run.payload as { delivery_id: string; event_id: string };
      const [event] = await tx.query<{ type: string; payload: Record<string, unknown> }>(
        'select event_type as type, payload from plinth.event_store where tenant_id = $1 and id = $2',
        [tx.context.tenantId, eventId],
      );
      if (!event) throw new Error(`event ${eventId} is not there`);
      const summary = sentenceOf(event.type, event.payload);
      await tx.query('update plinth_github.deliveries set summary = $3, summarised = summarised + 1 where tenant_id = $1 and id = $2', [
        tx.context.tenantId,
        deliveryId,
        summary,
      ]);
      await run.completeIn(tx, { summary });
    }),
};
