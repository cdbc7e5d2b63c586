/** A worker in a process of its own that sends webhooks, for webhooks-kill to kill. Its leases are short, so that what died with it is sent again soon. */
import process from 'node:process';
import { createEgress, developmentPolicy } from '../../packages/plinth/src/adapters/http/egress.ts';
import { startWorker } from '../../packages/plinth/src/apps/worker/index.ts';
import { createKernel } from '../../packages/plinth/src/kernel/plinth.ts';
import { dispatcher } from '../../packages/plinth/src/modules/webhooks/index.ts';
import { modules } from '../../packages/plinth/src/registry.gen.ts';

const leaseMs = Number(process.env.LEASE_MS);
const webhooks = {
  ...modules.webhooks,
  workers: { ...modules.webhooks.workers, dispatcher: dispatcher({ timeoutMs: leaseMs - 1_000, leaseMarginMs: 1_000, pollMs: 200 }) },
};
const plinth = createKernel({ modules: { ...modules, webhooks }, database: { url: process.env.PLINTH_DATABASE_URL ?? '', max: 6 } });
const silent = { info: () => {}, warn: () => {}, error: () => {} };
const egress = createEgress({ policy: developmentPolicy });
let sent = 0;
const telling = {
  ...egress,
  send(request: Parameters<typeof egress.send>[0]) {
    sent++;
    if (sent === 1) process.stdout.write('ready\n');
    return egress.send(request);
  },
};

startWorker({
  plinth,
  pollMs: 200,
  services: { log: silent, adapters: { egress: telling }, enabled: (module) => module === 'webhooks' || module === 'events' },
});
