/** How full queues are told to be, and how messages of programs whose clock is wrong are kept. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { virtualClock } from '#kernel/clock.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { jobsKit } from '#testing/index.ts';
import { createPlinth } from '../../index.ts';
import { messageDepths } from './depths.ts';
import { hasVisible, receive } from './receive.ts';

/** Of the module's own jobs. */
const SYSTEM_TENANT = '00000000-0000-7000-8000-706c696e7468';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('queue_depths');
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query(
    'truncate plinth_queue.messages, plinth_queue.ready, plinth_queue.grouped, plinth_queue.hidden, plinth_queue.dead, plinth_queue.done, plinth_queue.queues, plinth_queue.cursors',
  ),
);
const sendTo = (queue: string, tenantId: string, options = {}): Promise<string> =>
  database.plinth.transaction({ tenantId }, async (tx) => tx.queue.send(queue, 1, options));
const depths = (tenantId: string) =>
  database.plinth.transaction({ tenantId }, (tx) => tx.query('select queue, pending, scheduled, failed from plinth.queue_depth()'));

test('a queue is listed whether anybody configured it or received from it, or not; those of others are not', async () => {
  const { tenantA: a, tenantB: b } = database;
  await sendTo('plain', a);
  await sendTo('grouped', a, { groupKey: 'g' });
  await sendTo('later', a, { delayMs: 60_000 });
  await sendTo('of-b', b);
  expect(await depths(a)).toEqual([
    { queue: 'grouped', pending: 1, scheduled: 0, failed: 0 },
    { queue: 'later', pending: 0, scheduled: 1, failed: 0 },
    { queue: 'plain', pending: 1, scheduled: 0, failed: 0 },
  ]);
  expect(await depths(b)).toEqual([{ queue: 'of-b', pending: 1, scheduled: 0, failed: 0 }]);
  const all = await database.plinth.asWorker({}, (tx) => messageDepths(tx, 10));
  expect(all.map(({ queue, waiting }) => [queue, waiting])).toEqual([
    ['grouped', 1],
    ['of-b', 1],
    ['plain', 1],
  ]);
});

test('messages of every tenant are counted, however many tenants there are, and of a backlog some', async () => {
  await database.admin.query(
    `insert into plinth_queue.ready (tenant_id, queue, position, id) select gen_random_uuid(), 'many', nextval('plinth_queue.positions'), plinth_kernel.uuid_v7() from generate_series(1, 1200) n`,
  );
  await database.admin.query(
    `insert into plinth_queue.ready (tenant_id, queue, position, id) values ('ffffffff-0000-7000-8000-000000000000', 'last', nextval('plinth_queue.positions'), plinth_kernel.uuid_v7())`,
  );
  const told = async (most: number) =>
    (
      await database.plinth.asWorker({}, (tx) =>
        tx.query<{ queue: string; n: string }>('select queue, sum(waiting) as n from plinth_queue.depths(1000, 1000, $1) group by 1 order by 1', [most]),
      )
    ).map(({ queue, n }) => [queue, Number(n)]);
  expect(await told(50_000)).toEqual([
    ['last', 1],
    ['many', 1200],
  ]);
  expect(await told(1_000)).toEqual([['many', 1000]]);
});

test('what nobody received within 30 days is forgotten where nobody receives, and what is younger is not', async () => {
  const { tenantA: a, tenantB: b, plinth, admin } = database;
  const sentAgo = async (queue: string, tenantId: string, days: number) => {
    for (const options of [{}, { groupKey: 'g' }, { delayMs: 60_000 }]) await sendTo(queue, tenantId, options);
    for (const table of ['ready', 'grouped', 'hidden'])
      await admin.query(`update plinth_queue.${table} set id = plinth_kernel.v7_floor(clock_timestamp() - $2 * interval '1 day') where queue = $1`, [
        queue,
        days,
      ]);
  };
  await sentAgo('unread', a, 31);
  await sentAgo('unread-of-b', b, 31);
  await sentAgo('read', a, 29);
  await jobsKit({ plinth, tenantId: SYSTEM_TENANT }).run('queue.drop_gone');
  expect(await depths(a)).toEqual([{ queue: 'read', pending: 2, scheduled: 1, failed: 0 }]);
  expect(await depths(b)).toEqual([]);
});

test.each([
  ['behind', -3_600_000],
  ['ahead', 3_600_000],
])('the retention counts by the clock of the database where that of the sender is an hour %s', async (_word, byMs) => {
  const { tenantA: tenantId } = database;
  await database.plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.configure_queue('short', p_retention => '10 minutes')`));
  const sender = createPlinth({ database: { url: database.serverUrl }, clock: virtualClock(Date.now() + byMs) });
  try {
    const ids = await sender.transaction({ tenantId }, async (tx) => tx.queue.sendMany('short', [{ payload: 1 }, { payload: 2, groupKey: 'g' }]));
    const sent = await database.admin.query('select since from plinth_queue.ready union all select since from plinth_queue.grouped');
    // Ten minutes later.
    const later = (minutes: number) =>
      database.admin.query(
        `with a as (update plinth_queue.ready set since = plinth_kernel.v7_floor(plinth_kernel.v7_time(since) - $1 * interval '1 minute'))
        update plinth_queue.grouped set since = plinth_kernel.v7_floor(plinth_kernel.v7_time(since) - $1 * interval '1 minute')`,
        [minutes],
      );
    expect(sent.rows.every(({ since }) => since !== null)).toBe(true);
    await later(9);
    const taken = await database.plinth.transaction({ tenantId }, (tx) => receive(tx, 'short', { limit: 10 }));
    expect(taken.map(({ id }) => id).sort()).toEqual([...ids].sort());
    await sender.transaction({ tenantId }, async (tx) => tx.queue.sendMany('short', [{ payload: 1 }, { payload: 2, groupKey: 'h' }]));
    await later(11);
    expect(await database.plinth.transaction({ tenantId }, (tx) => receive(tx, 'short', { limit: 10 }))).toEqual([]);
  } finally {
    await sender.close();
  }
});

test('whether something is visible is told without reading what waits in a group that is busy', async () => {
  const { tenantA: tenantId, plinth, admin } = database;
  const visible = () => plinth.transaction({ tenantId }, (tx) => hasVisible(tx, 'q'));
  await plinth.transaction({ tenantId }, async (tx) =>
    tx.queue.sendMany(
      'q',
      Array.from({ length: 3_000 }, (_, n) => ({ payload: n, groupKey: 'busy' })),
    ),
  );
  expect(await visible()).toBe(true);
  await plinth.transaction({ tenantId }, (tx) => receive(tx, 'q', { limit: 10 }));
  expect(await visible()).toBe(false);
  const pages = async (): Promise<number> => {
    const { rows } = await admin.query(`explain (analyze, buffers, format json) select plinth_queue.has_visible('${tenantId}', 'q')`);
    const { Plan } = rows[0]['QUERY PLAN'][0];
    return Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
  };
  await pages();
  expect(await pages()).toBeLessThan(100);
  await sendTo('q', tenantId, { groupKey: 'free' });
  expect(await visible()).toBe(true);
});
