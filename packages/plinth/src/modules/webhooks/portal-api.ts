/** What the customer portal shows beside endpoints: the catalogue, attempts, and sending again. */
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { DUE } from './consumer.ts';
import { fail } from './errors.ts';
import { PORTAL_READ, PORTAL_WRITE } from './portal.ts';
import { inPortalWords, page, portalEndpointsApi } from './portal-endpoints-api.ts';
import { portalLinksApi } from './portal-links-api.ts';
import { cancelReplay, pausedUntil, pauseOf, previewReplay, replayInput, replayRate, startReplay } from './subscription-acts.ts';

const id = z.object({ id: z.guid() });
const time = z.string().nullable();

const eventType = z
  .object({
    name: z.string(),
    version: z.number().int(),
    description: z.string().nullable(),
    schema: z.unknown(),
    example: z.unknown(),
    deprecated_at: time,
    deprecation: z.string().nullable(),
    successor: z.string().nullable(),
  })
  .meta({ title: 'PortalEventType' });

const eventTypes = procedure({
  rest: 'GET /webhooks/portal/event-types',
  permission: PORTAL_READ,
  exactJson: true,
  summary: 'Public event types, newest versions, by name',
})
  .input(z.object({ cursor: z.string().max(200).default(''), limit: z.coerce.number().int().min(1).max(200).default(50) }))
  .output(z.object({ types: z.array(eventType), next_cursor: z.string().nullable() }))
  .query(async ({ ctx, input }) => {
    // A type is what its newest version is: one that became internal is not shown by an older version.
    const rows = await ctx.tx.query<{ row: z.infer<typeof eventType> }>(
      `select to_jsonb(t) - 'visibility' as row from (
         select distinct on (name) ${Object.keys(eventType.shape).join(', ')}, visibility from plinth.event_types
         where name > $1 and (tenant_id = plinth_kernel.tenant_id() or tenant_id is null) order by name, tenant_id nulls last, version desc) t
       where t.visibility = 'public' order by t.name limit $2`,
      [input.cursor, input.limit + 1],
    );
    const types = rows.slice(0, input.limit).map(({ row }) => row);
    return { types, next_cursor: rows.length > input.limit ? (types.at(-1)?.name ?? null) : null };
  });

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
    url: z.string(),
    response_code: z.number().int().nullable(),
    response_time_ms: z.number().int().nullable(),
    error_code: z.string().nullable(),
    error_message: z.string().nullable(),
  })
  .meta({ title: 'PortalAttempt' });
const exchange = attempt.extend({
  timings: z.record(z.string(), z.number()).nullable(),
  request_headers: z.record(z.string(), z.unknown()).nullable(),
  request_body: z.string().nullable(),
  response_headers: z.record(z.string(), z.unknown()).nullable(),
  response_body: z.string().nullable(),
});

const attempts = procedure({ rest: 'GET /webhooks/portal/attempts', permission: PORTAL_READ, summary: 'Attempts to deliver to the customer, newest first' })
  .input(page.extend({ endpoint_id: z.guid().optional(), status: z.enum(['delivered', 'failed']).optional(), event_type: z.string().max(200).optional() }))
  .output(z.object({ attempts: z.array(attempt), next_cursor: z.guid().nullable() }))
  .query(async ({ ctx, input }) => {
    const rows = await ctx.tx.query<{ row: z.infer<typeof attempt> }>(
      `select to_jsonb(a) as row from (select ${Object.keys(attempt.shape).join(', ')} from plinth.event_delivery_log
         where tenant_id = plinth_kernel.tenant_id() and ($1::uuid is null or id < $1) and ($2::uuid is null or subscription_id = $2)
           and ($3::text is null or status = $3) and ($4::text is null or event_type = $4) order by id desc limit $5) a`,
      [input.cursor ?? null, input.endpoint_id ?? null, input.status ?? null, input.event_type ?? null, input.limit + 1],
    );
    const found = rows.slice(0, input.limit).map(({ row }) => row);
    return { attempts: found, next_cursor: rows.length > input.limit ? (found.at(-1)?.id ?? null) : null };
  });

const attemptOf = procedure({
  rest: 'GET /webhooks/portal/attempts/{id}',
  permission: PORTAL_READ,
  exactJson: true,
  summary: 'One attempt with request, answer and the time of each phase',
})
  .input(id)
  .output(exchange)
  .query(async ({ ctx, input }) => {
    const [found] = await ctx.tx.query<{ row: z.infer<typeof exchange> }>(
      `select to_jsonb(a) as row from (select ${Object.keys(exchange.shape).join(', ')} from plinth.event_delivery_log
         where tenant_id = plinth_kernel.tenant_id() and id = $1) a`,
      [input.id],
    );
    if (!found) throw fail('attempt_not_found', { message: `There is no attempt ${input.id}` });
    return found.row;
  });

const resend = procedure({
  rest: 'POST /webhooks/portal/attempts/{id}/resend',
  permission: PORTAL_WRITE,
  summary: 'Send again what an attempt sent, under the same webhook-id',
  description: 'What was given up is tried again; what arrived is sent once more, as a replay of one event. 409 with the reason when nothing would be sent.',
})
  .input(id)
  .output(z.object({ delivery_id: z.guid(), replay_id: z.guid().nullable(), paused_until: pausedUntil }))
  .mutation(async ({ ctx, input }) => {
    const [of] = await ctx.tx.query<Sent>(
      `select a.delivery_id, a.subscription_id, a.event_id, a.event_type, d.status, s.enabled,
         exists (select from plinth_events.events e where e.tenant_id = a.tenant_id and e.id = a.event_id) as kept
       from plinth.event_delivery_log a
       left join plinth.event_subscriptions s on s.tenant_id = a.tenant_id and s.id = a.subscription_id
       left join plinth.event_deliveries d on d.tenant_id = a.tenant_id and d.id = a.delivery_id
       where a.tenant_id = plinth_kernel.tenant_id() and a.id = $1`,
      [input.id],
    );
    if (!of) throw fail('attempt_not_found', { message: `There is no attempt ${input.id}` });
    ctx.tx.signal(DUE);
    const paused_until = await pauseOf(ctx.tx, of.subscription_id);
    if (of.status !== null) {
      await ctx.tx.query('select plinth.resend_delivery($1)', [of.delivery_id]).catch(inPortalWords);
      return { delivery_id: of.delivery_id, replay_id: null, paused_until };
    }
    return { delivery_id: of.delivery_id, replay_id: await sendOnceMore(ctx.tx, of), paused_until };
  });

interface Sent {
  delivery_id: string;
  subscription_id: string;
  event_id: string | null;
  event_type: string;
  /** Null when it arrived. */
  status: string | null;
  /** Null when the endpoint was deleted. */
  enabled: boolean | null;
  kept: boolean;
}

/** A replay of one event. Errors: webhooks_delivery_not_repeatable, webhooks_subscription_disabled, webhooks_subscription_not_found. */
async function sendOnceMore(tx: AnyTransaction, of: Sent): Promise<string> {
  if (of.event_id === null) throw fail('delivery_not_repeatable');
  if (of.enabled === false) throw fail('subscription_disabled', { message: 'The endpoint is disabled', wayOut: 'Resume it first.' });
  if (!of.kept) throw fail('delivery_not_repeatable', { message: 'The event is not kept any more', wayOut: 'Ask whoever sent you here for what it said.' });
  const { replay_id } = await startReplay(tx, { id: of.subscription_id, ids: [of.event_id] });
  const [replay] = await tx.query<{ total: number }>('select total from plinth.webhook_replays where tenant_id = plinth_kernel.tenant_id() and id = $1', [
    replay_id,
  ]);
  // Thrown, so the replay that would send nothing is undone.
  if (!replay?.total)
    throw fail('delivery_not_repeatable', {
      message: `The endpoint does not get ${of.event_type} any more`,
      wayOut: 'Choose the type for the endpoint again, then send it.',
    });
  return replay_id;
}

const preview = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/replays/preview',
  permission: PORTAL_READ,
  summary: 'How many deliveries a replay would add',
  description: 'No filter, here and below: by counting, it would tell of fields that a transform keeps back.',
})
  .input(replayInput)
  .output(z.object({ total: z.number().int() }))
  .mutation(({ ctx, input }) => previewReplay(ctx.tx, input));

const start = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/replays',
  permission: PORTAL_WRITE,
  summary: 'Send again to an endpoint: a range of time, some ids, or only what was given up, narrowed by type',
})
  .input(replayInput.extend({ rate_per_second: replayRate }))
  .output(z.object({ replay_id: z.guid() }))
  .mutation(({ ctx, input }) => startReplay(ctx.tx, input));

const replay = z
  .object({
    id: z.guid(),
    status: z.enum(['running', 'done', 'failed', 'cancelled']),
    only_failed: z.boolean(),
    since: time,
    until: time,
    patterns: z.array(z.string()).nullable(),
    asked_ids: z.number().int().nullable(),
    rate_per_second: z.number().nullable(),
    total: z.number().int(),
    added: z.number().int(),
    left_out: z.number().int(),
    created_at: z.string(),
    finished_at: time,
  })
  .meta({ title: 'WebhookReplay' });

const replays = procedure({ rest: 'GET /webhooks/portal/endpoints/{id}/replays', permission: PORTAL_READ, summary: 'Replays of an endpoint, newest first' })
  .input(page.extend({ id: z.guid() }))
  .output(z.object({ replays: z.array(replay), next_cursor: z.guid().nullable() }))
  .query(async ({ ctx, input }) => {
    const rows = await ctx.tx.query<{ row: z.infer<typeof replay> }>(
      `select to_jsonb(r) as row from (select ${Object.keys(replay.shape).join(', ')} from plinth.webhook_replays
         where tenant_id = plinth_kernel.tenant_id() and subscription_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3) r`,
      [input.id, input.cursor ?? null, input.limit + 1],
    );
    const found = rows.slice(0, input.limit).map(({ row }) => row);
    return { replays: found, next_cursor: rows.length > input.limit ? (found.at(-1)?.id ?? null) : null };
  });

const cancel = procedure({
  rest: 'POST /webhooks/portal/replays/{id}/cancel',
  permission: PORTAL_WRITE,
  summary: 'Stop a replay; what it has added goes out',
})
  .input(id)
  .output(z.object({ added: z.number().int() }))
  .mutation(({ ctx, input }) => cancelReplay(ctx.tx, input.id));

export const portalApi = {
  ...portalLinksApi,
  endpoints: portalEndpointsApi,
  eventTypes,
  attempts,
  attempt: attemptOf,
  resend,
  previewReplay: preview,
  startReplay: start,
  replays,
  cancelReplay: cancel,
};
