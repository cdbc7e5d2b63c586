import { fail, raiser } from '#kernel/errors.ts';
import { idempotencyErrors } from '#modules/idempotency';
import { json } from './answer.ts';
import { readJsonBody } from './body.ts';
import type { CallFacts } from './call.ts';
import { callContext } from './call.ts';
import type { Exchange, Host, Server } from './host.ts';
import { callRoute, matchRoute } from './rest.ts';
import { TRPC_PATH, answerTrpc } from './trpc.ts';

const failIdempotency = raiser('idempotency', idempotencyErrors);
const KEY = /^[\x21-\x7e]{1,255}$/;

/** The header as it stands, or as the draft standard writes it: a quoted string. */
function idempotencyKey(request: Request): string | undefined {
  const text = request.headers.get('idempotency-key')?.trim();
  if (text === undefined || request.method === 'GET' || request.method === 'HEAD') return undefined;
  const key = /^"[^"]*"$/.test(text) ? text.slice(1, -1) : text;
  if (!KEY.test(key)) throw failIdempotency('key_invalid', { detail: { header: 'Idempotency-Key' } });
  return key;
}

/** What a call must know of its request. Errors: access_*, kernel_header_invalid, idempotency_key_invalid. */
export async function callFacts(host: Host, request: Request, exchange: Exchange): Promise<CallFacts> {
  const key = idempotencyKey(request);
  const credential = await host.calls.authenticator.authenticate(request);
  return { credential, traffic: exchange.traffic, idempotencyKey: key, signal: exchange.signal };
}

/** The same procedures under both roofs: /api/trpc/system.<module>.<procedure> and /api/v1/<address>. */
export function mountApi(app: Server, host: Host): void {
  app.all(`${TRPC_PATH}/*`, (c) => {
    const request = c.req.raw;
    c.env.note({ 'http.route': TRPC_PATH });
    return answerTrpc(host.router, {
      request,
      context: async () => callContext(host.calls, await callFacts(host, request, c.env)),
      correlationId: c.env.traffic.correlationId,
      bodyBytes: host.bodyBytes,
      idempotent: request.headers.has('idempotency-key'),
      onFailure: (error) => {
        if (error.status >= 500) host.log.error({ error: error.cause ?? error, code: error.code }, 'a call failed');
      },
    });
  });
  app.all('/api/v1/*', async (c) => {
    const request = c.req.raw;
    const url = new URL(request.url);
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const match = matchRoute(host.routes, method, url.pathname.slice('/api/v1'.length));
    c.env.note({ 'http.route': `/api/v1${match.route.template}` });
    const facts = await callFacts(host, request, c.env);
    // Before the body is read: nobody without a credential may make the server read a megabyte.
    if (!facts.credential.principal) throw fail('unauthenticated');
    const bodied = method !== 'GET' && method !== 'DELETE';
    const body = bodied ? await readJsonBody(request, host.bodyBytes) : undefined;
    return json(await callRoute(host.router, match, callContext(host.calls, facts), url.searchParams, body));
  });
}
