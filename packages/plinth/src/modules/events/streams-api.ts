import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { NewEvent } from './append.ts';
import { appendNow } from './append.ts';
import { deprecated, deprecations } from './deprecations.ts';
import { COLUMNS, event, expectedVersion, name, newEvent, version } from './event-shapes.ts';
import { pageSql } from './page-size.ts';
import type { EventsTransaction } from './publish.ts';
import { shownTo } from './subjects-api.ts';

const stream = { type: name, id: name };
const MOST_IN_A_CALL = 1000;
const NEWEST = Number.MAX_SAFE_INTEGER;

const toEvent = (input: z.infer<typeof newEvent>): NewEvent => ({
  type: input.type,
  data: input.data,
  causationId: input.causation_id,
  schemaVersion: input.schema_version,
  occurredAt: input.occurred_at === undefined ? undefined : new Date(input.occurred_at),
  metadata: input.metadata,
});

/** Appending to streams and reading them, over the API. */
export const streamsApi = {
  append: procedure({
    rest: 'POST /events/streams/{type}/{id}',
    permission: 'events.write',
    summary: 'Appends events to a stream',
    description:
      'All or nothing. expected_version is the version before the first event: a number, none, exists or any (default); another version is events_version_conflict, whose detail names both. ' +
      'Under an idempotency key that was used before, the answer names the first events.',
  })
    .input(
      z.object({
        ...stream,
        events: z.array(newEvent).min(1).max(MOST_IN_A_CALL),
        expected_version: expectedVersion.optional(),
        idempotency_key: name.optional(),
      }),
    )
    .output(z.object({ events: z.array(z.object({ id: z.guid(), version })), version, duplicate: z.boolean(), deprecated }))
    .mutation(async ({ ctx, input }) => {
      const append = { stream: { type: input.type, id: input.id }, events: input.events.map(toEvent), expectedVersion: input.expected_version };
      const told = await deprecations(
        ctx.tx,
        input.events.map(({ type }) => type),
      );
      const { events, duplicate } = await appendNow(ctx.tx as EventsTransaction, [append], { idempotencyKey: input.idempotency_key });
      return { events: events.map((one) => ({ id: one.id, version: one.version })), version: events.at(-1)?.version ?? 0, duplicate, ...told };
    }),

  appendAll: procedure({
    rest: 'POST /events/streams',
    permission: 'events.write',
    summary: 'Appends events to several streams, all or nothing',
    description: 'A stream without events is only checked: what was expected of it holds while the others are written.',
  })
    .input(
      z.object({
        appends: z
          .array(
            z.object({ stream: z.object(stream), events: z.array(newEvent).max(MOST_IN_A_CALL).default([]), expected_version: expectedVersion.optional() }),
          )
          .min(1)
          .max(100),
        idempotency_key: name.optional(),
      }),
    )
    .output(z.object({ events: z.array(z.object({ stream: z.object(stream), id: z.guid(), version })), duplicate: z.boolean(), deprecated }))
    .mutation(async ({ ctx, input }) => {
      const told = await deprecations(
        ctx.tx,
        input.appends.flatMap(({ events }) => events.map(({ type }) => type)),
      );
      const appends = input.appends.map((one) => ({ stream: one.stream, events: one.events.map(toEvent), expectedVersion: one.expected_version }));
      return { ...(await appendNow(ctx.tx as EventsTransaction, appends, { idempotencyKey: input.idempotency_key })), ...told };
    }),

  stream: procedure({
    rest: 'GET /events/streams/{type}/{id}',
    permission: 'events.read',
    exactJson: true,
    summary: 'Events of one stream, oldest or newest first',
    description: 'next_version is the from_version of the next page; null on the last. A page ends before limit when it has 8 MiB.',
  })
    .input(
      z.object({
        ...stream,
        direction: z.enum(['forward', 'backward']).default('forward'),
        from_version: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
        limit: z.coerce.number().int().min(1).max(MOST_IN_A_CALL).default(100),
      }),
    )
    .output(z.object({ events: z.array(event), next_version: version.nullable() }))
    .query(async ({ ctx, input }) => {
      const backward = input.direction === 'backward';
      const rows = `select ${COLUMNS} from plinth_events.read_stream($1, $2, $3, $4, $5, $6)`;
      const events = await ctx.tx.query<z.infer<typeof event> & { found: number }>(pageSql(rows, 'version', backward ? 'desc' : ''), [
        input.type,
        input.id,
        input.from_version ?? (backward ? NEWEST : 1),
        backward ? 1 : NEWEST,
        input.limit,
        backward,
      ]);
      const last = Number(events.at(-1)?.version ?? 0);
      const found = events[0]?.found ?? 0;
      const more = events.length < found || (found === input.limit && (!backward || last > 1));
      return { events: await shownTo(ctx, events), next_version: more ? last + (backward ? -1 : 1) : null };
    }),
};
