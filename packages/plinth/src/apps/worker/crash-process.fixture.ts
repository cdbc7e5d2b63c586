/** The server or a worker of a crashing world, in a process of its own that is killed at will. Prints the address it serves at. */
import process from 'node:process';
import { z } from 'zod';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { createHandler, createServices, serve } from '#apps/server/index.ts';
import { procedure } from '#kernel/rpc.ts';
import { CONSUMERS, crashingPlinth, HANDLERS, writeOrder } from './crash.fixture.ts';
import { startWorker } from './index.ts';

const plinth = crashingPlinth(process.env.PLINTH_DATABASE_URL ?? '');
const services = createServices({ log: { level: 'warn' }, adapters: { egress: createEgress({ policy: developmentPolicy }) } });

const place = procedure({ rest: 'POST /shop/orders', permission: 'shop.write', summary: 'Places an order' })
  .input(z.object({ key: z.string(), n: z.number(), broken: z.boolean() }))
  .output(z.object({ n: z.number() }))
  .mutation(async ({ ctx, input: { key, n, broken } }) => {
    const tx = ctx.tx as Parameters<typeof writeOrder>[0];
    await writeOrder(tx, key, n);
    if (!broken) return { n };
    // Everything is written by now, and nothing may stay.
    await tx.flush();
    throw new Error('the application had second thoughts');
  });

// The end of it is the end of whoever started us.
process.stdin.resume().once('close', () => process.exit());
if (process.argv[2] === 'server') {
  const handler = createHandler({ plinth, services, api: { shop: { place } } });
  const { origin } = await serve({ fetch: handler, port: Number(process.argv[3]), tries: 0 });
  process.stdout.write(`${origin}\n`);
} else {
  startWorker({ plinth, services, pollMs: 200, leaseMs: 2_000, handlers: HANDLERS as never, consumers: CONSUMERS as never });
  process.stdout.write('started\n');
}
