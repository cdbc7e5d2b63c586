/** What a strict compiler makes of the packages: compiled in a project outside of the repository by packed.test.ts. A line that should be an error has to be one. */

import type { Tx } from 'plinth';
import { createPlinth } from 'plinth';
import { createPlinthClient, realtime } from 'plinth/client';
import { defineModule, defineProjection, procedure } from 'plinth/module';
import { useTopic } from 'plinth/react';
import { PortalProvider, WebhookPortal } from 'plinth/react/portal';
import { createHandler, createServices, prometheusMetrics, serve } from 'plinth/server';
import type { Database } from 'plinth/sql';
import { sqlFunctions } from 'plinth/sql';
import { exerciseModule, jobsKit, virtualClock } from 'plinth/testing';
import { createEgress, startWorker } from 'plinth/worker';
import { startPostgres } from 'plinth-embedded';

const shop = defineModule({ name: 'shop', summary: 'A shop', tables: {}, uses: ['events'] });
const plinth = createPlinth({ database: { url: '' }, modules: [shop] });
// @ts-expect-error the pool is one of pg, whose types come along
void plinth.pool.nothing;

await plinth.transaction({ tenantId: '' }, async (tx: Tx<[typeof shop]>) => {
  const id: string = tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: '1' });
  tx.jobs.enqueue('order.confirm', { id });
  // @ts-expect-error a misspelt option
  tx.audit.record({ acton: 'order.placed' });
  // @ts-expect-error no module of this name
  tx.orders.place();
  const [row] = await tx.query<{ n: number }>('select 1 as n');
  const n: number | undefined = row?.n;
  // @ts-expect-error it is a number
  const text: string | undefined = row?.n;
  return [n, text];
});

const services = createServices({});
await serve({ fetch: createHandler({ plinth, services, metrics: prometheusMetrics({ pool: plinth.pool }) }), port: 0 });
startWorker({
  plinth,
  services,
  handlers: {
    'order.confirm': { summary: 'Confirms an order', handler: (run) => run.transaction(async (tx) => tx.events.publish('order.confirmed', {})) },
  },
});

const client = createPlinthClient({ url: '' });
const { id } = await client.system.jobs.enqueue.mutate({ kind: 'order.confirm' });
const made: string = id;
// @ts-expect-error a kind is text
await client.system.jobs.enqueue.mutate({ kind: 1 });
// @ts-expect-error no module of this name
void client.system.orders;

export type { Database };
export {
  createEgress,
  defineProjection,
  exerciseModule,
  jobsKit,
  made,
  PortalProvider,
  procedure,
  realtime,
  sqlFunctions,
  startPostgres,
  useTopic,
  virtualClock,
  WebhookPortal,
};
