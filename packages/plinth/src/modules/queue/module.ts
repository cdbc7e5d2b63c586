import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';
import { jobDefinitions } from './jobs.ts';
import { queueEffects } from './send.ts';

export default defineModule({
  name: 'queue',
  summary: 'Messages for programs in any language: sent with the transaction, received under a visibility timeout, acknowledged with a receipt.',
  tier: 'queue',
  uses: ['audit'],
  tables: {
    queues: { tenancy: 'tenant', keep: 'forever', worker: true },
    messages: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'partition', every: 'day' },
      personal: ['payload', 'headers', 'actor_id'],
      grants: { app: ['select', 'insert'] },
      worker: true,
      trace: {
        kind: 'message',
        title: 'queue',
        endedAt: 'plinth_queue.ended_at(tenant_id, id)',
        status: 'plinth_queue.status_of(tenant_id, id)',
        data: `jsonb_build_object('queue', queue, 'payload', payload, 'headers', headers, 'group_key', group_key, 'deduplication_key', deduplication_key)`,
      },
    },
    ready: { tenancy: 'tenant', keep: 'forever', worker: true },
    grouped: { tenancy: 'tenant', keep: 'forever', worker: true },
    hidden: { tenancy: 'tenant', keep: 'forever', worker: true },
    dead: { tenancy: 'tenant', keep: { for: '14 days', by: 'delete', column: 'dead_at' }, worker: true },
    done: { tenancy: 'tenant', keep: { for: '30 days', by: 'partition', every: 'day' }, grants: { app: ['select', 'insert'] }, worker: true },
    deduplication: { tenancy: 'tenant', keep: { for: '1 days', by: 'delete', column: 'expires_at' }, worker: true },
    cursors: { tenancy: 'tenant', keep: 'forever', worker: true },
  },
  effects: queueEffects,
  api,
  permissions: {
    'queue.read': 'Sees queues, messages and dead letters',
    'queue.send': 'Sends messages',
    'queue.receive': 'Receives, acknowledges, extends and releases messages',
    'queue.admin': 'Configures and purges queues, redrives dead letters',
  },
  lists: {
    messages: {
      title: 'Messages',
      view: 'message_queue',
      columns: ['queue', 'status', 'receives', 'group_key', 'created_at', 'visible_at', 'finished_at', 'error'],
      filters: ['queue', 'status', 'group_key', 'deduplication_key', 'correlation_id'],
      empty: 'No messages. Send one with tx.queue.send(queue, payload), plinth.send_message(...) or POST /api/v1/queues/{name}/messages.',
    },
    dead: {
      title: 'Dead letters',
      view: 'message_dead_letters',
      columns: ['queue', 'receives', 'error', 'dead_at', 'created_at', 'group_key'],
      filters: ['queue', 'group_key', 'correlation_id'],
      empty: 'No dead letters: every message was acknowledged before it was received too often.',
      actions: [{ procedure: 'redriveOne', label: 'Redrive' }],
    },
    queues: {
      title: 'Queues',
      view: 'queues',
      columns: ['name', 'visibility_ms', 'max_receives', 'retention_s', 'max_payload_bytes', 'fifo', 'updated_at'],
      filters: ['name', 'fifo'],
      empty: 'No queue was configured; every queue has the defaults. Configure one with PUT /api/v1/queues/{name} or plinth.configure_queue(...).',
    },
  },
  jobs: jobDefinitions,
  errors,
});
