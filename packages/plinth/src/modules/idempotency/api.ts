import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';

const result = z.object({
  key: z.string(),
  scope: z.string(),
  entity_type: z.string().nullable(),
  entity_id: z.string().nullable(),
  request_hash: z.string().nullable(),
  response_status: z.number().nullable(),
  response_body: z.unknown(),
  processed: z.boolean(),
  processing_at: z.date().nullable(),
  created_at: z.date(),
  expires_at: z.date(),
});

export const api = {
  check: procedure({
    rest: 'GET /idempotency/check',
    permission: 'idempotency.read',
    summary: 'What became of the calls under an idempotency key, newest first',
  })
    .input(z.object({ key: z.string().min(1).max(255), scope: z.string().min(1).max(300).optional() }))
    .output(z.object({ data: result.nullable() }))
    .query(async ({ ctx, input }) => {
      const [data] = await ctx.tx.query<z.infer<typeof result>>(
        `select key, scope, entity_type, entity_id, request_hash, response_status, response_body, processed, processing_at, created_at, expires_at
         from plinth.idempotency_keys where tenant_id = $1 and key = $2 and ($3::text is null or scope = $3) order by id desc limit 1`,
        [ctx.tx.context.tenantId, input.key, input.scope ?? null],
      );
      return { data: data ?? null };
    }),
};
