/** What the next version of an event type may change, what it is told when it may not, and that both judgements are true of real values. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';

const database = await testDatabase('compatibility');
const { plinth, tenantA, tenantB } = database;
afterAll(() => database.drop());

type Schema = Record<string, unknown> | boolean;
interface Break {
  pointer: string;
  problem: string;
}

/** Where what fits the first may not fit the second. */
const breaks = async (pairs: readonly (readonly [Schema, Schema])[]): Promise<Break[][]> => {
  const { rows } = await database.admin.query<{ breaks: Break[] }>(
    `select coalesce((select jsonb_agg(to_jsonb(b)) from plinth_events.schema_breaks(p.value -> 0, p.value -> 1, p.value -> 0, p.value -> 1) as b), '[]') as breaks
     from jsonb_array_elements($1::jsonb) with ordinality as p (value, nth) order by p.nth`,
    [JSON.stringify(pairs)],
  );
  return rows.map((row) => row.breaks);
};
const object = (properties: Record<string, Schema>, more: Record<string, unknown> = {}): Schema => ({ type: 'object', properties, ...more });

describe('a change', () => {
  const text = { type: 'string' };
  const whole = { type: 'integer' };
  test.each<[string, Schema, Schema, string[], string[]]>([
    // What it is, before, after, what old values break in the new schema, what new values break in the old one.
    ['an optional property more', object({ a: text }), object({ a: text, b: whole }), [], []],
    [
      'an optional property more, closed',
      object({ a: text }, { additionalProperties: false }),
      object({ a: text, b: whole }, { additionalProperties: false }),
      [],
      ['/properties/b'],
    ],
    ['a required property more', object({ a: text }), object({ a: text, b: whole }, { required: ['b'] }), ['/required/b'], []],
    ['a property that is no longer required', object({ a: text }, { required: ['a'] }), object({ a: text }), [], ['/required/a']],
    ['another type', object({ a: text }), object({ a: whole }), ['/properties/a/type'], ['/properties/a/type']],
    ['a wider type', object({ a: whole }), object({ a: { type: ['number', 'null'] } }), [], ['/properties/a/type', '/properties/a/type']],
    ['an enum with one more', { enum: ['a'] }, { enum: ['a', 'b'] }, [], ['/enum']],
    ['a const that becomes an enum', { const: 1 }, { enum: [1, 2] }, [], ['/const']],
    ['an enum of objects with a smaller one', { enum: [{ a: 1, b: 2 }] }, { enum: [{ a: 1 }] }, ['/enum'], ['/enum']],
    ['text instead of an enum', { enum: ['a'] }, text, [], ['/enum']],
    ['bounds', { type: 'number', minimum: 1, maximum: 9 }, { type: 'number', exclusiveMinimum: 0, maximum: 10 }, [], ['/minimum', '/maximum']],
    ['lengths', { type: 'string', minLength: 2 }, { type: 'string', maxLength: 5 }, ['/maxLength'], ['/minLength']],
    ['a bound that speaks of other types', text, { type: ['string'], minimum: 5 }, [], []],
    ['multiples', { type: 'integer', multipleOf: 4 }, { type: 'integer', multipleOf: 2 }, [], ['/multipleOf']],
    ['items', { type: 'array', items: whole }, { type: 'array', items: { type: 'number' }, uniqueItems: true }, ['/uniqueItems'], ['/items/type']],
    // A mark that is left out breaks no reader, and opens no field: see marks.test.ts.
    ['words of its own', { type: 'string', 'x-personal': true, description: 'a' }, { type: 'string', title: 'b' }, [], []],
    ['a word that is not judged', { type: 'string', format: 'email' }, { type: 'string', format: 'uri' }, ['/format'], ['/format']],
    ['one alternative more', { anyOf: [text, whole] }, { anyOf: [text, whole, { type: 'null' }] }, [], ['/anyOf']],
    ['alternatives that become a list of types', { oneOf: [text, whole] }, { type: ['string', 'integer'] }, [], ['/oneOf']],
    ['a part of all', { allOf: [object({ a: text }, { required: ['a'] })] }, object({ a: text }), [], ['/allOf/required/a']],
    [
      'a reference to another form',
      { $ref: '#/$defs/a', $defs: { a: text } },
      { $ref: '#/$defs/a', $defs: { a: { type: ['string', 'null'] } } },
      [],
      ['/type'],
    ],
    [
      'a tree',
      { $ref: '#/$defs/n', $defs: { n: object({ left: { $ref: '#/$defs/n' }, right: { $ref: '#/$defs/n' }, v: whole }) } },
      { $ref: '#/$defs/n', $defs: { n: object({ left: { $ref: '#/$defs/n' }, right: { $ref: '#/$defs/n' }, v: { type: 'number' } }) } },
      [],
      ['/properties/v/type'],
    ],
    ['nothing allowed any more', object({ a: text }), object({ a: false }), ['/properties/a'], []],
    ['names with a slash', object({ 'a/b~c': text }), object({ 'a/b~c': whole }), ['/properties/a~1b~0c/type'], ['/properties/a~1b~0c/type']],
  ])('%s', async (_what, before, after, backward, forward) => {
    const [old = [], young = []] = await breaks([
      [before, after],
      [after, before],
    ]);
    expect([...new Set(old.map(({ pointer }) => pointer))]).toEqual([...new Set(backward)]);
    expect([...new Set(young.map(({ pointer }) => pointer))]).toEqual([...new Set(forward)]);
  });

  test('that is called compatible is: no value that fits before fails after', { timeout: 180_000 }, async () => {
    const leaf = fc.oneof(
      fc.record(
        {
          type: fc.constantFrom('string', 'integer', 'number', 'null', ['string', 'integer']),
          minimum: fc.integer({ min: -2, max: 2 }),
          maxLength: fc.integer({ min: 0, max: 2 }),
          exclusiveMaximum: fc.integer({ min: 0, max: 3 }),
        },
        { requiredKeys: ['type'] },
      ),
      fc.record({ enum: fc.uniqueArray(fc.constantFrom('', 'a', 'abc', 0, 1, 1.5, null), { minLength: 1 }) }),
      fc.boolean(),
    );
    const schema = fc.oneof(
      leaf,
      fc.record({ anyOf: fc.array(leaf, { minLength: 1, maxLength: 2 }) }),
      fc.record({ type: fc.constant('array'), items: leaf, maxItems: fc.integer({ min: 0, max: 2 }) }, { requiredKeys: ['type'] }),
      fc.record(
        {
          type: fc.constant('object'),
          // Every property is named: what a schema does not name counts as absent.
          properties: fc.record({ a: leaf, b: leaf }),
          required: fc.uniqueArray(fc.constantFrom('a', 'b')),
          additionalProperties: fc.boolean(),
        },
        { requiredKeys: ['type', 'properties'] },
      ),
    );
    const atoms = [null, '', 'a', 'abc', -3, 0, 1, 1.5, 3];
    const values = [
      ...atoms,
      ...atoms.map((one) => [one]),
      [1, 'a'],
      ...[undefined, ...atoms].flatMap((a) => [undefined, 'abc', 1].map((b) => JSON.parse(JSON.stringify({ a, b })) as unknown)),
    ];
    const seed = drawnSeed();
    const pairs = fc.sample(fc.tuple(schema, schema), { numRuns: drawnRuns(1_000), seed }) as [Schema, Schema][];
    const judged = await breaks(pairs);
    let compatible = 0;
    for (const [index, [from, to]] of pairs.entries()) {
      if ((judged[index] ?? []).length > 0) continue;
      compatible += 1;
      const ajv = new Ajv2020({ strict: false, logger: false });
      const [fitsFrom, fitsTo] = [ajv.compile(from), ajv.compile(to)];
      for (const value of values) if (fitsFrom(value)) expect({ seed, from, to, value, fits: fitsTo(value) }).toEqual({ seed, from, to, value, fits: true });
    }
    // Judgements that are never "compatible" would be true as well.
    expect(compatible).toBeGreaterThan(30);
  });
});

describe('a type', () => {
  const define = (tenantId: string, name: string, schema: Schema | null, more = ''): Promise<number> =>
    plinth.transaction({ tenantId }, async (tx) => {
      const [row] = await tx.query<{ version: number }>(`select plinth.define_event_type(p_name => $1, p_schema => $2${more}) as version`, [
        name,
        schema && JSON.stringify(schema),
      ]);
      return row?.version ?? 0;
    });
  const v1 = object({ total: { type: 'integer' } }, { required: ['total'] });

  test('is backward compatible unless it says otherwise; the error lists what breaks, and another tenant has its own', async () => {
    expect(await define(tenantA, 'order.created', v1)).toBe(1);
    const breaking = object({ total: { type: 'string' }, currency: { type: 'string' } }, { required: ['total', 'currency'] });
    await expect(define(tenantA, 'order.created', breaking)).rejects.toMatchObject({
      code: 'events_type_incompatible',
      status: 409,
      detail: {
        compatibility: 'backward',
        breaks: [
          { direction: 'backward', pointer: '/required/currency', problem: 'is required, and could be missing' },
          { direction: 'backward', pointer: '/properties/total/type', problem: 'must be string, and could be integer' },
        ],
      },
    });
    expect(await define(tenantB, 'order.created', breaking)).toBe(1);
    expect(await define(tenantA, 'order.created', breaking, `, p_compatibility => 'none'`)).toBe(2);
    // What was said last stays until something else is said.
    expect(await define(tenantA, 'order.created', v1)).toBe(3);
  });

  test('is not called compatible where it differs too deep to be compared', async () => {
    const nested = (levels: number, last: Schema): Schema => (levels === 0 ? last : object({ a: nested(levels - 1, last) }));
    await define(tenantA, 'order.deep', nested(80, { type: 'string' }));
    await expect(define(tenantA, 'order.deep', nested(80, { type: 'integer' }))).rejects.toMatchObject({
      code: 'events_type_incompatible',
      detail: { breaks: [{ problem: 'lies too deep to be compared' }] },
    });
  });

  test('is held to all versions since it last promised none, not only to the newest', async () => {
    const breaks = (more = '') => define(tenantA, 'order.chain', object({ x: { type: 'integer' } }), more);
    const broken = {
      detail: { breaks: [{ version: 1, direction: 'backward', pointer: '/properties/x/type', problem: 'must be integer, and could be string' }] },
    };
    await define(tenantA, 'order.chain', object({ x: { type: 'string' } }));
    // Neither breaks the one before it: a property that is not named counts as absent.
    expect(await define(tenantA, 'order.chain', object({}))).toBe(2);
    await expect(breaks()).rejects.toMatchObject(broken);
    const told = await plinth.transaction({ tenantId: tenantA }, (tx) =>
      tx.query(`select * from plinth.check_event_type('order.chain', '{"type": "object", "properties": {"x": {"type": "integer"}}}')`),
    );
    expect(told).toEqual(broken.detail.breaks);
    // Saying none of a version that is there takes nothing back that was promised; a version that was registered with it does.
    await define(tenantA, 'order.chain', object({}), `, p_compatibility => 'none'`);
    await expect(breaks(`, p_compatibility => 'backward'`)).rejects.toMatchObject(broken);
    expect(await breaks()).toBe(3);
    expect(await define(tenantA, 'order.chain', object({ x: { type: 'number' } }), `, p_compatibility => 'backward'`)).toBe(4);
    await expect(define(tenantA, 'order.chain', object({ x: { type: 'string' } }))).rejects.toMatchObject({ detail: { breaks: [{ version: 4 }] } });
  });

  test('that promises forward is held to it by every version', async () => {
    await define(tenantB, 'order.chain', object({ x: { type: 'string' } }), `, p_compatibility => 'forward'`);
    await define(tenantB, 'order.chain', object({}));
    await expect(define(tenantB, 'order.chain', object({ x: { type: 'integer' } }))).rejects.toMatchObject({
      detail: { breaks: [{ version: 1, direction: 'forward', pointer: '/properties/x/type' }] },
    });
  });

  test('that promises forward or full is held to it', async () => {
    await define(tenantA, 'order.forward', v1, `, p_compatibility => 'forward'`);
    await expect(define(tenantA, 'order.forward', object({ total: { type: 'integer' } }))).rejects.toMatchObject({
      detail: { breaks: [{ direction: 'forward', pointer: '/required/total' }] },
    });
    expect(await define(tenantA, 'order.forward', object({ total: { type: 'integer' }, n: true }, { required: ['total', 'n'] }))).toBe(2);
    await define(tenantA, 'order.full', v1, `, p_compatibility => 'full'`);
    for (const worse of [
      object({ total: { type: 'number' } }, { required: ['total'] }),
      object({ total: { type: 'integer', minimum: 0 } }, { required: ['total'] }),
    ])
      await expect(define(tenantA, 'order.full', worse)).rejects.toMatchObject({ code: 'events_type_incompatible' });
    expect(await define(tenantA, 'order.full', object({ total: { type: 'integer' }, note: { type: 'string' } }, { required: ['total'] }))).toBe(2);
  });

  test('can be deprecated, is still appended to and said to be; internal types are told apart', async () => {
    await define(tenantA, 'order.old', v1, `, p_visibility => 'internal', p_examples => '[{"total": 1}, {"total": 2}]'`);
    await define(tenantB, 'order.old', v1);
    await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.deprecate_event_type('order.old', 'It says too little.', 'order.new')`));
    const read = (tenantId: string) =>
      plinth.transaction({ tenantId }, (tx) =>
        tx.query(
          `select visibility, compatibility, examples, example, deprecated_at is not null as deprecated, deprecation, successor from plinth.event_types where name = 'order.old'`,
        ),
      );
    expect(await read(tenantA)).toEqual([
      {
        visibility: 'internal',
        compatibility: 'backward',
        examples: [{ total: 1 }, { total: 2 }],
        example: { total: 1 },
        deprecated: true,
        deprecation: 'It says too little.',
        successor: 'order.new',
      },
    ]);
    expect(await read(tenantB)).toMatchObject([{ visibility: 'public', deprecated: false, deprecation: null, successor: null }]);
    const client = await database.admin.connect();
    const notices: string[] = [];
    client.on('notice', (notice) => void notices.push(notice.message ?? ''));
    const event = '{"event_type": "order.old", "payload": {"total": 1}}';
    const ways = [
      `plinth.publish_event('order.old', '{"total": 1}')`,
      `plinth.append_event('1', 'order', 'order.old', '{"total": 1}')`,
      `plinth.append_events('1', 'order', '[${event}, ${event}]')`,
      `plinth.append_to_streams('[{"aggregate_type": "order", "aggregate_id": "2", "events": [${event}]}, {"aggregate_type": "order", "aggregate_id": "3", "events": [${event}]}]')`,
    ];
    for (const way of ways) {
      notices.length = 0;
      await client.query(`begin; set local role plinth_app; set local plinth.tenant_id = '${tenantA}'; select ${way}; commit`);
      expect(notices, way).toEqual(['event type order.old is deprecated: It says too little.']);
    }
    client.release(true);
    await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.undeprecate_event_type('order.old')`));
    expect(await read(tenantA)).toMatchObject([{ deprecated: false }]);
  });

  test('that is not one, or whose deprecation is not one, is refused', async () => {
    const code = (sql: string) =>
      plinth
        .transaction({ tenantId: tenantB }, (tx) => tx.query(`select ${sql}`))
        .then(
          () => 'none',
          (error: { code: string }) => error.code,
        );
    expect(await code(`plinth.define_event_type('a', '{"type":"object","required":["n"]}', p_examples => '[{"n":1},{}]')`)).toBe('events_type_invalid');
    expect(await code(`plinth.define_event_type('a', p_compatibility => 'sideways')`)).toBe('events_type_invalid');
    expect(await code(`plinth.define_event_type('a', p_visibility => 'secret')`)).toBe('events_type_invalid');
    expect(await code(`plinth.deprecate_event_type('order.forward', 'Only the other tenant has it.')`)).toBe('events_type_unknown');
    expect(await code(`plinth.undeprecate_event_type('order.created', 9)`)).toBe('events_type_unknown');
    expect(await code(`plinth.deprecate_event_type('order.created', '')`)).toBe('events_type_invalid');
    expect(await code(`plinth.deprecate_event_type('order.created', 'It is its own successor.', 'order.created')`)).toBe('events_type_invalid');
  });

  test('of all tenants is defined by operators, checked as others are, and in the audit log of the installation', async () => {
    const common = (schema: Schema, more = '') =>
      plinth.asWorker({}, async (tx) => {
        const rows = await tx.query<{ version: number }>(`select plinth.define_common_event_type('order.common', $1${more}) as version`, [
          JSON.stringify(schema),
        ]);
        return rows[0]?.version;
      });
    expect(await common(v1, `, p_reason => 'all shops'`)).toBe(1);
    expect(await common(v1, `, p_mode => 'warn'`)).toBe(1);
    const broken = object({ total: { type: 'string' } }, { required: ['total'] });
    await expect(common(broken)).rejects.toMatchObject({
      code: 'events_type_incompatible',
      detail: { breaks: [{ version: 1, pointer: '/properties/total/type' }] },
    });
    await expect(common({ type: 5 } as never, `, p_mode => 'no'`)).rejects.toMatchObject({ code: 'events_type_invalid' });
    expect(await common(broken, `, p_compatibility => 'none'`)).toBe(2);
    // A tenant's own type of that name is held to its own versions.
    expect(await define(tenantA, 'order.common', v1)).toBe(1);
    const tenants = plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.define_common_event_type('order.common')`));
    await expect(tenants).rejects.toMatchObject({ code: 'kernel_forbidden' });
    const { rows } = await database.admin.query(
      `select tenant_id, reason, after ->> 'version' as version from plinth_audit.entries where action = 'event_type.common_defined' order by created_at`,
    );
    const installation = '00000000-0000-0000-0000-000000000000';
    expect(rows).toEqual(['all shops', null, null].map((reason, nth) => ({ tenant_id: installation, reason, version: nth < 2 ? '1' : '2' })));
  });

  test('without a schema promises nothing, and a first schema breaks nothing', async () => {
    await define(tenantA, 'order.bare', null);
    expect(await define(tenantA, 'order.bare', v1)).toBe(2);
  });
});
