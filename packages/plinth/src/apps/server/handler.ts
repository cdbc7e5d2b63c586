import { Hono } from 'hono';
import { runInContext } from '#kernel/context.ts';
import type { PlinthError } from '#kernel/errors.ts';
import { fail, toPlinthError } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { measured } from '#kernel/telemetry.ts';
import { finish, problem } from './answer.ts';
import type { Exchange, Host, Server } from './host.ts';
import { createHost, isSecure } from './host.ts';
import { mountApi } from './mount-api.ts';
import { mountCloudEvents } from './mount-cloud-events.ts';
import { mountConsole } from './mount-console.ts';
import { mountDocs } from './mount-docs.ts';
import { mountJobWatch } from './mount-job-watch.ts';
import { mountOperations } from './mount-operations.ts';
import { mountPortal } from './mount-portal.ts';
import { mountRealtime } from './mount-realtime.ts';
import { mountStreams } from './mount-streams.ts';
import { mountWebhooks } from './mount-webhooks.ts';
import type { ServerOptions } from './options.ts';
import type { Upgrade } from './realtime-upgrade.ts';
import { createUpgrade } from './realtime-upgrade.ts';
import type { Peer } from './traffic.ts';
import { readTraffic } from './traffic.ts';

/** Answers requests; mounts wherever a fetch handler does. */
export interface Handler {
  (request: Request, peer?: Peer): Promise<Response>;
  /** Resolves when what answered requests left behind (notes that keys were used) is written. */
  settle(): Promise<void>;
  /** Ends streams of events, whose readers come back by themselves: call it before the server is closed, which would wait for them. */
  endStreams(): void;
  /** Takes a connection that asks to become a WebSocket: give it to the `upgrade` event of the HTTP server. */
  upgrade: Upgrade;
}

function endStreams(host: Host): void {
  host.streams.end();
  host.realtime.end();
}

/**
 * The whole HTTP side as one function from Request to Response: /livez, /readyz, /metrics, /openapi.json, /docs, /console, /realtime,
 * /api/trpc and /api/v1. Every failure outside tRPC is an application/problem+json; no answer ever holds a stack.
 *
 * @example
 * const handler = createHandler({ plinth, services, auth: { jwt: { secret } } });
 * const response = await handler(new Request('http://localhost/livez'));
 */
export function createHandler<Modules extends ModuleMap>(options: ServerOptions<Modules>): Handler {
  // The server asks the cards and never names a module's effects, so it may see any installation as one of unknown modules.
  const host = createHost(options as unknown as ServerOptions);
  const app: Server = new Hono();
  mountOperations(app, host);
  mountDocs(app, host);
  mountConsole(app, host);
  mountJobWatch(app, host);
  mountCloudEvents(app, host);
  mountRealtime(app, host);
  mountWebhooks(app, host);
  mountPortal(app, host);
  mountStreams(app, host);
  mountApi(app, host);
  app.notFound((c) => problem(told(host, fail('unknown_route', { message: `There is no address ${c.req.path.slice(0, 200)}` })), c.env.traffic.correlationId));
  app.onError((error, c) => problem(told(host, error), c.env.traffic.correlationId));
  const handler = (request: Request, peer: Peer = {}): Promise<Response> => answer(host, app, request, peer);
  return Object.assign(handler, { settle: () => host.calls.authenticator.settle(), upgrade: createUpgrade(host), endStreams: () => endStreams(host) });
}

/** Logs what the caller is not told. */
function told(host: Host, error: unknown): PlinthError {
  const known = toPlinthError(error);
  if (known.status >= 500) host.log.error({ error, code: known.code }, 'a request failed');
  return known;
}

async function answer(host: Host, app: Server, request: Request, peer: Peer): Promise<Response> {
  const { traffic, fault } = readTraffic(request, peer, host.trustProxy, host.plinth.newId);
  const context = { actor: { type: 'system' as const, id: 'http' }, correlationId: traffic.correlationId, requestId: traffic.requestId };
  const facts = { 'plinth.correlation_id': traffic.correlationId };
  return runInContext(context, () =>
    measured({ kind: 'http', labels: { 'http.request.method': methodLabel(request.method), 'http.route': 'none' }, facts }, async (note) => {
      const exchange: Exchange = { traffic, note, signal: AbortSignal.timeout(host.requestMs) };
      const response = fault ? problem(told(host, fault), traffic.correlationId) : await inTime(host, exchange, async () => app.fetch(request, exchange));
      note({ 'http.response.status_code': String(response.status) });
      return finish(response, traffic, isSecure(host, request));
    }),
  );
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** A caller may invent methods; a metric must not have as many series. */
const methodLabel = (method: string): string => (METHODS.has(method) ? method : 'other');

/** The answer, or 504 when there is none in time: a body that never ends must not hold its place for ever. */
async function inTime(host: Host, exchange: Exchange, run: () => Promise<Response>): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<Response>();
  const late = (): void =>
    resolve(problem(told(host, fail('timeout', { message: `The request took longer than ${host.requestMs} ms` })), exchange.traffic.correlationId));
  exchange.signal.addEventListener('abort', late, { once: true });
  try {
    return await Promise.race([run(), promise]);
  } finally {
    exchange.signal.removeEventListener('abort', late);
  }
}
