/** A worker whose consumer has written and does not come to its end. Run by consumers.test.ts, which kills it. */
import { createPlinth } from 'plinth';
import { startWorker } from 'plinth/worker';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
startWorker({
  plinth,
  consumers: {
    'reader.killed': {
      summary: 'Never gets far',
      handle: async (tx, events) => {
        for (const event of events)
          await tx.query('insert into shop.seen (tenant_id, event_id, note) values ($1, $2, $3)', [event.tenantId, event.id, 'killed']);
        process.stdout.write('written\n');
        await new Promise(() => {});
      },
    },
  },
});
