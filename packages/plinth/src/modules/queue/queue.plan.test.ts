/** What a receive reads must not grow with what waits, with what was received before, or with the groups that are busy. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { pagesOf } from '#testing/pages.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('queue_plan');
});
afterAll(() => database.drop());

/** Pages that a receive of ten touches, without what moving the cursor costs, once a second. */
async function pages(queue: string): Promise<number> {
  await database.admin.query(`update plinth_queue.cursors set moved_at = clock_timestamp() + interval '1 hour'`);
  return pagesOf(database, { role: 'plinth_app', tenantId: database.tenantA }, `select * from plinth.receive_messages('${queue}', 10)`);
}

async function receiveAll(queue: string): Promise<void> {
  await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
    const rows = await tx.query<{ receipt: string }>('select receipt from plinth.receive_messages($1, 1000)', [queue]);
    await tx.query('select plinth.acknowledge_messages($1)', [rows.map(({ receipt }) => receipt)]);
  });
}

const send = (queue: string, count: number, group = ''): Promise<unknown> =>
  database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
    tx.query(
      `select plinth.send_messages($1, (select jsonb_agg(jsonb_build_object('payload', n) || case when $3 = '' then '{}' else jsonb_build_object('group_key', $3 || n % 500) end) from generate_series(1, $2::int) n))`,
      [queue, count, group],
    ),
  );

test('on a new installation, before ANALYZE has been there, a receive reads nothing of what the tenant sent to other queues', async () => {
  await send('first', 100);
  const alone = await pages('first');
  for (let n = 0; n < 5; n++) {
    await send('busy', 1_000);
    await receiveAll('busy');
  }
  await send('second', 100);
  expect((await pages('second')) - alone).toBeLessThan(200);
});

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
    await receiveAll('used');
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

test('telling how full a queue is reads nothing of other tenants and queues, and a part of what is delayed', async () => {
  const { admin, tenantA, tenantB } = database;
  const depth = () => pagesOf(database, { role: 'plinth_app', tenantId: tenantA }, `select * from plinth.queue_depth('told')`);
  await send('told', 10);
  const hide = (queue: string, count: number, days: number) =>
    admin.query(
      `insert into plinth_queue.hidden (tenant_id, id, queue, visible_at) select $1, gen_random_uuid(), $2, now() + $4 * interval '1 day' + n * interval '1 ms' from generate_series(1, $3::int) n`,
      [tenantA, queue, count, days],
    );
  const before = await depth();
  for (const tenantId of [tenantA, tenantB])
    await admin.query(
      `insert into plinth_queue.ready (tenant_id, queue, position, id) select $1, 'other', nextval('plinth_queue.positions'), gen_random_uuid() from generate_series(1, 20000) n`,
      [tenantId],
    );
  await hide('other', 20_000, 1);
  await admin.query('analyze plinth_queue.ready, plinth_queue.hidden');
  expect((await depth()) - before).toBeLessThan(50);
  await hide('told', 25_000, 1);
  const many = await depth();
  await hide('told', 25_000, 2);
  expect((await depth()) - many).toBeLessThan(50);
  const told = await database.plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select pending, scheduled, capped from plinth.queue_depth('told')`));
  expect(told).toEqual([{ pending: 10, scheduled: 10_000, capped: true }]);
});

test('a page of the messages of a tenant reads that page, not what it sent before', async () => {
  const { admin, tenantA } = database;
  const page = () =>
    pagesOf(database, { role: 'plinth_app', tenantId: tenantA }, `select * from plinth.message_queue where tenant_id = '${tenantA}' order by id desc limit 51`);
  const keep = async (count: number) => {
    await admin.query(
      `with m as (insert into plinth_queue.messages (tenant_id, queue, payload) select $1, 'kept', '{}' from generate_series(1, $2::int) n returning tenant_id, id)
       insert into plinth_queue.done (tenant_id, id) select m.tenant_id, m.id from m`,
      [tenantA, count],
    );
    await admin.query('analyze plinth_queue.messages, plinth_queue.done, plinth_queue.dead, plinth_queue.hidden');
  };
  await keep(2_000);
  const few = await page();
  await keep(20_000);
  // An index that grows by a level costs each of the 51 rows a page.
  expect((await page()) - few).toBeLessThan(150);
});

test('a worker that receives ten messages looks at some of the tenants that have one, however many there are', async () => {
  const { admin } = database;
  await admin.query('truncate plinth_queue.messages, plinth_queue.done, plinth_queue.ready, plinth_queue.grouped, plinth_queue.hidden');
  const add = (tenants: number) =>
    admin.query(
      `with t as (insert into plinth_kernel.tenants (slug, name) select 'many-' || gen_random_uuid(), 'Many' from generate_series(1, $1::int) returning id),
         m as (insert into plinth_queue.messages (tenant_id, queue, payload) select t.id, 'shared', '{}' from t returning tenant_id, id)
       insert into plinth_queue.ready (tenant_id, queue, position, id) select m.tenant_id, 'shared', nextval('plinth_queue.positions'), m.id from m`,
      [tenants],
    );
  const receive = () => pagesOf(database, { role: 'plinth_worker' }, `select * from plinth.receive_messages('shared', 10)`);
  await add(100);
  const few = await receive();
  await add(900);
  expect((await receive()) - few).toBeLessThan(300);
});
