import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { firstId } from './append.ts';
import { TYPES_SIGNAL } from './check.ts';
import { errors } from './errors.ts';
import { COLUMNS, event, expectedVersion, json, name, newEvent, typeName } from './event-shapes.ts';
import type { EventsTransaction } from './publish.ts';
import { LONGEST_TYPE } from './row.ts';
import { compileSchema } from './schema.ts';
import { streamsApi } from './streams-api.ts';

const fail = raiser('events', errors);
const mode = z.enum(['off', 'warn', 'reject']);
const eventType = z.object({
  name: z.string(),
  version: z.number(),
  schema: json.nullable(),
  mode,
  description: z.string().nullable(),
  example: z.unknown(),
  common: z.boolean(),
  created_at: z.date(),
  updated_at: z.date(),
});

const compiles = (type: string, schema: Record<string, unknown>): void => {
  try {
    compileSchema(schema);
  } catch (error) {
    throw fail('type_invalid', { message: `The schema of ${type} is not valid: ${(error as Error).message}` });
  }
};

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
    .output(z.object({ id: z.uuid(), duplicate: z.boolean() }))
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
      if (input.idempotency_key === undefined) return { id, duplicate: false };
      const first = await firstId(tx, input.idempotency_key);
      return { id: first ?? id, duplicate: first !== undefined && first !== id };
    }),

  get: procedure({ rest: 'GET /events/{id}', permission: 'events.read', summary: 'One event' })
    .input(z.object({ id: z.uuid() }))
    .output(event)
    .query(async ({ ctx, input }) => {
      const [found] = await ctx.tx.query<z.infer<typeof event>>(`select ${COLUMNS} from plinth.event_store where tenant_id = $1 and id = $2`, [
        ctx.tx.context.tenantId,
        input.id,
      ]);
      if (!found) throw fail('event_not_found', { message: `There is no event ${input.id}` });
      return found;
    }),

  ...streamsApi,

  types: procedure({ rest: 'GET /event-types', permission: 'events.read', summary: 'Registered event types, newest versions' })
    .input(z.object({ after: z.string().max(LONGEST_TYPE).default(''), limit: z.coerce.number().int().min(1).max(500).default(100) }))
    .output(z.object({ types: z.array(eventType), next: z.string().nullable() }))
    .query(async ({ ctx, input }) => {
      const types = await ctx.tx.query<z.infer<typeof eventType>>(
        `select distinct on (name) name, version, schema, mode, description, example, tenant_id is null as common, created_at, updated_at from plinth.event_types
         where name > $1 and (tenant_id = $2 or tenant_id is null) order by name, tenant_id nulls last, version desc limit $3`,
        [input.after, ctx.tx.context.tenantId, input.limit],
      );
      return { types, next: types.length === input.limit ? (types.at(-1)?.name ?? null) : null };
    }),

  type: procedure({ rest: 'GET /event-types/{name}', permission: 'events.read', summary: 'All versions of one event type, newest first' })
    .input(z.object({ name: typeName }))
    .output(z.object({ versions: z.array(eventType) }))
    .query(async ({ ctx, input }) => {
      const versions = await ctx.tx.query<z.infer<typeof eventType>>(
        `select name, version, schema, mode, description, example, tenant_id is null as common, created_at, updated_at from plinth.event_types
         where name = $1 and (tenant_id = $2 or tenant_id is null) order by tenant_id nulls last, version desc limit 1000`,
        [input.name, ctx.tx.context.tenantId],
      );
      if (versions.length === 0) throw fail('type_unknown', { message: `There is no event type ${input.name}` });
      return { versions };
    }),

  putType: procedure({
    rest: 'PUT /event-types/{name}',
    permission: 'events.write',
    summary: 'Registers an event type',
    description: 'A schema that differs from the newest makes a new version.',
  })
    .input(
      z.object({
        name: typeName,
        schema: json.optional(),
        mode: mode.default('reject'),
        description: z.string().max(2000).optional(),
        example: json.optional(),
      }),
    )
    .output(z.object({ name: z.string(), version: z.number() }))
    .mutation(async ({ ctx, input }) => {
      if (input.schema) compiles(input.name, input.schema);
      if (input.schema && input.example) {
        const fault = compileSchema(input.schema)(input.example);
        if (fault) throw fail('type_invalid', { message: `The example of ${input.name} does not fit its schema: ${fault}` });
      }
      const [row] = await ctx.tx.query<{ version: number }>('select plinth.define_event_type($1, $2, $3, $4, $5) as version', [
        input.name,
        input.schema ? JSON.stringify(input.schema) : null,
        input.mode,
        input.description ?? null,
        input.example ? JSON.stringify(input.example) : null,
      ]);
      ctx.tx.signal(TYPES_SIGNAL);
      return { name: input.name, version: row?.version ?? 1 };
    }),

  deleteType: procedure({
    rest: 'DELETE /event-types/{name}',
    permission: 'events.write',
    summary: 'Removes an event type, all versions',
    description: 'Events of it stay; new ones are no longer checked.',
  })
    .input(z.object({ name: typeName }))
    .output(z.object({ name: z.string(), versions: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const gone = await ctx.tx.query('delete from plinth_events.types where tenant_id = $1 and name = $2 returning version', [
        ctx.tx.context.tenantId,
        input.name,
      ]);
      if (gone.length === 0) throw fail('type_unknown', { message: `There is no event type ${input.name} of this tenant` });
      ctx.tx.signal(TYPES_SIGNAL);
      return { name: input.name, versions: gone.length };
    }),
};
