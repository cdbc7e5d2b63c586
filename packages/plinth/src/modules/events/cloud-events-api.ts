import { z } from 'zod';
import { PlinthError } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { plainError } from './append.ts';
import type { CloudEvent } from './cloud-events.ts';
import { eachOf, fromCloudEvent, ofBatch, refuseCloudEvent, toCloudEvent } from './cloud-events.ts';
import { deprecated, deprecations } from './deprecations.ts';
import { COLUMNS, type event as eventShape, json, OWN_TYPES } from './event-shapes.ts';
import { pageSql } from './page-size.ts';
import type { EventsTransaction } from './publish.ts';
import { shownTo } from './subjects-api.ts';

type Row = z.infer<typeof eventShape>;

/** A row of plinth.event_store as a CloudEvent. */
const cloudEventOf = (tenantId: string, row: Row): CloudEvent =>
  toCloudEvent({
    tenantId,
    id: row.id,
    type: row.event_type,
    data: row.payload,
    schemaVersion: row.event_version,
    stream: row.aggregate_type !== null && row.aggregate_id !== null ? { type: row.aggregate_type, id: row.aggregate_id } : undefined,
    version: row.version === null ? null : Number(row.version),
    metadata: row.metadata,
    correlationId: row.correlation_id,
    causationId: row.causation_id,
    occurredAt: row.occurred_at,
  });

const refuseSubject = (): never => {
  throw refuseCloudEvent('subject', 'stream=subject needs a subject that names a stream, type/id, each percent-encoded');
};

/** CloudEvents in and out. The server turns the modes of the HTTP binding into the input of `ingestCloudEvents` and back. */
export const cloudEventsApi = {
  ingestCloudEvents: procedure({
    rest: 'POST /events/cloudevents',
    permission: 'events.write',
    summary: 'Publishes CloudEvents 1.0',
    description:
      'Takes the HTTP modes structured (application/cloudevents+json), batch (application/cloudevents-batch+json) and binary (ce- headers), and plain JSON as described here. All or nothing. ' +
      'Source and id together are an idempotency key: the same CloudEvent again answers with the first event, another one under that name is events_idempotency_conflict. ' +
      'stream=subject appends to the stream that the subject names (type/id).',
  })
    .input(z.object({ events: z.array(json).max(1_000), stream: z.enum(['none', 'subject']).default('none') }))
    .output(z.object({ events: z.array(z.object({ source: z.string(), id: z.string(), event_id: z.guid(), duplicate: z.boolean() })), deprecated }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as EventsTransaction;
      await tx.flush();
      const types: string[] = [];
      const published = eachOf(input.events, (one) => {
        const { type, data, stream: named, ...options } = fromCloudEvent(one);
        if (OWN_TYPES.includes(type)) throw refuseCloudEvent('type', `${type} is published by Plinth itself`);
        const stream = input.stream === 'subject' ? (named ?? refuseSubject()) : undefined;
        types.push(type);
        const id = tx.events.publish(type, data, { ...options, stream });
        return { id, key: options.idempotencyKey, source: String(one.source), cloudId: String(one.id) };
      });
      await tx.flush().catch((error: unknown) => {
        // Each is an effect of its own, and there are no others: what was collected before went first.
        const index = error instanceof PlinthError && published.length > 1 ? error.detail.effect_index : undefined;
        throw typeof index === 'number' ? ofBatch(plainError(error), index, published.length) : plainError(error);
      });
      const rows = await tx.query<{ key: string; event_id: string }>('select key, event_id from plinth_events.dedup where tenant_id = $1 and key = any ($2)', [
        tx.context.tenantId,
        published.map(({ key }) => key),
      ]);
      const first = new Map(rows.map((row) => [row.key, row.event_id]));
      return {
        ...(await deprecations(tx, types)),
        events: published.map(({ id, key, source, cloudId }) => {
          const eventId = first.get(key) ?? id;
          return { source, id: cloudId, event_id: eventId, duplicate: eventId !== id };
        }),
      };
    }),

  exportCloudEvents: procedure({
    rest: 'GET /events/cloudevents',
    permission: 'events.read',
    exactJson: true,
    summary: 'Events as CloudEvents 1.0, in the order of their ids',
    description:
      'With Accept: application/cloudevents-batch+json the answer is a batch, and the next page is in the header Link. Not a feed: an event of a transaction that commits late may come before `after`. A page ends before limit when it has 8 MiB.',
  })
    .input(z.object({ after: z.guid().optional(), type: z.string().max(200).optional(), limit: z.coerce.number().int().min(1).max(1_000).default(100) }))
    .output(z.object({ events: z.array(json), next: z.guid().nullable() }))
    .query(async ({ ctx, input }) => {
      const tenantId = ctx.tx.context.tenantId ?? '';
      const rows = await ctx.tx.query<Row & { found: number }>(
        pageSql(
          `select ${COLUMNS} from plinth.event_store where tenant_id = $1 and id > $2 and ($3::text is null or event_type = $3) order by id limit $4`,
          'id',
        ),
        [tenantId, input.after ?? '00000000-0000-0000-0000-000000000000', input.type ?? null, input.limit],
      );
      const found = rows[0]?.found ?? 0;
      const shown = await shownTo(ctx, rows);
      return { events: shown.map((row) => cloudEventOf(tenantId, row)), next: found === input.limit || rows.length < found ? (rows.at(-1)?.id ?? null) : null };
    }),
};
