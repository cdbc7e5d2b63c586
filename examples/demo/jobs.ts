import type { JobDefinition } from 'plinth/module';

/** Ships the order and completes the job in the same transaction: an order is shipped once, whatever is killed. */
export const fulfil: JobDefinition = {
  summary: 'Ships a demo order.',
  handler: (run) =>
    run.transaction(async (tx) => {
      const { id, number } = run.payload as { id: string; number: string };
      await tx.query(`update plinth_demo.orders set status = 'shipped', updated_at = now() where tenant_id = $1 and id = $2`, [tx.context.tenantId, id]);
      tx.audit.record({ action: 'order.shipped', entityType: 'order', entityId: number, before: { status: 'placed' }, after: { status: 'shipped' } });
      tx.events.publish('demo.order.shipped', { number }, { stream: { type: 'order', id: number } });
      await run.completeIn(tx, { shipped: number });
    }),
};
