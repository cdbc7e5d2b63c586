import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { DUE } from './consumer.ts';
import { KEY_MADE } from './derive-keys.ts';
import { fail } from './errors.ts';
import { asJson, filter } from './filter.ts';
import { format, guardReveal } from './format.ts';
import { inboundApi } from './inbound-api.ts';
import { limitsApi } from './limits-api.ts';
import { policyApi } from './policy-api.ts';
import { portalApi } from './portal-api.ts';
import { mode, previewApi, signing, transform } from './preview-api.ts';
import { overlapSeconds, rotateSecret, sendTestEvent, testInput, testSent } from './subscription-acts.ts';
import { checkUrl } from './subscription-url.ts';

const READ = 'webhooks.read';
const WRITE = 'webhooks.write';

const id = z.object({ id: z.guid() });
const time = z.string().nullable();
const name = z.string().min(1).max(200);
const patterns = z.array(z.string().max(200)).min(1).max(50);
const url = z.string().max(2000);
const description = z.string().max(2000);
const secret = z.string().max(200);

const subscription = z
  .object({
    id: z.guid(),
    name: z.string(),
    mode,
    format,
    reveal: z.boolean(),
    public_only: z.boolean(),
    url: z.string().nullable(),
    patterns: z.array(z.string()),
    enabled: z.boolean(),
    description: z.string().nullable(),
    failure_count: z.number().int(),
    failing_since: time,
    disabled_at: time,
    disabled_reason: z.string().nullable(),
    created_by: z.string(),
    created_at: z.string(),
    updated_at: z.string(),
    filter: z.unknown(),
    transform: z.unknown(),
    transform_version: z.number().int(),
    signing,
    public_keys: z.array(z.string()),
    ordering: z.string(),
    order_key: z.string().nullable(),
    poison: z.string(),
    retry_schedule: z.string(),
    retry_seconds: z.array(z.number().int()).nullable(),
    max_in_flight: z.number().int(),
    rate_per_second: z.number().nullable(),
    breaker: z.enum(['closed', 'open', 'half_open']),
    paused_until: time,
    in_flight_now: z.number().int(),
    rate_now: z.number().nullable(),
    pull_tail: z.number().int().nullable(),
    pull_read_to: z.number().int().nullable(),
    pull_unread: z.number().int().nullable(),
    pull_read_at: time,
  })
  .meta({ title: 'WebhookSubscription' });

const attempt = z
  .object({
    id: z.guid(),
    delivery_id: z.guid(),
    subscription_id: z.guid(),
    event_id: z.guid().nullable(),
    event_type: z.string(),
    attempt_number: z.number().int(),
    status: z.enum(['delivered', 'failed']),
    attempted_at: z.string(),
    response_code: z.number().int().nullable(),
    response_time_ms: z.number().int().nullable(),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
    timings: z.record(z.string(), z.number()).nullable(),
  })
  .meta({ title: 'WebhookAttempt' });

/** One row as JSON, so that times and intervals leave in one form on every interface. */
async function one<Row>(tx: AnyTransaction, view: string, rowId: string): Promise<Row | undefined> {
  const [found] = await tx.query<{ row: Row }>(`select to_jsonb(v) as row from plinth.${view} v where v.tenant_id = plinth_kernel.tenant_id() and v.id = $1`, [
    rowId,
  ]);
  return found?.row;
}

async function subscriptionOf(tx: AnyTransaction, rowId: string): Promise<z.infer<typeof subscription>> {
  const found = await one<z.infer<typeof subscription>>(tx, 'event_subscriptions', rowId);
  if (!found) throw fail('subscription_not_found', { message: `There is no subscription ${rowId}` });
  return found;
}

const subscribe = procedure({
  rest: 'POST /webhooks/subscriptions',
  permission: WRITE,
  summary: 'Subscribe a URL to events, or keep them to be pulled',
  description: 'The secret is in this answer only; an answer that is repeated under an idempotency key has null instead.',
  secretFields: ['secret'],
})
  .input(
    z.object({
      name,
      patterns,
      mode: mode.default('push'),
      format: format.default('standard'),
      reveal: z.boolean().default(false).describe('Personal fields in readable form; asks for webhooks.reveal'),
      public_only: z.boolean().default(false).describe('Only types that are registered and public, whatever the patterns match'),
      url: url.optional(),
      description: description.optional(),
      secret: secret.optional(),
      filter: filter.optional(),
      transform: transform.optional(),
      signing: signing.default('v1'),
    }),
  )
  .output(z.object({ id: z.guid(), secret: z.string().nullable() }))
  .mutation(async ({ ctx, input }) => {
    if (input.url !== undefined) checkUrl(ctx.adapters, input.url);
    await guardReveal(ctx.tx, ctx.principal, input);
    const [made] = await ctx.tx.query<{ id: string; secret: string | null }>(
      `select subscription_id as id, secret from plinth.subscribe(p_name => $1, p_patterns => $2, p_url => $3, p_description => $4, p_secret => $5,
        p_filter => $6, p_transform => $7, p_signing => $8, p_mode => $9, p_format => $10, p_reveal => $11, p_public_only => $12)`,
      [
        input.name,
        input.patterns,
        input.url ?? null,
        input.description ?? null,
        input.secret ?? null,
        asJson(input.filter),
        asJson(input.transform),
        input.signing,
        input.mode,
        input.format,
        input.reveal,
        input.public_only,
      ],
    );
    if (!made) throw fail('subscription_not_found');
    ctx.tx.signal(KEY_MADE);
    return made;
  });

const get = procedure({ rest: 'GET /webhooks/subscriptions/{id}', permission: READ, exactJson: true, summary: 'One subscription' })
  .input(id)
  .output(subscription)
  .query(({ ctx, input }) => subscriptionOf(ctx.tx, input.id));

const update = procedure({
  rest: 'PATCH /webhooks/subscriptions/{id}',
  permission: WRITE,
  exactJson: true,
  summary: 'Change a subscription; what is left out stays',
  description:
    'secret is the one that another way of signing or mode needs, if it was made now; it is in this answer only. withheld tells how many of what waited public_only gave up.',
  secretFields: ['secret'],
})
  .input(
    id.extend({
      name: name.optional(),
      patterns: patterns.optional(),
      url: url.optional(),
      description: description.optional(),
      filter: filter.nullish(),
      transform: transform.nullish(),
      signing: signing.optional(),
      mode: mode.optional(),
      format: format.optional(),
      reveal: z.boolean().optional(),
      public_only: z.boolean().optional(),
    }),
  )
  .output(subscription.extend({ secret: z.string().nullable(), withheld: z.number().int() }))
  .mutation(async ({ ctx, input }) => {
    if (input.url !== undefined) checkUrl(ctx.adapters, input.url);
    await guardReveal(ctx.tx, ctx.principal, input, input.id);
    const sql = `select secret, withheld from plinth.update_subscription(p_subscription_id => $1, p_name => $2, p_patterns => $3, p_url => $4, p_description => $5,
      p_filter => $6, p_transform => $7, p_signing => $8, p_mode => $9, p_format => $10, p_reveal => $11, p_public_only => $12)`;
    const [changed] = await ctx.tx.query<{ secret: string | null; withheld: number }>(sql, [
      input.id,
      input.name ?? null,
      input.patterns ?? null,
      input.url ?? null,
      input.description ?? null,
      asJson(input.filter),
      asJson(input.transform),
      input.signing ?? null,
      input.mode ?? null,
      input.format ?? null,
      input.reveal ?? null,
      input.public_only ?? null,
    ]);
    ctx.tx.signal(DUE);
    ctx.tx.signal(KEY_MADE);
    return { ...(await subscriptionOf(ctx.tx, input.id)), secret: changed?.secret ?? null, withheld: changed?.withheld ?? 0 };
  });

const remove = procedure({ rest: 'DELETE /webhooks/subscriptions/{id}', permission: WRITE, summary: 'Delete a subscription and what waits for it' })
  .input(id)
  .output(id)
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.unsubscribe($1)', [input.id]);
    return input;
  });

const enable = procedure({ rest: 'POST /webhooks/subscriptions/{id}/enable', permission: WRITE, summary: 'Send again, beginning with what was waiting' })
  .input(id)
  .output(z.object({ waiting: z.number().int() }))
  .mutation(async ({ ctx, input }) => {
    const [result] = await ctx.tx.query<{ waiting: number }>('select plinth.enable_subscription($1) as waiting', [input.id]);
    ctx.tx.signal(DUE);
    return { waiting: result?.waiting ?? 0 };
  });

const disable = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/disable',
  permission: WRITE,
  exactJson: true,
  summary: 'Stop sending; what is waiting stays',
})
  .input(id.extend({ reason: z.string().max(500).optional() }))
  .output(subscription)
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.disable_subscription($1, $2)', [input.id, input.reason ?? 'by hand']);
    return subscriptionOf(ctx.tx, input.id);
  });

const rotate = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/rotate-secret',
  permission: WRITE,
  summary: 'A new signing secret; the old one signs too for a while',
  secretFields: ['secret'],
})
  .input(id.extend({ overlap_seconds: overlapSeconds, secret: secret.optional() }))
  .output(z.object({ secret: z.string().nullable() }))
  .mutation(({ ctx, input }) => rotateSecret(ctx.tx, input));

const sendTest = procedure({
  rest: 'POST /webhooks/subscriptions/{id}/test',
  permission: WRITE,
  summary: 'Send a test event to this subscription: of type webhooks.test, or the example of a registered type',
})
  .input(testInput)
  .output(testSent)
  .mutation(({ ctx, input }) => sendTestEvent(ctx.tx, input));

const resend = procedure({
  rest: 'POST /webhooks/deliveries/{id}/resend',
  permission: 'webhooks.retry',
  summary: 'Send a delivery again that was given up',
})
  .input(id)
  .output(z.object({ delivery_id: z.guid() }))
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.resend_delivery($1)', [input.id]);
    ctx.tx.signal(DUE);
    return { delivery_id: input.id };
  });

const attempts = procedure({ rest: 'GET /webhooks/deliveries/{id}/attempts', permission: READ, summary: 'The attempts of one delivery, oldest first' })
  .input(id)
  .output(z.array(attempt))
  .query(async ({ ctx, input }) => {
    const columns = Object.keys(attempt.shape).join(', ');
    const sql = `select to_jsonb(a) as row from (select ${columns} from plinth.event_delivery_log where tenant_id = plinth_kernel.tenant_id() and delivery_id = $1 order by id limit 200) a`;
    const rows = await ctx.tx.query<{ row: z.infer<typeof attempt> }>(sql, [input.id]);
    return rows.map(({ row }) => row);
  });

export const api = {
  subscribe,
  get,
  update,
  remove,
  enable,
  disable,
  rotateSecret: rotate,
  sendTest,
  resend,
  attempts,
  ...policyApi,
  ...limitsApi,
  ...previewApi,
  ...inboundApi,
  portal: portalApi,
};
