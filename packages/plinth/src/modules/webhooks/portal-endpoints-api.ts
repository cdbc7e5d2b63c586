/** What the customer portal does with endpoints (subscriptions): a link opens these procedures and no others. */
import { z } from 'zod';
import { toPlinthError } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { DUE } from './consumer.ts';
import { KEY_MADE } from './derive-keys.ts';
import { fail } from './errors.ts';
import { guardReveal } from './format.ts';
import { PORTAL_READ, PORTAL_WRITE } from './portal.ts';
import { mode, signing } from './preview-api.ts';
import { overlapSeconds, resumed, resumeInput, resumeSubscription, rotateKey, rotateSecret, sendTestEvent, testInput, testSent } from './subscription-acts.ts';
import { checkUrl } from './subscription-url.ts';

const id = z.object({ id: z.guid() });
const time = z.string().nullable();
export const page = z.object({ cursor: z.guid().optional(), limit: z.coerce.number().int().min(1).max(100).default(25) });

const endpoint = z
  .object({
    id: z.guid(),
    name: z.string(),
    mode,
    url: z.string().nullable(),
    patterns: z.array(z.string()),
    enabled: z.boolean(),
    description: z.string().nullable(),
    failure_count: z.number().int(),
    failing_since: time,
    disabled_not_before: time.describe('When it is disabled at the earliest if it goes on failing; null when it does not fail'),
    disabled_at: time,
    disabled_reason: z.string().nullable(),
    created_at: z.string(),
    updated_at: z.string(),
    signing,
    public_keys: z.array(z.string()),
    breaker: z.enum(['closed', 'open', 'half_open']),
    paused_until: time,
    public_only: z.boolean().describe('Gets public types only; so does every endpoint that is made here, or given another URL or other types'),
    waiting: z.number().int().describe('Deliveries that wait, counted to 1,001'),
    waiting_internal: z.number().int().describe('How many of them are not sent when it becomes public_only'),
    next_attempt_at: time.describe('Of what waits; null when nothing will be sent'),
  })
  .meta({ title: 'PortalEndpoint' });
type Endpoint = z.infer<typeof endpoint>;
const COLUMNS = Object.keys(endpoint.shape).join(', ');
const ENDPOINTS = `(select s.*, case when s.enabled then s.failing_since + s.disable_after end as disabled_not_before from plinth.event_subscriptions s) v
  cross join lateral plinth_webhooks.queue_of(v.tenant_id, v.id)`;

async function endpointOf(tx: AnyTransaction, endpointId: string): Promise<Endpoint> {
  const [found] = await tx.query<{ row: Endpoint }>(
    `select to_jsonb(s) as row from (select ${COLUMNS} from ${ENDPOINTS} where v.tenant_id = plinth_kernel.tenant_id() and v.id = $1) s`,
    [endpointId],
  );
  if (!found) throw fail('subscription_not_found', { message: `There is no endpoint ${endpointId}` });
  return found.row;
}

/** Names are of public types. What a pattern with a star reaches beside them, now or later, is not delivered (public_only). Errors: webhooks_type_not_public. */
async function requirePublic(tx: AnyTransaction, types: readonly string[] | undefined): Promise<void> {
  if (!types) return;
  const names = types.filter((type) => !/[*#]/.test(type));
  const rows = await tx.query<{ name: string }>(
    `select distinct name from plinth.event_types where name = any ($1) and visibility = 'public' and (tenant_id = plinth_kernel.tenant_id() or tenant_id is null)`,
    [names],
  );
  const known = new Set(rows.map(({ name }) => name));
  const strange = names.filter((type) => !known.has(type));
  if (strange.length > 0) throw fail('type_not_public', { message: `There is no public event type ${strange[0]}`, detail: { types: strange.slice(0, 20) } });
}

/** Whoever has a link makes endpoints by clicking, and each is looked at by every claim. A back end makes as many as it likes. */
const MOST_ENDPOINTS = 100;

/** One create at a time for a tenant, so that the limit is exact. Errors: webhooks_endpoints_full. */
async function requireRoom(tx: AnyTransaction): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('plinth portal endpoints ' || plinth_kernel.tenant_id(), 0))`);
  const [found] = await tx.query<{ full: boolean }>(
    'select count(*) >= $1 as full from plinth_webhooks.subscriptions where tenant_id = plinth_kernel.tenant_id()',
    [MOST_ENDPOINTS],
  );
  if (found?.full) throw fail('endpoints_full', { message: `There are ${MOST_ENDPOINTS} endpoints or more`, detail: { most: MOST_ENDPOINTS } });
}

/** The same refusal in the words of the portal: SQL speaks of its own functions, to people who can call them. */
export function inPortalWords(error: unknown): never {
  const { code } = toPlinthError(error);
  if (code === 'webhooks_name_taken')
    throw fail('name_taken', { message: 'Another endpoint has this name', wayOut: 'Give another name, or change the other endpoint.', cause: error });
  if (code === 'webhooks_delivery_not_repeatable')
    throw fail('delivery_not_repeatable', {
      message: 'The endpoint gets public event types only, and this type is not public',
      wayOut: 'Ask whoever sent you here.',
      cause: error,
    });
  throw error;
}

const list = procedure({ rest: 'GET /webhooks/portal/endpoints', permission: PORTAL_READ, summary: 'Endpoints of the customer, newest first' })
  .input(page)
  .output(z.object({ endpoints: z.array(endpoint), next_cursor: z.guid().nullable() }))
  .query(async ({ ctx, input }) => {
    const rows = await ctx.tx.query<{ row: Endpoint }>(
      `select to_jsonb(s) as row from (select ${COLUMNS} from ${ENDPOINTS}
         where v.tenant_id = plinth_kernel.tenant_id() and ($1::uuid is null or v.id < $1) order by v.id desc limit $2) s`,
      [input.cursor ?? null, input.limit + 1],
    );
    const endpoints = rows.slice(0, input.limit).map(({ row }) => row);
    return { endpoints, next_cursor: rows.length > input.limit ? (endpoints.at(-1)?.id ?? null) : null };
  });

const get = procedure({ rest: 'GET /webhooks/portal/endpoints/{id}', permission: PORTAL_READ, summary: 'One endpoint of the customer' })
  .input(id)
  .output(endpoint)
  .query(({ ctx, input }) => endpointOf(ctx.tx, input.id));

const fields = {
  name: z.string().min(1).max(200),
  url: z.string().max(2000).optional(),
  event_types: z.array(z.string().max(200)).min(1).max(50).describe('Names of public event types, or patterns such as order.*, which reach public types only'),
  description: z.string().max(2000).optional(),
  signing: z.enum(['v1', 'v1a', 'both']).optional(),
};

const create = procedure({
  rest: 'POST /webhooks/portal/endpoints',
  permission: PORTAL_WRITE,
  summary: 'A new endpoint of the customer',
  description: 'The secret is in this answer only.',
  secretFields: ['secret'],
})
  .input(z.object({ ...fields, mode: mode.default('push') }))
  .output(z.object({ id: z.guid(), secret: z.string().nullable() }))
  .mutation(async ({ ctx, input }) => {
    if (input.url !== undefined) checkUrl(ctx.adapters, input.url);
    await requirePublic(ctx.tx, input.event_types);
    await requireRoom(ctx.tx);
    const making = ctx.tx.query<{ id: string; secret: string | null }>(
      `select subscription_id as id, secret from plinth.subscribe(p_name => $1, p_patterns => $2, p_url => $3, p_description => $4, p_signing => $5, p_mode => $6,
        p_public_only => true)`,
      [input.name, input.event_types, input.url ?? null, input.description ?? null, input.signing ?? 'v1', input.mode],
    );
    const [made] = await making.catch(inPortalWords);
    if (!made) throw fail('subscription_not_found');
    ctx.tx.signal(KEY_MADE);
    return made;
  });

const update = procedure({
  rest: 'PATCH /webhooks/portal/endpoints/{id}',
  permission: PORTAL_WRITE,
  summary: 'Change an endpoint of the customer; what is left out stays',
  description:
    'Another URL or other types make it public_only: what waits of types that are not public is not sent (withheld tells how many), and stays with the operator. ' +
    'secret is the one that another way of signing needs, if it was made now; it is in this answer only.',
  secretFields: ['secret'],
})
  .input(z.object(fields).partial().extend({ id: z.guid() }))
  .output(endpoint.extend({ secret: z.string().nullable(), withheld: z.number().int() }))
  .mutation(async ({ ctx, input }) => {
    if (input.url !== undefined) checkUrl(ctx.adapters, input.url);
    await requirePublic(ctx.tx, input.event_types);
    await guardReveal(ctx.tx, ctx.principal, input, input.id);
    // Where the customer lets it go, or what for, nothing internal goes.
    const redirects = input.url !== undefined || input.event_types !== undefined;
    const changing = ctx.tx.query<{ secret: string | null; withheld: number }>(
      `select secret, withheld from plinth.update_subscription(p_subscription_id => $1, p_name => $2, p_patterns => $3, p_url => $4, p_description => $5, p_signing => $6,
        p_public_only => $7)`,
      [input.id, input.name ?? null, input.event_types ?? null, input.url ?? null, input.description ?? null, input.signing ?? null, redirects || null],
    );
    const [changed] = await changing.catch(inPortalWords);
    ctx.tx.signal(KEY_MADE);
    ctx.tx.signal(DUE);
    return { ...(await endpointOf(ctx.tx, input.id)), secret: changed?.secret ?? null, withheld: changed?.withheld ?? 0 };
  });

const remove = procedure({
  rest: 'DELETE /webhooks/portal/endpoints/{id}',
  permission: PORTAL_WRITE,
  summary: 'Delete an endpoint of the customer and what waits for it',
})
  .input(id)
  .output(id)
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.unsubscribe($1)', [input.id]);
    return input;
  });

const disable = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/disable',
  permission: PORTAL_WRITE,
  summary: 'Stop sending to an endpoint; what is waiting stays',
})
  .input(id)
  .output(endpoint)
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query(`select plinth.disable_subscription($1, 'by the customer, in the portal')`, [input.id]);
    return endpointOf(ctx.tx, input.id);
  });

const resume = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/resume',
  permission: PORTAL_WRITE,
  summary: 'Send again to an endpoint that is disabled or failing',
  description: 'continue: with what waits; skip: what waits is dropped; replay: what waits, and every event since `since`.',
})
  .input(resumeInput)
  .output(resumed)
  .mutation(({ ctx, input }) => resumeSubscription(ctx.tx, input));

const newSecret = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/rotate-secret',
  permission: PORTAL_WRITE,
  summary: 'A new signing secret; the old one signs too for a while',
  secretFields: ['secret'],
})
  .input(id.extend({ overlap_seconds: overlapSeconds }))
  .output(z.object({ secret: z.string().nullable() }))
  .mutation(({ ctx, input }) => rotateSecret(ctx.tx, input));

const newKey = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/rotate-key',
  permission: PORTAL_WRITE,
  summary: 'A new ed25519 signing key; the old one signs too for a while',
})
  .input(id.extend({ overlap_seconds: overlapSeconds }))
  .output(z.object({ key_id: z.guid() }))
  .mutation(({ ctx, input }) => rotateKey(ctx.tx, input));

const sendTest = procedure({
  rest: 'POST /webhooks/portal/endpoints/{id}/test',
  permission: PORTAL_WRITE,
  summary: 'Send a test event to an endpoint of the customer: of type webhooks.test, or the example of a public type',
})
  .input(testInput)
  .output(testSent)
  .mutation(async ({ ctx, input }) => {
    // Endpoints that the back end made get internal types as well; whoever has the portal sees none of them, nor their examples.
    if (input.event_type !== undefined && input.event_type !== 'webhooks.test') await requirePublic(ctx.tx, [input.event_type]);
    return sendTestEvent(ctx.tx, input);
  });

export const portalEndpointsApi = { list, get, create, update, remove, disable, resume, rotateSecret: newSecret, rotateKey: newKey, sendTest };
