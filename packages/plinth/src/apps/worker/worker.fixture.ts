/** A worker in a process of its own, for tests that kill or stop it. Prints `started <attempt>` when its handler begins. */
import process from 'node:process';
import { createPlinth } from '../../index.ts';
import { startWorker } from './index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
const silent = { info: () => {}, warn: () => {}, error: () => {} };
startWorker({
  plinth,
  services: { log: silent, enabled: (module) => module === 'jobs' },
  leaseMs: Number(process.env.LEASE_MS ?? 1_000),
  name: 'child',
  handlers: {
    /** Hangs until the process is killed. */
    'test.hang': {
      summary: 'hangs',
      handler: async (run) => {
        process.stdout.write(`started ${run.attempt}\n`);
        await new Promise(() => {});
      },
    },
    /** Blocks the event loop until the job is no longer ours, then tries to complete it all the same. */
    'test.zombie': {
      summary: 'outlives its lease',
      handler: async (run) => {
        process.stdout.write(`started ${run.attempt}\n`);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
        await plinth
          .transaction({ tenantId: run.tenantId }, async (tx) => {
            tx.audit.record({ action: 'test.effect', metadata: { by: 'zombie' } });
            await run.completeIn(tx);
          })
          .then(
            () => process.stdout.write('completed\n'),
            (error: { code?: string }) => process.stdout.write(`refused ${error.code}\n`),
          );
      },
    },
  },
});
