import type { Contestant, Payload, StartWorker } from './queue.ts';
import { freshDatabase, peerPackage } from './queue.ts';

interface Job {
  id: string;
  data: Payload;
}

interface Boss {
  on(event: string, listener: (error: Error) => void): void;
  start(): Promise<unknown>;
  stop(options: object): Promise<void>;
  createQueue(name: string, options?: object): Promise<void>;
  send(queue: string, data: object): Promise<unknown>;
  insert(queue: string, jobs: readonly { data: object }[]): Promise<unknown>;
  fetch(queue: string, options: { batchSize: number }): Promise<Job[]>;
  complete(queue: string, ids: readonly string[]): Promise<unknown>;
  work(queue: string, options: object, handler: (jobs: Job[]) => Promise<void>): Promise<string>;
  offWork(queue: string, options: object): Promise<void>;
}

const QUEUE = 'noop';
const NOTIFIED = 'noop_notified';

export async function pgBoss(serverUrl: string): Promise<Contestant> {
  const { PgBoss } = await peerPackage<{ PgBoss: new (options: object) => Boss }>('pg-boss');
  const { url, admin } = await freshDatabase(serverUrl, 'bench_pgboss');
  const boss = new PgBoss({ connectionString: url, max: 20, useListenNotify: true });
  boss.on('error', () => undefined);
  await boss.start();
  await boss.createQueue(QUEUE);
  await boss.createQueue(NOTIFIED, { notify: true });

  /** The fastest way known: batches fetched and completed by hand, without its worker. */
  const loop =
    (batchSize: number): StartWorker =>
    async (onJob) => {
      let stopped = false;
      const turns = async (): Promise<void> => {
        while (!stopped) {
          const jobs = await boss.fetch(QUEUE, { batchSize });
          const ids = jobs.map(({ id }) => id);
          if (ids.length > 0) await boss.complete(QUEUE, ids);
          else await new Promise((resolve) => setTimeout(resolve, 5));
          // Afterwards, or the last batch, a twentieth of all jobs or more, would seem to cost nothing to complete.
          for (const job of jobs) onJob(job.data);
        }
      };
      const running = turns();
      return {
        stop() {
          stopped = true;
          return running;
        },
      };
    };
  const work =
    (queue: string, options: object): StartWorker =>
    async (onJob) => {
      const id = await boss.work(queue, options, async (jobs) => {
        for (const job of jobs) onJob(job.data);
      });
      return { stop: () => boss.offWork(queue, { id, wait: true }) };
    };
  return {
    name: 'pg-boss',
    admin,
    enqueue: (payload) => boss.send(QUEUE, payload),
    enqueueMany: (payloads) =>
      boss.insert(
        QUEUE,
        payloads.map((data) => ({ data })),
      ),
    workers: [
      { name: 'pg-boss, fetch(1000) and complete in a loop', start: loop(1000) },
      { name: 'pg-boss, fetch(5000) and complete in a loop', start: loop(5000) },
      { name: 'pg-boss, work() with batches of 1000, bursts', start: work(QUEUE, { batchSize: 1000, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true }) },
      // One job a poll, a poll every 2 s: more jobs would only take longer.
      { name: 'pg-boss, work() by default', start: work(QUEUE, {}), share: 0.0002 },
    ],
    pickUp: [
      { name: 'pg-boss, notify', enqueue: (payload) => boss.send(NOTIFIED, payload), start: work(NOTIFIED, { batchSize: 10, pollingIntervalSeconds: 0.5 }) },
      {
        name: 'pg-boss, poll every 0.5 s',
        enqueue: (payload) => boss.send(QUEUE, payload),
        start: work(QUEUE, { batchSize: 100, pollingIntervalSeconds: 0.5 }),
      },
    ],
    async close() {
      await boss.stop({ graceful: false, close: true });
      await admin.end();
    },
  };
}
