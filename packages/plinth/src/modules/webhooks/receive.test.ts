/** Taking a webhook in the transaction of what it causes. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { signAs } from './profiles.ts';
import type { Receipt } from './receive.ts';
import { receiveWebhook } from './receive.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_receive');
  await database.admin.query('create table public.effects (id text); grant insert on public.effects to plinth_app');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('truncate plinth_webhooks.inbound_messages, public.effects'));

const SECRET = 'a secret of both sides';
const receipt = (id: string, more: Partial<Receipt> = {}): Receipt => {
  const body = JSON.stringify({ id, type: 'invoice.paid' });
  const timestampSeconds = Math.floor(database.plinth.clock.now() / 1000);
  return {
    source: 'billing',
    profile: 'stripe',
    secrets: [SECRET],
    headers: signAs('stripe', [SECRET], { id, type: '', timestampSeconds, body }),
    body,
    ...more,
  };
};
const take = (tenantId: string, id: string, fails = false) =>
  database.plinth.transaction({ tenantId }, async (tx) => {
    const taken = await receiveWebhook(tx, receipt(id));
    if (!taken.duplicate) await tx.query('insert into public.effects values ($1)', [id]);
    if (fails) throw new Error('the business failed');
    return taken;
  });
const effects = async () => (await database.admin.query<{ id: string }>('select id from public.effects order by id')).rows.map(({ id }) => id);

test('a message takes effect once, also when the first try rolled back, and each tenant has its own', async () => {
  await expect(take(database.tenantA, 'evt_1', true)).rejects.toThrow('the business failed');
  expect(await effects()).toEqual([]);
  expect(await take(database.tenantA, 'evt_1')).toMatchObject({ id: 'evt_1', duplicate: false });
  expect(await take(database.tenantA, 'evt_1')).toMatchObject({ id: 'evt_1', duplicate: true });
  expect(await take(database.tenantB, 'evt_1')).toMatchObject({ duplicate: false });
  expect(await effects()).toEqual(['evt_1', 'evt_1']);
});

test('of repetitions that come at the same time one takes effect', async () => {
  const taken = await Promise.all(Array.from({ length: 8 }, (_, n) => take(database.tenantA, `evt_${n % 2}`)));
  expect(taken.filter(({ duplicate }) => !duplicate)).toHaveLength(2);
  expect(await effects()).toEqual(['evt_0', 'evt_1']);
});

test('what is not signed as it should be is refused and not noted; the same id of another source is another message', async () => {
  await expect(
    database.plinth.transaction({ tenantId: database.tenantA }, (tx) => receiveWebhook(tx, receipt('evt_1', { secrets: ['another secret'] }))),
  ).rejects.toMatchObject({
    code: 'webhooks_signature_invalid',
  });
  expect((await database.admin.query('select from plinth_webhooks.inbound_messages')).rowCount).toBe(0);
  const [one, other] = await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => [
    await receiveWebhook(tx, receipt('evt_1')),
    await receiveWebhook(tx, receipt('evt_1', { source: 'shop', publish: true })),
  ]);
  expect([one?.duplicate, other?.duplicate, one?.eventId]).toEqual([false, false, undefined]);
  const { rows } = await database.admin.query('select type, payload from plinth_events.events where tenant_id = $1 and id = $2', [
    database.tenantA,
    other?.eventId,
  ]);
  expect(rows).toEqual([{ type: 'shop.invoice.paid', payload: { id: 'evt_1', type: 'invoice.paid' } }]);
});

test('a body that the database cannot hold as JSON is published as text', async () => {
  for (const [n, text] of ['{"a":"\\u0000"}', '{"a":"\\ud800"}', '[1]', 'a=1', '{"a":"\\ud83e\\udd4a"}'].entries()) {
    const timestampSeconds = Math.floor(database.plinth.clock.now() / 1000);
    const headers = signAs('slack', [SECRET], { id: 'm', type: '', timestampSeconds, body: text });
    const { eventId } = await database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
      receiveWebhook(tx, { source: `odd${n}`, profile: 'slack', secrets: [SECRET], headers, body: Buffer.from(text), publish: true }),
    );
    const { rows } = await database.admin.query<{ payload: Record<string, unknown> }>(
      'select payload from plinth_events.events where tenant_id = $1 and id = $2',
      [database.tenantA, eventId],
    );
    expect(rows[0]?.payload).toEqual(n === 4 ? { a: '\u{1F94A}' } : { text });
  }
});

test('numbers are published as they were signed', async () => {
  const text = '{"type":"a.b","id":12345678901234567890,"cents":1.10,"n":[-7,0.5,{"deep":9007199254740993}]}';
  const timestampSeconds = Math.floor(database.plinth.clock.now() / 1000);
  const headers = signAs('slack', [SECRET], { id: 'm', type: '', timestampSeconds, body: text });
  const { eventId } = await database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
    receiveWebhook(tx, { source: 'numbers', profile: 'slack', secrets: [SECRET], headers, body: Buffer.from(text), publish: true }),
  );
  const { rows } = await database.admin.query<{ same: boolean; type: string }>(
    'select payload::jsonb = $3::jsonb as same, type from plinth_events.events where tenant_id = $1 and id = $2',
    [database.tenantA, eventId, text],
  );
  expect(rows).toEqual([{ same: true, type: 'numbers.a.b' }]);
});

test('from SQL the first receipt is told from a repetition; ids without a form are refused', async () => {
  const first = (id: unknown, source: unknown = 'sql') =>
    database.plinth.transaction({ tenantId: database.tenantA }, (tx) =>
      tx.query<{ first: boolean }>('select plinth.first_receipt($1, $2) as first', [source, id]),
    );
  expect(await first('1')).toEqual([{ first: true }]);
  expect(await first('1')).toEqual([{ first: false }]);
  for (const id of ['', null, 'x'.repeat(201)]) await expect(first(id)).rejects.toMatchObject({ code: 'webhooks_message_invalid' });
  await expect(first('1', '')).rejects.toMatchObject({ code: 'webhooks_message_invalid' });
  await expect(database.plinth.transaction({}, (tx) => tx.query(`select plinth.first_receipt('a', 'b')`))).rejects.toMatchObject({
    code: 'kernel_tenant_required',
  });
});
