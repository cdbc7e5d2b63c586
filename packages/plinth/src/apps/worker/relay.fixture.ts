/** A process that passes events on, for tests that kill it. */
import process from 'node:process';
import { createPlinth } from '../../index.ts';
import { startWorker } from './index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
const silent = { info: () => {}, warn: () => {}, error: () => {} };
startWorker({
  plinth,
  services: { log: silent, enabled: () => false },
  pollMs: 50,
  relay: {
    ...(process.env.PLINTH_NATS_URL ? { nats: { servers: process.env.PLINTH_NATS_URL, ackMs: 2_000, duplicateWindowMs: 900_000 } } : {}),
    ...(process.env.PLINTH_REDIS_URL ? { redis: { url: process.env.PLINTH_REDIS_URL, answerMs: 2_000, duplicateWindowS: 900 } } : {}),
  },
});
process.stdout.write('started\n');
