import { createPlinth } from 'plinth';
import { startWorker } from 'plinth/worker';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL } });
const done = Promise.withResolvers();
const worker = startWorker({
  plinth,
  services: { log: { info: () => {}, warn: () => {}, error: console.error } },
  handlers: { 'project.double': { summary: 'Doubles a number', thread: new URL('./work.mjs', import.meta.url) } },
  middleware: [
    async (run, next) => {
      const result = await next(run);
      done.resolve(result);
      return result;
    },
  ],
});
await plinth.transaction({ tenantId: process.env.TENANT }, async (tx) => void tx.jobs.enqueue('project.double', { n: 21 }));
console.log(JSON.stringify(await done.promise));
await worker.stop();
await plinth.close();
