import type { ApiRecord, ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { EventStreamOptions } from './event-stream.ts';
import type { JwtOptions } from './jwt.ts';
import type { RealtimeOptions } from './realtime-hub.ts';

export interface AuthOptions {
  /** Without it no JWT is taken. */
  jwt?: JwtOptions | undefined;
  /** Signs console sessions; at least 32 bytes. Default: random, so that sessions end with the process. */
  sessionSecret?: string | Uint8Array | undefined;
  /** How long a process believes what it found about a key, tenant or member, ms: the longest a revocation can take to arrive. Default and most: 30,000. */
  cacheMs?: number | undefined;
}

export interface ServerOptions<Modules extends ModuleMap = ModuleMap> {
  plinth: Plinth<Modules>;
  /** From `createServices`. The adapter `egress` judges URLs that are subscribed; give servers and workers the same. Default: the public internet by https only. */
  services: WorkServices;
  auth?: AuthOptions | undefined;
  /** Procedures of the application beside those of the modules, by name: `{ demo: { orders: procedure({ rest: 'POST /demo/orders', ... }) } }`. */
  api?: Record<string, ApiRecord> | undefined;
  /** Folder with the built console; served at /console. */
  console?: { directory: string } | undefined;
  /** The customer portal of webhooks. */
  portal?:
    | {
        /** Origins whose pages may frame the portal and call its API with a token (`https://app.example.com`). Default: none. */
        origins?: readonly string[] | undefined;
        /** Origin that links begin with. Default: none, they begin with /portal. */
        publicUrl?: string | undefined;
      }
    | undefined;
  limits?:
    | {
        /** Longest body, bytes. Default 1 MiB. */
        bodyBytes?: number;
        /** Longest request, ms; statements of its transaction stop by then. Default 30,000. */
        requestMs?: number;
      }
    | undefined;
  /** Bounds of Server-Sent Events. */
  streams?: Pick<EventStreamOptions, 'most' | 'mostPerTenant' | 'heartbeatMs' | 'longestMs'> | undefined;
  /** Durable streams: longest wait of a long poll, ms. Default 20,000. */
  durableStreams?: { longPollMs?: number } | undefined;
  /** Bounds of /realtime. */
  realtime?: RealtimeOptions | undefined;
  /** Believe X-Forwarded-For and X-Forwarded-Proto, which only a proxy of yours may set. Default false. */
  trustProxy?: boolean | undefined;
  /** Text of /metrics; see adapters/telemetry. Without it /metrics is 404. */
  metrics?: (() => Promise<{ contentType: string; text: string }>) | undefined;
  /** Other databases by tier, looked at by /readyz. The main database is always looked at. */
  tiers?: Record<string, { check(): Promise<void> }> | undefined;
}

export const DEFAULT_BODY_BYTES = 1_048_576;
export const DEFAULT_REQUEST_MS = 30_000;
