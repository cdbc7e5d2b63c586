import type { Contestant, Payload, StartWorker } from './queue.ts';
import { freshDatabase, peerPackage } from './queue.ts';

interface Graphile {
  run(options: object): Promise<{ stop(): Promise<void> }>;
  makeWorkerUtils(options: object): Promise<{
    migrate(): Promise<void>;
    addJob(task: string, payload: object): Promise<unknown>;
    addJobs(jobs: readonly { identifier: string; payload: object }[]): Promise<unknown>;
    release(): Promise<void>;
  }>;
  Logger: new (factory: () => () => void) => object;
}

const TASK = 'noop';

/** graphile-worker keeps no history: a completed job is deleted. */
export async function graphile(serverUrl: string): Promise<Contestant> {
  const library = await peerPackage<Graphile>('graphile-worker');
  const { url, admin } = await freshDatabase(serverUrl, 'bench_graphile', 64);
  const logger = new library.Logger(() => () => {});
  const utils = await library.makeWorkerUtils({ pgPool: admin, logger });
  await utils.migrate();

  const worker =
    (concurrency: number, worker: object, connectionString = url): StartWorker =>
    (onJob) =>
      library.run({
        connectionString,
        concurrency,
        noHandleSignals: true,
        logger,
        maxPoolSize: Math.max(10, Math.min(concurrency, 26)),
        taskList: { [TASK]: (payload: Payload) => onJob(payload) },
        preset: { worker },
      });
  const batched = (size: number): object => ({ localQueue: { size }, completeJobBatchDelay: 0, failJobBatchDelay: 0 });
  const enqueue = (payload: Payload): Promise<unknown> => utils.addJob(TASK, payload);
  return {
    name: 'graphile-worker',
    admin,
    enqueue,
    enqueueMany: (payloads) => utils.addJobs(payloads.map((payload) => ({ identifier: TASK, payload }))),
    workers: [
      { name: 'graphile-worker, localQueue 500, 24 at a time, batched completion', start: worker(24, batched(500)) },
      { name: 'graphile-worker, localQueue 2000, 100 at a time, batched completion', start: worker(100, batched(2000)) },
      ...[2000, 4000].map((size) => ({
        name: `graphile-worker, localQueue ${size}, 100 at a time, batched completion, synchronous_commit off`,
        start: worker(100, batched(size), `${url}?options=${encodeURIComponent('-c synchronous_commit=off')}`),
      })),
      { name: 'graphile-worker, no batching, 24 at a time', start: worker(24, {}), share: 0.2 },
      { name: 'graphile-worker, defaults (1 at a time)', start: worker(1, {}), share: 0.05 },
    ],
    pickUp: [{ name: 'graphile-worker', enqueue, start: worker(10, {}) }],
    async close() {
      await utils.release();
      await admin.end();
    },
  };
}
