import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { Document } from './docs-page.ts';
import { sampleOf } from './docs-sample.ts';
import { createHandler, createServices, prometheusMetrics } from './index.ts';
import { createReadings } from './readings.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-console-'));
  await mkdir(join(folder, 'console/assets'), { recursive: true });
  await writeFile(join(folder, 'console/index.html'), '<!doctype html><title>console</title>');
  await writeFile(join(folder, 'console/assets/main.js'), 'export {};');
  await writeFile(join(folder, 'secret.txt'), 'not yours');
  await symlink(join(folder, 'secret.txt'), join(folder, 'console/link.txt'));
  server = await testServer('server', { console: { directory: join(folder, 'console') }, metrics: prometheusMetrics() });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

describe('what keeps the process alive', () => {
  test('/livez answers without a database', async () => {
    const other = await testServer('livez');
    await other.close();
    expect(await other.call('/livez')).toMatchObject({ status: 200, body: { alive: true } });
    expect(await other.call('/readyz')).toMatchObject({ status: 503, body: { ready: false, tiers: { oltp: { ready: false } } } });
  });

  test('/readyz looks at the database, that it takes writes, its schema, the role and the partitions ahead', async () => {
    const { status, body } = await server.call('/readyz');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      ready: true,
      tiers: {
        oltp: {
          checks: [
            { name: 'database', ok: true },
            { name: 'writable', ok: true },
            { name: 'migrated', ok: true },
            { name: 'role', ok: true },
            { name: 'partitions', ok: true },
          ],
        },
      },
    });
  });

  test('/readyz asked by many at once is one look, and so is /metrics: neither takes a credential, and the connections are there for those who have one', async () => {
    const { pool } = server.database.plinth;
    let taken = 0;
    const take = (): void => void (taken += 1);
    pool.on('acquire', take);
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.call('/readyz')));
    pool.off('acquire', take);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // A note that a key was used may be on its way besides.
    expect(taken).toBeLessThan(5);
    let reads = 0;
    const seen = createReadings({ read: async () => [++reads], freshMs: 60_000, onFailure: () => {} });
    expect(await Promise.all([seen(), seen(), seen()])).toEqual([[1], [1], [1]]);
  });

  test('/readyz refuses a database that was not migrated, and partitions that are missing ahead', async () => {
    await using other = await testServerFor('unready');
    const { admin } = other.server.database;
    const { rows } = await admin.query<{ name: string }>(
      `select 'plinth_audit.' || to_char((date_trunc('month', now() at time zone 'UTC') + interval '1 month'), '"entries_"YYYY"_"MM') as name`,
    );
    await admin.query(`alter table plinth_audit.entries detach partition ${rows[0]?.name}; drop table ${rows[0]?.name}`);
    expect(await other.server.call('/readyz')).toMatchObject({ status: 503, body: { ready: false } });
    expect((await other.server.call('/readyz')).text).toMatch(/partitions ahead are missing for plinth_audit.entries/);
    await admin.query(`delete from plinth_kernel.migrations where module = 'jobs'`);
    expect((await other.server.call('/readyz')).text).toMatch(/migrations are pending/);
  });

  test('/metrics counts requests by route and transactions by role, without ids', async () => {
    await server.call(`/api/v1/users/${crypto.randomUUID()}`, { key: server.keyA });
    const { status, text, headers } = await server.call('/metrics');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toContain('text/plain');
    expect(text).toMatch(
      /plinth_http_requests_total\{http_request_method="GET",http_route="\/api\/v1\/users\/\{id\}",http_response_status_code="404",plinth_outcome="ok"\} \d+/,
    );
    expect(text).toMatch(/plinth_transactions_total\{plinth_role="plinth_app",plinth_outcome="ok"\} \d+/);
    expect(text).not.toContain(server.database.tenantA);
  });
});

async function testServerFor(name: string): Promise<{ server: TestServer } & AsyncDisposable> {
  const made = await testServer(name);
  return { server: made, [Symbol.asyncDispose]: () => made.close() };
}

describe('one story', () => {
  test('a correlation id that was sent comes back and stands on what was written', async () => {
    const id = '0192f7e0-1111-7222-8333-444455556666';
    const made = await server.call('/api/v1/users', {
      method: 'POST',
      key: server.keyA,
      headers: { 'x-correlation-id': id.replaceAll('-', '').toUpperCase() },
      body: { id: 'story', name: 'Ada' },
    });
    expect(made.headers.get('x-correlation-id')).toBe(id);
    const trace = await server.call(`/api/v1/traces/${id}`, { key: server.keyA });
    expect(trace.body).toMatchObject({ correlation_id: id, rows: [{ kind: 'audit', title: 'user.created' }] });
    expect(await server.call(`/api/v1/traces/${id}`, { key: server.keyB })).toMatchObject({ status: 200, body: { rows: [] } });
    const across = await server.call(`/api/v1/traces/${id}`, { key: server.operator, headers: { 'x-plinth-reason': 'a question of the customer' } });
    expect(across.body).toMatchObject({ rows: [{ kind: 'audit' }] });
  });

  test('a story of more than 10,000 records says that it is cut', async () => {
    const correlationId = randomUUID();
    const { plinth, tenantA: tenantId } = server.database;
    const record = (from: number, to: number) =>
      plinth.transaction({ tenantId, correlationId }, (tx) =>
        tx.query(
          "select count(plinth.log_audit_event(p_action := 'row.read', p_resource_type := 'row', p_resource_id := n::text)) from generate_series($1::int, $2::int) n",
          [from, to],
        ),
      );
    const traced = async () => (await server.call(`/api/v1/traces/${correlationId}`, { key: server.keyA })).body as { rows: unknown[]; capped: boolean };
    await record(1, 2);
    expect(await traced()).toMatchObject({ capped: false, rows: [{}, {}] });
    await record(3, 10_001);
    const { rows, capped } = await traced();
    expect([rows.length, capped]).toEqual([10_000, true]);
  });

  test.each([
    ['a valid traceparent gives its trace id', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '4bf92f35-77b3-4da6-a3ce-929d0e0e4736'],
    ['a later version of it too', 'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes', '4bf92f35-77b3-4da6-a3ce-929d0e0e4736'],
    ['zeros are ignored', '00-00000000000000000000000000000000-00f067aa0ba902b7-01', undefined],
    ['version ff is ignored', 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', undefined],
    ['nonsense is ignored', 'hello', undefined],
  ])('%s', async (_what, traceparent, expected) => {
    const { headers, status } = await server.call('/livez', { headers: { traceparent } });
    expect(status).toBe(200);
    if (expected) expect(headers.get('x-correlation-id')).toBe(expected);
    else expect(headers.get('x-correlation-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test('X-Correlation-Id wins over traceparent, and a request id comes back', async () => {
    const id = '0192f7e0-1111-7222-8333-444455557777';
    const { headers } = await server.call('/livez', {
      headers: { 'x-correlation-id': id, traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'x-request-id': 'gateway-7' },
    });
    expect(headers.get('x-correlation-id')).toBe(id);
    expect(headers.get('x-request-id')).toBe('gateway-7');
  });
});

test('behind a proxy the address is the one that the proxy saw, and without one nobody can claim an address', async () => {
  for (const [trustProxy, expected] of [
    [true, '203.0.113.9'],
    [false, '192.0.2.1'],
  ] as const) {
    const handler = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), trustProxy });
    const headers = { authorization: `Bearer ${server.keyA}`, 'content-type': 'application/json', 'x-forwarded-for': '10.0.0.1, 203.0.113.9' };
    const made = await handler(new Request('http://plinth.test/api/v1/users', { method: 'POST', headers, body: '{}' }), { ip: '192.0.2.1' });
    const { id } = (await made.json()) as { id: string };
    const { rows } = await server.database.admin.query('select ip from plinth_audit.entries where entity_id = $1', [id]);
    expect(rows).toEqual([{ ip: expected }]);
    await handler.settle();
  }
});

describe('the description of the API', () => {
  test('/openapi.json is valid OpenAPI 3.1 and holds every procedure', async () => {
    const { body, status } = await server.call('/openapi.json');
    expect(status).toBe(200);
    const checked = await new Validator().validate(structuredClone(body) as Record<string, unknown>);
    expect(checked).toMatchObject({ valid: true });
    expect(body).toMatchObject({ openapi: '3.1.0' });
    const { paths } = body as { paths: Record<string, Record<string, { responses: object; parameters: object[] }>> };
    expect(Object.keys(paths).length).toBeGreaterThan(20);
    for (const [address, operations] of Object.entries(paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        expect(Object.keys(operation.responses)).toContain('default');
        const keyed = JSON.stringify(operation.parameters).includes('IdempotencyKey');
        // Told where it is read: streams have the headers of their protocol, messages that come in their own id, and a session is opened by what is used up.
        const own = /^\/(streams|console|webhooks\/inbound)\//.test(address);
        expect(keyed, `${method} ${address}`).toBe(!['get', 'head'].includes(method) && !own);
      }
    }
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/realtime', '/streams/{path}', '/durable/events/{type}/{id}']));
  });

  test('/openapi.json has a name for each kind of record, which its answers refer to, and tags that say what they are', async () => {
    const { body } = await server.call('/openapi.json');
    const { paths, components, tags } = body as {
      paths: Record<string, Record<string, { tags: string[]; responses: Record<string, unknown> }>>;
      components: { schemas: Record<string, object> };
      tags: { name: string; description?: string }[];
    };
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
    expect(Object.keys(components.schemas)).toEqual(
      expect.arrayContaining(['ApiKey', 'AuditEntry', 'Event', 'Job', 'JobBatch', 'Problem', 'WebhookSubscription']),
    );
    const refs = [...JSON.stringify([paths, components]).matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name = '']) => name);
    for (const name of refs) expect(components.schemas).toHaveProperty([name]);
    expect(paths['/jobs/{id}']?.get?.responses).toMatchObject({
      '200': { content: { 'application/json': { schema: { properties: { job: { $ref: '#/components/schemas/Job' } } } } } },
    });
    // None is called like another one of a different shape, nor has nobody who uses it.
    expect(JSON.stringify(operations.map(({ responses }) => responses))).not.toContain('"title":"');
    expect(Object.keys(components.schemas).filter((name) => !refs.includes(name) && name !== 'Problem')).toEqual([]);
    expect(new Set(operations.flatMap((operation) => operation.tags))).toEqual(new Set(tags.map(({ name }) => name)));
    expect(tags.find(({ name }) => name === 'jobs')?.description).toMatch(/^Work to be done/);
  });

  test('no two addresses differ in the names of their parameters alone, which OpenAPI calls the same address', async () => {
    const { paths } = (await server.call('/openapi.json')).body as { paths: object };
    const shapes = Object.keys(paths).map((path) => path.replaceAll(/\{\w+\}/g, '{}'));
    expect(shapes.filter((shape, index) => shapes.indexOf(shape) !== index)).toEqual([]);
  });

  test('two procedures of one address are refused at the start, of whichever names their parameters are', () => {
    const one = (rest: 'GET /parcels/{id}' | 'GET /parcels/{name}') =>
      procedure({ rest, permission: undefined, summary: 'A parcel' })
        .output(z.object({}))
        .query(() => ({}));
    const api = { parcels: { one: one('GET /parcels/{id}'), other: one('GET /parcels/{name}') } };
    expect(() => createHandler({ plinth: server.database.plinth, services: createServices({}), api })).toThrow(
      'system.parcels.one and system.parcels.other have the same address: GET /parcels/{id}',
    );
  });

  test('/openapi.json says which permission an operation asks for: the one that a refusal names', async () => {
    const { paths } = (await server.call('/openapi.json')).body as {
      paths: Record<string, Record<string, { security: Record<string, string[]>[]; description?: string }>>;
    };
    const { secret } = await server.makeKey(server.database.tenantA, ['tenants.read']);
    const told = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { security, description = '' }]) => ({
        method,
        path,
        description,
        roles: Object.values(security[0] ?? {}).flat(),
      })),
    );
    const asking = told.filter(
      ({ path, method, roles, description }) => roles.length > 0 && method !== 'head' && path !== '/realtime' && !description.includes('operator keys only'),
    );
    expect(asking.length).toBeGreaterThan(100);
    for (const { method, path, roles } of asking) {
      const address = path
        .replace('{module}', 'jobs')
        .replace('{list}', 'jobs')
        .replaceAll(/\{\w+\}/g, '01900000-0000-7000-8000-000000000000');
      const { body } = await server.call(`/api/v1${address}`, {
        method: method.toUpperCase(),
        key: secret,
        ...(/post|put|patch/.test(method) ? { body: {} } : {}),
      });
      expect(body, `${method} ${path}`).toMatchObject({ status: 403, permission: roles[0]?.replace('{module}', 'jobs') });
    }
  });

  test('fields are written in one way, in what is sent and in what is answered', async () => {
    const { paths, components } = (await server.call('/openapi.json')).body as {
      paths: Record<string, Record<string, { operationId: string; requestBody?: unknown; responses: unknown }>>;
      components: { schemas: object };
    };
    const fieldsOf = (value: unknown): string[] => {
      if (typeof value !== 'object' || value === null) return [];
      const own = 'properties' in value && typeof value.properties === 'object' ? Object.keys(value.properties ?? {}) : [];
      return [...own, ...Object.values(value).flatMap(fieldsOf)];
    };
    // That one speaks in the words of seed 002, whose callers read `responseBody`.
    const fields = Object.values(paths)
      .flatMap((operations) => Object.values(operations))
      .filter(({ operationId }) => operationId !== 'system-idempotency-check')
      .flatMap(({ operationId, requestBody, responses }) => fieldsOf([requestBody, responses]).map((field) => `${operationId} ${field}`))
      .concat(fieldsOf(components.schemas).map((field) => `schemas ${field}`));
    expect(fields.length).toBeGreaterThan(500);
    expect(fields.filter((field) => !/ [a-z][a-z0-9_]*$/.test(field))).toEqual([]);
  });

  test('what /docs shows as an example is taken by the schema of the body', async () => {
    const { body } = await server.call('/openapi.json');
    const { paths } = body as unknown as Document;
    const ajv = new Ajv2020({ strict: false, formats: { uuid: true, 'date-time': true, email: true } });
    const bodies = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        about: `${method} ${path}`,
        schema: operation.requestBody?.content?.['application/json']?.schema,
      })),
    );
    expect(bodies.filter(({ schema }) => schema).length).toBeGreaterThan(50);
    const refused = bodies.filter(({ schema }) => schema && !ajv.validate(schema, sampleOf(schema))).map(({ about }) => about);
    expect(refused).toEqual([]);
    const { text } = await server.call('/docs');
    expect(text).toContain('curl -X POST &#39;http://127.0.0.1:4400/api/v1/users&#39;');
    expect(text).not.toMatch(/curl [^\n]*\{/);
  });

  test.each(['/docs', '/docs/errors', '/docs/errors/kernel_not_found'])('%s is a page without script that asks nobody else for anything', async (path) => {
    const { status, text, headers } = await server.call(path);
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'self'/);
    expect(text).not.toMatch(/<script|onclick=|style=|@import|src="http|href="http/);
    expect(text).toContain('<html lang="en">');
    expect(text).toContain('color-scheme');
  });

  test('/docs names every address, and its anchors are unique', async () => {
    const [{ body }, { text }] = await Promise.all([server.call('/openapi.json'), server.call('/docs')]);
    for (const path of Object.keys((body as { paths: object }).paths)) expect(text).toContain(`<code>${path}</code>`);
    const ids = [...text.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('names the lists there are, wherever an address takes one', async () => {
    const { paths } = (await server.call('/openapi.json')).body as {
      paths: Record<string, { get: { parameters: { name: string; schema: { enum?: string[] } }[] } }>;
    };
    for (const address of ['/lists/{module}/{list}', '/lists/{module}/{list}/{id}', '/exports/{module}/{list}'])
      expect(paths[address]?.get.parameters.find(({ name }) => name === 'list')?.schema.enum, address).toContain('entries');
  });

  test('/docs says limits as people do', async () => {
    const { text } = await server.call('/docs');
    expect(text).toContain('Names the handler: a worker that has one for it runs the job; 1 to 200 characters');
    expect(text).toContain('0 to 31,536,000,000');
    expect(text).not.toMatch(/at least 1 characters|Infinity|NaN|\d{7}<\/td>/);
  });

  test('the style has a dark side', async () => {
    const { text, headers } = await server.call('/docs/style.css');
    expect(headers.get('content-type')).toContain('text/css');
    expect(text).toContain('prefers-color-scheme:dark');
  });
});

describe('every answer', () => {
  test.each(['/livez', '/nothing', '/api/v1/me', '/docs', '/console', '/console/login'])('%s carries the security headers', async (path) => {
    const { headers } = await server.call(path);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none';/);
    expect(headers.get('content-security-policy')).not.toMatch(/unsafe|\*/);
    expect(headers.get('strict-transport-security')).toBeNull();
  });

  test('HEAD is answered as GET without a body', async () => {
    const { status, text } = await server.call('/livez', { method: 'HEAD' });
    expect([status, text]).toEqual([200, '']);
  });
});

describe('the console', () => {
  test('is served with a policy that lets nothing in from elsewhere', async () => {
    const { status, headers, text } = await server.call('/console/lists/audit/entries');
    expect([status, text]).toEqual([200, '<!doctype html><title>console</title>']);
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    );
    expect(headers.get('cache-control')).toBe('no-cache');
    expect((await server.call('/console/assets/main.js')).headers.get('cache-control')).toContain('immutable');
  });

  test.each([
    '/console/../secret.txt',
    '/console/%2e%2e/secret.txt',
    '/console/..%2fsecret.txt',
    '/console/link.txt',
    '/console/assets/missing.js',
    '/console/%00.txt',
  ])('%s gives no file from outside the folder', async (path) => {
    const { status, text } = await server.call(path);
    expect(status).toBe(404);
    expect(text).not.toContain('not yours');
  });

  test('an address that is not percent encoding is refused, not a fault of ours', async () => {
    expect((await server.call('/console/%E0%A4%A')).body).toMatchObject({ status: 400, code: 'kernel_invalid_input' });
  });

  test('/ leads to it', async () => {
    const { status, headers } = await server.call('/');
    expect([status, headers.get('location')]).toEqual([302, '/console']);
  });
});
