import { z } from 'zod';
import { kernelErrors, raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { auditEffects } from './audit.ts';

const fail = raiser('kernel', kernelErrors);

const text = (most: number) => z.string().min(1).max(most);
const json = z.record(z.string(), z.unknown());

const entry = z
  .object({
    id: z.guid(),
    created_at: z.date(),
    actor_type: z.string(),
    actor_id: z.string(),
    action: z.string(),
    entity_type: z.string().nullable(),
    entity_id: z.string().nullable(),
    severity: z.enum(['info', 'warning', 'critical']),
    reason: z.string().nullable(),
    changes: z.record(z.string(), z.object({ before: z.unknown(), after: z.unknown() })).nullable(),
    before: z.unknown(),
    after: z.unknown(),
    parent_id: z.guid().nullable(),
    compliance_flags: z.array(z.string()),
    ip: z.string().nullable(),
    user_agent: z.string().nullable(),
    metadata: json,
    source: z.enum(['api', 'capture', 'system']),
    correlation_id: z.guid().nullable(),
    causation_id: z.guid().nullable(),
    request_id: z.string().nullable(),
  })
  .meta({ title: 'AuditEntry' });
type Entry = z.infer<typeof entry>;

const COLUMNS = Object.keys(entry.shape).join(', ');

const page = z.object({ entries: z.array(entry), next_cursor: z.guid().nullable() });
const paging = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.guid().optional().meta({ description: 'next_cursor of the page before' }),
};

const pageOf = (rows: Entry[], limit: number): z.infer<typeof page> => ({
  entries: rows.slice(0, limit),
  next_cursor: rows.length > limit ? (rows[limit - 1]?.id ?? null) : null,
});

export const api = {
  record: procedure({
    rest: 'POST /audit/entries',
    permission: 'audit.write',
    summary: 'Records an audit entry',
    description: 'Actor, address and correlation come from the request.',
  })
    .input(
      z.object({
        action: text(200).meta({ description: 'What happened, past tense: order.created' }),
        entity_type: text(500).optional(),
        entity_id: text(500).optional(),
        before: json.optional(),
        after: json.optional(),
        parent_id: z.guid().optional(),
        compliance_flags: z.array(text(50)).max(20).optional(),
        severity: z.enum(['info', 'warning', 'critical']).optional(),
        reason: text(1000).optional(),
        metadata: json.optional(),
      }),
    )
    .output(z.object({ id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as AnyTransaction & { audit: ReturnType<typeof auditEffects> };
      const id = tx.audit.record({
        action: input.action,
        ...(input.entity_type === undefined ? {} : { entityType: input.entity_type }),
        ...(input.entity_id === undefined ? {} : { entityId: input.entity_id }),
        ...(input.before === undefined ? {} : { before: input.before }),
        ...(input.after === undefined ? {} : { after: input.after }),
        ...(input.parent_id === undefined ? {} : { parentId: input.parent_id }),
        ...(input.compliance_flags === undefined ? {} : { complianceFlags: input.compliance_flags }),
        ...(input.severity === undefined ? {} : { severity: input.severity }),
        ...(input.reason === undefined ? {} : { reason: input.reason }),
        ...(input.metadata === undefined ? {} : { metadata: input.metadata }),
      });
      return { id };
    }),

  get: procedure({ rest: 'GET /audit/entries/{id}', permission: 'audit.read', exactJson: true, summary: 'One audit entry, with its difference' })
    .input(z.object({ id: z.guid() }))
    .output(entry)
    .query(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<Entry>(`select ${COLUMNS} from plinth.audit_logs where tenant_id = $1 and id = $2`, [ctx.tx.context.tenantId, input.id]);
      if (!row) throw fail('not_found', { message: `There is no audit entry ${input.id}` });
      return row;
    }),

  children: procedure({
    rest: 'GET /audit/entries/{id}/children',
    permission: 'audit.read',
    exactJson: true,
    summary: 'Entries that are a part of this one, newest first',
  })
    .input(z.object({ id: z.guid(), ...paging }))
    .output(page)
    .query(async ({ ctx, input }) => {
      const rows = await ctx.tx.query<Entry>(
        // Ids are of the clocks of those who make them: a part may be named a little earlier than the whole. The bound is for the partitions before.
        `select ${COLUMNS} from plinth.audit_logs where tenant_id = $1 and parent_id = $2
           and id >= plinth_kernel.v7_floor(plinth_kernel.v7_time($2) - interval '1 day') and ($3::uuid is null or id < $3) order by id desc limit $4`,
        [ctx.tx.context.tenantId, input.id, input.cursor ?? null, input.limit + 1],
      );
      return pageOf(rows, input.limit);
    }),

  history: procedure({
    rest: 'GET /audit/history/{entity_type}/{entity_id}',
    permission: 'audit.read',
    exactJson: true,
    summary: 'History of one entity, newest first',
  })
    .input(z.object({ entity_type: text(500), entity_id: text(500), ...paging }))
    .output(page)
    .query(async ({ ctx, input }) => {
      const rows = await ctx.tx.query<Entry>(`select ${COLUMNS} from plinth.audit_history($1, $2, $3, $4)`, [
        input.entity_type,
        input.entity_id,
        input.limit + 1,
        input.cursor ?? null,
      ]);
      return pageOf(rows, input.limit);
    }),

  tables: procedure({ rest: 'GET /audit/tables', permission: 'audit.read', summary: 'Tables whose row changes are captured' })
    .output(z.object({ tables: z.array(z.object({ table_name: z.string(), entity_type: z.string(), redacted: z.array(z.string()), enabled: z.boolean() })) }))
    .query(async ({ ctx }) => ({ tables: await ctx.tx.query('select table_name, entity_type, redacted, enabled from plinth.audited_tables order by 1') })),
};
