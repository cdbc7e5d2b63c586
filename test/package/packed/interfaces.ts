/** What applications with stricter settings write; compiled by packed.test.ts without skipLibCheck, and with exactOptionalPropertyTypes. */

import { createPlinth, keysOfJwks } from 'plinth';
import { startWorker } from 'plinth/worker';

interface Order {
  id: string;
  length: number;
}

export async function place(order: Order, before: Order | undefined, reason: string | undefined): Promise<void> {
  const max: number | undefined = Number(process.env.POOL) || undefined;
  const plinth = createPlinth({ database: { url: '', max } });
  await plinth.transaction({ tenantId: '', reason }, async (tx) => {
    tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: order.id, before, after: order, reason });
    tx.events.publish('order.placed', order, { idempotencyKey: reason });
    tx.events.append({ type: 'order', id: order.id }, [{ type: 'order.placed', data: order }]);
    tx.jobs.enqueue('order.confirm', order);
    tx.jobs.enqueueMany('order.confirm', [order]);
    tx.queue.send('orders', order, { headers: order });
    // @ts-expect-error a payload is an object
    tx.jobs.enqueue('order.confirm', [order]);
    // @ts-expect-error and no text
    tx.events.publish('order.placed', order.id);
  });
  startWorker({ plinth, name: reason, concurrency: max });
  keysOfJwks({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: '', kid: '1' }] });
}
