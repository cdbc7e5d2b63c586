/** Messages from being sent to their end, as receivers in any language see it: SQL and the functions over it. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import type { Tx } from '../../index.ts';
import type { ReceivedMessage } from './receive.ts';
import { acknowledge, acknowledgeMany, extend, receive, release } from './receive.ts';

let database: TestDatabase;
let a: string;
let b: string;
beforeAll(async () => {
  database = await testDatabase('queue');
  [a, b] = [database.tenantA, database.tenantB];
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query(
    'truncate plinth_queue.messages, plinth_queue.ready, plinth_queue.grouped, plinth_queue.hidden, plinth_queue.dead, plinth_queue.done, plinth_queue.queues, plinth_queue.cursors, plinth_queue.deduplication',
  ),
);

const as = <T>(body: (tx: Tx) => Promise<T>, tenantId: string | undefined = a): Promise<T> => database.plinth.transaction({ tenantId }, body);
const rows = <Row>(text: string, values: unknown[] = [], tenantId = a): Promise<Row[]> => as((tx) => tx.query<Row>(text, values), tenantId);
const send = (payload: Record<string, unknown>, options = {}, tenantId = a): Promise<string> =>
  as(async (tx) => tx.queue.send('q', payload, options), tenantId);
const take = (limit = 10, visibilityMs?: number, tenantId = a): Promise<ReceivedMessage[]> => as((tx) => receive(tx, 'q', { limit, visibilityMs }), tenantId);
async function takeOne(visibilityMs?: number): Promise<ReceivedMessage> {
  const [message] = await take(1, visibilityMs);
  if (!message) throw new Error('nothing to receive');
  return message;
}
const payloads = (messages: readonly ReceivedMessage[]): unknown[] => messages.map(({ payload }) => payload);
/** The moment of a visibility that has run off: nobody waits for it. */
const runOff = (): Promise<unknown> => database.admin.query(`update plinth_queue.hidden set visible_at = clock_timestamp() - interval '1 ms'`);
const statusOf = async (id: string, tenantId = a): Promise<string | undefined> =>
  (await rows<{ status: string }>('select status from plinth.message_queue where id = $1', [id], tenantId))[0]?.status;

describe('sending', () => {
  test('commits and rolls back with the transaction, and carries the correlation', async () => {
    const correlationId = database.plinth.newId();
    const refused = database.plinth.transaction({ tenantId: a }, async (tx) => {
      tx.queue.send('q', { n: 0 });
      throw new Error('no');
    });
    await expect(refused).rejects.toThrow('no');
    const id = await database.plinth.transaction({ tenantId: a, correlationId }, async (tx) => tx.queue.send('q', { n: 1 }, { headers: { v: 1 } }));
    expect(await take()).toMatchObject([
      { id, tenant_id: a, queue: 'q', payload: { n: 1 }, headers: { v: 1 }, receives: 1, receipt: `${id}.1`, correlation_id: correlationId },
    ]);
    const story = await rows<{ kind: string; status: string }>('select kind, status from plinth.trace($1)', [correlationId]);
    expect(story).toEqual([{ kind: 'message', status: 'processing' }]);
  });

  test('keeps the order of one call, and messages of a transaction are received after its end', async () => {
    await as(async (tx) =>
      tx.queue.sendMany(
        'q',
        [1, 2, 3].map((n) => ({ payload: { n } })),
      ),
    );
    await rows(`select plinth.send_message('q', '{"n": 4}')`);
    await rows(`select plinth.send_messages('q', '[{"payload": {"n": 5}}, {"payload": [6]}, {"payload": "seven"}]')`);
    expect(payloads(await take(3))).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(payloads(await take())).toEqual([{ n: 4 }, { n: 5 }, [6], 'seven']);
    expect(await take()).toEqual([]);
  });

  test('waits for nobody: two open transactions send to one queue', async () => {
    await as(async (first) => {
      first.queue.send('q', { n: 1 });
      await first.flush();
      await send({ n: 2 });
      expect(payloads(await take())).toEqual([{ n: 2 }]);
    });
    expect(payloads(await take())).toEqual([{ n: 1 }]);
  });

  test('with a delay is received when it is over', async () => {
    const id = await send({ n: 1 }, { delayMs: 60_000 });
    expect(await take()).toEqual([]);
    expect(await statusOf(id)).toBe('scheduled');
    await runOff();
    expect(await take()).toMatchObject([{ id, receives: 1 }]);
  });

  test('with a deduplication key writes once within the window, also in one call and at the same time', async () => {
    const keyed = () => rows<{ id: string }>(`select plinth.send_message('q', '{}', p_deduplication_key => 'order-1') as id`);
    const ids = (await Promise.all(Array.from({ length: 8 }, keyed))).map(([row]) => row?.id);
    expect(new Set(ids).size).toBe(1);
    expect(
      await rows(`select plinth.send_messages('q', '[{"payload": 1, "deduplication_key": "x"}, {"payload": 2, "deduplication_key": "x"}, {"payload": 3}]')`),
    ).toHaveLength(3);
    expect(payloads(await take())).toEqual([{}, 1, 3]);
    await send({}, { deduplicationKey: 'order-1' }, b);
    expect(await take(10, undefined, b)).toHaveLength(1);
    await database.admin.query('update plinth_queue.deduplication set expires_at = clock_timestamp()');
    await send({ again: true }, { deduplicationKey: 'order-1' });
    expect(payloads(await take())).toEqual([{ again: true }]);
  });

  test.each([
    ['[{"payload": 1}, {"paylod": 2}]', 'Message 2 of 2 is not valid: there is no field paylod'],
    ['[{"payload": 1}, {"payload": 2}, {"payload": 3, "delay_ms": -1}]', 'Message 3 of 3 is not valid: a delay is from 0 to 14 days'],
  ])('of many messages the one that is wrong is named: %s', async (messages, message) => {
    await expect(rows(`select plinth.send_messages('q', $1::jsonb)`, [messages])).rejects.toMatchObject({ message });
  });

  test.each([
    [`select plinth.send_message('no queue', '{}')`, 'queue_message_invalid'],
    [`select plinth.send_message('q', null)`, 'queue_message_invalid'],
    [`select plinth.send_message('q', '{}', p_headers => '[]')`, 'queue_message_invalid'],
    [`select plinth.send_message('q', '{}', p_delay => '-1 second')`, 'queue_message_invalid'],
    [`select plinth.send_message('q', '{}', p_delay => '1 second', p_group_key => 'g')`, 'queue_message_invalid'],
    [`select plinth.send_message('q', '{}', p_group_key => '')`, 'queue_message_invalid'],
    [`select plinth.send_messages('q', '{}')`, 'queue_message_invalid'],
    [`select plinth.send_messages('q', '[{"payload": 1, "dedup_key": "order-1"}]')`, 'queue_message_invalid'],
    [`select plinth.send_messages('q', '[{"payload": 1, "queue": "other"}]')`, 'queue_message_invalid'],
    [`select plinth.send_message('q', to_jsonb(repeat('x', 300000)))`, 'queue_payload_too_large'],
    [`select * from plinth.receive_messages('q', 0)`, 'queue_receive_invalid'],
    [`select * from plinth.receive_messages('q', 1, '13 hours')`, 'queue_receive_invalid'],
    [`select plinth.acknowledge_message('nonsense')`, 'queue_receipt_invalid'],
    [`select plinth.acknowledge_messages('{nonsense}')`, 'queue_receipt_invalid'],
    [`select plinth.extend_message('0199a1c0-0000-7000-8000-000000000001.1', '0')`, 'queue_receive_invalid'],
    [`select plinth.release_message('0199a1c0-0000-7000-8000-000000000001.1', '15 days')`, 'queue_receive_invalid'],
    [`select plinth.acknowledge_message('0199a1c0-0000-7000-8000-000000000001.1')`, 'queue_receipt_lost'],
    [`select plinth.configure_queue('q', p_max_receives => 0)`, 'queue_settings_invalid'],
  ])('%s is refused with %s', async (text, expected) => {
    expect(await errorCode(rows(text))).toBe(expected);
  });

  test.each([Number.NaN, -1, 1_209_600_001, Number.POSITIVE_INFINITY])('with a delay of %d is refused, and nothing is sent', async (delayMs) => {
    expect(await errorCode(send({}, { delayMs }))).toBe('queue_message_invalid');
    expect(await take()).toEqual([]);
  });

  test('without a tenant is refused', async () => {
    expect(await errorCode(database.plinth.transaction({}, (tx) => tx.query(`select plinth.send_message('q', '{}')`)))).toBe('kernel_tenant_required');
    expect(await errorCode(database.plinth.transaction({}, (tx) => receive(tx, 'q')))).toBe('kernel_tenant_required');
  });
});

describe('the receipt', () => {
  test('is a fence: after a redelivery the first receiver can neither acknowledge, extend nor release', async () => {
    await send({ n: 1 });
    const zombie = await takeOne(5);
    await runOff();
    const heir = await takeOne();
    expect(heir).toMatchObject({ id: zombie.id, receives: 2 });
    expect(await errorCode(as((tx) => acknowledge(tx, zombie.receipt)))).toBe('queue_receipt_lost');
    expect(await errorCode(as((tx) => extend(tx, zombie.receipt)))).toBe('queue_receipt_lost');
    expect(await errorCode(as((tx) => release(tx, zombie.receipt)))).toBe('queue_receipt_lost');
    expect(await as((tx) => acknowledgeMany(tx, [zombie.receipt, heir.receipt]))).toEqual(new Set([heir.receipt]));
    expect(await statusOf(heir.id)).toBe('completed');
    expect(await errorCode(as((tx) => acknowledge(tx, heir.receipt)))).toBe('queue_receipt_lost');
  });

  test('still holds after its time, as long as nobody else received the message', async () => {
    await send({ n: 1 });
    const message = await takeOne();
    await runOff();
    await as((tx) => acknowledge(tx, message.receipt));
    expect(await take()).toEqual([]);
  });

  test('acknowledged in the transaction of the work gives its effects exactly once', async () => {
    await send({ n: 1 });
    const message = await takeOne();
    await runOff();
    const heir = await takeOne();
    const work = (receipt: string) =>
      as(async (tx) => {
        tx.audit.record({ action: 'work.done' });
        await acknowledge(tx, receipt);
      });
    const outcomes = await Promise.allSettled([work(message.receipt), work(heir.receipt), work(heir.receipt)]);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await rows(`select from plinth.audit_logs where action = 'work.done'`)).toHaveLength(1);
  });

  test('can be extended, and is good for nothing in another tenant', async () => {
    await send({ n: 1 });
    const message = await takeOne(50);
    const until = await as((tx) => extend(tx, message.receipt, 3_600_000));
    expect(until.getTime() - message.visible_until.getTime()).toBeGreaterThan(3_000_000);
    expect(await take()).toEqual([]);
    expect(await errorCode(as((tx) => acknowledge(tx, message.receipt), b))).toBe('queue_receipt_lost');
    expect(await take(10, undefined, b)).toEqual([]);
    expect(await statusOf(message.id, b)).toBeUndefined();
    await as((tx) => acknowledge(tx, message.receipt));
  });
});

describe('giving back', () => {
  test('makes it visible at once or after a delay, and can leave the receive uncounted', async () => {
    await rows(`select plinth.configure_queue('q', p_max_receives => 2)`);
    await send({ n: 1 });
    for (let turn = 0; turn < 3; turn += 1)
      expect(await as(async (tx) => release(tx, (await receive(tx, 'q'))[0]?.receipt ?? '', { counted: false }))).toBe('pending');
    const first = await takeOne();
    expect(await as((tx) => release(tx, first.receipt, { delayMs: 60_000, error: 'busy' }))).toBe('scheduled');
    expect(await take()).toEqual([]);
    await runOff();
    const last = await takeOne();
    expect(await as((tx) => release(tx, last.receipt, { error: 'still busy' }))).toBe('failed');
    expect(await rows('select receives, error from plinth.message_dead_letters')).toEqual([{ receives: 5, error: 'still busy' }]);
  });

  test('a poison message becomes a dead letter, is redriven and received as often again', async () => {
    await rows(`select plinth.configure_queue('q', p_max_receives => 2)`);
    const id = await send({ poison: true });
    for (let turn = 0; turn < 2; turn += 1) {
      await takeOne();
      await runOff();
    }
    expect(await take()).toEqual([]);
    expect(await statusOf(id)).toBe('failed');
    expect(await rows('select plinth.redrive_messages($1)', ['q'], b)).toEqual([]);
    expect(await rows('select * from plinth.redrive_messages($1)', ['q'])).toEqual([{ redrive_messages: id }]);
    expect(await takeOne()).toMatchObject({ id, receives: 3 });
    await runOff();
    const last = await takeOne();
    await as((tx) => acknowledge(tx, last.receipt));
    expect(await statusOf(id)).toBe('completed');
  });

  test('a receiver whose connection is cut loses what it had not committed, and nothing else', async () => {
    const id = await send({ n: 1 });
    const client = new pg.Client({ connectionString: database.serverUrl });
    client.on('error', () => undefined);
    await client.connect();
    await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${a}'`);
    expect((await client.query(`select * from plinth.receive_messages('q')`)).rows).toHaveLength(1);
    expect(await take()).toEqual([]);
    const { rows: pids } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await database.admin.query('select pg_terminate_backend($1, 10000)', [pids[0]?.pid]);
    expect(await takeOne()).toMatchObject({ id, receives: 1 });
    await client.end().catch(() => undefined);
  });
});

describe('groups', () => {
  test('give one message at a time, in order, whatever happens to it', async () => {
    await as(async (tx) => {
      for (const n of [1, 2, 3]) tx.queue.send('q', { g: 'x', n }, { groupKey: 'x' });
      tx.queue.send('q', { g: 'y', n: 1 }, { groupKey: 'y' });
    });
    const both = await take();
    expect(payloads(both)).toEqual(
      expect.arrayContaining([
        { g: 'x', n: 1 },
        { g: 'y', n: 1 },
      ]),
    );
    expect(both).toHaveLength(2);
    expect(await take()).toEqual([]);
    await runOff();
    const again = (await take()).find(({ group_key }) => group_key === 'x');
    expect(again).toMatchObject({ payload: { g: 'x', n: 1 }, receives: 2 });
    await as((tx) => release(tx, again?.receipt ?? '', { dead: true }));
    const [second] = await take();
    expect(second).toMatchObject({ payload: { g: 'x', n: 2 } });
    await as((tx) => acknowledge(tx, second?.receipt ?? ''));
    expect(payloads(await take())).toEqual([{ g: 'x', n: 3 }]);
  });

  test('a queue that is first in, first out refuses a message without one', async () => {
    await rows(`select plinth.configure_queue('q', p_fifo => true)`);
    expect(await errorCode(send({ n: 1 }))).toBe('queue_message_invalid');
    await send({ n: 1 }, { groupKey: 'g' });
  });

  test('stay in order with several receivers at once', async () => {
    const groups = ['a', 'b', 'c', 'd', 'e'];
    await as(async (tx) => {
      for (let n = 0; n < 8; n += 1) for (const g of groups) tx.queue.send('q', { n }, { groupKey: g });
    });
    const seen = new Map<string, number[]>();
    let left = groups.length * 8;
    const receiver = async (): Promise<void> => {
      while (left > 0) {
        const messages = await take(2);
        for (const message of messages) {
          seen.set(message.group_key ?? '', [...(seen.get(message.group_key ?? '') ?? []), (message.payload as { n: number }).n]);
          left -= 1;
          await as((tx) => acknowledge(tx, message.receipt));
        }
      }
    };
    await Promise.all([receiver(), receiver(), receiver(), receiver()]);
    for (const g of groups) expect(seen.get(g)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe('a queue', () => {
  test('is shared by receivers: no message goes to two', async () => {
    await as(async (tx) =>
      tx.queue.sendMany(
        'q',
        Array.from({ length: 300 }, (_, n) => ({ payload: { n } })),
      ),
    );
    const got = (await Promise.all(Array.from({ length: 6 }, () => take(100)))).flat();
    expect(got).toHaveLength(300);
    expect(new Set(got.map(({ id }) => id)).size).toBe(300);
  });

  test('is measured with counts that have an end', async () => {
    await as(async (tx) => {
      for (let n = 0; n < 4; n += 1) tx.queue.send('q', { n });
      tx.queue.send('q', { n: 9 }, { delayMs: 60_000 });
    });
    await take(1);
    expect(await rows(`select * from plinth.queue_depth('q')`)).toEqual([
      { queue: 'q', pending: 3, processing: 1, scheduled: 1, failed: 0, capped: false, oldest_seconds: expect.any(Number) },
    ]);
    expect(await rows('select queue from plinth.queue_depth()')).toEqual([{ queue: 'q' }]);
    expect(await rows('select * from plinth.queue_depth()', [], b)).toEqual([]);
  });

  test('is purged, with what is in flight', async () => {
    await as(async (tx) => {
      for (let n = 0; n < 3; n += 1) tx.queue.send('q', { n });
      tx.queue.send('q', { n: 3 }, { groupKey: 'g' });
    });
    const message = await takeOne();
    expect(await rows(`select plinth.purge_queue('q')::int as n`, [], b)).toEqual([{ n: 0 }]);
    expect(await rows(`select plinth.purge_queue('q', 3)::int as n`)).toEqual([{ n: 3 }]);
    expect(await rows(`select plinth.purge_queue('q')::int as n`)).toEqual([{ n: 1 }]);
    expect(await take()).toEqual([]);
    expect(await errorCode(as((tx) => acknowledge(tx, message.receipt)))).toBe('queue_receipt_lost');
    expect(await rows('select distinct status from plinth.message_queue')).toEqual([{ status: 'purged' }]);
  });

  /** An id as of a message that was sent so long ago. */
  const aged = async (ago: string): Promise<string> =>
    (
      await rows<{ id: string }>(
        `select overlay(plinth_kernel.uuid_v7()::text placing left(plinth_kernel.v7_floor(clock_timestamp() - $1::interval)::text, 13) from 1 for 13)::uuid as id`,
        [ago],
      )
    )[0]?.id ?? '';
  const sentAgo = async (ago: string, more: Record<string, unknown> = {}): Promise<string> => {
    const id = await aged(ago);
    await rows('select plinth_queue.write_effects($1)', [JSON.stringify([{ id, queue: 'q', payload: {}, ...more }])]);
    // As if it had been written then, and not now by a program whose clock is slow.
    await database.admin.query('update plinth_queue.ready set since = null; update plinth_queue.grouped set since = null');
    return id;
  };
  const keepFor = (retention: string) => rows('select plinth.configure_queue($1, p_retention => $2::interval, p_max_receives => 9)', ['q', retention]);
  const idsOf = (messages: readonly ReceivedMessage[]): string[] => messages.map(({ id }) => id).sort();

  test('lets go of messages that are older than its retention', async () => {
    await keepFor('1 hour');
    const id = await sentAgo('2 hours');
    expect(await take()).toEqual([]);
    expect(await statusOf(id)).toBe('expired');
  });

  test('counts the retention from the end of a delay and from a redrive', async () => {
    await keepFor('1 day');
    const ids = [await sentAgo('2 hours'), await sentAgo('2 hours', { group_key: 'g' }), await sentAgo('2 hours')];
    const released = ids[2];
    for (const { id, receipt } of await take()) await as((tx) => release(tx, receipt, id === released ? { delayMs: 60_000 } : { dead: true }));
    ids.push(await sentAgo('2 hours', { delay_ms: 60_000 }));
    await runOff();
    await keepFor('1 hour');
    expect(await rows('select redrive_messages as id from plinth.redrive_messages($1)', ['q'])).toHaveLength(2);
    expect(idsOf(await take())).toEqual(ids.sort());
    await runOff();
    expect(idsOf(await take())).toEqual(ids);
    await database.admin.query(`update plinth_queue.hidden set since = plinth_kernel.v7_floor(clock_timestamp() - interval '2 hours')`);
    await runOff();
    expect(await take()).toEqual([]);
    for (const id of ids) expect(await statusOf(id)).toBe('expired');
  });

  test('keeps nothing for longer than 30 days: neither released nor redriven', async () => {
    const [old, gone] = [await aged('29 days'), await aged('40 days')];
    await database.admin.query(`insert into plinth_queue.hidden (tenant_id, id, queue, visible_at, receives, held) values ($1, $2, 'q', 'infinity', 1, true)`, [
      a,
      old,
    ]);
    expect(await errorCode(as((tx) => release(tx, `${old}.1`, { delayMs: 172_800_000 })))).toBe('queue_receive_invalid');
    await database.admin.query(`insert into plinth_queue.dead (tenant_id, id, queue) values ($1, $2, 'q')`, [a, gone]);
    expect(await rows('select plinth.redrive_messages($1)', ['q'])).toEqual([]);
    await database.admin.query(`insert into plinth_queue.ready (tenant_id, queue, position, id) values ($1, 'q', nextval('plinth_queue.positions'), $2)`, [
      a,
      gone,
    ]);
    const id = await send({ n: 1 });
    expect(await take()).toMatchObject([{ id }]);
  });

  test('gives a worker the messages of all tenants, each its share', async () => {
    await as(async (tx) =>
      tx.queue.sendMany(
        'q',
        Array.from({ length: 50 }, (_, n) => ({ payload: { n } })),
      ),
    );
    await send({ b: true }, {}, b);
    const got = await database.plinth.asWorker({}, (tx: AnyTransaction) => receive(tx, 'q', { limit: 10 }));
    expect(got).toHaveLength(10);
    expect(got.filter(({ tenant_id }) => tenant_id === b)).toHaveLength(1);
    const ofB = got.find(({ tenant_id }) => tenant_id === b);
    await database.plinth.asWorker({ tenantId: b }, (tx: AnyTransaction) => acknowledge(tx, ofB?.receipt ?? ''));
    expect(await statusOf(ofB?.id ?? '', b)).toBe('completed');
  });

  test('is not written to by a receiver that finds nothing', async () => {
    await rows(`select plinth.configure_queue('q')`);
    const [row] = await as(async (tx) => {
      await receive(tx, 'q', { limit: 100 });
      return tx.query<{ xact: string | null }>('select pg_current_xact_id_if_assigned()::text as xact');
    });
    expect(row).toEqual({ xact: null });
  });
});

describe('the cursor of a queue', () => {
  const cursor = async () =>
    (await database.admin.query<{ position: string; due_at: Date | number }>('select position, due_at from plinth_queue.cursors where tenant_id = $1', [a]))
      .rows[0];
  const advance = () => rows(`select plinth_queue.advance_cursor($1, 'q')`, [a]);

  test('stays where it began while nothing is known of the transactions that were running then', async () => {
    await as(async (slow) => {
      slow.queue.send('q', { n: 'late' });
      await slow.flush();
      for (const n of [1, 2]) await send({ n });
      await rows(`select plinth.receive_messages('q', 1, interval '10 minutes')`);
      for (let turn = 0; turn < 3; turn += 1) await advance();
      expect(await cursor()).toEqual({ position: '1', due_at: Number.NEGATIVE_INFINITY });
    });
    expect(payloads(await take(2))).toEqual([{ n: 'late' }, { n: 2 }]);
  });

  test('never passes what the newest of all transactions, still open, sends or gives back', async () => {
    await send({ n: 'back' });
    const [held] = await take(1);
    // Nothing that began later has ended when the cursor looks: snapshots have their xmax before these two.
    await as(async (slow) => {
      await slow.query('select plinth.release_message($1)', [held?.receipt]);
      for (let turn = 0; turn < 4; turn += 1) await advance();
    });
    expect(payloads(await take())).toEqual([{ n: 'back' }]);
    await as(async (slow) => {
      slow.queue.send('q', { n: 'sent' });
      await slow.flush();
      for (let turn = 0; turn < 4; turn += 1) await advance();
    });
    expect(payloads(await take())).toEqual([{ n: 'sent' }]);
  });

  test('passes what is gone, never a message that an open transaction has sent', async () => {
    await as(async (slow) => {
      slow.queue.send('q', { n: 'late' });
      await slow.flush();
      await as(async (tx) =>
        tx.queue.sendMany(
          'q',
          Array.from({ length: 20 }, (_, n) => ({ payload: { n } })),
        ),
      );
      const got = await take(100);
      expect(got).toHaveLength(20);
      await as((tx) =>
        acknowledgeMany(
          tx,
          got.map(({ receipt }) => receipt),
        ),
      );
      for (let turn = 0; turn < 3; turn += 1) await advance();
      expect(await cursor()).toMatchObject({ position: '1' });
    });
    expect(payloads(await take())).toEqual([{ n: 'late' }]);
    // Polled, because transactions of other databases of the server hold the cursor where it is as well.
    await vi.waitFor(
      async () => {
        await advance();
        expect(Number((await cursor())?.position)).toBeGreaterThan(20);
      },
      { timeout: 20_000, interval: 50 },
    );
    await send({ n: 'next' });
    expect(payloads(await take())).toEqual([{ n: 'next' }]);
  });

  test('is put right when it is wrong', async () => {
    await send({ n: 1 });
    await database.admin.query(`insert into plinth_queue.cursors (tenant_id, queue, position) values ($1, 'q', 1000000000)`, [a]);
    expect(await take()).toEqual([]);
    await database.plinth.asWorker({}, (tx) => tx.query('select plinth_queue.tidy()'));
    expect(await take()).toHaveLength(1);
  });
});
