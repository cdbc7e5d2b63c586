/** What the benchmarks ask of every queue, ours and the peers'. */
import { existsSync } from 'node:fs';
import pg from 'pg';

export interface Payload {
  /** Number of the job in its run, from 0. */
  n: number;
  pad: string;
}

export interface Running {
  stop(): Promise<unknown>;
}

/** Starts a worker that calls `onJob` at the start of each job (where the benchmark itself completes them: at its end); resolves when the library says that it has started. */
export type StartWorker = (onJob: (payload: Payload) => void) => Promise<Running>;

export interface WorkerVariant {
  /** Settings, as the table shows them. */
  name: string;
  start: StartWorker;
  /** Part of the jobs that this one is given, where it would take minutes for all of them. Default 1. */
  share?: number;
}

export interface PickUpVariant {
  name: string;
  enqueue(payload: Payload): Promise<unknown>;
  start: StartWorker;
}

export interface Contestant {
  readonly name: string;
  /** One job in a transaction of its own. */
  enqueue(payload: Payload): Promise<unknown>;
  /** All of them at once: one call of the bulk function, or one transaction. */
  enqueueMany(payloads: readonly Payload[]): Promise<unknown>;
  /** Ways to work the jobs that `enqueue` and `enqueueMany` left. The first is the best known. */
  readonly workers: readonly WorkerVariant[];
  readonly pickUp: readonly PickUpVariant[];
  /** Superuser on its database; undefined where the queue is not in PostgreSQL. */
  readonly admin: pg.Pool | undefined;
  close(): Promise<void>;
}

/** A payload of exactly `sizeBytes` as compact JSON text. */
export function payloadOf(n: number, sizeBytes = 200): Payload {
  const empty = JSON.stringify({ n, pad: '' }).length;
  return { n, pad: 'x'.repeat(Math.max(0, sizeBytes - empty)) };
}

/** A new, empty database on the server of `serverUrl`. */
export async function freshDatabase(serverUrl: string, name: string, max = 16): Promise<{ url: string; admin: pg.Pool }> {
  const root = new pg.Client({ connectionString: serverUrl });
  await root.connect();
  try {
    await root.query(`drop database if exists ${name} with (force)`);
    await root.query(`create database ${name}`);
  } finally {
    await root.end();
  }
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const admin = new pg.Pool({ connectionString: url.href, max });
  // Its connections are cut when the server stops.
  admin.on('error', () => undefined);
  admin.on('connect', (client) => void client.on('error', () => undefined));
  return { url: url.href, admin };
}

/** A package of bench/peers, which only those who run the benchmarks install. */
export async function peerPackage<T>(name: string): Promise<T> {
  if (!existsSync(new URL(`node_modules/${name}/package.json`, import.meta.url))) {
    throw Object.assign(new Error(`${name} is not installed`), { wayOut: 'npm ci --prefix bench/peers --ignore-scripts' });
  }
  return (await import(name)) as T;
}
