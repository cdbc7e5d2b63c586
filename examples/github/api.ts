import type { Tx } from 'plinth';
import { procedure } from 'plinth/module';
import { z } from 'zod';
import { subjectOf, typeOf } from './payload.ts';

export const api = {
  ingest: procedure({
    rest: 'POST /github/deliveries',
    permission: 'github.write',
    summary: 'Takes one webhook of GitHub',
    description:
      'Business row, audit entry, event and job commit together. Send an Idempotency-Key: a repetition changes nothing and is answered as the first was.',
  })
    .input(z.object({ id: z.guid(), event: z.string().regex(/^[a-z0-9_]{1,60}$/), payload: z.record(z.string(), z.unknown()) }))
    .output(z.object({ id: z.guid(), type: z.string(), correlation_id: z.guid() }))
    .mutation(async ({ ctx, input: { id, event, payload } }) => {
      const tx = ctx.tx as Tx;
      const type = typeOf(event, payload);
      const subject = subjectOf(event, payload);
      const { tenantId } = tx.context;
      await tx.query('insert into plinth_github.deliveries (tenant_id, id, type, kind, entity_id) values ($1, $2, $3, $4, $5)', [
        tenantId,
        id,
        type,
        subject.kind,
        subject.id,
      ]);
      const [row] = await tx.query<{ payloads: number }>(
        `insert into plinth_github.${subject.table} as t (tenant_id, id, title, state) values ($1, $2, $3, $4)
         on conflict (tenant_id, id) do update set title = excluded.title, state = excluded.state, payloads = t.payloads + 1, updated_at = clock_timestamp() returning payloads`,
        [tenantId, subject.id, subject.title, subject.state],
      );
      tx.audit.record({
        action: type,
        entityType: subject.kind,
        entityId: subject.id,
        after: { title: subject.title, state: subject.state, payloads: row?.payloads },
        metadata: { delivery_id: id },
      });
      const eventId = tx.events.publish(type, { delivery_id: id, ...payload }, { idempotencyKey: id });
      tx.jobs.enqueue('github.summarise', { delivery_id: id, event_id: eventId }, { causationId: eventId });
      return { id, type, correlation_id: tx.context.correlationId };
    }),
};
