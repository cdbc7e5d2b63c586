/** How much is sent for a tenant: what it sets for itself, and what an operator allows it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { limitsApi } from './limits-api.ts';
import { backlog } from './simulation.fixture.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('webhooks_limits');
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());

const as = <Row>(tenantId: string, text: string, values: unknown[] = []) =>
  database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
async function subscribe(tenantId: string): Promise<string> {
  const [made] = await as<{ id: string }>(tenantId, `select subscription_id as id from plinth.subscribe('one', '{#}', 'https://example.com/')`);
  return made?.id ?? '';
}
/** Of a tenant, or of an operator. */
function caller(tenantId: string | undefined) {
  const operator = tenantId === undefined;
  const actor = operator ? ({ type: 'operator', id: 'ops' } as const) : ({ type: 'user', id: 'ada' } as const);
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes: ['webhooks.*'], operator },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) =>
      operator ? database.plinth.asWorker({ actor }, body) : database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(limitsApi))(context);
}

test('a clock that was set back stops no throttle', async () => {
  const claims = async (): Promise<number> => (await database.plinth.asWorker({}, (tx) => tx.query('select from plinth_webhooks.claim(100)'))).length;
  const id = await subscribe(b);
  await backlog(database.admin, id, 3);
  await as(b, 'select plinth.set_delivery_policy($1, p_rate_per_second => 0.001)', [id]);
  await caller(b).setLimits({ rate_per_second: 0.001, max_in_flight: null });
  expect([await claims(), await claims()]).toEqual([1, 0]);
  const used = (table: string) =>
    database.admin.query(`update plinth_webhooks.${table} set tokens = 0, refilled_at = clock_timestamp() + interval '1 hour' where tenant_id = $1`, [b]);
  expect([(await used('lanes')).rowCount, (await used('tenant_buckets')).rowCount]).toEqual([1, 1]);
  expect([await claims(), await claims()]).toEqual([1, 0]);
  await caller(b).setLimits({ rate_per_second: null, max_in_flight: null });
  await as(b, 'select plinth.unsubscribe($1)', [id]);
  await database.admin.query('truncate plinth_webhooks.flights, plinth_webhooks.tenant_buckets');
});

test('what an operator limits, a tenant reads and cannot lift; the least of all holds', async () => {
  const flying = async (tenantId: string): Promise<number> => {
    const claimed = await database.plinth.asWorker({}, (tx) => tx.query<{ tenant_id: string }>('select * from plinth_webhooks.claim(100)'));
    await database.admin.query('truncate plinth_webhooks.flights, plinth_webhooks.tenant_buckets');
    return claimed.filter(({ tenant_id }) => tenant_id === tenantId).length;
  };
  for (const tenantId of [a, b]) {
    await backlog(database.admin, await subscribe(tenantId), 8);
  }
  const operator = caller(undefined);
  await operator.setCeiling({ rate_per_second: null, max_in_flight: 3 });
  await operator.setCeiling({ rate_per_second: 5, max_in_flight: null, tenant_id: b });
  await caller(a).setLimits({ rate_per_second: 100, max_in_flight: 100 });
  expect([await flying(a), await flying(b)]).toEqual([3, 5]);
  await caller(b).setLimits({ rate_per_second: null, max_in_flight: 2 });
  expect(await flying(b)).toBe(2);
  expect(await caller(a).getLimits()).toMatchObject({
    rate_per_second: 100,
    max_in_flight: 3,
    limits: [
      { source: 'installation', rate_per_second: null, max_in_flight: 3, set_by: 'ops' },
      { source: 'tenant', rate_per_second: 100, max_in_flight: 100, set_by: 'ada' },
    ],
  });
  expect((await caller(b).getLimits()).limits).toMatchObject([
    { source: 'installation', rate_per_second: 5, max_in_flight: null },
    { source: 'tenant', rate_per_second: null, max_in_flight: 2 },
  ]);
  for (const tenantId of [a, b]) await caller(tenantId).setLimits({ rate_per_second: null, max_in_flight: null });
  expect([await flying(a), await flying(b)]).toEqual([3, 5]);
  expect(await errorCode(caller(a).setCeiling({ rate_per_second: null, max_in_flight: null }))).toBe('kernel_operator_required');
  expect(await errorCode(as(a, 'delete from plinth_webhooks.tenant_limits'))).toBe('42501');
  expect(await errorCode(as(a, `insert into plinth_webhooks.tenant_limits (tenant_id, source, max_in_flight) values ($1, 'tenant', 1)`, [a]))).toBe('42501');
  await operator.setCeiling({ rate_per_second: null, max_in_flight: null });
  expect([await flying(a), await flying(b)]).toEqual([8, 5]);
  const { rows } = await database.admin.query(
    `select distinct tenant_id, actor_type from plinth_audit.entries where action = 'webhooks.limits_changed' and after ->> 'source' = 'installation'`,
  );
  expect(rows).toHaveLength(2);
});
