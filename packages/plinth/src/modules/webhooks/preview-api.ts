import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import { asJson, filter } from './filter.ts';
import { format } from './format.ts';
import { overlapSeconds, rotateKey } from './subscription-acts.ts';

const READ = 'webhooks.read';
const WRITE = 'webhooks.write';

export const transform = z.record(z.string(), z.unknown());
export const signing = z.enum(['v1', 'v1a', 'both', 'stripe', 'github', 'slack']);

/** Sent to a URL, or kept to be read at /durable/webhooks/{id}. */
export const mode = z.enum(['push', 'pull']);

const match = z.object({ event_id: z.guid(), event_type: z.string(), occurred_at: z.string(), matches: z.boolean(), body: z.string().nullable() });

const preview = procedure({
  rest: 'POST /webhooks/preview',
  permission: WRITE,
  summary: 'Which of the last events a subscription like this would get, and the body of each',
  description: 'Changes nothing. It shows payloads, as subscribing would, and so asks for the same permission.',
})
  .input(
    z.object({
      patterns: z.array(z.string().max(200)).min(1).max(50).default(['#']),
      filter: filter.nullish(),
      transform: transform.nullish(),
      limit: z.number().int().min(1).max(500).default(50),
      event_id: z.guid().optional(),
      format: format.default('standard'),
    }),
  )
  .output(z.object({ looked: z.number().int(), matched: z.number().int(), events: z.array(match) }))
  .mutation(async ({ ctx, input }) => {
    const sql = 'select to_jsonb(p) as row from plinth.preview_subscription($1, $2, $3, $4, $5, $6) p';
    const rows = await ctx.tx.query<{ row: z.infer<typeof match> }>(sql, [
      input.patterns,
      asJson(input.filter),
      asJson(input.transform),
      input.limit,
      input.event_id ?? null,
      input.format,
    ]);
    const events = rows.map(({ row }) => row);
    return { looked: events.length, matched: events.filter((event) => event.matches).length, events };
  });

const matching = procedure({ rest: 'GET /webhooks/matching/{type}', permission: READ, summary: 'Which enabled subscriptions hear of events of a type' })
  .input(z.object({ type: z.string().max(200) }))
  .output(z.array(z.object({ subscription_id: z.guid(), name: z.string(), url: z.string().nullable(), has_filter: z.boolean() })))
  .query(({ ctx, input }) => ctx.tx.query('select * from plinth.match_subscriptions($1) limit 1000', [input.type]));

const version = z.object({
  id: z.guid(),
  version: z.number().int(),
  transform: z.record(z.string(), z.unknown()).nullable(),
  created_by: z.string(),
  created_at: z.string(),
});

const transforms = procedure({
  rest: 'GET /webhooks/subscriptions/{id}/transforms',
  permission: READ,
  exactJson: true,
  summary: 'Every version of the transform of a subscription, newest first',
})
  .input(z.object({ id: z.guid() }))
  .output(z.array(version))
  .query(async ({ ctx, input }) => {
    const sql = `select to_jsonb(t) as row from (select id, version, transform, created_by, created_at from plinth.subscription_transforms
      where tenant_id = plinth_kernel.tenant_id() and subscription_id = $1 order by version desc limit 200) t`;
    const rows = await ctx.tx.query<{ row: z.infer<typeof version> }>(sql, [input.id]);
    return rows.map(({ row }) => row);
  });

const rotate = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/rotate-key',
  permission: WRITE,
  summary: 'A new ed25519 signing key; the old one signs too for a while',
  description: 'The public half is in the JWK set of the tenant and in the subscription within seconds.',
})
  .input(z.object({ id: z.guid(), overlap_seconds: overlapSeconds }))
  .output(z.object({ key_id: z.guid() }))
  .mutation(({ ctx, input }) => rotateKey(ctx.tx, input));

export const previewApi = { preview, matching, transforms, rotateKey: rotate };
