import { createPlinth } from 'plinth';
import { startWorker } from 'plinth/worker';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL } });
const done = Promise.withResolvers();
await plinth.transaction({ tenantId: process.env.TENANT }, async (tx) => void tx.jobs.enqueue('project.greet', {}));
const worker = startWorker({
  plinth,
  services: { log: { info: () => {}, warn: () => {}, error: console.error } },
  handlers: { 'project.greet': { summary: 'Greets', handler: async () => done.resolve('greeted') } },
});
console.log(await done.promise);
await worker.stop();
await plinth.close();
