/** BullMQ over Redis and over PostgreSQL: the same classes with another backend. */
import type { QueueOptions, WorkerOptions } from 'bullmq';
import { createPostgresBackend, Queue, Worker } from 'bullmq';
import type { Contestant, Payload, Running, StartWorker } from './queue.ts';
import { freshDatabase } from './queue.ts';
import { startRedis } from './redis.ts';

const QUEUE = 'noop';
const JOB = { removeOnComplete: true, removeOnFail: true };

interface Backend {
  name: string;
  queue(): Queue;
  worker(handler: (payload: Payload) => void, concurrency: number): Worker;
}

async function contestant(backend: Backend, admin: Contestant['admin'], close: () => Promise<void>): Promise<Contestant> {
  const queue = backend.queue();
  queue.on('error', () => undefined);
  await queue.waitUntilReady();
  const worker =
    (concurrency: number): StartWorker =>
    async (onJob): Promise<Running> => {
      const started = backend.worker(onJob, concurrency);
      started.on('error', () => undefined);
      await started.waitUntilReady();
      return { stop: () => started.close() };
    };
  const enqueue = (payload: Payload): Promise<unknown> => queue.add('noop', payload, JOB);
  return {
    name: backend.name,
    admin,
    enqueue,
    enqueueMany: (payloads) => queue.addBulk(payloads.map((data) => ({ name: 'noop', data, opts: JOB }))),
    workers: [
      { name: `${backend.name}, 100 at a time`, start: worker(100), share: admin ? 0.25 : 0.5 },
      { name: `${backend.name}, defaults (1 at a time)`, start: worker(1), share: 0.05 },
    ],
    pickUp: [{ name: backend.name, enqueue, start: worker(10) }],
    async close() {
      await queue.close();
      await close();
    },
  };
}

export async function bullmqRedis(): Promise<Contestant> {
  const redis = await startRedis();
  const connection = { host: '127.0.0.1', port: redis.port };
  const backend: Backend = {
    name: 'BullMQ on Redis',
    queue: () => new Queue(QUEUE, { connection }),
    worker: (handler, concurrency) =>
      new Worker(QUEUE, async (job: { data: Payload }) => handler(job.data), { connection: { ...connection, maxRetriesPerRequest: null }, concurrency }),
  };
  return contestant(backend, undefined, () => redis.stop());
}

export async function bullmqPostgres(serverUrl: string): Promise<Contestant> {
  const { url, admin } = await freshDatabase(serverUrl, 'bench_bullmq');
  const connection = { connectionString: url, max: 16, migrate: true };
  const backend: Backend = {
    name: 'BullMQ on PostgreSQL',
    queue: () => new Queue(QUEUE, { connection } as unknown as QueueOptions, createPostgresBackend as never) as unknown as Queue,
    worker: (handler, concurrency) =>
      new Worker(
        QUEUE,
        async (job: { data: Payload }) => handler(job.data),
        { connection, concurrency } as unknown as WorkerOptions,
        createPostgresBackend as never,
      ) as unknown as Worker,
  };
  return contestant(backend, admin, () => admin.end());
}
