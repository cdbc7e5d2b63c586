import { defineModule } from 'plinth/module';
import { api } from './api.ts';
import { fulfil } from './jobs.ts';

export default defineModule({
  name: 'demo',
  summary: 'A shop of one button: an order, and everything that belongs to it, in one transaction.',
  uses: ['audit', 'events', 'jobs'],
  tables: {
    orders: {
      tenancy: 'tenant',
      keep: 'forever',
      personal: ['customer'],
      trace: {
        kind: 'order',
        title: `customer || ', ' || to_char(total_cents / 100.0, 'FM999990.00') || ' ' || currency`,
        status: 'status',
        entity: `'order:' || number`,
        parent: 'null',
      },
    },
  },
  sql: new URL('sql/', import.meta.url),
  api,
  jobs: { 'demo.fulfil': fulfil },
  lists: {
    orders: {
      title: 'Demo orders',
      view: 'demo_orders',
      columns: ['created_at', 'number', 'customer', 'total_cents', 'currency', 'status', 'correlation_id'],
      filters: ['status', 'customer', 'number'],
      empty: 'No order has been placed. Press Run the demo order on the first page, or POST /api/v1/demo/orders.',
    },
  },
});
