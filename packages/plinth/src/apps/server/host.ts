import type { AnyRouter } from '@trpc/server';
import type { Hono, Context as HonoContext } from 'hono';
import { createEgress } from '#adapters/http/egress.ts';
import { fail } from '#kernel/errors.ts';
import { limited } from '#kernel/limited.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { permissionsOfCard } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Records } from '#kernel/records.ts';
import { createRecords } from '#kernel/records.ts';
import type { CallMeta } from '#kernel/rpc.ts';
import type { WorkServices } from '#kernel/work.ts';
import { createAuthenticator } from './authenticate.ts';
import type { CallHost } from './call.ts';
import { createCallHost } from './call.ts';
import type { EventStreams } from './event-stream.ts';
import { createEventStreams } from './event-stream.ts';
import { egressOf, guardedFetch } from './jwks-fetch.ts';
import type { AuthOptions, ServerOptions } from './options.ts';
import { DEFAULT_BODY_BYTES, DEFAULT_REQUEST_MS } from './options.ts';
import { postgresBackplane } from './realtime-backplane.ts';
import type { Realtime } from './realtime-hub.ts';
import { createRealtime } from './realtime-hub.ts';
import type { RestRoute } from './rest.ts';
import { restRoutes } from './rest.ts';
import { createRouter } from './router.ts';
import type { Traffic } from './traffic.ts';

/** What one request carries through the routes. */
export interface Exchange {
  traffic: Traffic;
  /** Aborted when the time of the request is over. */
  signal: AbortSignal;
  /** Adds to the labels of the request's span and metric. */
  note: (labels: Record<string, string>) => void;
}

export interface Env {
  Bindings: Exchange;
}
export type Server = Hono<Env>;
export type Route = (c: HonoContext<Env>) => Promise<Response> | Response;

/** What the routes of a process share. */
export interface Host {
  options: ServerOptions;
  plinth: Plinth<ModuleMap>;
  log: WorkServices['log'];
  calls: CallHost;
  router: AnyRouter;
  records: Records;
  /** Server-Sent Events. */
  streams: EventStreams;
  /** Events as they are committed, over Server-Sent Events and WebSockets. */
  realtime: Realtime;
  routes: readonly RestRoute[];
  bodyBytes: number;
  requestMs: number;
  trustProxy: boolean;
}

/** Key sets are fetched through the egress guard where the process has one. */
function guardedAuth({ auth, services }: ServerOptions): AuthOptions {
  const egress = egressOf(services.adapters);
  return auth?.jwt && !auth.jwt.fetch && egress ? { ...auth, jwt: { ...auth.jwt, fetch: guardedFetch(egress) } } : (auth ?? {});
}

/** What cards say, and what procedures ask for, those that the application adds to the API among them. */
function permissionsIn(modules: ModuleMap, router: AnyRouter): string[] {
  const procedures = Object.values(router._def.procedures as Record<string, { _def: { meta?: CallMeta } }>);
  const asked = procedures.flatMap(({ _def }) => _def.meta?.permission ?? []);
  return [...new Set([...Object.values(modules).flatMap(permissionsOfCard), ...asked])].sort();
}

export function createHost(options: ServerOptions): Host {
  const { services } = options;
  const plinth = limited(options.plinth);
  const authenticator = createAuthenticator(plinth, guardedAuth(options));
  const realtime = createRealtime(plinth, services.log, { ...options.realtime, backplane: options.realtime?.backplane ?? postgresBackplane(plinth) });
  const requestMs = options.limits?.requestMs ?? DEFAULT_REQUEST_MS;
  const records = createRecords(plinth.modules);
  const router = createRouter(plinth.modules, records, options.api ?? {});
  return {
    options,
    plinth,
    log: services.log,
    calls: createCallHost({
      plinth,
      authenticator,
      // As the worker has one by default: a URL that it would not call is refused when it is subscribed. Nothing is sent by it.
      adapters: { egress: createEgress(), ...services.adapters, portal: { publicUrl: options.portal?.publicUrl } },
      permissions: permissionsIn(plinth.modules, router),
      requestMs,
      offsetOf: (snapshot) => realtime.offsetOf(snapshot),
    }),
    router,
    records,
    realtime,
    streams: createEventStreams({ ...options.streams, onFailure: (error) => services.log.warn({ err: error }, 'a stream of events failed') }),
    routes: restRoutes(router),
    bodyBytes: options.limits?.bodyBytes ?? DEFAULT_BODY_BYTES,
    requestMs,
    trustProxy: options.trustProxy ?? false,
  };
}

/** True when the caller speaks TLS, to this process or to the trusted proxy in front of it. */
export const isSecure = (host: Pick<Host, 'trustProxy'>, request: Request): boolean =>
  request.url.startsWith('https:') || (host.trustProxy && request.headers.get('x-forwarded-proto')?.split(',')[0]?.trim() === 'https');

/** A route for one method; every other method on its address is answered with 405 and the way out. */
export function only(app: Server, method: 'GET' | 'POST', path: string, route: Route): void {
  const run: Route = (c) => {
    c.env.note({ 'http.route': path });
    return route(c);
  };
  app.on(method, path, run);
  const allow = method === 'GET' ? 'GET, HEAD' : method;
  app.all(path, (c) => {
    throw fail('method_not_allowed', { message: `This address does not take ${c.req.method.slice(0, 20)}`, detail: { allow } });
  });
}
