/** A worker in small whose process ends when it is given a deadly event. Run by takeover.test.ts as often as it takes. */
import { consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { Consumer } from '#kernel/work.ts';
import { createPlinth } from '../../index.ts';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
const name = process.env.CONSUMER ?? '';
const consumer: Consumer = {
  summary: 'ends with its process',
  from: 'beginning',
  onPoison: process.env.ON_POISON === 'park' ? 'park' : 'block',
  handle: async (tx, events) => {
    for (const event of events) await tx.query('insert into takeover.effects (event_id, by) values ($1, $2)', [event.id, event.type]);
    if (events.some(({ type }) => type === 'takeover.deadly')) process.exit(9);
  },
};
while ((await consumeOnce(plinth, name, consumer)) + (await consumeParked(plinth, name, consumer)) > 0);
await plinth.close();
