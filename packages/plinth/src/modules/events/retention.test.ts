/** A tenant that keeps its events for a shorter time than the others loses them row by row, and no reader loses any. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planRetention, runRetention } from '#kernel/retention/engine.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Consumer } from '../../index.ts';
import { consumeOnce } from '../../index.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('events_retention');
});
afterAll(() => database.drop());

const addOld = (tenantId: string, count: number) =>
  database.admin.query(
    `insert into plinth_events.events (tenant_id, id, type, payload, shard) select $1, overlay(plinth_kernel.uuid_v7()::text placing left(plinth_kernel.v7_floor(now() - interval '3 days')::text, 13) from 1 for 13)::uuid,
       'order.created', '{}', plinth_kernel.shard_of($1) from generate_series(1, $2)`,
    [tenantId, count],
  );
const countOf = async (tenantId: string) =>
  (await database.admin.query<{ n: number }>('select count(*)::int as n from plinth_events.events where tenant_id = $1', [tenantId])).rows[0]?.n;

test('what a consumer has still to read stays, the rest goes, and other tenants keep theirs', async () => {
  const { admin, plinth, tenantA, tenantB } = database;
  const reader: Consumer = { summary: 'reads', handle: async () => {} };
  await admin.query('delete from plinth_kernel.feed_cursors; delete from plinth_kernel.feed_consumers');
  await addOld(tenantA, 2);
  await addOld(tenantB, 2);
  while ((await consumeOnce(plinth, 'test.reader', reader)) > 0);
  await addOld(tenantA, 1);
  await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.set_retention_policy('events.events', '1 day')`));

  const asWorker: Parameters<typeof planRetention>[0]['asWorker'] = (body) => plinth.asWorker({}, body);
  const only = { kinds: ['events.events'] };
  const services = { asWorker, step: (_step: unknown, body: () => Promise<object>) => body() };
  expect(await planRetention(services, only, true)).toMatchObject([{ action: 'sweep', tenantId: tenantA, rows: 2 }]);
  expect(await runRetention(services, only)).toMatchObject({ rowsSwept: 2, failures: [] });
  expect(await countOf(tenantA)).toBe(1);
  while ((await consumeOnce(plinth, 'test.reader', reader)) > 0);
  expect(await runRetention(services, only)).toMatchObject({ rowsSwept: 1, failures: [] });
  expect(await countOf(tenantA)).toBe(0);
  expect(await countOf(tenantB)).toBe(2);
});
