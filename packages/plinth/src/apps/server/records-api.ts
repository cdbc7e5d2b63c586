import { z } from 'zod';
import { fail } from '#kernel/errors.ts';
import { readCorrelationId } from '#kernel/ids.ts';
import { MOST_TRACE_ROWS } from '#kernel/migrate/derive.ts';
import type { ApiRecord } from '#kernel/module.ts';
import type { Hit, Page, Records } from '#kernel/records.ts';
import type { Principal } from '#kernel/rpc.ts';
import { allows, lacking, procedure } from '#kernel/rpc.ts';

const name = z.string().min(1).max(63);
const row = z.record(z.string(), z.unknown());

const fieldMeta = z
  .object({
    name: z.string(),
    label: z.string(),
    type: z.enum(['text', 'number', 'time', 'list', 'json', 'flag', 'choice']),
    hint: z.string().nullable(),
    options: z.array(z.object({ value: z.string(), label: z.string() })),
    required: z.boolean(),
    from: z.string().nullable().meta({ description: 'Column of the row whose value it begins with' }),
    when: z.object({ field: z.string(), in: z.array(z.string()) }).nullable(),
  })
  .meta({ title: 'ListField' });

const listMeta = z
  .object({
    module: z.string(),
    list: z.string(),
    title: z.string(),
    columns: z.array(z.object({ name: z.string(), type: z.string().meta({ description: 'Type as PostgreSQL names it' }) })),
    filters: z.array(z.string()),
    empty: z.string(),
    correlation: z.string().nullable(),
    actions: z.array(
      z.object({
        procedure: z.string(),
        label: z.string(),
        when: z.object({ column: z.string(), in: z.array(z.string()) }).nullable(),
        danger: z.boolean(),
        fields: z.array(fieldMeta),
        counts: z
          .object({ procedure: z.string(), field: z.string(), what: z.string() })
          .nullable()
          .meta({ description: 'A procedure with the same input that says how much it would be' }),
      }),
    ),
    explain: z
      .object({ procedure: z.string(), title: z.string(), when: z.object({ column: z.string(), in: z.array(z.string()) }).nullable() })
      .nullable()
      .meta({ description: 'A query that takes the id of a row and says why it is as it is' }),
  })
  .meta({ title: 'List' });

const hit = z
  .object({
    module: z.string(),
    list: z.string(),
    id: z.string(),
    tenant_id: z.string(),
    title: z.string(),
    correlation_id: z.string().nullable(),
    at: z.string().nullable(),
    status: z.string().nullable(),
  })
  .meta({ title: 'SearchHit' });

const hitOf = ({ tenantId, correlationId, ...found }: Hit): z.infer<typeof hit> => ({ ...found, tenant_id: tenantId, correlation_id: correlationId });

const pageOf = ({ nextCursor, ...page }: Page) => ({ ...page, next_cursor: nextCursor });

const traceRow = z
  .object({
    kind: z.string(),
    id: z.string(),
    tenant_id: z.guid(),
    at: z.date(),
    ended_at: z.date().nullable(),
    status: z.string().nullable(),
    title: z.string().nullable(),
    entity: z.string().nullable(),
    parent_id: z.string().nullable(),
    xact: z.string().nullable(),
    attempt: z.number().nullable(),
    data: z.unknown(),
    module: z.string(),
  })
  .meta({ title: 'TraceRow' });

const reader =
  ({ scopes }: Principal) =>
  (module: string): boolean =>
    allows(scopes, `${module}.read`);

/** Errors: kernel_forbidden. */
export function mustRead(principal: Principal, module: string): void {
  if (!reader(principal)(module)) throw lacking(`${module.slice(0, 60)}.read`);
}

export const FILTER_HELP =
  'Terms separated by blanks: column:value, -column:value, column:a,b, column:start*, column:* (has a value), column>n, since:7d, until:2026-01-31, or the start of an id. Values with blanks stand in double quotes.';

const trace = procedure({
  rest: 'GET /traces/{id}',
  permission: undefined,
  exactJson: true,
  tenant: false,
  summary: 'Everything recorded under one correlation id, oldest first, at most 10,000 records',
})
  .input(z.object({ id: z.string().min(1).max(100).meta({ description: 'A UUID or 32 hexadecimal digits' }) }))
  .output(
    z.object({
      correlation_id: z.guid(),
      rows: z.array(traceRow),
      capped: z.boolean().meta({ description: 'True: there were 10,000 records or more, and only the oldest 10,000 are looked at' }),
    }),
  )
  .query(async ({ ctx, input }) => {
    const correlationId = readCorrelationId(input.id);
    if (!correlationId)
      throw fail('invalid_input', { message: 'The correlation id is not a UUID', detail: { issues: [{ field: 'id', message: 'not a UUID' }] } });
    const rows = await ctx.tx.query<z.infer<typeof traceRow>>('select * from plinth.trace($1)', [correlationId]);
    const mayRead = reader(ctx.principal);
    return { correlation_id: correlationId, rows: rows.filter(({ module }) => mayRead(module)), capped: rows.length >= MOST_TRACE_ROWS };
  });

/** What follows from the cards without any module writing it: lists, search and traces. Open to every credential; each module's records to its readers. */
export const recordsApi = (records: Records): ApiRecord => ({
  lists: {
    index: procedure({ rest: 'GET /lists', permission: undefined, tenant: false, records: false, summary: 'All lists with their columns, filters and actions' })
      .output(z.object({ lists: z.array(listMeta) }))
      .query(async ({ ctx }) => ({ lists: await records.index(ctx.tx, reader(ctx.principal), (permission) => allows(ctx.principal.scopes, permission)) })),
    page: procedure({
      rest: 'GET /lists/{module}/{list}',
      permission: undefined,
      exactJson: true,
      tenant: false,
      summary: 'A page of a list, newest first',
      description: FILTER_HELP,
    })
      .input(
        z.object({
          module: name,
          list: name,
          q: z.string().max(2000).default('').meta({ description: FILTER_HELP }),
          cursor: z.string().max(200).optional().meta({ description: 'next_cursor of the page before' }),
          limit: z.number().int().min(1).max(200).default(50),
          count: z.boolean().default(false).meta({ description: 'Also count, up to 1,000' }),
        }),
      )
      .output(z.object({ rows: z.array(row), next_cursor: z.string().nullable(), count: z.object({ rows: z.number(), capped: z.boolean() }).optional() }))
      .query(async ({ ctx, input: { module, list, ...ask } }) => {
        mustRead(ctx.principal, module);
        return pageOf(await records.page(ctx.tx, module, list, ask));
      }),
    item: procedure({
      rest: 'GET /lists/{module}/{list}/{id}',
      permission: undefined,
      exactJson: true,
      tenant: false,
      summary: 'One record of a list, with all its columns',
    })
      .input(z.object({ module: name, list: name, id: z.string().min(1).max(200) }))
      .output(row)
      .query(async ({ ctx, input }) => {
        mustRead(ctx.principal, input.module);
        return records.item(ctx.tx, input.module, input.list, input.id);
      }),
  },
  find: {
    any: procedure({
      rest: 'GET /find',
      permission: undefined,
      tenant: false,
      summary: 'Records by id, start of an id (6 digits or more), correlation id, or type:id of an entity, over all lists',
    })
      .input(z.object({ q: z.string().min(1).max(700) }))
      .output(z.object({ hits: z.array(hit) }))
      .query(async ({ ctx, input }) => ({ hits: (await records.find(ctx.tx, input.q, reader(ctx.principal))).map(hitOf) })),
  },
  traces: { get: trace },
});
