import { z } from 'zod';
import { fail, raiser } from '#kernel/errors.ts';
import { idempotencyErrors } from '#modules/idempotency';
import { json } from './answer.ts';
import { readJsonBody } from './body.ts';
import type { CallFacts } from './call.ts';
import { callContext } from './call.ts';
import { exportList } from './export.ts';
import type { Exchange, Host, Server } from './host.ts';
import { only } from './host.ts';
import { readQuery } from './query.ts';
import { callRoute, matchRoute } from './rest.ts';
import { answerTrpc, TRPC_PATH } from './trpc.ts';

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

/** `Plinth-Offset: ?1`, a boolean as RFC 9651 writes it. Errors: kernel_header_invalid. */
function wantsOffset(request: Request): boolean {
  const text = request.headers.get('plinth-offset')?.trim();
  if (text === undefined || text === '?0') return false;
  if (text !== '?1')
    throw fail('header_invalid', {
      message: 'Plinth-Offset is neither ?1 nor ?0',
      wayOut: 'Send Plinth-Offset: ?1, or leave it out.',
      detail: { header: 'Plinth-Offset' },
    });
  return true;
}

/** What a call must know of its request. Errors: access_*, kernel_header_invalid, idempotency_key_invalid. */
export async function callFacts(host: Host, request: Request, exchange: Exchange): Promise<CallFacts> {
  const key = idempotencyKey(request);
  const credential = await host.calls.authenticator.authenticate(request);
  return { credential, traffic: exchange.traffic, idempotencyKey: key, wantsOffset: wantsOffset(request), signal: exchange.signal, gone: () => request.signal };
}

const exportInput = z.object({ format: z.enum(['csv', 'ndjson']).default('csv'), q: z.string().max(2000).default('') });

/** Errors: kernel_invalid_input, kernel_forbidden_text. */
function exportQuery(query: URLSearchParams): z.infer<typeof exportInput> {
  const read = exportInput.safeParse(readQuery(query, exportInput));
  if (!read.success)
    throw fail('invalid_input', { detail: { issues: read.error.issues.map((issue) => ({ field: issue.path.join('.'), message: issue.message })) } });
  return read.data;
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
        if (error.status >= 500) host.log.error({ err: error.cause ?? error, code: error.code }, 'a call failed');
      },
    });
  });
  only(app, 'GET', '/api/v1/exports/:module/:list', async (c) => {
    const { module, list } = c.req.param();
    const { format, q } = exportQuery(new URL(c.req.url).searchParams);
    return exportList(host, () => callFacts(host, c.req.raw, c.env), { module: module ?? '', list: list ?? '', format, q });
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
