/** A server of Plinth in a process of its own, for the realtime benchmark and tests to kill. Tells its port to its parent. */
import process from 'node:process';
import { createHandler, createServices, serve } from '../../packages/plinth/src/apps/server/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '', max: 10 } });
const services = createServices({ log: { level: process.env.LOG_LEVEL as 'warn' | 'silent' } });
const handler = createHandler({ plinth, services, realtime: { bufferBytes: 8 * 1_048_576 } });
const serving = await serve({ fetch: handler, upgrade: handler.upgrade, port: Number(process.env.PORT ?? 0), tries: 0 });
process.send?.({ port: serving.port });
process.on('disconnect', () => process.exit());
