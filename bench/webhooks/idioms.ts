/** How webhooks are sent with a queue: a job a delivery, whose handler signs with npm standardwebhooks, calls fetch and writes the log row. */
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import type pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { freshDatabase, peerPackage } from '../peers/queue.ts';
import { startRedis } from '../peers/redis.ts';

export interface Delivery {
  url: string;
  secret: string;
  type: string;
  data: object;
}

export interface Idiom {
  name: string;
  enqueue(deliveries: readonly Delivery[]): Promise<unknown>;
  start(): Promise<{ stop(): Promise<unknown> }>;
  /** Attempts in its log. */
  logged(): Promise<number>;
  close(): Promise<void>;
}

const CONCURRENCY = 64;
const LOG = `create table delivery_log (id uuid primary key default gen_random_uuid(), webhook_id uuid not null, url text not null, status text not null, response_code int, response_time_ms int,
  request_headers jsonb, request_body text, response_headers jsonb, response_body text, attempted_at timestamptz not null default now())`;
const INSERT =
  'insert into delivery_log (webhook_id, url, status, response_code, response_time_ms, request_headers, request_body, response_headers, response_body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)';

async function send(log: pg.Pool, delivery: Delivery): Promise<void> {
  const id = randomUUID();
  const now = new Date();
  const body = JSON.stringify({ type: delivery.type, timestamp: now.toISOString(), data: delivery.data });
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': new Webhook(delivery.secret).sign(id, now, body),
  };
  const started = performance.now();
  const response = await fetch(delivery.url, { method: 'POST', headers, body, redirect: 'manual', signal: AbortSignal.timeout(15_000) });
  const text = await response.text();
  await log.query({
    name: 'log',
    text: INSERT,
    values: [
      id,
      delivery.url,
      response.ok ? 'delivered' : 'failed',
      response.status,
      Math.round(performance.now() - started),
      headers,
      body,
      Object.fromEntries(response.headers),
      text.slice(0, 4096),
    ],
  });
  if (!response.ok) throw new Error(`the receiver answered ${response.status}`);
}

const loggedIn = async (admin: pg.Pool): Promise<number> => Number((await admin.query('select count(*) as n from delivery_log')).rows[0]?.n);

interface Boss {
  on(event: string, listener: (error: Error) => void): void;
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  createQueue(name: string): Promise<void>;
  insert(queue: string, jobs: readonly { data: object }[]): Promise<unknown>;
  work(queue: string, options: object, handler: (jobs: { data: Delivery }[]) => Promise<unknown>): Promise<string>;
  offWork(queue: string, options: object): Promise<void>;
}

export async function pgBossIdiom(serverUrl: string): Promise<Idiom> {
  const { PgBoss } = await peerPackage<{ PgBoss: new (options: object) => Boss }>('pg-boss');
  const { url, admin } = await freshDatabase(serverUrl, 'bench_hooks_pgboss', 20);
  await admin.query(LOG);
  const boss = new PgBoss({ connectionString: url, max: 20 });
  boss.on('error', () => undefined);
  await boss.start();
  await boss.createQueue('webhook');
  return {
    name: 'pg-boss',
    enqueue: (deliveries) =>
      boss.insert(
        'webhook',
        deliveries.map((data) => ({ data })),
      ),
    async start() {
      const id = await boss.work('webhook', { batchSize: CONCURRENCY, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }, (jobs) =>
        Promise.all(jobs.map(({ data }) => send(admin, data))),
      );
      return { stop: () => boss.offWork('webhook', { id, wait: true }) };
    },
    logged: () => loggedIn(admin),
    async close() {
      await boss.stop({ graceful: false, close: true });
      await admin.end();
    },
  };
}

interface Graphile {
  run(options: object): Promise<{ stop(): Promise<void> }>;
  makeWorkerUtils(options: object): Promise<{
    migrate(): Promise<void>;
    addJobs(jobs: readonly { identifier: string; payload: object }[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
  Logger: new (factory: () => () => void) => object;
}

export async function graphileIdiom(serverUrl: string): Promise<Idiom> {
  const library = await peerPackage<Graphile>('graphile-worker');
  const { url, admin } = await freshDatabase(serverUrl, 'bench_hooks_graphile', 40);
  await admin.query(LOG);
  const logger = new library.Logger(() => () => {});
  const utils = await library.makeWorkerUtils({ pgPool: admin, logger });
  await utils.migrate();
  return {
    name: 'graphile-worker',
    enqueue: (deliveries) => utils.addJobs(deliveries.map((payload) => ({ identifier: 'webhook', payload }))),
    start: () =>
      library.run({
        connectionString: url,
        concurrency: CONCURRENCY,
        noHandleSignals: true,
        logger,
        maxPoolSize: 26,
        taskList: { webhook: (payload: Delivery) => send(admin, payload) },
        preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
      }),
    logged: () => loggedIn(admin),
    async close() {
      await utils.release();
      await admin.end();
    },
  };
}

export async function bullmqIdiom(serverUrl: string): Promise<Idiom> {
  const redis = await startRedis();
  const { admin } = await freshDatabase(serverUrl, 'bench_hooks_bullmq', 20);
  await admin.query(LOG);
  const connection = { host: '127.0.0.1', port: redis.port };
  const queue = new Queue('webhook', { connection });
  queue.on('error', () => undefined);
  await queue.waitUntilReady();
  return {
    name: 'BullMQ',
    enqueue: (deliveries) => queue.addBulk(deliveries.map((data) => ({ name: 'webhook', data, opts: { removeOnComplete: true, removeOnFail: true } }))),
    async start() {
      const worker = new Worker('webhook', async (job: { data: Delivery }) => send(admin, job.data), {
        connection: { ...connection, maxRetriesPerRequest: null },
        concurrency: CONCURRENCY,
      });
      worker.on('error', () => undefined);
      await worker.waitUntilReady();
      return { stop: () => worker.close() };
    },
    logged: () => loggedIn(admin),
    async close() {
      await queue.close();
      await redis.stop();
      await admin.end();
    },
  };
}
