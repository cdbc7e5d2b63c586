import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { firstId } from './append.ts';
import { catalogueApi } from './catalogue-api.ts';
import { cloudEventsApi } from './cloud-events-api.ts';
import { deprecated, deprecations } from './deprecations.ts';
import { errors } from './errors.ts';
import { COLUMNS, event, expectedVersion, name, newEvent } from './event-shapes.ts';
import type { EventsTransaction } from './publish.ts';
import { streamsApi } from './streams-api.ts';
import { shownTo, subjectsApi } from './subjects-api.ts';
import { typesApi } from './types-api.ts';

const fail = raiser('events', errors);
export const api = {
  publish: procedure({
    rest: 'POST /events',
    permission: 'events.write',
    summary: 'Publishes an event',
    description: 'Under an idempotency key that was used before, the answer names the first event.',
  })
    .input(
      newEvent.extend({
        stream: z.object({ type: name, id: name }).optional(),
        expected_version: expectedVersion.optional(),
        idempotency_key: name.optional(),
      }),
    )
    .output(z.object({ id: z.guid(), duplicate: z.boolean(), deprecated }))
    .mutation(async ({ ctx, input }) => {
      // Every procedure's transaction offers the effects of all modules; this one's are known to be among them.
      const tx = ctx.tx as EventsTransaction;
      const id = tx.events.publish(input.type, input.data, {
        stream: input.stream,
        expectedVersion: input.expected_version,
        idempotencyKey: input.idempotency_key,
        causationId: input.causation_id,
        schemaVersion: input.schema_version,
        occurredAt: input.occurred_at === undefined ? undefined : new Date(input.occurred_at),
        metadata: input.metadata,
      });
      const told = await deprecations(tx, [input.type]);
      if (input.idempotency_key === undefined) return { id, duplicate: false, ...told };
      const first = await firstId(tx, input.idempotency_key);
      return { id: first ?? id, duplicate: first !== undefined && first !== id, ...told };
    }),

  get: procedure({ rest: 'GET /events/{id}', permission: 'events.read', exactJson: true, summary: 'One event' })
    .input(z.object({ id: z.guid() }))
    .output(event)
    .query(async ({ ctx, input }) => {
      const [found] = await ctx.tx.query<z.infer<typeof event>>(`select ${COLUMNS} from plinth.event_store where tenant_id = $1 and id = $2`, [
        ctx.tx.context.tenantId,
        input.id,
      ]);
      if (!found) throw fail('event_not_found', { message: `There is no event ${input.id}` });
      const [shown] = await shownTo(ctx, [found]);
      return shown ?? found;
    }),

  ...streamsApi,
  ...typesApi,
  ...catalogueApi,
  ...cloudEventsApi,
  ...subjectsApi,
};
