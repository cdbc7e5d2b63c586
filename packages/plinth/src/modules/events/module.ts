import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { eventsCheck } from './check.ts';
import { consumersApi } from './consumers-api.ts';
import { consumersLists } from './consumers-lists.ts';
import { errors } from './errors.ts';
import { inlineProjections } from './inline-projections.ts';
import { eventInsert } from './insert.ts';
import { openEvents } from './open-events.ts';
import { projectionsApi, projectionsLists } from './projections-api.ts';
import { eventsEffects } from './publish.ts';

export default defineModule({
  name: 'events',
  summary: 'What happened, told once and kept: a log of events that commits with the work it tells of, and that consumers read without loss.',
  uses: ['audit'],
  tables: {
    events: {
      tenancy: 'tenant',
      keep: {
        for: '7 years',
        by: 'partition',
        every: 'month',
        archive: true,
        // Read, but still to be handled: what was put aside for good may go.
        unless: `exists (select from plinth_events.parked as p where p.tenant_id = r.tenant_id and p.event_id = r.id and p.status in ('failing', 'waiting'))`,
      },
      personal: ['payload', 'metadata', 'actor_id'],
      grants: { app: ['select', 'insert'], worker: ['select'] },
      worker: true,
      singleRows: 'written',
      trace: {
        kind: 'event',
        title: 'type',
        entity: `aggregate_type || coalesce(':' || aggregate_id, '')`,
        data: `jsonb_build_object('actor_type', actor_type, 'actor_id', actor_id, 'payload', payload, 'metadata', metadata, 'type_version', type_version, 'version', version, 'position', position::text)`,
      },
      sample: { type: `'order.created'`, shard: 'plinth_kernel.shard_of(tenant_id)' },
    },
    streams: { tenancy: 'tenant', keep: 'forever', sample: { version: '1' }, grants: { app: ['select', 'insert', 'update'] }, singleRows: 'read and written' },
    dedup: { tenancy: 'tenant', keep: { for: '90 days', by: 'delete', column: 'created_at' }, grants: { app: ['select', 'insert'] } },
    snapshots: { tenancy: 'tenant', keep: { for: '90 days', by: 'delete', column: 'created_at' }, personal: ['state'], sample: { version: '1' } },
    types: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      // Written by functions only: versions and marks are never changed or deleted.
      grants: { app: ['select'], worker: ['select'] },
      singleRows: 'read and written',
      sample: { name: `'order.created_' || left(md5(random()::text), 8)` },
    },
    common_types: { tenancy: 'global', keep: 'forever', grants: { app: ['select'], worker: ['select'] } },
    schema_warnings: { tenancy: 'tenant', keep: { for: '30 days', by: 'delete', column: 'created_at' }, grants: { app: ['select', 'insert'] } },
    subject_keys: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      // Operators may read them too: without the master key they open nothing.
      grants: { app: ['select', 'insert', 'update'], worker: ['select', 'update'] },
      sample: { subject_hash: 'sha256(uuid_send(gen_random_uuid()))', wrapped: `'\\x00'`, master: `'sample'` },
    },
    parked: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'delete', column: 'ended_at' },
      worker: true,
      grants: { app: ['select'], worker: ['select', 'insert', 'update', 'delete'] },
      trace: {
        kind: 'parked event',
        title: `consumer || case status when 'waiting' then ' has yet to handle ' else ' could not handle ' end || event_type`,
        endedAt: 'ended_at',
        status: 'status',
        parent: 'event_id::text',
        xact: 'null',
        data: `jsonb_build_object('event_id', event_id, 'error', error, 'attempts', attempts, 'retry_at', nullif(retry_at, 'infinity'), 'reason', reason)`,
      },
      sample: { consumer: `'sample.reader'`, shard: '0', status: `'discarded'`, ended_at: 'clock_timestamp()', attempts: '5' },
    },
  },
  feed: {
    table: 'events',
    parked: 'parked',
    open: openEvents,
    details: `jsonb_build_object('typeVersion', e.type_version, 'streamType', e.aggregate_type, 'streamId', e.aggregate_id, 'version', e.version, 'metadata', e.metadata, 'occurredAt', e.occurred_at)`,
    columns: { schemaVersion: 'coalesce(e.type_version, 1)', streamId: `e.aggregate_type || ':' || e.aggregate_id`, data: 'e.payload' },
  },
  effects: eventsEffects,
  effectInsert: eventInsert,
  checkEffects: eventsCheck,
  followEffects: inlineProjections,
  api: { ...api, ...consumersApi, ...projectionsApi },
  permissions: {
    'events.read': 'Sees events, streams, event types and parked events; operators also see consumers',
    'events.write': 'Publishes and appends events, registers event types',
    'events.personal': 'Reads personal fields of events',
    'events.erase': 'Erases data subjects',
    'events.unmark': 'Takes back marks of personal fields, deletes event types that have them',
    'events.retry': 'Has parked events tried again, or gives them up',
    'events.admin': 'Pauses, resumes and rewinds consumers, cancels rebuilds of projections (operators)',
  },
  lists: {
    ...consumersLists,
    ...projectionsLists,
    events: {
      title: 'Events',
      view: 'event_store',
      columns: ['created_at', 'event_type', 'aggregate_type', 'aggregate_id', 'version', 'actor_type', 'actor_id', 'correlation_id'],
      filters: ['event_type', 'aggregate_type', 'aggregate_id', 'actor_type', 'actor_id', 'correlation_id', 'causation_id', 'idempotency_key'],
      empty: 'No event has been published yet. Call tx.events.publish(...), plinth.publish_event(...) or POST /api/v1/events.',
    },
    streams: {
      title: 'Streams',
      view: 'event_streams',
      columns: ['updated_at', 'aggregate_type', 'aggregate_id', 'version', 'created_at'],
      filters: ['aggregate_type', 'aggregate_id'],
      empty: 'No event belongs to a stream yet. Call tx.events.append(...), plinth.append_event(...) or POST /api/v1/events/streams/{type}/{id}.',
    },
    types: {
      title: 'Event types',
      view: 'event_types',
      columns: ['name', 'version', 'mode', 'compatibility', 'visibility', 'deprecated_at', 'successor', 'description', 'updated_at'],
      filters: ['name', 'mode', 'compatibility', 'visibility', 'successor'],
      empty: 'No event type is registered, so no payload is checked. Register one with PUT /api/v1/event-types/{name} or plinth.define_event_type(...).',
    },
    warnings: {
      title: 'Schema warnings',
      view: 'event_schema_warnings',
      columns: ['created_at', 'event_type', 'type_version', 'fault', 'event_id'],
      filters: ['event_type', 'event_id'],
      empty: 'Every event of a type in mode warn fitted its schema in the last 30 days.',
    },
  },
  errors,
});
