import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { once, requestHash } from './index.ts';

const database = await testDatabase('idempotency');
const { plinth, tenantA, tenantB, admin } = database;
beforeAll(async () => {
  await admin.query(`create table public.orders (n int); grant all on public.orders to plinth_app`);
});
afterAll(() => database.drop());

const orders = async (): Promise<number> => (await admin.query<{ n: number }>('select count(*)::int as n from orders')).rows[0]?.n ?? 0;
let made = 0;
const newKey = (): string => `key-${++made}`;
const order = (key: string, options: { tenantId?: string; request?: unknown; waitMs?: number; before?: () => Promise<void> } = {}) =>
  plinth.transaction({ tenantId: options.tenantId ?? tenantA }, (tx) =>
    once(tx, { scope: 'orders.create', key, request: options.request ?? { n: 1 }, ...(options.waitMs ? { waitMs: options.waitMs } : {}) }, async () => {
      await tx.query('insert into public.orders values (1)');
      await options.before?.();
      return { id: key, lines: [1, 2], at: null };
    }),
  );

describe('a call under an idempotency key', () => {
  test('is done once, and its repetition gets the same answer', async () => {
    const [key, before] = [newKey(), await orders()];
    expect(await order(key)).toEqual({ replayed: false, answer: { id: key, lines: [1, 2], at: null } });
    for (let i = 0; i < 3; i++) expect(await order(key)).toEqual({ replayed: true, answer: { id: key, lines: [1, 2], at: null } });
    expect(await orders()).toBe(before + 1);
  });

  test('is done once when it comes 12 times at the same moment', async () => {
    const [key, before] = [newKey(), await orders()];
    const answers = await Promise.all(Array.from({ length: 12 }, () => order(key, { waitMs: 20_000 })));
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(await orders()).toBe(before + 1);
  });

  test('with another request is refused with 422, whatever the order of the fields', async () => {
    const key = newKey();
    await order(key, { request: { a: 1, b: [{ c: 2, d: 3 }] } });
    expect(await order(key, { request: { b: [{ d: 3, c: 2 }], a: 1 } })).toMatchObject({ replayed: true });
    await expect(order(key, { request: { a: 1, b: [{ c: 2, d: 4 }] } })).rejects.toMatchObject({ code: 'idempotency_key_reused', status: 422 });
    expect(requestHash({ a: 1 })).not.toBe(requestHash({ a: '1' }));
  });

  test('is refused with 409 while the first runs longer than the wait, and answered when that is done', async () => {
    const key = newKey();
    const { promise: open, resolve: finish } = Promise.withResolvers<void>();
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const first = order(key, {
      before: () => {
        enter();
        return open;
      },
    });
    await entered;
    await expect(order(key, { waitMs: 50 })).rejects.toMatchObject({ code: 'idempotency_in_progress', status: 409 });
    const waiting = order(key, { waitMs: 20_000 });
    finish();
    expect(await first).toMatchObject({ replayed: false });
    expect(await waiting).toMatchObject({ replayed: true });
  });

  test('is tried again after it failed, because the key went with the rest', async () => {
    const [key, before] = [newKey(), await orders()];
    await expect(order(key, { before: () => Promise.reject(new Error('no stock')) })).rejects.toThrow('no stock');
    expect(await orders()).toBe(before);
    expect(await order(key)).toMatchObject({ replayed: false });
    expect(await orders()).toBe(before + 1);
  });

  test('the second of two takes over when the first fails', async () => {
    const [key, before] = [newKey(), await orders()];
    const { promise: open, reject: fail } = Promise.withResolvers<void>();
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const first = order(key, {
      before: () => {
        enter();
        return open;
      },
    });
    await entered;
    const second = order(key, { waitMs: 20_000 });
    fail(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    expect(await second).toMatchObject({ replayed: false });
    expect(await orders()).toBe(before + 1);
  });

  test('belongs to its tenant: the other tenant has the same key for itself and sees nothing', async () => {
    const key = newKey();
    await order(key, { request: 'a secret order' });
    expect(await order(key, { tenantId: tenantB, request: 'another order' })).toMatchObject({ replayed: false });
    const seen = await plinth.transaction({ tenantId: tenantB, readOnly: true }, (tx) =>
      tx.query('select key, request_hash from plinth.idempotency_keys where key = $1', [key]),
    );
    expect(seen).toEqual([{ key, request_hash: requestHash('another order') }]);
  });

  test('is done again after it expired', async () => {
    const [key, before] = [newKey(), await orders()];
    await order(key);
    await admin.query(`update plinth_idempotency.keys set expires_at = now() where key = $1`, [key]);
    expect(await order(key, { request: 'even another one' })).toMatchObject({ replayed: false });
    expect(await orders()).toBe(before + 2);
  });
});

describe('in SQL', () => {
  const begin = (key: string, more = ''): Promise<{ replayed: boolean; response_status: number; response_body: unknown; entity_id: string }[]> =>
    plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(`select * from plinth.begin_idempotent(p_scope := 'pay', p_key := $1, p_request_hash := 'h'${more})`, [key]),
    );

  test('a claim that was committed holds for its lease, then the same request may take it over', async () => {
    const key = newKey();
    expect(await begin(key)).toEqual([{ replayed: false, response_status: null, response_body: null, entity_id: null }]);
    await expect(begin(key)).rejects.toMatchObject({ code: 'idempotency_in_progress' });
    await admin.query(`update plinth_idempotency.keys set locked_until = now() where key = $1`, [key]);
    expect(await begin(key)).toMatchObject([{ replayed: false }]);
    await plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(`select plinth.finish_idempotent('pay', $1, 201, '{"id": 7}', p_entity_type := 'payment', p_entity_id := '7')`, [key]),
    );
    expect(await begin(key)).toEqual([{ replayed: true, response_status: 201, response_body: { id: 7 }, entity_id: '7' }]);
  });

  test('a start that was never finished keeps its key from other requests until it has expired', async () => {
    const key = newKey();
    await begin(key);
    await admin.query(`update plinth_idempotency.keys set locked_until = now() where key = $1`, [key]);
    const other = () =>
      plinth.transaction({ tenantId: tenantA }, (tx) =>
        tx.query(`select replayed from plinth.begin_idempotent(p_scope := 'pay', p_key := $1, p_request_hash := 'another')`, [key]),
      );
    await expect(other()).rejects.toMatchObject({ code: 'idempotency_key_reused' });
    await admin.query(`update plinth_idempotency.keys set expires_at = now() where key = $1`, [key]);
    expect(await other()).toEqual([{ replayed: false }]);
  });

  test('finishing what was not begun, or twice, is refused', async () => {
    const finish = (key: string) => plinth.transaction({ tenantId: tenantA }, (tx) => tx.query('select plinth.finish_idempotent($1, $2)', ['pay', key]));
    await expect(finish('never')).rejects.toMatchObject({ code: 'idempotency_not_begun', status: 404 });
    const key = newKey();
    await begin(key);
    await finish(key);
    await expect(finish(key)).rejects.toMatchObject({ code: 'idempotency_not_begun' });
  });

  test.each(['', 'with blank', 'x'.repeat(256), 'ü', 'line\n'])('the key %j is refused', async (key) => {
    await expect(begin(key)).rejects.toMatchObject({ code: 'idempotency_key_invalid', status: 400 });
  });

  test('the lock time-out of the caller is left as it was', async () => {
    const [row] = await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query(`set local lock_timeout = '1234ms'`);
      await tx.query(`select plinth.begin_idempotent('pay', $1)`, [newKey()]);
      return tx.query('show lock_timeout');
    });
    expect(row).toEqual({ lock_timeout: '1234ms' });
  });
});
