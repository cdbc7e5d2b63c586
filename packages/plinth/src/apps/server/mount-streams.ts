import { fail, PlinthError, raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { appendStream, createStream, deleteStream } from '#modules/streams';
import { webhooksErrors } from '#modules/webhooks';
import { problem } from './answer.ts';
import { readBytes } from './body.ts';
import { callContext, principalWith } from './call.ts';
import { offsetText, readQueryOf } from './durable-offset.ts';
import type { Reading, Source } from './durable-read.ts';
import { needsBase64, readOnce, refuseAhead, told } from './durable-read.ts';
import { eventSource, ownSource, pulledSource } from './durable-sources.ts';
import { appendOf, createOf } from './durable-write.ts';
import type { Exchange, Host, Server } from './host.ts';
import { only } from './host.ts';
import { callFacts } from './mount-api.ts';
import { PORTAL_API } from './portal-sessions.ts';

const failWebhooks = raiser('webhooks', webhooksErrors);
const PREFIX = '/api/v1/streams/';
const EVENTS = '/api/v1/durable/events/:type/:id';
const WEBHOOKS = '/api/v1/durable/webhooks/:id';
const PORTAL = `${PORTAL_API}/endpoints/:id/messages`;
const LONG_POLL_MS = 20_000;

interface Caller {
  tenantId: string;
  /** Runs in the tenant. Errors: kernel_reason_required, and what the body throws. */
  run<T>(body: (tx: AnyTransaction, scopes: readonly string[]) => Promise<T>): Promise<T>;
}

/**
 * Who calls, and has the permission. Asked before a body is read: nobody without a credential may make the server read a megabyte. Errors: access_*,
 * kernel_unauthenticated, kernel_forbidden, kernel_tenant_required.
 */
async function caller(host: Host, request: Request, exchange: Exchange, permission: string): Promise<Caller> {
  const facts = { ...(await callFacts(host, request, exchange)), idempotencyKey: undefined, signal: AbortSignal.timeout(host.requestMs) };
  const { tenantId, scopes } = principalWith(facts, permission);
  if (!tenantId) throw fail('tenant_required');
  const call = {
    type: 'mutation',
    path: `durable.${permission}`,
    input: undefined,
    secretFields: [],
    operator: false,
    records: true,
    exactJson: false,
  } as const;
  return {
    tenantId,
    run: async <T>(body: (tx: AnyTransaction, scopes: readonly string[]) => Promise<T>) =>
      (await callContext(host.calls, facts).run(call, (tx) => body(tx, scopes))) as T,
  };
}

/**
 * Pages of other sites may read streams with a key or token of theirs. A console session is not among what they may use: browsers do not send
 * its cookie from there, and it is refused where they do.
 */
const SHARED = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers':
    'etag, location, stream-next-offset, stream-cursor, stream-up-to-date, stream-closed, stream-ttl, stream-expires-at, stream-sse-data-encoding, producer-epoch, producer-seq, producer-expected-seq, producer-received-seq, x-correlation-id',
  'cross-origin-resource-policy': 'cross-origin',
};
const PREFLIGHT = {
  ...SHARED,
  'access-control-allow-methods': 'GET, HEAD, PUT, POST, DELETE',
  'access-control-allow-headers':
    'authorization, content-type, if-none-match, stream-seq, stream-ttl, stream-expires-at, stream-closed, stream-forked-from, stream-fork-offset, stream-fork-sub-offset, producer-id, producer-epoch, producer-seq, x-correlation-id, x-plinth-tenant, x-plinth-reason',
  'access-control-max-age': '600',
};

function shared(response: Response): Response {
  for (const [name, value] of Object.entries(SHARED)) response.headers.set(name, value);
  return response;
}

/** Headers that the protocol wants beside a failure. */
function failure(error: unknown, exchange: Exchange): Response {
  if (!(error instanceof PlinthError) || !error.code.startsWith('streams_')) throw error;
  const response = problem(error, exchange.traffic.correlationId);
  const { tail, epoch, expected, received } = error.detail;
  const add = (name: string, value: unknown): void => {
    if (value !== undefined) response.headers.set(name, String(value));
  };
  if (error.code === 'streams_stream_closed') {
    add('stream-closed', 'true');
    add('stream-next-offset', offsetText(String(tail)));
  }
  add('producer-epoch', epoch);
  add('producer-expected-seq', expected);
  add('producer-received-seq', received);
  return response;
}

async function create(host: Host, request: Request, exchange: Exchange, path: string): Promise<Response> {
  const { run } = await caller(host, request, exchange, 'streams.write');
  const options = createOf(request.headers, await readBytes(request, host.bodyBytes), PREFIX);
  const made = await run((tx) => createStream(tx, path, options));
  return new Response(null, {
    status: made.created ? 201 : 200,
    headers: {
      'content-type': made.content_type,
      'stream-next-offset': offsetText(made.tail),
      ...(made.created ? { location: new URL(request.url).href } : {}),
      ...(made.closed ? { 'stream-closed': 'true' } : {}),
    },
  });
}

async function append(host: Host, request: Request, exchange: Exchange, path: string): Promise<Response> {
  const { run } = await caller(host, request, exchange, 'streams.write');
  const options = appendOf(request.headers, await readBytes(request, host.bodyBytes));
  const done = await run((tx) => appendStream(tx, path, options));
  const { producer } = options;
  return new Response(null, {
    status: producer && !done.duplicate && options.data ? 200 : 204,
    headers: {
      'stream-next-offset': offsetText(done.tail),
      ...(done.closed ? { 'stream-closed': 'true' } : {}),
      ...(producer ? { 'producer-epoch': String(producer.epoch), 'producer-seq': String(done.producer_seq ?? producer.seq) } : {}),
    },
  });
}

/** Answers GET and HEAD of anything that can be read by the protocol. */
async function read(host: Host, request: Request, exchange: Exchange, source: Source, permission: string): Promise<Response> {
  // A reader that stays is looked at anew each time.
  const run: Reading['run'] = async (body) => (await caller(host, request, exchange, permission)).run(body);
  if (request.method === 'HEAD') {
    const found = await run((tx) => source.head(tx));
    return new Response(null, {
      headers: {
        'content-type': found.contentType,
        'stream-next-offset': offsetText(found.tail),
        'cache-control': 'no-store',
        etag: `"${found.id}:-1:${found.tail}${found.closed ? ':c' : ''}"`,
        ...(found.closed ? { 'stream-closed': 'true' } : {}),
        ...found.headers,
      },
    });
  }
  const query = readQueryOf(new URL(request.url).searchParams);
  const wait: Reading['wait'] = (signal, ms, until) => {
    host.realtime.hear();
    return host.plinth.wake.next([signal], ms, until);
  };
  const longPollMs = Math.min(host.options.durableStreams?.longPollMs ?? LONG_POLL_MS, host.requestMs - 1_000);
  const reading: Reading = { source, query, run, wait, longPollMs, now: () => host.plinth.clock.now() };
  if (query.live !== 'sse') return readOnce(reading, request, AbortSignal.any([exchange.signal, request.signal]));
  const { tenantId } = await caller(host, request, exchange, permission);
  const { contentType, tail } = await run((tx) => source.head(tx));
  refuseAhead(query.after, tail);
  const encoding = needsBase64(contentType) ? { 'stream-sse-data-encoding': 'base64' } : undefined;
  return host.streams.open(tenantId, (signal) => told(reading, signal), {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache, no-transform',
    ...encoding,
  });
}

/** What a webhook subscription that is pulled is to get, for the tenant's programs and for its customers. */
function mountPulled(app: Server, host: Host): void {
  for (const [route, permission] of [
    [WEBHOOKS, 'webhooks.pull'],
    [PORTAL, 'webhooks.portal.read'],
  ] as const) {
    only(app, 'GET', route, async (c) => {
      const id = c.req.param('id') ?? '';
      if (!isUuid(id)) throw failWebhooks('subscription_not_found', { message: 'The id of a subscription is a UUID' });
      return read(host, c.req.raw, c.env, pulledSource(id.toLowerCase()), permission).catch((error: unknown) => failure(error, c.env));
    });
  }
}

/**
 * /api/v1/streams/{path}: streams of bytes or JSON; /api/v1/durable/events/{type}/{id}: a stream of events, /api/v1/durable/webhooks/{id}: the messages
 * of a subscription, read in the same way.
 */
export function mountStreams(app: Server, host: Host): void {
  if (!host.plinth.modules.streams) return;
  const remove = async (request: Request, exchange: Exchange, path: string): Promise<Response> => {
    const { run } = await caller(host, request, exchange, 'streams.write');
    await run((tx) => deleteStream(tx, path));
    return new Response(null, { status: 204 });
  };
  const methods: Record<string, (request: Request, exchange: Exchange, path: string) => Promise<Response>> = {
    PUT: (request, exchange, path) => create(host, request, exchange, path),
    POST: (request, exchange, path) => append(host, request, exchange, path),
    DELETE: remove,
    GET: (request, exchange, path) => read(host, request, exchange, ownSource(path), 'streams.read'),
    HEAD: (request, exchange, path) => read(host, request, exchange, ownSource(path), 'streams.read'),
  };
  app.all(`${PREFIX}*`, async (c) => {
    c.env.note({ 'http.route': `${PREFIX}{path}` });
    const request = c.req.raw;
    if (request.method === 'OPTIONS') return new Response(null, { status: 204, headers: PREFLIGHT });
    const method = methods[request.method];
    if (!method) throw fail('method_not_allowed', { detail: { allow: Object.keys(methods).join(', ') } });
    const path = new URL(request.url).pathname.slice(PREFIX.length);
    if (path.length < 1 || path.length > 1_000) throw fail('unknown_route', { message: 'The path of a stream has 1 to 1,000 characters' });
    return shared(await method(request, c.env, path).catch((error: unknown) => failure(error, c.env)));
  });
  if (host.plinth.modules.webhooks) mountPulled(app, host);
  if (!host.plinth.modules.events) return;
  only(app, 'GET', EVENTS, async (c) => {
    const [type, id] = [c.req.param('type') ?? '', c.req.param('id') ?? ''];
    return read(host, c.req.raw, c.env, eventSource(type, id), 'events.read').catch((error: unknown) => failure(error, c.env));
  });
}
