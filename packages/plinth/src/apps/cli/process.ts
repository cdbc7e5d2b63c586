import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { openHintBus } from '#adapters/bus/hints.ts';
import { createEgress } from '#adapters/http/egress.ts';
import { diskStorage } from '#adapters/storage/disk.ts';
import type { Serving } from '#apps/server/index.ts';
import { createHandler, createOperations, createServices, prometheusMetrics, serve } from '#apps/server/index.ts';
import type { RelayOptions } from '#apps/worker/index.ts';
import { startWorker } from '#apps/worker/index.ts';
import { cutConnections } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { Environment } from './environment.ts';
import { keysOf } from './environment.ts';
import { egressOptions, policyInForce, policyInWords } from './environment-egress.ts';

export interface RunOptions {
  environment: Environment;
  modules: ModuleMap;
  serverUrl: string;
  /** Of a role that may act as plinth_owner, for maintenance. */
  maintenanceUrl?: string | undefined;
  /** Which parts this process is. */
  parts: readonly ('server' | 'worker')[];
  consoleDirectory?: string | undefined;
  /** Webhooks and other calls may reach loopback and plain http: development only. */
  development?: boolean;
}

export interface RunningParts {
  plinth: Plinth<ModuleMap>;
  /** Of a worker: /livez, /readyz and /metrics, where PLINTH_WORKER_PORT asks for them. */
  serving: Serving | undefined;
  services: WorkServices;
  /** Stops taking work, waits a little for what runs, closes the connections. At most about 4 s. */
  stop(): Promise<void>;
}

const relayOf = ({ relay, natsUrl, redisUrl }: Environment): { relay?: RelayOptions } =>
  relay.length === 0
    ? {}
    : {
        relay: {
          ...(relay.includes('nats') && natsUrl ? { nats: { servers: natsUrl.split(',') } } : {}),
          ...(relay.includes('redis') && redisUrl ? { redis: { url: redisUrl } } : {}),
        },
      };

/** Every job may hold a connection, and what else goes on in the process needs a few. */
function connectionsFor({ concurrency = 10 }: Environment['work']): number {
  return Math.max(20, (typeof concurrency === 'number' ? concurrency : concurrency.max) + 10);
}

/** What is left of a stop of about 4 s for transactions whose callers are gone by then: a statement may wait for a lock for half a minute. */
const LAST_GRACE_MS = 500;

/** After this whatever still waits for the database is cut off: one that does not answer must not keep a process from ending. */
const LATEST_CUT_MS = 3_600;

/** What keeps a worker alive and watches it asks; before the worker is started, so that its metrics are heard. */
async function serveOperations({ host, workerPort }: Environment, plinth: Plinth<ModuleMap>, services: WorkServices): Promise<Serving | undefined> {
  if (workerPort === undefined) return undefined;
  const metrics = prometheusMetrics({ pool: plinth.pool });
  return serve({ fetch: createOperations({ plinth, services, metrics }), port: workerPort, host, tries: 0, graceMs: 500 });
}

/** Server, worker or both in this process, over one pool. */
export async function runParts(options: RunOptions): Promise<RunningParts> {
  const { environment, modules } = options;
  const egress = createEgress(egressOptions(environment.egress, options.development === true));
  const services = createServices({
    log: { part: options.parts.join('+'), level: environment.logLevel ?? (options.development ? 'warn' : 'info') },
    adapters: {
      egress,
      storage: diskStorage(join(environment.dataDir, 'archive')),
      ...(options.maintenanceUrl ? { database: ownerAccess(options.maintenanceUrl) } : {}),
    },
  });
  const calls = policyInWords(policyInForce(environment.egress, options.development === true), environment.egress.authorities.length);
  services.log.info({ egress: calls }, 'egress policy in force');
  const plinth = createKernel({
    modules,
    database: {
      url: options.serverUrl,
      max: options.parts.includes('worker') ? connectionsFor(environment.work) : 20,
      applicationName: `plinth ${options.parts.join('+')}`,
    },
    keys: keysOf(environment),
    log: services.log,
  });
  const { realtimeBackplane } = environment;
  const bus = typeof realtimeBackplane === 'string' ? await openHintBus(realtimeBackplane, services.log) : undefined;
  // Workers tell as well: what a job publishes is heard at the servers.
  if (bus) plinth.wake.carry(bus.carry);
  const handler = options.parts.includes('server')
    ? createHandler({
        plinth,
        services,
        metrics: prometheusMetrics({ pool: plinth.pool }),
        auth: { sessionSecret: environment.sessionSecret, jwt: environment.jwt },
        trustProxy: environment.trustProxy,
        ...(realtimeBackplane === undefined ? {} : { realtime: { backplane: bus?.backplane ?? false } }),
        portal: { origins: environment.portalOrigins, publicUrl: environment.publicUrl },
        ...(options.consoleDirectory ? { console: { directory: options.consoleDirectory } } : {}),
      })
    : undefined;
  const { host, port } = environment;
  const serving = handler
    ? await serve({ fetch: handler, upgrade: handler.upgrade, port, host, graceMs: 2_000 })
    : await serveOperations(environment, plinth, services);
  const worker = options.parts.includes('worker') ? startWorker({ plinth, services, ...environment.work, ...relayOf(environment) }) : undefined;
  return {
    plinth,
    serving,
    services,
    async stop() {
      handler?.endStreams();
      let stopCutting: (() => void) | undefined;
      const late = setTimeout(() => {
        stopCutting = cutConnections(plinth.pool, LAST_GRACE_MS);
      }, LATEST_CUT_MS);
      await Promise.all([serving?.close(), worker?.stop({ graceMs: 1_500 })]);
      clearTimeout(late);
      await Promise.race([handler?.settle(), pause(LAST_GRACE_MS)]);
      egress.close();
      await plinth.close({ graceMs: LAST_GRACE_MS });
      await bus?.close();
      stopCutting?.();
    },
  };
}
