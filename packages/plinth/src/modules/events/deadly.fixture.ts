/** A worker in small whose process ends when it is given a deadly event. Run by takeover.test.ts as often as it takes. */
import { consumeParked, consumeTurn } from '#kernel/feed.ts';
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
for (let done = 1; done > 0; ) {
  const { handled, aside, failure } = await consumeTurn(plinth, name, consumer);
  if (failure) throw failure.error;
  if (aside) console.log('aside');
  done = handled + (await consumeParked(plinth, name, consumer));
}
await plinth.close();
