import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';

export default defineModule({
  name: 'idempotency',
  summary: "The same call sent twice is done once; the second gets the first one's answer.",
  tables: {
    keys: {
      tenancy: 'tenant',
      keep: { for: '1 days', by: 'delete', column: 'expires_at' },
      personal: ['response_body'],
      worker: true,
      sample: { expires_at: `now() + interval '7 days'` },
    },
  },
  permissions: { 'idempotency.read': 'Sees idempotency keys and the answers stored with them' },
  api,
  lists: {
    keys: {
      title: 'Idempotency keys',
      view: 'idempotency_keys',
      columns: ['created_at', 'scope', 'key', 'state', 'response_status', 'expires_at', 'correlation_id'],
      filters: ['scope', 'key', 'state', 'response_status', 'entity_type', 'entity_id', 'correlation_id', 'created_at', 'expires_at'],
      empty: 'No call has come with an Idempotency-Key yet.',
    },
  },
  errors,
});
