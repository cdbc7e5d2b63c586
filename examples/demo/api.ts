import type { Tx } from 'plinth';
import { procedure } from 'plinth/module';
import { z } from 'zod';

const CUSTOMERS = ['Ana Lima', 'Bo Chen', 'Chidi Okafor', 'Dana Weiss', 'Elif Kaya'];

export const api = {
  placeOrder: procedure({
    rest: 'POST /demo/orders',
    permission: 'demo.write',
    summary: 'Places a demo order',
    description: 'Writes an order, an audit entry, an event and a job in one transaction; the job and a webhook follow.',
  })
    .input(z.object({ customer: z.string().min(1).max(100).optional(), total_cents: z.number().int().positive().max(100_000_000).optional() }))
    .output(z.object({ id: z.guid(), number: z.string(), correlation_id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as Tx;
      const id = tx.newId();
      const number = `D-${id.slice(-6).toUpperCase()}`;
      const cents = input.total_cents ?? 4200;
      const customer = input.customer ?? CUSTOMERS[Number.parseInt(id.slice(-4), 16) % CUSTOMERS.length] ?? 'Ana Lima';
      await tx.query('insert into plinth_demo.orders (tenant_id, id, number, customer, total_cents, currency) values ($1, $2, $3, $4, $5, $6)', [
        tx.context.tenantId,
        id,
        number,
        customer,
        cents,
        'EUR',
      ]);
      tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: number, after: { number, customer, total_cents: cents, status: 'placed' } });
      const eventId = tx.events.publish(
        'demo.order.placed',
        { number, customer, total_cents: cents, currency: 'EUR' },
        { stream: { type: 'order', id: number } },
      );
      tx.jobs.enqueue('demo.fulfil', { id, number }, { name: `Fulfil ${number}`, causationId: eventId });
      return { id, number, correlation_id: tx.context.correlationId };
    }),
};
