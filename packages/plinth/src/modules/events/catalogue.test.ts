/** The exported catalogue, judged by the specifications' own schemas and by the TypeScript compiler. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exportedCatalogue } from '#apps/cli/events.ts';
import { testDatabase } from '#testing/database.ts';
import type { CatalogueType } from './catalogue.ts';
import { catalogueOf, readCatalogue } from './catalogue.ts';
import { asyncApi } from './catalogue-asyncapi.ts';
import { openApiWebhooks } from './catalogue-openapi.ts';
import { typescriptTypes } from './catalogue-typescript.ts';

const database = await testDatabase('catalogue');
const { plinth, tenantA, tenantB } = database;
const require = createRequire(import.meta.url);

const order = {
  type: 'object',
  description: 'An order',
  required: ['id', 'lines', 'extra'],
  properties: {
    id: { type: 'string', format: 'uuid', description: 'Its id */ and no more' },
    total: { type: ['integer', 'null'], deprecated: true },
    state: { enum: ['open', 'paid', null] },
    lines: { type: 'array', items: { $ref: '#/$defs/line' } },
    tags: { type: 'object', additionalProperties: { type: 'string' } },
    'odd name': { oneOf: [{ type: 'string' }, { type: 'array', items: { type: ['number', 'string'] } }] },
    pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: 'integer' }], items: false },
    parent: { $ref: '#' },
    both: { allOf: [{ $ref: '#/$defs/line' }, { type: 'object', properties: { note: { const: 'x' } } }] },
    anything: true,
    nothing: false,
  },
  $defs: {
    line: {
      type: 'object',
      required: ['sku'],
      properties: { sku: { type: 'string' }, parts: { type: 'array', items: { $ref: '#/$defs/line' } } },
      additionalProperties: false,
    },
  },
};
const example = { id: '018f0000-0000-7000-8000-000000000001', lines: [{ sku: 'a', parts: [{ sku: 'b' }] }], extra: 1, state: null };

const define = (tenantId: string, name: string, schema: object | null, more = ''): Promise<unknown> =>
  plinth.transaction({ tenantId }, (tx) =>
    tx.query(`select plinth.define_event_type(p_name => $1, p_schema => $2${more})`, [name, schema && JSON.stringify(schema)]),
  );

beforeAll(async () => {
  await define(tenantA, 'order.created', { type: 'object' });
  await define(
    tenantA,
    'order.created',
    order,
    `, p_compatibility => 'none', p_description => 'An order was created.', p_examples => '[${JSON.stringify(example)}]'`,
  );
  await define(tenantA, 'order_created', { type: 'object', properties: {} });
  await define(tenantA, 'order.old', null);
  await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select plinth.deprecate_event_type('order.old', 'It says too little.', 'order.created')`));
  await define(tenantA, 'secret.thing', { type: 'object' }, `, p_visibility => 'internal'`);
  await define(tenantB, 'b.only', { type: 'object' });
  await plinth.asWorker({}, (tx) =>
    tx.query(
      `select plinth.define_common_event_type('common.thing', '{"type": "object", "properties": {"n": {"type": "integer"}}}'), plinth.define_common_event_type('b.only', '{}')`,
    ),
  );
});
afterAll(() => database.drop());

const catalogue = (tenantId: string, internal = false) => plinth.transaction({ tenantId, readOnly: true }, (tx) => readCatalogue(tx, { internal }));

describe('the catalogue', () => {
  test('has the newest versions of the tenant and of all tenants, by name; internal types when asked for', async () => {
    const names = async (tenantId: string, internal = false) => (await catalogue(tenantId, internal)).types.map(({ name, version }) => `${name} ${version}`);
    expect(await names(tenantA)).toEqual(['b.only 1', 'common.thing 1', 'order.created 2', 'order.old 1', 'order_created 1']);
    expect(await names(tenantA, true)).toContain('secret.thing 1');
    expect(await names(tenantB, true)).toEqual(['b.only 1', 'common.thing 1']);
    expect((await catalogue(tenantB)).types[0]?.schema).toEqual({ type: 'object' });
  });

  test('is a valid AsyncAPI 3.1 document', async () => {
    const document = asyncApi(await catalogue(tenantA, true), { title: 'Shop' });
    const ajv = new Ajv({ strict: false, logger: false, meta: false, validateSchema: false });
    formats.default(ajv);
    const validate = ajv.compile(JSON.parse(await readFile(require.resolve('@asyncapi/specs/schemas/3.1.0.json'), 'utf8')) as object);
    expect(validate(document) ? [] : validate.errors).toEqual([]);
    expect(validate({ ...document, channels: { a: { address: 5 } } })).toBe(false);
    expect(document).toMatchObject({
      channels: { 'order.old': { description: 'Deprecated: It says too little. Use order.created.' } },
      components: { messages: { 'order.created': { 'x-version': 2, examples: [{ payload: { type: 'order.created', data: example } }] } } },
    });
    expect(referencesOf(document).filter((pointer) => resolved(document, pointer) === undefined)).toEqual([]);
    // Read in the dialect that it names, the payload takes the example and refuses what draft 07 would not look at.
    const { schemaFormat, schema } = resolved(document, '#/components/messages/order.created/payload') as { schemaFormat: string; schema: object };
    expect(schemaFormat).toBe('application/schema+json;version=draft-2020-12');
    const read = new Ajv2020({ strict: false, logger: false });
    formats.default(read);
    const fits = read.compile({ ...schema, components: (document as { components: object }).components });
    const told = (data: object): unknown => ({ type: 'order.created', timestamp: '2026-01-01T00:00:00Z', data });
    expect([fits(told(example)), fits(told({ ...example, pair: ['a', 1] })), fits(told({ ...example, pair: [1, 'a'] }))]).toEqual([true, true, false]);
  });

  test('is a valid OpenAPI 3.1 document of webhooks', async () => {
    const document = openApiWebhooks(await catalogue(tenantA), { title: 'Shop' });
    const { valid, errors } = await new Validator().validate(structuredClone(document));
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined });
    expect(referencesOf(document).filter((pointer) => resolved(document, pointer) === undefined)).toEqual([]);
    expect(document).toMatchObject({ webhooks: { 'order.old': { post: { deprecated: true } } } });
    expect(JSON.stringify(document)).not.toContain('secret.thing');
  });

  test('is the same document for the same types, and another version for others', async () => {
    const [one, two] = [await catalogue(tenantA), await catalogue(tenantA)];
    for (const make of [asyncApi, openApiWebhooks]) expect(JSON.stringify(make(one, { title: 'T' }))).toBe(JSON.stringify(make(two, { title: 'T' })));
    expect(typescriptTypes(one)).toBe(typescriptTypes(two));
    expect((await catalogue(tenantB)).version).not.toBe(one.version);
  });

  test('is exported by plinth events export, as files of each format', async () => {
    const ask = { url: database.serverUrl, tenant: 'tenant-a', internal: false, title: 'Shop' };
    expect(await exportedCatalogue({ ...ask, format: 'typescript' })).toBe(typescriptTypes(await catalogue(tenantA)));
    expect(JSON.parse(await exportedCatalogue({ ...ask, format: 'asyncapi' }))).toEqual(asyncApi(await catalogue(tenantA), { title: 'Shop' }));
    expect(JSON.parse(await exportedCatalogue({ ...ask, format: 'openapi', tenant: tenantA }))).toEqual(
      openApiWebhooks(await catalogue(tenantA), { title: 'Shop' }),
    );
    expect(await exportedCatalogue({ ...ask, format: 'typescript', tenant: undefined })).not.toContain('order.created');
    await expect(exportedCatalogue({ ...ask, format: 'openapi', tenant: 'nobody' })).rejects.toThrow('There is no tenant "nobody"');
  });
});

test('the TypeScript types compile, take what fits and refuse what does not', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'plinth-types-'));
  try {
    const odd: CatalogueType = {
      name: '9-lives',
      version: 1,
      schema: { properties: { a: { $ref: '#/nowhere' }, b: { $ref: '#/$defs/%zz' } } },
      description: null,
      examples: [],
      compatibility: 'none',
      visibility: 'public',
      deprecation: null,
      successor: null,
    };
    const { types } = await catalogue(tenantA, true);
    await writeFile(join(folder, 'types.ts'), typescriptTypes(catalogueOf([...types, odd])));
    await writeFile(
      join(folder, 'use.ts'),
      `import type { AnyEventMessage, EventData, EventMessage, OrderCreated, OrderCreated2 } from './types.ts';
export const order: OrderCreated = ${JSON.stringify({ ...example, total: null, tags: { a: 'b' }, 'odd name': ['x', 1], pair: ['a', 1], both: { sku: 'a', note: 'x' } })};
export const nested: OrderCreated = { ...order, parent: order };
export const other: OrderCreated2 = {};
export const message: EventMessage<'common.thing'> = { type: 'common.thing', timestamp: '', data: { n: 1 } };
export const told = (any: AnyEventMessage): string => (any.type === 'order.created' ? any.data.lines[0]?.sku ?? '' : any.type);
export const lives: EventData['9-lives'] = { a: 1 };
// @ts-expect-error a line has no such property
export const wrong: OrderCreated = { ...order, lines: [{ sku: 'a', more: 1 }] };
// @ts-expect-error not one of the states
export const worse: OrderCreated = { ...order, state: 'lost' };
// @ts-expect-error the data of another type
export const worst: EventMessage<'common.thing'> = { type: 'common.thing', timestamp: '', data: { n: 'one' } };
`,
    );
    const tsc = fileURLToPath(new URL('../../../../../node_modules/.bin/tsc', import.meta.url));
    const flags = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--noUncheckedIndexedAccess',
      '--allowImportingTsExtensions',
      '--module',
      'nodenext',
      '--ignoreConfig',
      '--types',
      '',
      'use.ts',
    ];
    const result = await promisify(execFile)(tsc, flags, { cwd: folder, timeout: 120_000 }).then(
      () => 'compiles',
      (error: { stdout: string }) => error.stdout,
    );
    expect(result).toBe('compiles');
  } finally {
    await rm(folder, { recursive: true });
  }
}, 150_000);

const referencesOf = (node: unknown): string[] => {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, part]) => (key === '$ref' && typeof part === 'string' ? [part] : referencesOf(part)));
};
const resolved = (document: object, pointer: string): unknown =>
  pointer
    .slice(2)
    .split('/')
    .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part], document);
