/** What a receiver gets, and what its receipts are worth, beside what others do at the same moment. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import type { Tx } from '../../index.ts';
import type { ReceivedMessage } from './receive.ts';
import { acknowledgeMany, extend, receive } from './receive.ts';

let database: TestDatabase;
let a: string;
beforeAll(async () => {
  database = await testDatabase('receive');
  a = database.tenantA;
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query('truncate plinth_queue.messages, plinth_queue.ready, plinth_queue.grouped, plinth_queue.hidden, plinth_queue.dead, plinth_queue.done'),
);

const as = <T>(body: (tx: Tx) => Promise<T>, tenantId = a): Promise<T> => database.plinth.transaction({ tenantId }, body);
const send = (n: number, groupKey?: string): Promise<string> => as(async (tx) => tx.queue.send('q', { n }, { groupKey }));
const take = (limit: number): Promise<ReceivedMessage[]> => as((tx) => receive(tx, 'q', { limit }));
const numbers = (messages: readonly ReceivedMessage[]): unknown[] => messages.map(({ payload }) => (payload as { n: number }).n);
/** Sessions that wait for a lock. */
const waiting = async (): Promise<number | null> =>
  (await database.admin.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount;

test('a receipt holds beside an extension that commits while the acknowledgement waits for it', async () => {
  const id = await send(1);
  const [receipt = ''] = (await take(1)).map((message) => message.receipt);
  let acknowledging: Promise<Set<string>> | undefined;
  await as(async (tx) => {
    await extend(tx, receipt, 3_600_000);
    acknowledging = as((other) => acknowledgeMany(other, [receipt, `${id}.7`]));
    await expect.poll(waiting).toBe(1);
  });
  expect(await acknowledging).toEqual(new Set([receipt]));
  expect(await as((tx) => tx.query('select status from plinth.message_queue where id = $1', [id]))).toEqual([{ status: 'completed' }]);
});

test('a group gives no other to a receiver that began before an earlier message of it was committed and received', async () => {
  const [written, commit] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const late = as(async (tx) => {
    tx.queue.send('q', { n: 1 }, { groupKey: 'g' });
    await tx.flush();
    written.resolve();
    await commit.promise;
  });
  await written.promise;
  await send(2, 'g');
  const early = database.plinth.transaction({ tenantId: a, isolation: 'repeatable read' }, async (tx) => {
    await tx.query('select from plinth_queue.hidden');
    commit.resolve();
    await late;
    expect(numbers(await take(1))).toEqual([1]);
    return receive(tx, 'q');
  });
  expect(await errorCode(early)).toBe('40001');
  expect(await take(1)).toEqual([]);
});

test('what waits behind messages that have expired or become dead letters is received', async () => {
  await as((tx) => tx.query(`select plinth.configure_queue('q', p_retention := '1 hour', p_max_receives := 1)`));
  await send(1);
  await take(1);
  await database.admin.query(`update plinth_queue.hidden set visible_at = clock_timestamp() - interval '1 ms'`);
  for (const n of [2, 3, 4]) await send(n);
  await send(5, 'g');
  for (const table of ['ready', 'grouped'])
    await database.admin.query(`update plinth_queue.${table} set since = plinth_kernel.v7_floor(clock_timestamp() - interval '2 hours')`);
  await send(6);
  expect(numbers(await take(1))).toEqual([6]);
  const told = await as((tx) => tx.query(`select status from plinth.message_queue where (payload ->> 'n')::int between 2 and 5`));
  expect(told).toEqual(Array.from({ length: 4 }, () => ({ status: 'expired' })));
  expect((await database.admin.query('select from plinth_queue.dead')).rowCount).toBe(1);
});
