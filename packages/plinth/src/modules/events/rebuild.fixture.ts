/** A process that rebuilds a projection and never gets far. Run by projections.test.ts, which kills it. */
import { rebuildProjection } from '#kernel/projection-rebuild.ts';
import { shopOf, totalsOf } from './projections.fixture.ts';

const slow = totalsOf(2, 2);
const plinth = shopOf(process.env.PLINTH_DATABASE_URL ?? '', {
  ...slow,
  handle: async (tx, events, tables) => {
    await slow.handle(tx, events, tables);
    await tx.query('select pg_sleep(0.2)');
  },
});
await rebuildProjection(plinth, 'shop.totals', {
  ownerUrl: process.env.OWNER_URL ?? '',
  parallel: 1,
  onProgress: ({ handled }) => void process.stdout.write(`${handled}\n`),
});
