/** A process that takes a batch and does not finish it until it is told to go on. Run by takeover.test.ts, which kills it, or stops it for a while. */
import { once } from 'node:events';
import { consumeOnce } from '#kernel/feed.ts';
import { createPlinth } from '../../index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
const outcome = await consumeOnce(plinth, process.env.CONSUMER ?? '', {
  summary: 'writes, and holds on',
  from: 'beginning',
  idleMs: Number(process.env.IDLE_MS),
  handle: async (tx, events) => {
    for (const event of events) await tx.query('insert into takeover.effects (event_id, by) values ($1, $2)', [event.id, 'first']);
    process.stdout.write('holding\n');
    await once(process.stdin, 'data');
  },
}).catch((error: unknown) => (error as { code?: unknown }).code);
process.stdout.write(`${outcome}\n`);
process.exit();
