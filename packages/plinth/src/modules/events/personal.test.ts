/** Personal fields: nowhere in plain text, readable for those with the key, and for nobody once their subject was erased. */
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseExactJson } from '#kernel/exact-json.ts';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { Fold } from './aggregate.ts';
import { loadAggregate } from './aggregate.ts';
import { api } from './api.ts';
import { appendNow } from './append.ts';
import { reveal, revealText } from './personal.ts';
import type { RelayMessage } from './relay.ts';
import { relayTo } from './relay.ts';
import { readStream } from './stream.ts';
import { eraseSubject, rewrapSubjectKeys } from './subjects.ts';

const database = await testDatabase('personal');
const { admin, tenantA, tenantB } = database;
const master = randomBytes(32).toString('base64');
const open = (keys?: ReturnType<typeof createKeyRing>): Plinth => createPlinth({ database: { url: database.serverUrl, max: 3 }, keys });
const plinth = open(createKeyRing({ current: master }));
const keyless = database.plinth;
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

const schema = {
  type: 'object',
  'x-subject': '/customer_id',
  required: ['customer_id'],
  properties: {
    customer_id: { type: 'string' },
    total: { type: 'integer' },
    name: { type: ['string', 'null'], 'x-personal': true, maxLength: 50 },
    address: { type: 'object', 'x-personal': true, properties: { city: { type: 'string' } } },
    friend_id: { type: 'string' },
    friends: { type: 'array', items: { type: 'object', properties: { mail: { 'x-personal': true, 'x-subject': '/friend_id' } } } },
  },
};

beforeAll(async () => {
  for (const tenantId of [tenantA, tenantB])
    await plinth.transaction({ tenantId }, async (tx) => {
      await tx.query(`select plinth.define_event_type('order.placed', $1)`, [JSON.stringify(schema)]);
    });
});

/** Tables and columns of the whole database that hold the text, as a dump of it would. */
async function holding(text: string, client: pg.Pool = admin): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname not in ('information_schema') order by 1`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const held = await client.query(`select 1 from ${name} as t where t::text like $1 or t::text like $2 limit 1`, [
      `%${text}%`,
      `%${Buffer.from(text).toString('hex')}%`,
    ]);
    if (held.rowCount) found.push(name);
  }
  return found;
}

const place = (on: Plinth, tenantId: string, subject: string, data: Record<string, unknown>, stream?: string, idempotencyKey?: string): Promise<string> =>
  on.transaction({ tenantId }, async (tx) =>
    tx.events.publish(
      'order.placed',
      { customer_id: subject, total: 5, ...data },
      { stream: stream === undefined ? undefined : { type: 'order', id: stream }, idempotencyKey },
    ),
  );
const read = async (on: Plinth, tenantId: string, stream: string): Promise<Record<string, unknown>[]> =>
  (await on.transaction({ tenantId }, (tx) => Array.fromAsync(readStream(tx, { type: 'order', id: stream })))).map(({ data }) => data);
const stored = async (id: string): Promise<Record<string, unknown>> =>
  (await admin.query<{ payload: Record<string, unknown> }>('select payload from plinth_events.events where id = $1', [id])).rows[0]?.payload ?? {};
const sealed = { $encrypted: expect.stringMatching(/^1\.[0-9a-f-]{36}\.[\w-]+$/) };
const fault = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'none',
    (error: { code: string; detail?: { effect_code?: string } }) => error.detail?.effect_code ?? error.code,
  );

describe('personal fields', () => {
  test('are nowhere in the database in plain text, and readable by streams, folds and consumers of a process with the key', async () => {
    const canary = 'Canary-Ada-1815';
    const personal = { name: canary, address: { city: `${canary} Town` }, friend_id: 'friend-1', friends: [{ mail: `${canary}@example.com` }, {}] };
    const given = structuredClone(personal);
    const id = await place(plinth, tenantA, 'ada', personal, 'p-1');
    expect(personal).toEqual(given);
    expect(await stored(id)).toEqual({ customer_id: 'ada', total: 5, name: sealed, address: sealed, friend_id: 'friend-1', friends: [{ mail: sealed }, {}] });
    expect(await holding(canary)).toEqual([]);
    // The search itself finds what is there.
    expect(await holding('friend-1')).toHaveLength(1);

    expect(await read(plinth, tenantA, 'p-1')).toEqual([{ customer_id: 'ada', total: 5, ...personal }]);
    const asReader = await plinth.asReader({ tenantId: tenantA }, (tx) => Array.fromAsync(readStream(tx, { type: 'order', id: 'p-1' })));
    expect(asReader.map(({ data }) => data)).toEqual([{ customer_id: 'ada', total: 5, ...personal }]);
    // Not for a process without the key, nor for another tenant.
    expect(await read(keyless, tenantA, 'p-1')).toEqual([await stored(id)]);
    expect(await read(plinth, tenantB, 'p-1')).toEqual([]);

    const seen: Record<string, unknown>[] = [];
    const consumer = {
      summary: 'test',
      handle: async (_tx: unknown, events: readonly { data: Record<string, unknown> }[]) => void seen.push(...events.map(({ data }) => data)),
    };
    while ((await consumeOnce(plinth, 'test.reader', consumer)) > 0);
    expect(seen).toContainEqual({ customer_id: 'ada', total: 5, ...personal });
    const relayed: unknown[] = [];
    const bus = {
      name: 'test',
      publish: async (messages: readonly RelayMessage[]) => void relayed.push(...messages.map(({ cloudEvent }) => cloudEvent.data)),
      close: async () => {},
    };
    while ((await consumeOnce(plinth, 'test.relay', relayTo(bus))) > 0);
    expect(relayed).toContainEqual(await stored(id));

    const names: Fold<{ names: string[] }> = {
      name: 'names',
      initial: () => ({ names: [] }),
      reduce: (state, event) => ({ names: [...state.names, String(event.data.name)] }),
      snapshotEvery: 1,
    };
    expect(await plinth.transaction({ tenantId: tenantA }, (tx) => loadAggregate(tx, { type: 'order', id: 'p-1' }, names))).toMatchObject({
      state: { names: [canary] },
      version: 1,
    });
    // No snapshot of it: that would be a copy in plain text.
    expect(await holding(canary)).toEqual([]);
  });

  test('are checked against the schema before they are encrypted; absent ones and null hide nothing', async () => {
    await expect(place(plinth, tenantA, 'bo', { name: 'x'.repeat(51) })).rejects.toMatchObject({ code: 'events_payload_rejected' });
    expect(await stored(await place(plinth, tenantA, 'bo', { name: null }))).toEqual({ customer_id: 'bo', total: 5, name: null });
    expect(await fault(place(plinth, tenantA, '', { name: 'nobody' }))).toBe('events_subject_missing');
    // Without personal fields neither a subject nor a key is needed.
    expect(await fault(place(keyless, tenantA, '', {}))).toBe('none');
  });

  test('are the same content under an idempotency key, and other content is a conflict', async () => {
    const first = await place(plinth, tenantA, 'cy', { name: 'Cy' }, undefined, 'key-1');
    await place(plinth, tenantA, 'cy', { name: 'Cy' }, undefined, 'key-1');
    const { rows } = await admin.query(`select id from plinth_events.events where idempotency_key = 'key-1'`);
    expect(rows).toEqual([{ id: first }]);
    expect(await fault(place(plinth, tenantA, 'cy', { name: 'Cyrus' }, undefined, 'key-1'))).toBe('events_idempotency_conflict');
  });

  test('are not taken by SQL, nor by a process without the key', async () => {
    const attempt = (sql: string) => fault(keyless.transaction({ tenantId: tenantA }, (tx) => tx.query(`select ${sql}`)));
    expect(await attempt(`plinth.publish_event('order.placed', '{"customer_id": "di"}')`)).toBe('events_personal_refused');
    expect(await attempt(`plinth.append_event('1', 'order', 'order.placed', '{"customer_id": "di"}')`)).toBe('events_personal_refused');
    expect(await attempt(`plinth.append_events('1', 'order', '[{"event_type": "order.placed", "payload": {"customer_id": "di"}}]')`)).toBe(
      'events_personal_refused',
    );
    expect(await fault(place(keyless, tenantA, 'di', { name: 'Di' }))).toBe('events_key_missing');
    expect(await attempt(`plinth.define_event_type('no.subject', '{"properties": {"a": {"x-personal": true}}}')`)).toBe('events_type_invalid');
    // A schema that names a subject and cannot be followed takes nothing at all.
    await keyless.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(`select plinth.define_event_type('not.followed', '{"x-subject": "/id", "properties": {"a": {"not": {"x-personal": true}}}}', 'off')`),
    );
    await expect(plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('not.followed', { id: '1', a: 'x' }))).rejects.toMatchObject({
      code: 'events_payload_rejected',
      message: expect.stringContaining('not followed'),
    });
  });

  test('that a tenant copied from another stay closed', async () => {
    const id = await place(plinth, tenantA, 'eve', { name: 'Eve' });
    const copied = (await stored(id)).name;
    await plinth.transaction({ tenantId: tenantB }, async (tx) =>
      tx.events.publish('order.copied', { name: copied }, { stream: { type: 'order', id: 'copied' } }),
    );
    expect(await read(plinth, tenantB, 'copied')).toEqual([{ name: copied }]);
  });

  test('of a subject that many write of at once are all under one key', async () => {
    await Promise.all(Array.from({ length: 8 }, (_, n) => place(plinth, tenantA, 'many', { name: `Many ${n}` }, 'many')));
    expect((await read(plinth, tenantA, 'many')).map(({ name }) => name).sort()).toEqual(Array.from({ length: 8 }, (_, n) => `Many ${n}`));
  });
});

test('the text of a document is shown with its fields readable, and left as it is when there are none', async () => {
  const id = await place(plinth, tenantA, 'text', { name: 'Text "ü"' });
  const body = `{"type": "order.placed", "data": ${JSON.stringify(await stored(id))}}`;
  const show = (on: Plinth, text: string, closed = false) => on.transaction({ tenantId: tenantA }, (tx) => revealText(tx, tenantA, text, { closed }));
  expect(JSON.parse(await show(plinth, body))).toEqual({ type: 'order.placed', data: { customer_id: 'text', total: 5, name: 'Text "ü"' } });
  expect(JSON.parse(await show(plinth, body, true))).toEqual(JSON.parse(body));
  for (const text of ['{"n": 12345678901234567890}', '{"$encrypted": "no", "n": 12345678901234567890}']) expect(await show(plinth, text)).toBe(text);
});

test('numbers keep every digit, in encrypted fields, beside them and as the name of a subject', async () => {
  const digits = '9007199254740993';
  const data = parseExactJson(`{"customer_id":"digits","address":{"no":${digits}},"n":[${digits}],"friend_id":"f","friends":[{"mail":${digits}}]}`);
  const id = await place(plinth, tenantA, 'digits', data as Record<string, unknown>);
  const { rows } = await admin.query<{ text: string }>('select payload::text as text from plinth_events.events where id = $1', [id]);
  const text = rows[0]?.text ?? '';
  expect(text.split(digits)).toHaveLength(2);
  const shown = await plinth.transaction({ tenantId: tenantA }, (tx) => revealText(tx, tenantA, text));
  expect(shown.split(digits)).toHaveLength(4);
  const [seen] = await plinth.transaction({ tenantId: tenantA }, (tx) => reveal(tx, [{ tenantId: tenantA, value: JSON.parse(text) as object }]));
  expect(seen, 'plain numbers to the application').toMatchObject({ address: { no: Number(digits) } });
});

test('two subjects whose numbers JavaScript takes for one have a key each', async () => {
  const numbered = { ...schema, properties: { ...schema.properties, customer_id: { type: 'integer' } } };
  const subjects = ['9007199254740993', '9007199254740992'];
  const sealed = await plinth.transaction({ tenantId: tenantA }, async (tx) => {
    await tx.query(`select plinth.define_event_type('order.numbered', $1)`, [JSON.stringify(numbered)]);
    for (const subject of subjects) tx.events.publish('order.numbered', parseExactJson(`{"customer_id":${subject},"name":"x"}`) as Record<string, unknown>);
    await tx.flush();
    return tx.query<{ name: string }>(`select payload #>> '{name,$encrypted}' as name from plinth_events.events where type = 'order.numbered'`);
  });
  expect(new Set(sealed.map(({ name }) => name.split('.')[1])).size).toBe(2);
});

describe('erasing a subject', () => {
  test('leaves the tombstone everywhere, the others readable, an audit entry and an event; what comes later is not kept either', async () => {
    const canary = 'Canary-Grace-1906';
    for (const [tenantId, subject] of [
      [tenantA, 'grace'],
      [tenantA, 'alan'],
      [tenantB, 'grace'],
    ] as const)
      await place(plinth, tenantId, subject, { name: `${canary} ${subject}` }, 'erased');
    const erase = (tenantId: string) => plinth.transaction({ tenantId }, (tx) => eraseSubject(tx, { subject: 'grace', reason: 'She asked' }));
    const erasure = await erase(tenantA);
    expect(erasure).toMatchObject({ first: true, erasedAt: expect.any(Date) });
    expect(await erase(tenantA)).toEqual({ ...erasure, first: false });

    expect((await read(plinth, tenantA, 'erased')).map(({ name }) => name)).toEqual([{ $shredded: true }, `${canary} alan`]);
    expect((await read(keyless, tenantA, 'erased')).map(({ name }) => name)).toEqual([{ $shredded: true }, sealed]);
    expect((await read(plinth, tenantB, 'erased')).map(({ name }) => name)).toEqual([`${canary} grace`]);
    expect(await holding(canary)).toEqual([]);
    const { rows: keys } = await admin.query('select wrapped, master from plinth_events.subject_keys where id = $1', [erasure.keyId]);
    expect(keys).toEqual([{ wrapped: null, master: null }]);

    const proof = await plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(
        `select reason, after_state ->> 'key_id' as key_id from (select reason, after as after_state from plinth_audit.entries where action = 'subject.erased') as e`,
      ),
    );
    expect(proof).toEqual([{ reason: 'She asked', key_id: erasure.keyId }]);
    const told: unknown[] = [];
    const consumer = {
      summary: 'test',
      handle: async (_tx: unknown, events: readonly { type: string; tenantId: string; data: Record<string, unknown> }[]) =>
        void told.push(...events.filter(({ type }) => type === 'events.subject_erased').map(({ tenantId, data }) => [tenantId, data.subject, data.key_id])),
    };
    while ((await consumeOnce(plinth, 'test.told', consumer)) > 0);
    expect(told).toEqual([[tenantA, 'grace', erasure.keyId]]);

    const later = await place(plinth, tenantA, 'grace', { name: canary }, 'erased');
    expect((await stored(later)).name).toEqual({ $shredded: true });
    expect(await holding(canary)).toEqual([]);
  });

  test('leaves an idempotency key what it was: the producer that repeats it is answered with the first event', async () => {
    const once = (subject: string, name: string, key: string) =>
      place(plinth, tenantA, subject, { name, friend_id: 'kept', friends: [{ mail: 'kept@example.com' }] }, undefined, key);
    const batch = (friend: string) =>
      plinth.transaction({ tenantId: tenantA }, (tx) =>
        appendNow(
          tx,
          [
            { stream: { type: 'order', id: 'repeated' }, events: [{ type: 'order.placed', data: { customer_id: 'repeated', name: 'Rae' } }] },
            { stream: { type: 'order', id: 'repeated' }, events: [{ type: 'order.placed', data: { customer_id: 'kept', name: friend } }] },
          ],
          { idempotencyKey: 'repeated-2' },
        ),
      );
    const first = await once('repeated', 'Rae', 'repeated-1');
    const { events } = await batch('Kim');
    await plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: 'repeated', reason: 'asked' }));
    await once('repeated', 'Rae', 'repeated-1');
    const { rows } = await admin.query(`select id from plinth_events.events where idempotency_key = 'repeated-1'`);
    expect(rows).toEqual([{ id: first }]);
    expect(await batch('Kim')).toEqual({ events, duplicate: true });
    // What can still be compared is.
    expect(await fault(batch('Tim'))).toBe('events_idempotency_conflict');
    expect(await fault(once('kept', 'Rae', 'repeated-1'))).toBe('events_idempotency_conflict');
    expect(await fault(once('repeated', 'Rae', 'repeated-2'))).toBe('events_idempotency_conflict');
  });

  test('that never was heard of keeps what comes later unreadable; a reason is needed', async () => {
    await plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: 'never', reason: 'In advance' }));
    expect((await stored(await place(plinth, tenantA, 'never', { name: 'Never' }))).name).toEqual({ $shredded: true });
    expect(await fault(plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: 'never2', reason: ' ' })))).toBe(
      'events_operation_invalid',
    );
    expect(await fault(plinth.transaction({ tenantId: tenantA }, (tx) => eraseSubject(tx, { subject: '', reason: 'x' })))).toBe('events_operation_invalid');
  });

  test('over the API takes a permission of its own, as reading personal fields does', async () => {
    const call = (scopes: string[]) => {
      const actor = { type: 'user', id: 'officer' } as const;
      const context: CallContext = {
        principal: { actor, tenantId: tenantA, roles: [], scopes, operator: false },
        correlationId: plinth.newId(),
        adapters: {},
        run: (one, body) => plinth.transaction({ tenantId: tenantA, actor, readOnly: one.type === 'query' }, body),
      };
      return createCaller(router(api))(context);
    };
    const all = call(['events.*']);
    const { id } = await all.publish({ type: 'order.placed', data: { customer_id: 'rest', name: 'Rest' }, stream: { type: 'order', id: 'rest' } });
    expect((await all.get({ id })).payload).toEqual({ customer_id: 'rest', name: 'Rest' });
    expect((await all.stream({ type: 'order', id: 'rest' })).events).toMatchObject([{ payload: { name: 'Rest' } }]);
    expect((await all.exportCloudEvents({ type: 'order.placed', limit: 1000 })).events.at(-1)).toMatchObject({ data: { name: 'Rest' } });
    const reader = call(['events.read', 'events.write']);
    expect((await reader.get({ id })).payload).toEqual({ customer_id: 'rest', name: sealed });
    await expect(reader.eraseSubject({ subject: 'rest', reason: 'x' })).rejects.toMatchObject({ cause: { code: 'kernel_forbidden' } });
    expect(await all.eraseSubject({ subject: 'rest', reason: 'A request' })).toMatchObject({ first: true });
    for (const one of [all, reader]) expect((await one.get({ id })).payload).toEqual({ customer_id: 'rest', name: { $shredded: true } });
    await expect(all.putType({ name: 'bad.personal', schema: { properties: { a: { 'x-personal': true } } } })).rejects.toMatchObject({
      cause: { code: 'events_type_invalid' },
    });
  });
});

/** A transaction that stays open after this statement. */
async function leftOpen(text: string, values: unknown[]): Promise<{ release: () => Promise<void> } & AsyncDisposable> {
  const client = await admin.connect();
  let open = true;
  const release = async (): Promise<void> => {
    if (!open) return;
    open = false;
    await client.query('rollback');
    client.release();
  };
  await client.query('begin');
  await client.query(text, values);
  return { release, [Symbol.asyncDispose]: release };
}
const waitsForLocks = async () => (await admin.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount;

test('a new master key takes over: both open until the keys are wrapped anew, then the new one alone; a key that is moved does not open', async () => {
  await place(plinth, tenantA, 'rotated', { name: 'Rotated' }, 'rotated');
  await plinth.transaction({ tenantId: tenantA }, (tx) =>
    appendNow(tx, [{ stream: { type: 'order', id: 'rotated' }, events: [{ type: 'order.placed', data: { customer_id: 'rotated', name: 'Again' } }] }]),
  );
  const fresh = randomBytes(32).toString('base64');
  const both = createKeyRing({ current: fresh, old: [master] });
  const [during, after] = [open(both), open(createKeyRing({ current: fresh }))];
  try {
    const names = async (on: Plinth): Promise<unknown[]> => (await read(on, tenantA, 'rotated')).map(({ name }) => name);
    expect(await names(during)).toEqual(['Rotated', 'Again']);
    expect(await fault(names(after))).toBe('events_key_missing');
    const { rows } = await admin.query<{ count: number }>('select count(*)::integer as count from plinth_events.subject_keys where wrapped is not null');
    // One is held by its tenant: it comes last, and those of others are not held meanwhile.
    await using held = await leftOpen(`select from plinth_events.subject_keys where tenant_id = $1 for update`, [tenantA]);
    await place(plinth, tenantB, 'other', { name: 'Other' }, 'other');
    const wrapping = rewrapSubjectKeys((body) => during.asWorker({}, body), both);
    await expect.poll(waitsForLocks, { timeout: 20_000 }).toBe(1);
    await plinth.transaction({ tenantId: tenantB, timeoutMs: 10_000 }, (tx) => eraseSubject(tx, { subject: 'other', reason: 'asked' }));
    await held.release();
    expect(await wrapping).toBe((rows[0]?.count ?? 0) + 1);
    expect(await rewrapSubjectKeys((body) => during.asWorker({}, body), both)).toBe(0);
    expect(await names(after)).toEqual(['Rotated', 'Again']);
    expect(await fault(names(plinth))).toBe('events_key_missing');
    // The wrapped key of one subject under the id of another.
    await admin.query(
      `update plinth_events.subject_keys as k set wrapped = o.wrapped from plinth_events.subject_keys as o where o.wrapped is not null and k.wrapped is not null and o.id <> k.id`,
    );
    await expect(names(after)).rejects.toThrow();
  } finally {
    await Promise.all([during.close(), after.close()]);
  }
});

test('a master key is 32 bytes', () => {
  expect(() => createKeyRing({ current: 'c2hvcnQ=' })).toThrow('at least 32 random bytes');
});
