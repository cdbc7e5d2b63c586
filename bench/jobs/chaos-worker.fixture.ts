/** A worker in a process of its own, for the chaos benchmark to kill, stop and cut off. */
import process from 'node:process';
import { JobFailure, startWorker } from '../../packages/plinth/src/apps/worker/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '', max: 12 } });
const name = process.env.WORKER_NAME ?? `chaos-${process.pid}`;
/** Leaves the completion to the worker: at least once, as with other queues. */
const separate = process.env.SEPARATE === '1';
const silent = { info: () => {}, warn: () => {}, error: () => {} };
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Whatever went wrong, at once again: the back-off is not what is under test. */
function again(error: unknown): never {
  const { code, message } = error as { code?: string; message?: string };
  if (code === 'jobs_lease_lost') say('refused');
  throw new JobFailure(String(message ?? error), { retryAfterMs: 50 });
}

startWorker({
  plinth,
  name,
  concurrency: 8,
  pollMs: 200,
  ...(process.env.LEASE_MS ? { leaseMs: Number(process.env.LEASE_MS) } : {}),
  services: { log: silent, enabled: (module) => module === 'jobs' },
  handlers: {
    'chaos.post': {
      summary: 'Posts to the ledger in the transaction that completes it',
      async handler(run) {
        const n = Number(run.payload.n);
        await pause(Number(run.payload.takesMs));
        // Not run.transaction, which an aborted signal ends before it begins: here it is the fence in the database that has to refuse.
        await plinth
          .transaction({ tenantId: run.tenantId }, async (tx) => {
            await tx.query('insert into chaos.ledger (n, job_id, run_id, worker) values ($1, $2, $3, $4)', [n, run.id, run.runId, name]);
            await tx.query('update chaos.counters set value = value + 1 where shard = $1', [n % 64]);
            if (!separate) await run.completeIn(tx);
          })
          .catch(again);
      },
    },
    'chaos.plain': {
      summary: 'Completes by returning, and says by whom',
      async handler(run) {
        await pause(Number(run.payload.takesMs));
        return { runId: run.runId, worker: name };
      },
    },
    'chaos.hang': {
      summary: 'Hangs at the first attempt, until its process is killed',
      async handler(run) {
        say(`started ${String(run.payload.n)} ${run.attempt}`);
        if (run.attempt === 1) await new Promise(() => {});
      },
    },
  },
});
