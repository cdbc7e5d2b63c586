/** Plinth as the webhook benchmarks see it: events are published, everything behind that is its own. */
import { createEgress, developmentPolicy } from '../../packages/plinth/src/adapters/http/egress.ts';
import { startWorker } from '../../packages/plinth/src/apps/worker/index.ts';
import type { Plinth } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import type { Modules } from '../../packages/plinth/src/registry.gen.ts';
import type { BenchContext } from '../harness.ts';
import type { Delivery, Idiom } from './idioms.ts';

const silent = { info: () => {}, warn: () => {}, error: () => {} };

export function startHooks(plinth: Plinth): { stop(): Promise<unknown> } {
  const egress = createEgress({ policy: developmentPolicy });
  const worker = startWorker<Modules>({
    plinth,
    services: { log: silent, adapters: { egress }, enabled: (module) => module === 'webhooks' || module === 'events' },
  });
  return {
    async stop() {
      await worker.stop();
      egress.close();
    },
  };
}

export async function subscribeAll(plinth: Plinth, tenantId: string, urls: readonly string[]): Promise<void> {
  for (const [i, url] of urls.entries())
    await plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.subscribe($1, $2, $3)', [`receiver ${i}`, [`bench.r${i}`], url]));
}

/** `urls[i]` gets the events of type `bench.r<i>`; a Delivery here is an event of that type. */
export async function oursIdiom(context: BenchContext, urls: readonly string[]): Promise<Idiom> {
  const { tenantId, plinth } = context;
  await subscribeAll(plinth, tenantId, urls);
  // As autovacuum would, a minute later.
  await context.admin.query('analyze plinth_webhooks.subscriptions, plinth_webhooks.subscription_keys, plinth_webhooks.lanes, plinth_webhooks.secrets');
  // As in a process of its own: it hears of events by LISTEN.
  const elsewhere = createPlinth({ database: { url: context.serverUrl, max: 20 } });
  return {
    name: 'plinth',
    enqueue: (deliveries: readonly Delivery[]) =>
      plinth.transaction({ tenantId }, async (tx) => {
        for (const { type, data } of deliveries) tx.events.publish(type, data as Record<string, unknown>);
      }),
    start: async () => startHooks(elsewhere),
    logged: async () => Number((await context.admin.query('select count(*) as n from plinth_webhooks.attempts')).rows[0]?.n),
    close: () => elsewhere.close(),
  };
}
