import { fail, raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import type { InboundSource, Receipt } from '#modules/webhooks';
import { deriveKeys, findSource, objectOf, readJwks, receiveWebhook, verifyInbound, webhooksErrors } from '#modules/webhooks';
import { json } from './answer.ts';
import { checkJson, readBytes } from './body.ts';
import type { Exchange, Host, Route, Server } from './host.ts';
import { only } from './host.ts';

const failWebhooks = raiser('webhooks', webhooksErrors);
const JWKS_HEADERS = { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300', 'cross-origin-resource-policy': 'cross-origin' };

/** Keys that SQL made a moment ago are derived here, should the worker not have come to it. */
async function jwksOf(host: Host, tenantId: string, subscriptionId: string | undefined): Promise<Response> {
  for (const given of [tenantId, ...(subscriptionId === undefined ? [] : [subscriptionId])]) {
    if (!isUuid(given)) throw fail('unknown_route', { message: 'There is no such JWK set' });
  }
  const read = await host.plinth.asWorker({ readOnly: true }, (tx) => readJwks(tx, tenantId, subscriptionId));
  if (read) return json(read, 200, JWKS_HEADERS);
  const derived = await host.plinth.asWorker({}, async (tx) => {
    await deriveKeys(tx);
    return readJwks(tx, tenantId, subscriptionId);
  });
  return json(derived ?? { keys: [] }, 200, derived ? JWKS_HEADERS : { ...JWKS_HEADERS, 'cache-control': 'no-store' });
}

/** Slack asks once whether the address is ours. */
function challengeOf(source: InboundSource, payload: Record<string, unknown> | undefined): string | undefined {
  const asked = source.profile === 'slack' && payload?.type === 'url_verification' ? payload.challenge : undefined;
  return typeof asked === 'string' ? asked : undefined;
}

/** Errors: webhooks_source_not_found, webhooks_source_disabled, kernel_body_too_large, those of verifyInbound. */
async function takeIn(host: Host, request: Request, exchange: Exchange, sourceId: string): Promise<Response> {
  const source = isUuid(sourceId) ? await host.plinth.asWorker({ readOnly: true }, (tx) => findSource(tx, sourceId)) : undefined;
  if (!source) throw failWebhooks('source_not_found');
  if (!source.enabled) throw failWebhooks('source_disabled');
  const { name, profile, options, secrets, tolerance_seconds: toleranceSeconds, tenant_id: tenantId } = source;
  const receipt: Receipt = {
    source: name,
    profile,
    options,
    secrets,
    toleranceSeconds,
    headers: Object.fromEntries(request.headers),
    body: await readBytes(request, host.bodyBytes),
    publish: true,
  };
  // Before a transaction is opened: a forged message costs no connection.
  verifyInbound({ ...receipt, now: new Date(host.plinth.clock.now()) });
  const payload = objectOf(receipt.body);
  checkJson(payload);
  const challenge = challengeOf(source, payload);
  if (challenge !== undefined) return new Response(challenge, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
  const { traffic, signal } = exchange;
  const context = {
    tenantId,
    actor: { type: 'system' as const, id: `webhook:${name}` },
    correlationId: traffic.correlationId,
    requestId: traffic.requestId,
    ip: traffic.ip,
    userAgent: traffic.userAgent,
    timeoutMs: host.requestMs,
    signal,
  };
  const taken = await host.plinth.transaction(context, (tx) => receiveWebhook(tx as unknown as Parameters<typeof receiveWebhook>[0], receipt));
  return json({ id: taken.id, duplicate: taken.duplicate, event_id: taken.eventId ?? null }, taken.duplicate ? 200 : 202);
}

/** What others call without a credential of ours: the public keys that verify our webhooks, and the addresses of inbound sources. */
export function mountWebhooks(app: Server, host: Host): void {
  if (!host.plinth.modules.webhooks) return;
  const jwks: Route = (c) => jwksOf(host, c.req.param('tenant') ?? '', c.req.param('subscription'));
  only(app, 'GET', '/api/v1/webhooks/jwks/:tenant', jwks);
  only(app, 'GET', '/api/v1/webhooks/jwks/:tenant/:subscription', jwks);
  only(app, 'POST', '/api/v1/webhooks/inbound/:source', (c) => takeIn(host, c.req.raw, c.env, c.req.param('source') ?? ''));
}
