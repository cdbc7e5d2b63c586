import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';

/** In the words of seed 002, whose callers read `responseBody`. */
const result = z.object({
  key: z.string(),
  scope: z.string(),
  entityType: z.string().nullable(),
  entityId: z.string().nullable(),
  requestHash: z.string().nullable(),
  responseStatus: z.number().nullable(),
  responseBody: z.unknown(),
  processed: z.boolean(),
  processingAt: z.date().nullable(),
  createdAt: z.date(),
  expiresAt: z.date(),
});

export const api = {
  check: procedure({
    rest: 'GET /idempotency/check',
    permission: 'idempotency.read',
    exactJson: true,
    summary: 'What became of the newest call under an idempotency key, or null when there was none',
  })
    .input(z.object({ key: z.string().min(1).max(255), scope: z.string().min(1).max(300).optional() }))
    .output(result.nullable())
    .query(async ({ ctx, input }) => {
      const [found] = await ctx.tx.query<z.infer<typeof result>>(
        `select key, scope, entity_type as "entityType", entity_id as "entityId", request_hash as "requestHash", response_status as "responseStatus",
           response_body as "responseBody", processed, processing_at as "processingAt", created_at as "createdAt", expires_at as "expiresAt"
         from plinth.idempotency_keys where tenant_id = $1 and key = $2 and ($3::text is null or scope = $3) order by id desc limit 1`,
        [ctx.tx.context.tenantId, input.key, input.scope ?? null],
      );
      return found ?? null;
    }),
};
