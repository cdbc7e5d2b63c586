/** What a receive reads must not grow with what waits, with what was received before, or with the groups that are busy. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('queue_plan');
});
afterAll(() => database.drop());

/** Pages that a receive of ten touches, with everything that it calls. */
async function pages(queue: string): Promise<number> {
  const client = await database.admin.connect();
  try {
    await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${database.tenantA}'`);
    // Twice: the first call of a session also reads the catalogue.
    const ask = async () =>
      (
        await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
          `explain (analyze, buffers, format json) select * from plinth.receive_messages('${queue}', 10)`,
        )
      ).rows[0];
    await ask();
    const plan = (await ask())?.['QUERY PLAN'][0].Plan ?? {};
    return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
  } finally {
    await client.query('rollback');
    client.release();
  }
}

const send = (queue: string, count: number, group = ''): Promise<unknown> =>
  database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
    tx.query(
      `select plinth.send_messages($1, (select jsonb_agg(jsonb_build_object('payload', n) || case when $3 = '' then '{}' else jsonb_build_object('group_key', $3 || n % 500) end) from generate_series(1, $2::int) n))`,
      [queue, count, group],
    ),
  );

test('a receive of ten reads as much of a long queue as of a short one', async () => {
  await send('short', 100);
  for (let n = 0; n < 20; n++) await send('long', 1_000);
  expect((await pages('long')) - (await pages('short'))).toBeLessThan(60);
});

test('and as much of one from which much was received, before VACUUM has been there', async () => {
  await send('used', 100);
  const fresh = await pages('used');
  for (let n = 0; n < 5; n++) {
    await send('used', 1_000);
    await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
      const rows = await tx.query<{ receipt: string }>(`select receipt from plinth.receive_messages('used', 1000)`);
      await tx.query('select plinth.acknowledge_messages($1)', [rows.map(({ receipt }) => receipt)]);
    });
  }
  await send('used', 100);
  expect((await pages('used')) - fresh).toBeLessThan(150);
});

test('ten heads of five hundred groups cost steps of an index, not the backlog of the groups', async () => {
  await send('groups', 1_000, 'g');
  const few = await pages('groups');
  for (let n = 0; n < 9; n++) await send('groups', 1_000, 'g');
  expect((await pages('groups')) - few).toBeLessThan(few);
});
