/** A process that takes a batch and never finishes it. Run by takeover.test.ts, which kills it. */
import { consumeOnce } from '#kernel/feed.ts';
import { createPlinth } from '../../index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
await consumeOnce(plinth, 'test.taken', {
  summary: 'writes, and holds on',
  from: 'beginning',
  handle: async (tx, events) => {
    for (const event of events) await tx.query('insert into takeover.effects (event_id, by) values ($1, $2)', [event.id, 'killed']);
    process.stdout.write('holding\n');
    await new Promise(() => setInterval(() => undefined, 60_000));
  },
});
