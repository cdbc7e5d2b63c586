import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';

export default defineModule({
  name: 'streams',
  summary: 'Streams of bytes or JSON, appended to in a transaction and read over HTTP from any offset, now or as they grow (Durable Streams protocol).',
  tables: {
    streams: {
      tenancy: 'tenant',
      keep: { for: '1 days', by: 'delete', column: 'ends_at', where: 'not plinth_streams.is_forked(tenant_id, id)' },
      sample: { path: `'sample/' || plinth_kernel.uuid_v7()`, content_type: `'text/plain'`, forked_from: 'null' },
    },
    messages: { tenancy: 'tenant', keep: 'forever', personal: ['data'], sample: { position: '1' } },
    producers: { tenancy: 'tenant', keep: 'forever', sample: { producer_id: `'p'`, epoch: '0', last_seq: '0' } },
  },
  api,
  permissions: { 'streams.read': 'Reads streams', 'streams.write': 'Creates, appends to, closes and deletes streams' },
  lists: {
    streams: {
      title: 'Durable streams',
      view: 'durable_streams',
      columns: ['path', 'content_type', 'tail', 'closed', 'touched_at', 'ends_at'],
      filters: ['path', 'content_type', 'closed'],
      empty: 'No streams. Create one with PUT /api/v1/streams/{path} or plinth.create_durable_stream(...).',
    },
  },
  errors,
});
