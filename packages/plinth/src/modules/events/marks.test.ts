/** A mark holds for all of a type: no version, CloudEvent, statement or deletion gets a marked field past the encryption. */
import { randomBytes } from 'node:crypto';
import { afterAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';
import { api } from './api.ts';
import { readStream } from './stream.ts';

const database = await testDatabase('marks');
const { admin, tenantA, tenantB } = database;
const plinth = createPlinth({ database: { url: database.serverUrl, max: 3 }, keys: createKeyRing({ current: randomBytes(32).toString('base64') }) });
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

const plain = { type: 'object', properties: { id: { type: 'string' }, name: {}, address: { type: 'object', properties: { city: {} } } } };
const marked = { ...plain, 'x-subject': '/id', properties: { ...plain.properties, name: { 'x-personal': true } } };
const sealed = { $encrypted: expect.stringMatching(/^1\.[0-9a-f-]{36}\.[\w-]+$/) };

const call = (tenantId: string, scopes: string[]) => {
  const actor = { type: 'user', id: 'somebody' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: plinth.newId(),
    adapters: {},
    run: (one, body) => plinth.transaction({ tenantId, actor, readOnly: one.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};
const writer = call(tenantA, ['events.read', 'events.write']);
const officer = call(tenantA, ['events.*']);
const stored = async (type: string): Promise<unknown[]> =>
  (await admin.query<{ name: unknown }>(`select payload -> 'name' as name from plinth_events.events where type = $1 order by position`, [type])).rows.map(
    ({ name }) => name,
  );
const sql = (text: string, tenantId = tenantA) => plinth.transaction({ tenantId }, (tx) => tx.query(text));
const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: Error & { code: string; cause?: { code: string } }) => (error.name === 'TRPCError' ? error.cause?.code : error.code) ?? error.message,
  );
const audited = async (type: string) =>
  (
    await admin.query(`select action, reason, actor_id from plinth_audit.entries where entity_type = 'event_type' and entity_id = $1 order by created_at`, [
      type,
    ])
  ).rows;
const data = { id: 'ada', name: 'Ada' };

describe('fields that any version marks are sealed', () => {
  test('when an older version without marks is asked for: by the API, as a CloudEvent, in a stream, in SQL', async () => {
    await writer.putType({ name: 'old.version', schema: plain });
    expect(await writer.putType({ name: 'old.version', schema: marked })).toMatchObject({ version: 2 });
    await writer.publish({ type: 'old.version', data, schema_version: 1 });
    await writer.append({ type: 'person', id: 'old', events: [{ type: 'old.version', data, schema_version: 1 }] });
    await writer.appendAll({ appends: [{ stream: { type: 'person', id: 'old' }, events: [{ type: 'old.version', data, schema_version: 1 }] }] });
    const cloudEvent = { specversion: '1.0', source: 's', id: '1', type: 'old.version', dataschema: 'urn:plinth:event-type:old.version:1', data };
    await writer.ingestCloudEvents({ events: [cloudEvent] });
    expect(await stored('old.version')).toEqual([sealed, sealed, sealed, sealed]);
    const payload = `'{"id": "ada", "name": "Ada"}'`;
    const rows = `'[{"event_type": "old.version", "type_version": 1, "payload": {"id": "ada", "name": "Ada"}}]'`;
    for (const statement of [
      `plinth.publish_event('old.version', ${payload}, p_type_version => 1)`,
      `plinth.append_events('x', 'person', ${rows})`,
      `plinth.append_to_streams(jsonb_build_array(jsonb_build_object('aggregate_type', 'person', 'aggregate_id', 'x', 'events', ${rows}::jsonb)))`,
    ])
      expect(await code(sql(`select ${statement}`)), statement).toBe('events_personal_refused');
    // The other tenant has no such type.
    expect(await code(sql(`select plinth.publish_event('old.version', ${payload})`, tenantB))).toBe('none');
  });

  test('when the newest version leaves the mark out', async () => {
    await writer.putType({ name: 'left.out', schema: marked });
    expect(await writer.putType({ name: 'left.out', schema: plain })).toMatchObject({ version: 2 });
    await writer.publish({ type: 'left.out', data });
    expect(await stored('left.out')).toEqual([sealed]);
    expect((await writer.type({ name: 'left.out' })).versions).toMatchObject([
      { version: 2, personal: false },
      { version: 1, personal: true },
    ]);
    expect(await code(sql(`select plinth.publish_event('left.out', '{"name": "Ada"}')`))).toBe('events_personal_refused');
    // A mode that checks nothing changes nothing of it.
    await writer.putType({ name: 'left.out', mode: 'off' });
    await writer.publish({ type: 'left.out', data });
    expect(await stored('left.out')).toEqual([sealed, sealed]);
  });

  test('when a type of the tenant stands before a common one that marks them', async () => {
    await admin.query(`insert into plinth_events.common_types (name, version, schema) values ('common.person', 1, $1)`, [JSON.stringify(marked)]);
    await writer.putType({ name: 'common.person', schema: plain });
    await writer.publish({ type: 'common.person', data });
    expect(await stored('common.person')).toEqual([sealed]);
    expect(await code(sql(`select plinth.publish_event('common.person', '{"name": "Ada"}')`))).toBe('events_personal_refused');
  });

  test('once, where versions mark a part and the whole, and for whom the version that is asked for says', async () => {
    const subject = { 'x-personal': true, 'x-subject': '/person' };
    await writer.putType({ name: 'part.whole', schema: { properties: { address: { properties: { city: { ...subject, 'x-subject': '/id' } } } } } });
    await writer.putType({ name: 'part.whole', compatibility: 'none', schema: { properties: { address: subject } } });
    const stream = { type: 'person', id: 'part' };
    for (const schema_version of [1, 2])
      await officer.publish({ type: 'part.whole', schema_version, stream, data: { id: 'i', person: 'p', address: { city: 'Bath' } } });
    await officer.eraseSubject({ subject: 'i', reason: 'asked' });
    const read = () =>
      plinth.transaction({ tenantId: tenantA }, async (tx) => (await Array.fromAsync(readStream(tx, stream))).map(({ data: { address } }) => address));
    expect(await read()).toEqual([{ city: 'Bath' }, { city: 'Bath' }]);
    await officer.eraseSubject({ subject: 'p', reason: 'asked' });
    expect(await read()).toEqual([{ $shredded: true }, { $shredded: true }]);
    // The whole is whose it is, or nothing is stored.
    expect(await code(officer.publish({ type: 'part.whole', data: { id: 'j', address: { city: 'York' } } }))).toBe('events_subject_missing');
  });

  test('for whom another version says, where the pointer of one leads nowhere', async () => {
    await writer.putType({ name: 'whose.field', schema: marked });
    await writer.putType({ name: 'whose.field', schema: { ...marked, 'x-subject': '/person' } });
    const stream = { type: 'person', id: 'whose' };
    await officer.publish({ type: 'whose.field', stream, data: { id: 'only-id', name: 'A' } });
    await officer.publish({ type: 'whose.field', stream, data: { id: 'only-id', person: 'both', name: 'B' } });
    await officer.publish({ type: 'whose.field', stream, data: { id: 'only-id', person: 'both', name: 'C' }, schema_version: 1 });
    await officer.eraseSubject({ subject: 'only-id', reason: 'asked' });
    const names = (await officer.stream(stream)).events.map(({ payload }) => payload.name);
    expect(names).toEqual([{ $shredded: true }, 'B', { $shredded: true }]);
    expect(await code(officer.publish({ type: 'whose.field', data: { name: 'D' } }))).toBe('events_subject_missing');
  });
});

test('who lets customers see events of a type is on record; defining it again as it is, is not', async () => {
  await writer.putType({ name: 'seen.by_customers', schema: plain, visibility: 'internal' });
  await writer.putType({ name: 'seen.by_customers', schema: plain, visibility: 'internal' });
  await writer.putType({ name: 'seen.by_customers', schema: plain });
  expect(await audited('seen.by_customers')).toEqual([]);
  await writer.putType({ name: 'seen.by_customers', schema: plain, visibility: 'public' });
  await writer.putType({ name: 'seen.by_customers', schema: marked, visibility: 'internal' });
  const { rows } = await admin.query(
    `select action, actor_id, before ->> 'visibility' as was, after ->> 'visibility' as "is" from plinth_audit.entries where entity_id = 'seen.by_customers' order by id`,
  );
  const change = { action: 'event_type.visibility_changed', actor_id: 'somebody' };
  expect(rows).toEqual([
    { ...change, was: 'internal', is: 'public' },
    { ...change, was: 'public', is: 'internal' },
  ]);
});

describe('taking marks back', () => {
  test('is an act of its own, with a permission and a reason, and leaves those of the newest version', async () => {
    await writer.putType({ name: 'taken.back', schema: marked });
    expect(await code(writer.unmarkType({ name: 'taken.back', reason: 'x' }))).toBe('kernel_forbidden');
    expect(await code(officer.unmarkType({ name: 'taken.back', reason: ' ' }))).toBe('events_operation_invalid');
    expect(await code(officer.unmarkType({ name: 'taken.never', reason: 'x' }))).toBe('events_type_unknown');
    expect(await officer.unmarkType({ name: 'taken.back', reason: 'The newest still marks it' })).toEqual({ name: 'taken.back', versions: 0 });
    await writer.publish({ type: 'taken.back', data });
    await writer.putType({ name: 'taken.back', schema: plain });
    expect(await officer.unmarkType({ name: 'taken.back', reason: 'Names of firms, not of people' })).toEqual({ name: 'taken.back', versions: 1 });
    await writer.publish({ type: 'taken.back', data });
    expect(await stored('taken.back')).toEqual([sealed, 'Ada']);
    expect(await audited('taken.back')).toEqual([{ action: 'event_type.unmarked', reason: 'Names of firms, not of people', actor_id: 'somebody' }]);
    // Nor by statements of the application: the table is written by functions only.
    for (const statement of [
      `update plinth_events.types set schema = null`,
      'delete from plinth_events.types',
      `update plinth_events.types set unmarked_at = now()`,
    ])
      expect(await code(sql(statement)), statement).toBe('42501');
  });
});

describe('a deleted type', () => {
  test('with marks takes the permission and a reason, is in the audit log, and its fields stay sealed', async () => {
    await writer.putType({ name: 'gone.marked', schema: marked });
    expect(await code(writer.deleteType({ name: 'gone.marked', reason: 'x' }))).toBe('kernel_forbidden');
    expect(await code(officer.deleteType({ name: 'gone.marked' }))).toBe('events_operation_invalid');
    expect(await officer.deleteType({ name: 'gone.marked', reason: 'No longer used' })).toEqual({ name: 'gone.marked', versions: 1 });
    expect(await code(writer.type({ name: 'gone.marked' }))).toBe('events_type_unknown');
    expect(await audited('gone.marked')).toEqual([{ action: 'event_type.deleted', reason: 'No longer used', actor_id: 'somebody' }]);
    await writer.publish({ type: 'gone.marked', data });
    expect(await code(sql(`select plinth.publish_event('gone.marked', '{"name": "Ada"}')`))).toBe('events_personal_refused');
    expect(await code(sql(`select plinth.append_events('x', 'person', '[{"event_type": "gone.marked", "payload": {"name": "Ada"}}]')`))).toBe(
      'events_personal_refused',
    );
    expect(await code(writer.publish({ type: 'gone.marked', data, schema_version: 1 }))).toBe('events_type_unknown');
    expect(await officer.unmarkType({ name: 'gone.marked', reason: 'Sure' })).toMatchObject({ versions: 1 });
    await writer.publish({ type: 'gone.marked', data });
    expect(await stored('gone.marked')).toEqual([sealed, 'Ada']);
  });

  test('never gives its version numbers again, and promises nothing any more', async () => {
    await writer.putType({ name: 'gone.plain', schema: plain });
    await writer.publish({ type: 'gone.plain', data });
    expect(await writer.deleteType({ name: 'gone.plain' })).toEqual({ name: 'gone.plain', versions: 1 });
    expect(await code(writer.deleteType({ name: 'gone.plain' }))).toBe('events_type_unknown');
    expect((await writer.types({})).types.map(({ name }) => name)).not.toContain('gone.plain');
    // As it was: stored events of version 1 are of another life of the type, with other upcasters.
    expect(await writer.putType({ name: 'gone.plain', schema: plain })).toMatchObject({ version: 2 });
    await writer.deleteType({ name: 'gone.plain' });
    expect(await writer.putType({ name: 'gone.plain', schema: { properties: { id: { type: 'integer' } } } })).toMatchObject({ version: 3 });
    await writer.publish({ type: 'gone.plain', data: { id: 1 } });
    const { rows } = await admin.query(`select type_version from plinth_events.events where type = 'gone.plain' order by position`);
    expect(rows).toEqual([{ type_version: 1 }, { type_version: 3 }]);
    expect(await code(writer.publish({ type: 'gone.plain', data: { id: 1 }, schema_version: 1 }))).toBe('events_type_unknown');
  });
});
