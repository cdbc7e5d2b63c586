import type { Hono } from 'hono';
import { directBodyOf } from '#adapters/http/direct-body.ts';
import { runInContext } from '#kernel/context.ts';
import type { PlinthError } from '#kernel/errors.ts';
import { fail, toPlinthError } from '#kernel/errors.ts';
import { measured } from '#kernel/telemetry.ts';
import { finish, problem } from './answer.ts';
import type { Env, Exchange, Host, Server } from './host.ts';
import { isSecure } from './host.ts';
import type { Peer } from './traffic.ts';
import { readTraffic } from './traffic.ts';

/** What answering takes of a host. */
export type Answering = Pick<Host, 'plinth' | 'log' | 'requestMs' | 'trustProxy'>;

/** An address that is not there, and whatever a route throws, as problem documents. */
export function tellFailures(app: Hono<Env>, host: Answering): void {
  app.notFound((c) => problem(told(host, fail('unknown_route', { message: `There is no address ${c.req.path.slice(0, 200)}` })), c.env.traffic.correlationId));
  app.onError((error, c) => problem(told(host, error), c.env.traffic.correlationId));
}

/** Logs what the caller is not told. */
function told(host: Answering, error: unknown): PlinthError {
  const known = toPlinthError(error);
  if (known.status >= 500) host.log.error({ err: error, code: known.code }, 'a request failed');
  return known;
}

/** Answers a request, within its time, with what every answer carries. */
export async function answer(host: Answering, app: Server, request: Request, peer: Peer): Promise<Response> {
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

/** An answer that nobody gets any more: a stream in it holds a place. */
function forgo(response: Response): void {
  directBodyOf(response)?.cancel();
  response.body?.cancel().catch(() => {});
}

/** The answer, or 504 when there is none in time: a body that never ends must not hold its place for ever. */
async function inTime(host: Answering, exchange: Exchange, run: () => Promise<Response>): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<Response>();
  const running = run();
  const late = (): void => {
    running.then(forgo, () => {});
    resolve(problem(told(host, fail('timeout', { message: `The request took longer than ${host.requestMs} ms` })), exchange.traffic.correlationId));
  };
  exchange.signal.addEventListener('abort', late, { once: true });
  try {
    return await Promise.race([running, promise]);
  } finally {
    exchange.signal.removeEventListener('abort', late);
  }
}
