/** Consumers over the API: what operators see and do, and what a tenant may do with its parked events. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { consumersApi } from './consumers-api.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('consumers_api');
});
afterAll(() => database.drop());

/** As apps/server does it: an operator's queries as plinth_reader, other calls as plinth_worker, a tenant's as plinth_app. */
const caller = (tenantId: string | undefined, scopes = ['events.*']) => {
  const actor = { type: tenantId ? 'user' : 'operator', id: 'ada' } as const;
  const { plinth } = database;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: !tenantId },
    correlationId: plinth.newId(),
    adapters: {},
    run: (call, body) =>
      tenantId
        ? plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body)
        : call.type === 'query'
          ? plinth.asReader({ actor }, body)
          : plinth.asWorker({ actor }, body),
  };
  return createCaller(router(consumersApi))(context);
};

test('operators see, pause, resume and rewind consumers; tenants deal with their parked events and with nothing else', async () => {
  const { plinth, tenantA, tenantB } = database;
  const operator = caller(undefined);
  const seen: string[] = [];
  let failing = true;
  const consumer: Consumer = {
    summary: 'fails as long as it is told to',
    from: 'now',
    onPoison: 'park',
    attempts: 1,
    handle: async (_tx, events) => {
      if (failing) throw new Error('not today');
      seen.push(...events.map((event) => event.type));
    },
  };
  const turn = () => consumeOnce(plinth, 'api.reader', consumer).catch(() => -1);
  await turn();
  for (const type of ['one.happened', 'two.happened']) {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.events.publish(type, {}));
    await turn();
  }
  const own = async () => (await operator.consumers()).consumers.find((one) => one.consumer === 'api.reader');
  expect(await own()).toMatchObject({ status: 'current', waiting: 0, parked: 2, paused_at: null, failing_shards: [] });

  const rows = await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query<{ id: string }>('select id from plinth.parked_events order by id'));
  const [first, second] = rows.map((row) => row.id) as [string, string];
  expect(await errorCode(caller(tenantB).retryParked({ id: first }))).toBe('events_parked_not_found');
  expect(await errorCode(caller(tenantB).discardParked({ id: first }))).toBe('events_parked_not_found');
  expect(await errorCode(caller(tenantA, ['events.write']).retryParked({ id: first }))).toBe('kernel_forbidden');
  expect(await caller(tenantA).discardParked({ id: second, reason: 'a test' })).toEqual({ id: second });
  expect(await caller(tenantA).retryParked({ id: first })).toEqual({ id: first });
  expect(await caller(tenantA).retryAllParked({ consumer: 'api.reader' })).toEqual({ count: 0 });

  for (const call of [
    caller(tenantA).consumers(),
    caller(tenantA).pauseConsumer({ id: 'api.reader' }),
    caller(tenantA).rewindConsumer({ id: 'api.reader', reason: 'x', to: 'now' }),
  ])
    expect(await errorCode(call)).toBe('kernel_operator_required');
  failing = false;
  await operator.pauseConsumer({ id: 'api.reader', reason: 'looking', for_ms: 3_600_000 });
  expect(await own()).toMatchObject({ status: 'paused', pause_reason: 'looking', paused_by: 'ada', paused_until: expect.any(Date) });
  await operator.resumeConsumer({ id: 'api.reader' });
  expect(await errorCode(operator.resumeConsumer({ id: 'api.nobody' }))).toBe('events_consumer_unknown');
  expect((await operator.rewindConsumer({ id: 'api.reader', reason: 'once more', to: 'beginning' })).shards).toHaveLength(8);
  for (let n = 0; n < 4; n++) await turn();
  expect(seen.sort()).toEqual(['one.happened', 'two.happened']);
  expect(await errorCode(operator.rewindConsumer({ id: 'api.reader', reason: 'both', to: 'now', position: 1 }))).toBe('kernel_invalid_input');
  expect(await operator.parkNext({ id: 'api.reader', shard: 0, reason: 'nothing is there' })).toEqual({ parked_id: null });
});
