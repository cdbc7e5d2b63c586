/** Event types: what is checked, when, and what a payload that does not fit comes to. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { Plinth } from '../../index.ts';
import { TYPES_SIGNAL } from './check.ts';
import { compileSchema } from './schema.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;

beforeAll(async () => {
  database = await testDatabase('schema');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());

const schema = {
  type: 'object',
  required: ['total'],
  properties: { total: { type: 'integer', minimum: 1 }, mail: { type: 'string', format: 'email' } },
  additionalProperties: false,
};
const define = (tenantId: string, name: string, mode: string, what: object = schema): Promise<number> =>
  plinth.transaction({ tenantId }, async (tx) => {
    const [row] = await tx.query<{ version: number }>(`select plinth.define_event_type($1, $2, $3, p_compatibility => 'none') as version`, [
      name,
      JSON.stringify(what),
      mode,
    ]);
    tx.signal(TYPES_SIGNAL);
    return row?.version ?? 0;
  });
const publish = (tenantId: string, type: string, data: Record<string, unknown>, schemaVersion?: number) =>
  plinth.transaction({ tenantId }, async (tx) => tx.events.publish(type, data, { schemaVersion }));
const inSql = (tenantId: string, type: string, data: object) =>
  plinth.transaction({ tenantId }, (tx) => tx.query('select plinth.publish_event($1, $2)', [type, JSON.stringify(data)]));
const fault = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: { code: string }) => error.code,
  );

describe('reject', () => {
  test('names the effect, the version and the place, and writes nothing', async () => {
    await define(a, 'strict.one', 'reject');
    let first = '';
    await expect(
      plinth.transaction({ tenantId: a }, async (tx) => {
        first = tx.events.publish('strict.one', { total: 1 });
        tx.events.publish('strict.one', { total: 0 });
      }),
    ).rejects.toMatchObject({
      code: 'events_payload_rejected',
      status: 422,
      detail: { effect: 'events.publish("strict.one")', event_index: 1, type_version: 1, fault: '/total must be >= 1' },
    });
    expect(await plinth.transaction({ tenantId: a }, (tx) => tx.query('select from plinth.event_store where id = $1', [first]))).toEqual([]);
    const id = await publish(a, 'strict.one', { total: 3, mail: 'a@example.com' });
    expect(await plinth.transaction({ tenantId: a }, (tx) => tx.query('select event_version from plinth.event_store where id = $1', [id]))).toEqual([
      { event_version: 1 },
    ]);
    expect(await fault(publish(a, 'strict.one', { total: 3, mail: 'nobody' }))).toBe('events_payload_rejected');
  });

  test('holds for SQL callers in the words that SQL knows, and says so in the README', async () => {
    await define(a, 'strict.sql', 'reject', {
      ...schema,
      properties: { ...schema.properties, kind: { enum: ['x', 'y'] }, tags: { type: 'array', items: { type: 'string', maxLength: 3 } } },
    });
    for (const data of [{}, { total: 'x' }, { total: 1.5 }, { total: 0 }, { total: 1, more: 1 }, { total: 1, kind: 'z' }, { total: 1, tags: ['abcd'] }])
      expect(await fault(inSql(a, 'strict.sql', data))).toBe('events_payload_rejected');
    expect(await fault(inSql(a, 'strict.sql', { total: 1, kind: 'x', tags: ['abc'] }))).toBe('none');
    // format is not among them.
    expect(await fault(inSql(a, 'strict.sql', { total: 1, mail: 'nobody' }))).toBe('none');
  });

  test('is a matter of the tenant: another tenant may publish what it likes', async () => {
    await define(a, 'strict.tenant', 'reject');
    expect(await fault(publish(b, 'strict.tenant', {}))).toBe('none');
    expect(await fault(publish(a, 'strict.tenant', {}))).toBe('events_payload_rejected');
  });

  test('a common type holds for all, and a type of the tenant goes before', async () => {
    await database.admin.query(`insert into plinth_events.common_types (name, version, schema) values ('common.one', 1, $1)`, [JSON.stringify(schema)]);
    expect(await fault(publish(a, 'common.one', {}))).toBe('events_payload_rejected');
    await define(b, 'common.one', 'off', {});
    expect(await fault(publish(b, 'common.one', {}))).toBe('none');
    expect(await fault(inSql(a, 'common.one', {}))).toBe('events_payload_rejected');
  });
});

describe('versions', () => {
  test('another schema is another version; the newest is checked unless one is named', async () => {
    expect(await define(a, 'versioned', 'reject')).toBe(1);
    expect(await define(a, 'versioned', 'warn')).toBe(1);
    expect(await define(a, 'versioned', 'reject', { type: 'object', required: ['other'] })).toBe(2);
    expect(await fault(publish(a, 'versioned', { total: 1 }))).toBe('events_payload_rejected');
    expect(await fault(publish(a, 'versioned', { total: 1 }, 1))).toBe('none');
    expect(await fault(publish(a, 'versioned', { other: 1 }))).toBe('none');
    expect(await fault(publish(a, 'versioned', {}, 9))).toBe('events_type_unknown');
  });

  test('racing definitions take different versions', async () => {
    const versions = await Promise.all(Array.from({ length: 6 }, (_, n) => define(a, 'raced', 'off', { const: n })));
    expect(versions.sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe('warn', () => {
  test('writes the event and a warning, from TypeScript and from SQL', async () => {
    await define(a, 'lenient', 'warn');
    const id = await publish(a, 'lenient', { total: 0 });
    await inSql(a, 'lenient', {});
    const warnings = await plinth.transaction({ tenantId: a }, (tx) =>
      tx.query<{ event_id: string; fault: string }>('select event_id, event_type, type_version, fault from plinth.event_schema_warnings order by id'),
    );
    expect(warnings).toMatchObject([
      { event_id: id, event_type: 'lenient', type_version: 1, fault: '/total must be >= 1' },
      { fault: 'the payload must have total' },
    ]);
    expect(await plinth.transaction({ tenantId: b }, (tx) => tx.query('select from plinth.event_schema_warnings'))).toEqual([]);
  });
});

describe('a schema', () => {
  test('that could run away, leads out or is not one is refused', () => {
    const refused: [Record<string, unknown>, RegExp][] = [
      [{ properties: { a: { type: 'string', pattern: '^(a+)+$', maxLength: 50 } } }, /repeats a group/],
      [{ properties: { a: { pattern: '^a*$' } } }, /needs a maxLength/],
      [{ properties: { a: { pattern: 'a*b*c*', maxLength: 50 } } }, /open repetitions/],
      [{ properties: { a: { pattern: '(?=a)b', maxLength: 50 } } }, /looks around/],
      [{ patternProperties: { '^x': {} } }, /patternProperties/],
      [{ $ref: 'https://example.com/schema.json' }, /leads out/],
      [{ type: 'objekt' }, /schema is invalid/],
    ];
    for (const [one, reason] of refused) expect(() => compileSchema(one)).toThrow(reason);
    const fine = compileSchema({
      $defs: { id: { type: 'string', pattern: '^[A-Z]{2}-[0-9]+$', maxLength: 20 } },
      properties: { pattern: { $ref: '#/$defs/id' } },
    });
    expect(fine({ pattern: 'AB-12' })).toBeUndefined();
    expect(fine({ pattern: 'x' })).toMatch(/^\/pattern/);
  });

  test('that was registered in SQL and does not compile rejects every payload and says why', async () => {
    await define(a, 'broken', 'reject', { type: 'objekt' });
    await expect(publish(a, 'broken', {})).rejects.toMatchObject({
      code: 'events_payload_rejected',
      message: expect.stringContaining('the schema of broken version 1 is not valid'),
    });
  });

  test('and a name that is not one are refused by define_event_type', async () => {
    const attempt = (sql: string) => fault(plinth.transaction({ tenantId: a }, (tx) => tx.query(`select plinth.define_event_type(${sql})`)));
    expect(await attempt(`'a b'`)).toBe('events_type_invalid');
    expect(await attempt(`'a', '[]'`)).toBe('events_type_invalid');
    expect(await attempt(`'a', '{}', 'maybe'`)).toBe('events_type_invalid');
  });
});
