import { Hono } from 'hono';
import type { ModuleMap } from '#kernel/module.ts';
import { answer, tellFailures } from './exchange.ts';
import type { Host, Server } from './host.ts';
import { createHost } from './host.ts';
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

/** Every address, in the order in which they are asked. */
export function createApp(host: Host): Server {
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
  tellFailures(app, host);
  return app;
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
  const app = createApp(host);
  const handler = (request: Request, peer: Peer = {}): Promise<Response> => answer(host, app, request, peer);
  return Object.assign(handler, { settle: () => host.calls.authenticator.settle(), upgrade: createUpgrade(host), endStreams: () => endStreams(host) });
}
