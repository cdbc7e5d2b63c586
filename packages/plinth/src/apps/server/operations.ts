import { Hono } from 'hono';
import { answer, tellFailures } from './exchange.ts';
import type { Server } from './host.ts';
import { mountOperations } from './mount-operations.ts';
import type { ServerOptions } from './options.ts';
import type { Peer } from './traffic.ts';

/** Longest of these requests, ms; /readyz has limits of its own below it. */
const REQUEST_MS = 10_000;

/**
 * /livez, /readyz and /metrics alone, for a process that serves nothing else, such as a worker. Give `metrics` before the worker is started: what was made
 * before them stays silent.
 *
 * @example
 * await serve({ fetch: createOperations({ plinth, services, metrics: prometheusMetrics({ pool: plinth.pool }) }), port: 9400 });
 */
export function createOperations(
  options: Pick<ServerOptions, 'plinth' | 'services' | 'metrics' | 'tiers'>,
): (request: Request, peer?: Peer) => Promise<Response> {
  const { plinth, services } = options;
  const host = { plinth, options, log: services.log, requestMs: REQUEST_MS, trustProxy: false };
  const app: Server = new Hono();
  mountOperations(app, host);
  tellFailures(app, host);
  return (request, peer = {}) => answer(host, app, request, peer);
}
