/** A shop as somebody writes it who has installed `plinth`: its tables, and one module. */
import { defineModule, defineProjection } from 'plinth/module';

/** What the migrations of the shop make. */
export const TABLES = `create schema shop; grant usage on schema shop to plinth_app, plinth_worker;
  create table shop.totals (tenant_id uuid not null, order_id text not null, cents bigint not null, primary key (tenant_id, order_id));
  create table shop.open_orders (tenant_id uuid not null, order_id text not null, primary key (tenant_id, order_id));
  create table shop.emails (tenant_id uuid not null, customer text not null, email jsonb not null, primary key (tenant_id, customer));
  create table shop.seen (tenant_id uuid not null, event_id uuid not null, note text);
  grant select, insert, update, delete on all tables in schema shop to plinth_worker, plinth_app`;

/** Async: what every order is worth. */
const totals = defineProjection({
  summary: 'What every order is worth',
  revision: process.env.SHOP_REVISION ?? 1,
  tables: { totals: 'shop.totals' },
  types: ['order.paid'],
  handle: async (tx, events, tables) => {
    const factor = process.env.SHOP_REVISION === '2' ? 10 : 1;
    for (const { tenantId, data } of events)
      await tx.query(
        `insert into ${tables.totals} as t (tenant_id, order_id, cents) values ($1, $2, $3) on conflict (tenant_id, order_id) do update set cents = t.cents + excluded.cents`,
        [tenantId, data.order, Number(data.cents) * factor],
      );
  },
});

/** Inline: orders that are not paid, right in the transaction that places them. */
const open = defineProjection({
  summary: 'Orders that are not paid',
  kind: 'inline',
  revision: 1,
  tables: { open: 'shop.open_orders' },
  types: ['order.placed', 'order.paid'],
  handle: async (tx, events, tables) => {
    for (const { tenantId, type, data } of events) {
      if (type === 'order.placed') await tx.query(`insert into ${tables.open} (tenant_id, order_id) values ($1, $2)`, [tenantId, data.order]);
      else await tx.query(`delete from ${tables.open} where tenant_id = $1 and order_id = $2`, [tenantId, data.order]);
    }
  },
});

/** Async, of personal fields: what is encrypted in the log is readable here. */
const emails = defineProjection({
  summary: 'Where customers are reached',
  revision: 1,
  tables: { emails: 'shop.emails' },
  types: ['customer.registered'],
  handle: async (tx, events, tables) => {
    for (const { tenantId, data } of events)
      await tx.query(`insert into ${tables.emails} (tenant_id, customer, email) values ($1, $2, $3::text::jsonb)`, [
        tenantId,
        data.customer,
        JSON.stringify(data.email),
      ]);
  },
});

export const shop = defineModule({
  name: 'shop',
  summary: 'A shop that keeps no list of its own orders.',
  tables: {},
  uses: ['audit', 'events', 'jobs'],
  projections: { totals, open, emails },
  consumers: {
    invoices: {
      summary: 'One invoice for each payment',
      handle: async (tx, events) => {
        for (const event of events.filter(({ type }) => type === 'order.paid'))
          await tx.inTenantOf(event, async (own) => {
            own.jobs.enqueue('shop.invoice', { order: event.data.order });
            own.audit.record({ action: 'invoice.asked', entityType: 'order', entityId: String(event.data.order) });
          });
      },
    },
  },
  jobs: { 'shop.invoice': { summary: 'Sends an invoice', handler: async (run) => ({ order: run.payload.order }) } },
});
