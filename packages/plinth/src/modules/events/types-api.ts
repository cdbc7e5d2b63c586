import { z } from 'zod';
import { fail as forbidden, raiser } from '#kernel/errors.ts';
import { allows, procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { TYPES_SIGNAL } from './check.ts';
import { forgetDeprecations } from './deprecations.ts';
import { errors } from './errors.ts';
import { json, typeName } from './event-shapes.ts';
import { withinTime } from './limited.ts';
import { personalFields } from './personal-schema.ts';
import { LONGEST_TYPE } from './row.ts';
import { compileSchema } from './schema.ts';

const fail = raiser('events', errors);
const LONGEST_CHECK_MS = 200;
const UNMARK = 'events.unmark';
const mode = z.enum(['off', 'warn', 'reject']);
const compatibility = z.enum(['none', 'backward', 'forward', 'full']);
const visibility = z.enum(['public', 'internal']);
const version = z.coerce.number().int().min(1).optional();
const eventType = z
  .object({
    name: z.string(),
    version: z.number(),
    schema: json.nullable(),
    mode,
    compatibility,
    visibility,
    description: z.string().nullable(),
    example: z.unknown(),
    examples: z.array(z.unknown()),
    deprecated_at: z.date().nullable(),
    deprecation: z.string().nullable(),
    successor: z.string().nullable(),
    common: z.boolean(),
    personal: z.boolean().meta({ description: 'It marks fields that are encrypted in payloads of every version' }),
    created_at: z.date(),
    updated_at: z.date(),
  })
  .meta({ title: 'EventType' });
type EventType = z.infer<typeof eventType>;
const TYPE_COLUMNS =
  'name, version, schema, mode, compatibility, visibility, description, example, examples, deprecated_at, deprecation, successor, tenant_id is null as common, personal, created_at, updated_at';

const compiles = (type: string, schema: Record<string, unknown>): void => {
  try {
    compileSchema(schema);
    personalFields(schema);
  } catch (error) {
    throw fail('type_invalid', { message: `The schema of ${type} is not valid: ${(error as Error).message}` });
  }
};

function examplesFit(type: string, schema: Record<string, unknown>, examples: readonly unknown[]): void {
  const check = compileSchema(schema);
  const tooLong = () => fail('type_invalid', { message: `Checking the examples of ${type} takes longer than ${LONGEST_CHECK_MS} ms` });
  for (const [index, example] of examples.entries()) {
    const fault = withinTime(LONGEST_CHECK_MS, () => check(example), tooLong);
    if (fault)
      throw fail('type_invalid', { message: `Example ${index + 1} of ${type} does not fit its schema: ${fault}`, detail: { example: index + 1, fault } });
  }
}

const changed = (tx: AnyTransaction): void => {
  forgetDeprecations();
  tx.signal(TYPES_SIGNAL);
};

/** Event types over the API. */
export const typesApi = {
  types: procedure({ rest: 'GET /event-types', permission: 'events.read', exactJson: true, summary: 'Registered event types, newest versions' })
    .input(
      z.object({
        after: z.string().max(LONGEST_TYPE).default(''),
        limit: z.coerce.number().int().min(1).max(500).default(100),
        visibility: visibility.optional(),
        deprecated: z.boolean().optional(),
      }),
    )
    .output(z.object({ types: z.array(eventType), next: z.string().nullable() }))
    .query(async ({ ctx, input }) => {
      const types = await ctx.tx.query<EventType>(
        `select * from (select distinct on (name) ${TYPE_COLUMNS} from plinth.event_types
         where name > $1 and (tenant_id = $2 or tenant_id is null) order by name, tenant_id nulls last, version desc) as t
         where ($4::text is null or visibility = $4) and ($5::boolean is null or (deprecated_at is not null) = $5) order by name limit $3`,
        [input.after, ctx.tx.context.tenantId, input.limit, input.visibility ?? null, input.deprecated ?? null],
      );
      return { types, next: types.length === input.limit ? (types.at(-1)?.name ?? null) : null };
    }),

  type: procedure({ rest: 'GET /event-types/{name}', permission: 'events.read', exactJson: true, summary: 'All versions of one event type, newest first' })
    .input(z.object({ name: typeName }))
    .output(z.object({ versions: z.array(eventType) }))
    .query(async ({ ctx, input }) => {
      const versions = await ctx.tx.query<EventType>(
        `select ${TYPE_COLUMNS} from plinth.event_types
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
    description:
      'A schema that differs from the newest makes a new version, which must be compatible with all since the last that was registered with none: backward (default: what was written before still fits), forward, full or none. ' +
      'What is left out stays as it is. Examples must fit the schema. Fields that some version marks with x-personal stay encrypted: POST /event-types/{name}/unmark takes marks back.',
  })
    .input(
      z.object({
        name: typeName,
        schema: json.optional(),
        mode: mode.default('reject'),
        description: z.string().max(2000).optional(),
        example: json.optional(),
        examples: z.array(json).max(20).optional(),
        compatibility: compatibility.optional(),
        visibility: visibility.optional(),
      }),
    )
    .output(z.object({ name: z.string(), version: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const examples = input.examples ?? (input.example ? [input.example] : undefined);
      if (input.schema) compiles(input.name, input.schema);
      if (input.schema && examples) examplesFit(input.name, input.schema, examples);
      const [row] = await ctx.tx.query<{ version: number }>(
        `select plinth.define_event_type(p_name => $1, p_schema => $2, p_mode => $3, p_description => $4, p_compatibility => $5, p_visibility => $6, p_examples => $7) as version`,
        [
          input.name,
          input.schema ? JSON.stringify(input.schema) : null,
          input.mode,
          input.description ?? null,
          input.compatibility ?? null,
          input.visibility ?? null,
          examples ? JSON.stringify(examples) : null,
        ],
      );
      changed(ctx.tx);
      return { name: input.name, version: row?.version ?? 1 };
    }),

  checkType: procedure({
    rest: 'POST /event-types/{name}/check',
    permission: 'events.read',
    summary: 'What a schema would break of the versions of an event type',
    description:
      'Writes nothing. Asked are the versions since the last that was registered with compatibility none; pointers are JSON Pointers into the schema, each with the newest version that it breaks. ' +
      'Nothing is broken of a type that is new.',
  })
    .input(z.object({ name: typeName, schema: json, compatibility: compatibility.optional() }))
    .output(
      z.object({
        compatible: z.boolean(),
        breaks: z.array(z.object({ version: z.number(), direction: z.enum(['backward', 'forward']), pointer: z.string(), problem: z.string() })),
      }),
    )
    .mutation(async ({ ctx, input }) => {
      compiles(input.name, input.schema);
      const breaks = await ctx.tx.query<{ version: number; direction: 'backward' | 'forward'; pointer: string; problem: string }>(
        'select * from plinth.check_event_type($1, $2, $3)',
        [input.name, JSON.stringify(input.schema), input.compatibility ?? null],
      );
      return { compatible: breaks.length === 0, breaks };
    }),

  deprecateType: procedure({
    rest: 'PUT /event-types/{name}/deprecation',
    permission: 'events.write',
    summary: 'Marks an event type as no longer to be written',
    description: 'Events of it can still be written; the answers to those who do say so. Without a version, all versions that there are.',
  })
    .input(z.object({ name: typeName, message: z.string().min(1).max(2000), successor: typeName.optional(), version }))
    .output(z.object({ name: z.string(), versions: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ versions: number }>('select plinth.deprecate_event_type($1, $2, $3, $4) as versions', [
        input.name,
        input.message,
        input.successor ?? null,
        input.version ?? null,
      ]);
      changed(ctx.tx);
      return { name: input.name, versions: row?.versions ?? 0 };
    }),

  undeprecateType: procedure({ rest: 'DELETE /event-types/{name}/deprecation', permission: 'events.write', summary: 'Takes a deprecation back' })
    .input(z.object({ name: typeName, version }))
    .output(z.object({ name: z.string(), versions: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ versions: number }>('select plinth.undeprecate_event_type($1, $2) as versions', [input.name, input.version ?? null]);
      changed(ctx.tx);
      return { name: input.name, versions: row?.versions ?? 0 };
    }),

  unmarkType: procedure({
    rest: 'POST /event-types/{name}/unmark',
    permission: UNMARK,
    summary: 'Takes back marks of personal fields that the newest version has no longer',
    description: 'What only older versions mark is stored as it is from now on; of a deleted type everything. Stored events stay encrypted. In the audit log.',
  })
    .input(z.object({ name: typeName, reason: z.string().max(1000) }))
    .output(z.object({ name: z.string(), versions: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ versions: number }>('select plinth.unmark_event_type($1, $2) as versions', [input.name, input.reason]);
      changed(ctx.tx);
      return { name: input.name, versions: row?.versions ?? 0 };
    }),

  deleteType: procedure({
    rest: 'DELETE /event-types/{name}',
    permission: 'events.write',
    summary: 'Deletes an event type, all versions',
    description:
      'Events of it stay; new ones are no longer checked, and a later registration goes on with the next version. In the audit log. ' +
      'A type with personal fields takes a reason and the permission events.unmark; the fields stay encrypted.',
  })
    .input(z.object({ name: typeName, reason: z.string().max(1000).optional() }))
    .output(z.object({ name: z.string(), versions: z.number() }))
    .mutation(async ({ ctx, input }) => {
      const [marked] = await ctx.tx.query<{ personal: boolean }>(
        'select bool_or(personal) as personal from plinth.event_types where tenant_id = $1 and name = $2',
        [ctx.tx.context.tenantId, input.name],
      );
      if (marked?.personal && !allows(ctx.principal.scopes, UNMARK))
        throw forbidden('forbidden', { message: `Deleting a type with personal fields asks for the permission ${UNMARK}`, detail: { permission: UNMARK } });
      const [row] = await ctx.tx.query<{ versions: number }>('select plinth.delete_event_type($1, $2) as versions', [input.name, input.reason ?? null]);
      changed(ctx.tx);
      return { name: input.name, versions: row?.versions ?? 0 };
    }),
};
