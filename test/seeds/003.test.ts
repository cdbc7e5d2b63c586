/**
 * Seed 003: the calls of SQL functions, word for word. `auth.uid()` is Supabase's and is made by the set-up; the calls through
 * `supabase.rpc` run as they stand against an object whose `rpc` calls the SQL function of that name with those arguments.
 */
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { promiseSeed, promiseTables, type SeedDatabase, seedDatabase, snippetsOf, USER } from './seed.ts';

let database: SeedDatabase;
beforeAll(async () => {
  database = await seedDatabase('seed 003');
});
afterAll(() => database.drop());

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const snippets = snippetsOf('003');
const textOf = (name: string): string => snippets.find((snippet) => snippet.name === name)?.text ?? '';

/** The one value that `select function(...)` answers. */
async function value(text: string): Promise<unknown> {
  const [row] = await database.rows(text);
  return Object.values(row ?? {})[0];
}

const APPEND = 'Event Sourcing & Message Queue: Append an event';
const payments = { module: 'payments', needs: ['create_transaction', 'update_transaction_status', 'transactions'] };
const whatsapp = { module: 'whatsapp', needs: ['enqueue_whatsapp_message', 'update_whatsapp_session_activity'] };
const flags = { module: 'flags', needs: ['is_feature_enabled'] };
const config = { module: 'config', needs: ['set_config', 'get_config', 'get_service_configs'] };
const services = { module: 'services', needs: ['register_service', 'service_health_overview'] };
const analytics = { module: 'analytics', needs: ['track_event', 'refresh_daily_metrics', 'analytics_summary', 'user_engagement_metrics'] };
const cache = { module: 'cache', needs: ['set_cache', 'get_cache', 'invalidate_cache_by_tag', 'cleanup_expired_cache'] };

promiseSeed({
  snippets,
  database: () => database,
  executed: {
    [APPEND]: async (text) => {
      const id = await value(text);
      expect(id).toMatch(UUID);
      const stored = await database.rows(`select event_type, aggregate_type, aggregate_id, payload from public.event_store where id = '${id}'`);
      expect(stored).toEqual([{ event_type: 'trip_completed', aggregate_type: 'trip', aggregate_id: 'trip-123', payload: { fare: 5000 } }]);
    },
    'Event Sourcing & Message Queue: Get aggregate history': async (text) => {
      const before = (await database.rows(text)).length;
      await database.rows(textOf(APPEND));
      const history = await database.rows<{ event_type: string; version: string; payload: object }>(text);
      expect(history).toHaveLength(before + 1);
      expect(history.at(-1)).toMatchObject({ event_type: 'trip_completed', payload: { fare: 5000 } });
      expect(history.map((event) => Number(event.version))).toEqual(history.map((_, index) => index + 1));
      expect(await database.rows(text, database.tenantB)).toEqual([]);
    },
    'Event Sourcing & Message Queue: Schedule a background job': async (text) => {
      const id = await value(text);
      const job = `select job_type, job_name, payload, status from public.background_jobs where id = '${id}'`;
      expect(await database.rows(job)).toEqual([{ job_type: 'payment_processing', job_name: 'Process Payment', payload: { amount: 5000 }, status: 'pending' }]);
      expect(await database.rows(job, database.tenantB)).toEqual([]);
    },
    'System Observability: Log an audit event': async (text) => {
      const id = await value(text);
      const entry = `select actor_type, actor_identifier, action, resource_type, resource_id from public.system_audit_logs where id = '${id}'`;
      expect(await database.rows(entry)).toEqual([
        { actor_type: 'user', actor_identifier: USER, action: 'trip_created', resource_type: 'trip', resource_id: 'trip-123' },
      ]);
      expect(await database.rows(entry, database.tenantB)).toEqual([]);
    },
    'Event Sourcing for Critical State: Append events for state changes': async (text) => {
      await database.as(async (tx) => {
        const rpc = async (name: string, args: Record<string, unknown>): Promise<unknown> => {
          const names = Object.keys(args);
          const values = Object.values(args).map((arg) => (typeof arg === 'object' ? JSON.stringify(arg) : arg));
          return tx.query(`select public.${name}(${names.map((arg, index) => `${arg} := $${index + 1}`).join(', ')})`, values);
        };
        // The first line is a comment of SQL, as the block is marked in the document.
        await runInNewContext(`(async () => {${text.replace(/^--/, '//')}\n})()`, { supabase: { rpc }, tripId: 'trip-7' });
      });
      const history = await database.rows(
        `select event_type, payload from public.get_aggregate_events(p_aggregate_type := 'trip', p_aggregate_id := 'trip-7')`,
      );
      expect(history).toEqual([{ event_type: 'status_changed', payload: { from: 'pending', to: 'accepted' } }]);
    },
  },
  pending: {
    'Transaction & Payment System: Create a transaction with idempotency': payments,
    'Transaction & Payment System: Update transaction status': payments,
    'Use Correlation IDs: In your code': payments,
    'Leverage Idempotency Keys: const idempotencyKey = `transfer-${userId}-${timestamp}`;': payments,
    'Partition Management: Example: Create partition for June 2026': payments,
    'Partition Management: Create corresponding indexes': payments,
    'WhatsApp Integration: Enqueue a WhatsApp message': whatsapp,
    'WhatsApp Integration: Update session activity': whatsapp,
    'Service Registry & Feature Flags: Register a service': services,
    'Daily Tasks: SELECT * FROM public.service_health_overview;': services,
    'Service Registry & Feature Flags: Check if feature is enabled': flags,
    'Use Feature Flags: Check if feature is enabled': flags,
    'Service Configurations: Set configuration': config,
    'Service Configurations: Get configuration': config,
    'Service Configurations: Get all configs for a service': config,
    'System Observability: Record a metric': { module: 'metrics', needs: ['record_metric', 'system_metrics'] },
    'Analytics Infrastructure: Track an event': analytics,
    'Analytics Infrastructure: Refresh daily metrics (run periodically)': analytics,
    'Analytics Infrastructure: Query analytics': analytics,
    'Analytics Infrastructure: SELECT * FROM public.user_engagement_metrics WHERE user_id = auth.uid();': analytics,
    'Daily Tasks: SELECT public.refresh_daily_metrics();': analytics,
    'Cache Infrastructure: Set cache value': cache,
    'Cache Infrastructure: Get cache value': cache,
    'Cache Infrastructure: Invalidate by tag': cache,
    'Daily Tasks: SELECT public.cleanup_expired_cache();': cache,
    'Cache Infrastructure: Find nearby locations': { module: 'geo', needs: ['find_nearby_locations', 'locations', 'routes'] },
  },
});

promiseTables(() => database, ['event_store', 'message_queue', 'background_jobs', 'system_audit_logs'], {
  payments: ['transactions', 'payment_methods', 'transaction_events'],
  whatsapp: ['whatsapp_sessions', 'whatsapp_message_queue'],
  services: ['service_registry', 'service_health_overview'],
  flags: ['feature_flags', 'feature_flag_evaluations'],
  config: ['configurations', 'configuration_history'],
  metrics: ['system_metrics'],
  analytics: ['analytics_events', 'daily_metrics', 'analytics_summary', 'user_engagement_metrics'],
  cache: ['cache_entries', 'cache_stats'],
  geo: ['locations', 'routes'],
  notifications: ['notifications'],
});

test('a call of the document needs a tenant like every other', async () => {
  const { admin } = database;
  const client = await admin.connect();
  try {
    await client.query('begin; set local role plinth_app');
    await expect(client.query(textOf(APPEND))).rejects.toMatchObject({ detail: expect.stringContaining('kernel_tenant_required') });
  } finally {
    await client.query('rollback');
    client.release();
  }
});
