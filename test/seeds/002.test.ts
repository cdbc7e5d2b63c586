/**
 * Seed 002: tRPC calls, services in TypeScript and lists of columns; no statement of SQL. What belongs to idempotency keys runs:
 * the tRPC call word for word against the server (React's `useQuery` is the request it makes), the columns against the view, and the
 * service's three steps, whose classes are those of the seed's own application, by the SQL functions that do the same here.
 */
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestServer, testServer } from '../../packages/plinth/src/apps/server/server.fixture.ts';
import { putSchedule, runDueSchedules, SYSTEM_TENANT } from '../../packages/plinth/src/modules/jobs/index.ts';
import { jobsKit } from '../../packages/plinth/src/testing/index.ts';
import { promiseSeed, type SeedDatabase, seedDatabase, snippetsOf } from './seed.ts';

let database: SeedDatabase;
let server: TestServer;
beforeAll(async () => {
  [database, server] = await Promise.all([seedDatabase('seed 002'), testServer('seed 002 server')]);
});
afterAll(() => Promise.all([database.drop(), server.close()]));

interface Checked {
  data: { key: string; processed: boolean; responseStatus: number; responseBody: unknown; entityType: string; entityId: string } | null;
}

/** An object on which `trpc.system.idempotency.check.useQuery(input)` makes the request of a client of tenant A, and gives `{ data }` as the hook does. */
function trpcClient(path: readonly string[] = []): unknown {
  return new Proxy(() => undefined, {
    get: (_, name: string) => trpcClient([...path, name]),
    apply: async (_, __, [input]: [unknown]) => {
      const procedure = path.slice(0, -1).join('.');
      const { status, body } = await server.call(`/api/trpc/${procedure}?input=${encodeURIComponent(JSON.stringify(input))}`, { key: server.keyA });
      expect(status).toBe(200);
      return { data: (body as { result: { data: unknown } }).result.data };
    },
  });
}

const snippets = snippetsOf('002');
const columnsIn = (text: string): string[] => [...text.matchAll(/^- (\w+): /gm)].map(([, name = '']) => name);

const BEGIN = `select replayed, response_body from public.begin_idempotent(p_scope := 'licenses', p_key := 'uuid-key', p_request_hash := 'hash', p_entity_type := 'license')`;

const flags = { module: 'flags', needs: ['feature_flags', 'feature_flag_evaluations'] };
const notifications = { module: 'notifications', needs: ['notifications'] };

promiseSeed({
  snippets,
  database: () => database,
  executed: {
    'Idempotency: Check if operation already performed': async (text) => {
      const check = async (): Promise<Checked> => (await runInNewContext(text, { trpc: trpcClient() })) as Checked;
      expect(await check()).toEqual({ data: null });
      await server.database.plinth.transaction({ tenantId: server.database.tenantA }, async (tx) => {
        await tx.query(`select plinth.begin_idempotent(p_scope := 'licenses', p_key := 'uuid-here', p_entity_type := 'license')`);
        await tx.query(`select plinth.finish_idempotent('licenses', 'uuid-here', 201, '{"id": "clx123"}', p_entity_id := 'clx123')`);
      });
      const { data } = await check();
      expect(data).toMatchObject({
        key: 'uuid-here',
        processed: true,
        responseStatus: 201,
        responseBody: { id: 'clx123' },
        entityType: 'license',
        entityId: 'clx123',
      });
    },
    "Idempotency Service: import { IdempotencyService } from '@/modules/system';": async () => {
      const license = `select public.finish_idempotent(p_scope := 'licenses', p_key := 'uuid-key', p_response_status := 201, p_response_body := '{"id": "clx123"}', p_entity_id := 'clx123')`;
      await database.as(async (tx) => {
        expect(await tx.query(BEGIN)).toEqual([{ replayed: false, response_body: null }]);
        await tx.query(license);
      });
      expect(await database.rows(BEGIN)).toEqual([{ replayed: true, response_body: { id: 'clx123' } }]);
      expect(await database.rows(BEGIN, database.tenantB)).toEqual([{ replayed: false, response_body: null }]);
    },
    'idempotency_keys: columns': async (text) => {
      const columns = columnsIn(text);
      expect(columns).toContain('response_body');
      expect(await database.rows(`select ${columns.join(', ')} from public.idempotency_keys limit 1`)).toBeInstanceOf(Array);
    },
  },
  pending: {
    'Feature Flags: Check if flag enabled for current user': flags,
    'Feature Flags: Admin: List all flags': flags,
    'Feature Flags: Admin: Create flag': flags,
    'Feature Flags: Admin: Update flag': flags,
    'Feature Flags: Admin: Delete flag': flags,
    "Feature Flag Service: import { FeatureFlagService } from '@/modules/system';": flags,
    'feature_flags: columns': flags,
    'Feature Gate Component: components/FeatureGate.tsx': flags,
    'Notifications: List user notifications (paginated)': notifications,
    'Notifications: Get unread count': notifications,
    'Notifications: Mark notification as read': notifications,
    'Notifications: Mark all as read': notifications,
    'Notifications: Delete notification': notifications,
    'Notifications: Admin: Create notification': notifications,
    "Notification Service: import { NotificationService } from '@/modules/system';": notifications,
    'notifications: columns': notifications,
    'Notification Bell: components/NotificationBell.tsx': notifications,
  },
});

test('the pending procedures are not there yet', async () => {
  const procedures = snippets.flatMap(({ text }) => [...text.matchAll(/trpc\.(system\.(?:featureFlags|notifications)\.\w+)\./g)].map(([, name = '']) => name));
  expect(new Set(procedures).size).toBeGreaterThan(5);
  for (const name of new Set(procedures)) expect((await server.call(`/api/trpc/${name}`, { key: server.keyA })).status, name).toBe(404);
});

/** Its "Background Jobs". Read notifications are cleaned up in the same way once there is a module that has them. */
test('expired keys are cleaned up every 6 hours by a job in the queue of that name', async () => {
  const { plinth, admin } = database;
  for (const [key, expired] of [
    ['old', 25],
    ['young', 1],
  ] as const) {
    await database.rows(`select * from public.begin_idempotent(p_scope := 'cleanup', p_key := '${key}')`);
    await admin.query(`update plinth_idempotency.keys set expires_at = now() - $2 * interval '1 hour' where key = $1`, [key, expired]);
  }
  const cleanup = { name: 'idempotency-cleanup', cron: '0 */6 * * *', queue: 'idempotency-cleanup', kind: 'maintenance.run' };
  await plinth.asWorker({}, (tx) => putSchedule(tx, { ...cleanup, payload: { task: 'retention', kinds: ['idempotency.keys'] } }, { tenantId: SYSTEM_TENANT }));
  await admin.query(`update plinth_jobs.schedules set next_run_at = clock_timestamp() where name = $1`, [cleanup.name]);
  await plinth.asWorker({}, runDueSchedules);
  const kit = jobsKit({ plinth, tenantId: SYSTEM_TENANT });
  await kit.assertEnqueued('maintenance.run', {}, { times: 1, queue: 'idempotency-cleanup' });
  expect((await kit.drain()).ran).toMatchObject([{ kind: 'maintenance.run', outcome: 'completed', result: { rows_swept: 1 } }]);
  expect(await database.rows(`select key from public.idempotency_keys where scope = 'cleanup'`)).toEqual([{ key: 'young' }]);
});
