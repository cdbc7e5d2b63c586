import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { fanOut } from './consumer.ts';
import { keyDeriver } from './derive-keys.ts';
import { dispatcher } from './dispatch.ts';
import { errors } from './errors.ts';
import { replayer } from './replays.ts';

export default defineModule({
  name: 'webhooks',
  summary: 'Sends events to the URLs of those who subscribed, signed, retried and logged.',
  tier: 'queue',
  uses: ['audit', 'events'],
  tables: {
    subscriptions: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      sample: { name: `'sample ' || plinth_kernel.uuid_v7()`, url: `'https://example.com/hooks'`, patterns: `'{order.*}'`, created_by: `'sample'` },
    },
    subscription_keys: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select', 'insert', 'delete'], worker: ['select'] } },
    secrets: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['insert'], worker: ['select', 'delete'], reader: false },
      sample: { secret: `'whsec_' || encode(sha256(uuid_send(gen_random_uuid())), 'base64')` },
    },
    transforms: { tenancy: 'tenant', keep: 'forever', grants: { app: ['select', 'insert'] }, sample: { transform: `'{}'` } },
    signing_keys: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['insert'], worker: ['select', 'delete'], reader: false },
      sample: { seed: 'sha256(uuid_send(gen_random_uuid()))' },
    },
    public_keys: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['select', 'insert'], worker: ['select', 'update'] },
      sample: { public_key: 'null', key_id: 'null' },
    },
    inbound_sources: { tenancy: 'tenant', keep: 'forever', worker: true, sample: { profile: `'github'` } },
    inbound_secrets: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['insert'], worker: ['select', 'delete'], reader: false },
      sample: { secret: `'sample secret'` },
    },
    inbound_messages: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'delete', column: 'received_at' },
      grants: { app: ['select', 'insert'] },
    },
    deliveries: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'delete', column: 'finished_at', where: `status = 'failed'` },
      worker: true,
      personal: ['body'],
      sample: { body: `'{}'`, event_type: `'order.created'`, due_at: `'infinity'` },
      trace: {
        kind: 'delivery',
        title: 'event_type',
        status: 'status',
        endedAt: 'finished_at',
        attempt: 'attempts',
        data: `jsonb_build_object('subscription_id', subscription_id, 'event_id', event_id, 'due_at', case when due_at < 'infinity' then due_at end, 'last_error', last_error, 'last_response_code', last_response_code)`,
      },
    },
    lanes: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select', 'insert', 'update'] } },
    flights: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select'] }, sample: { lease_until: 'clock_timestamp()' } },
    tenant_limits: { tenancy: 'tenant', keep: 'forever', worker: true },
    held_back: { tenancy: 'tenant', keep: 'forever', worker: true },
    replays: {
      tenancy: 'tenant',
      keep: { for: '90 days', by: 'delete', column: 'finished_at' },
      worker: true,
      grants: { app: ['select', 'insert', 'update'] },
      sample: { only_failed: 'true', until: 'now()', total: '0', done_to: 'plinth_kernel.uuid_v7()', created_by: `'sample'` },
    },
    attempts: {
      tenancy: 'tenant',
      keep: { for: '90 days', by: 'partition', every: 'month' },
      worker: true,
      personal: ['request_body', 'response_body'],
      grants: { app: ['select'], worker: ['select', 'insert'] },
      trace: {
        kind: 'delivery attempt',
        title: `event_type || ' to ' || split_part(url, '/', 3)`,
        at: 'attempted_at',
        endedAt: `attempted_at + coalesce(response_time_ms, 0) * interval '1 millisecond'`,
        status: 'status',
        attempt: 'attempt',
        data: `jsonb_build_object('webhook_id', delivery_id, 'subscription_id', subscription_id, 'url', url, 'response_code', response_code, 'error_code', error_code,
          'error_message', error_message, 'timings', timings, 'request_headers', request_headers, 'request_body', request_body, 'response_headers', response_headers, 'response_body', response_body)`,
      },
    },
  },
  errors,
  api,
  consumers: { 'fan-out': fanOut },
  workers: { dispatcher: dispatcher(), replayer, keys: keyDeriver },
  permissions: {
    'webhooks.read': 'Sees subscriptions, deliveries and attempts (never secrets)',
    'webhooks.write': 'Manages subscriptions and their secrets, sends test events',
    'webhooks.retry': 'Sends deliveries again, and replays',
  },
  lists: {
    subscriptions: {
      title: 'Webhook subscriptions',
      view: 'event_subscriptions',
      columns: ['name', 'url', 'patterns', 'filter', 'enabled', 'signing', 'ordering', 'breaker', 'paused_until', 'failure_count', 'failing_since', 'disabled_reason', 'created_at'],
      filters: ['name', 'url', 'enabled', 'ordering', 'breaker'],
      empty: 'Nobody has subscribed yet. Call plinth.subscribe(...) or POST /api/v1/webhooks/subscriptions.',
      actions: [
        { procedure: 'sendTest', label: 'Send a test event', when: { column: 'enabled', in: ['true'] } },
        { procedure: 'enable', label: 'Enable', when: { column: 'enabled', in: ['false'] } },
        { procedure: 'resume', label: 'Try now', when: { column: 'breaker', in: ['open', 'half_open'] } },
        { procedure: 'disable', label: 'Disable', when: { column: 'enabled', in: ['true'] }, danger: true },
      ],
    },
    sources: {
      title: 'Inbound webhooks',
      view: 'webhook_inbound_sources',
      columns: ['name', 'profile', 'enabled', 'tolerance_seconds', 'created_by', 'created_at'],
      filters: ['name', 'profile', 'enabled'],
      empty: 'No provider sends here yet. Call plinth.add_inbound_source(...) or POST /api/v1/webhooks/sources.',
      actions: [
        { procedure: 'enableSource', label: 'Enable', when: { column: 'enabled', in: ['false'] } },
        { procedure: 'disableSource', label: 'Disable', when: { column: 'enabled', in: ['true'] }, danger: true },
      ],
    },
    deliveries: {
      title: 'Webhooks to be delivered',
      view: 'event_deliveries',
      columns: ['created_at', 'subscription_name', 'event_type', 'status', 'attempts', 'due_at', 'last_response_code', 'last_error', 'correlation_id'],
      filters: ['status', 'event_type', 'subscription_id', 'event_id', 'correlation_id'],
      empty: 'Nothing is waiting: everything was delivered, or no event matched a subscription.',
      actions: [
        { procedure: 'resend', label: 'Send again', when: { column: 'status', in: ['failed', 'blocked'] } },
        { procedure: 'skip', label: 'Skip', when: { column: 'status', in: ['blocked'] }, danger: true },
      ],
    },
    replays: {
      title: 'Webhook replays',
      view: 'webhook_replays',
      columns: ['created_at', 'subscription_name', 'status', 'only_failed', 'since', 'until', 'total', 'added', 'rate_per_second', 'created_by'],
      filters: ['status', 'subscription_id', 'correlation_id'],
      empty: 'Nothing was sent again. Call plinth.start_replay(...) or POST /api/v1/webhooks/subscriptions/{id}/replays.',
      actions: [{ procedure: 'cancelReplay', label: 'Cancel', when: { column: 'status', in: ['running'] }, danger: true }],
    },
    attempts: {
      title: 'Webhook delivery log',
      view: 'event_delivery_log',
      columns: ['attempted_at', 'event_type', 'status', 'response_code', 'response_time_ms', 'attempt_number', 'error_message', 'url', 'correlation_id'],
      filters: ['status', 'event_type', 'subscription_id', 'event_id', 'delivery_id', 'response_code', 'error_code', 'correlation_id'],
      empty: 'Nothing has been sent yet.',
    },
  },
});
