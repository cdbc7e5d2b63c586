import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CallOptions, TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('bad_input');
});
afterAll(() => server.close());

const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const user = (fields: object): string => JSON.stringify({ name: 'Ada', ...fields });

interface Case {
  what: string;
  path: string;
  status: number;
  code: string;
  options: CallOptions;
}

const post = (what: string, body: unknown, status: number, code: string, headers: Record<string, string> = {}): Case => ({
  what,
  path: '/api/v1/users',
  status,
  code,
  options: { method: 'POST', body, headers },
});
const get = (what: string, path: string, status: number, code: string, options: CallOptions = {}): Case => ({ what, path, status, code, options });

const cases: Case[] = [
  post('malformed JSON', '{"name": "Ada"', 400, 'kernel_malformed_body'),
  post('two JSON values', '{} {}', 400, 'kernel_malformed_body'),
  post('a list where an object is due', '[]', 400, 'kernel_invalid_input'),
  post('a text where an object is due', '"x"', 400, 'kernel_invalid_input'),
  post('null where an object is due', 'null', 400, 'kernel_invalid_input'),
  post('a number where text is due', user({ email: 42 }), 400, 'kernel_invalid_input'),
  post('text where a list is due', user({ roles: 'admin' }), 400, 'kernel_invalid_input'),
  post('a list where an object is due, inside', user({ attributes: [1] }), 400, 'kernel_invalid_input'),
  post('an unknown word where one of several is due', user({ status: 'dead' }), 400, 'kernel_invalid_input'),
  post('a field that is not known', user({ rolez: ['admin'] }), 400, 'kernel_invalid_input'),
  {
    ...post('a field that is not known, inside', { filter: { job_type: 'invoice' }, cancel: true }, 400, 'kernel_invalid_input'),
    path: '/api/v1/jobs/redrive',
  },
  { ...post('a name that another interface has', { type: 'order.paid', payload: {} }, 400, 'kernel_invalid_input'), path: '/api/v1/events' },
  post('an address that is no address', user({ email: 'nobody' }), 400, 'kernel_invalid_input'),
  post('text that is too long', user({ name: 'x'.repeat(201) }), 400, 'kernel_invalid_input'),
  post('a role that does not exist', user({ roles: ['king'] }), 404, 'access_role_not_found'),
  post('a body of more than 1 MiB', user({ attributes: { long: 'x'.repeat(1_048_577) } }), 413, 'kernel_body_too_large'),
  post('65 levels of JSON', user({ attributes: JSON.parse(deep(64)) as object }), 400, 'kernel_too_deep'),
  post('100,000 levels of JSON', `${'['.repeat(100_000)}${']'.repeat(100_000)}`, 400, 'kernel_too_deep'),
  post('a NUL byte in text', user({ name: 'a\0b' }), 400, 'kernel_forbidden_text'),
  post('a NUL byte in a name of a field', user({ attributes: { 'a\0': 1 } }), 400, 'kernel_forbidden_text'),
  post('half a surrogate pair', user({ name: '\ud83d' }), 400, 'kernel_forbidden_text'),
  post('the key __proto__', '{"name":"Ada","attributes":{"__proto__":{"admin":true}}}', 400, 'kernel_forbidden_text'),
  post('the key __proto__, escaped', '{"name":"Ada","attributes":{"\\u005f_proto__":{}}}', 400, 'kernel_forbidden_text'),
  post('a form instead of JSON', 'name=Ada', 415, 'kernel_unsupported_media_type', { 'content-type': 'application/x-www-form-urlencoded' }),
  post('JSON called text', user({}), 415, 'kernel_unsupported_media_type', { 'content-type': 'text/plain' }),
  post('a correlation id that is none', user({}), 400, 'kernel_header_invalid', { 'x-correlation-id': 'order 42' }),
  post('an idempotency key with a blank', user({}), 400, 'idempotency_key_invalid', { 'idempotency-key': 'a b' }),
  post('an idempotency key of 256 characters', user({}), 400, 'idempotency_key_invalid', { 'idempotency-key': 'k'.repeat(256) }),
  post('an empty idempotency key', user({}), 400, 'idempotency_key_invalid', { 'idempotency-key': '' }),
  post('a tenant that is no UUID', user({}), 400, 'kernel_header_invalid', { 'x-plinth-tenant': 'acme' }),
  post('an Authorization header that is not bearer', user({}), 401, 'kernel_unauthenticated', { authorization: 'Basic YTpi' }),
  post('a key with a wrong checksum', user({}), 401, 'access_key_unknown', { authorization: `Bearer plk_tenant_${'A'.repeat(32)}_AAAAAA` }),
  get('an address that does not exist', '/api/v1/nothing', 404, 'kernel_unknown_route'),
  get('an address outside the API', '/wp-admin', 404, 'kernel_unknown_route'),
  get('a method that an address does not take', '/api/v1/users', 405, 'kernel_method_not_allowed', { method: 'PATCH', body: '{}' }),
  get('a method on a fixed address', '/livez', 405, 'kernel_method_not_allowed', { method: 'POST', body: '{}' }),
  get('broken percent encoding', '/api/v1/users/%E0%A4%A', 400, 'kernel_invalid_input'),
  get('a NUL byte in the address', '/api/v1/users/a%00b', 400, 'kernel_forbidden_text'),
  get('a NUL byte in the query', '/api/v1/lists/audit/entries?q=a%00b', 400, 'kernel_forbidden_text'),
  get('a parameter that does not exist', '/api/v1/users?page=2', 400, 'kernel_invalid_input'),
  get('a parameter given twice', '/api/v1/users?limit=1&limit=2', 400, 'kernel_invalid_input'),
  get('a page of 201', '/api/v1/users?limit=201', 400, 'kernel_invalid_input'),
  get('a page of minus one', '/api/v1/users?limit=-1', 400, 'kernel_invalid_input'),
  get('a page of text', '/api/v1/users?limit=many', 400, 'kernel_invalid_input'),
  get('a cursor that no page gave', '/api/v1/lists/audit/entries?cursor=abc', 400, 'kernel_invalid_input'),
  get('a list that does not exist', '/api/v1/lists/audit/nothing', 404, 'kernel_list_unknown'),
  get('a filter on an unknown column', '/api/v1/lists/audit/entries?q=secret:1', 400, 'kernel_filter_invalid'),
  get('a filter with an open quotation mark', `/api/v1/lists/audit/entries?q=${encodeURIComponent('action:"x')}`, 400, 'kernel_filter_invalid'),
  get('a filter with a time that is none', '/api/v1/lists/audit/entries?q=since:yesterday', 400, 'kernel_filter_invalid'),
  get('an export in a format that is none', '/api/v1/exports/audit/entries?format=xlsx', 400, 'kernel_invalid_input'),
  get('an export of a list that does not exist', '/api/v1/exports/audit/nothing', 404, 'kernel_list_unknown'),
  get('a trace of something that is no id', '/api/v1/traces/abc', 400, 'kernel_invalid_input'),
];

/** Rows of every table of the two tenants, to see that nothing was written. */
async function rowsOf(): Promise<Record<string, number>> {
  const { rows } = await server.database.admin.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname like 'plinth\\_%' and c.relkind = 'r' and not c.relispartition or (n.nspname like 'plinth\\_%' and c.relkind = 'p') order by 1`,
  );
  const counts: Record<string, number> = {};
  for (const { name } of rows) counts[name] = (await server.database.admin.query<{ n: number }>(`select count(*)::int as n from ${name}`)).rows[0]?.n ?? 0;
  return counts;
}

describe('bad input over REST', () => {
  let before: Record<string, number>;
  beforeAll(async () => {
    before = await rowsOf();
    expect(Object.keys(before).length).toBeGreaterThan(10);
  });

  test.each(cases)('$what is answered with $status $code', async ({ path, status, code, options }) => {
    const answer = await server.call(path, { key: server.keyA, ...options });
    expect(answer.body, answer.text).toMatchObject({ status, code, type: `/docs/errors/${code}` });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(answer.headers.get('x-correlation-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.text).not.toMatch(/ at .*\.ts|node_modules|plinth_access\./);
    const page = await server.call(`/docs/errors/${code}`);
    expect(page.status).toBe(200);
  });

  test('nothing of all that was written', async () => {
    expect(await rowsOf()).toEqual(before);
  });
});

const rpcCases: { what: string; path: string; status: number; code: string; options: CallOptions }[] = [
  { what: 'malformed JSON', path: 'access.users.create', status: 400, code: 'kernel_malformed_body', options: { method: 'POST', body: '{' } },
  { what: 'malformed JSON in the query', path: 'access.users.list?input=%7B', status: 400, code: 'kernel_malformed_body', options: {} },
  { what: 'wrong types', path: 'access.users.create', status: 400, code: 'kernel_invalid_input', options: { method: 'POST', body: { name: 1 } } },
  {
    what: 'an oversized body',
    path: 'access.users.create',
    status: 413,
    code: 'kernel_body_too_large',
    options: { method: 'POST', body: { name: 'x'.repeat(1_048_577) } },
  },
  { what: 'deep JSON', path: 'access.users.create', status: 400, code: 'kernel_too_deep', options: { method: 'POST', body: deep(65) } },
  { what: 'a NUL byte', path: 'access.users.create', status: 400, code: 'kernel_forbidden_text', options: { method: 'POST', body: { name: '\0' } } },
  { what: 'a procedure that does not exist', path: 'access.nothing', status: 404, code: 'kernel_not_found', options: {} },
  { what: 'a mutation asked by GET', path: 'access.users.create', status: 405, code: 'kernel_method_not_allowed', options: {} },
  {
    what: 'a form',
    path: 'access.users.create',
    status: 415,
    code: 'kernel_unsupported_media_type',
    options: { method: 'POST', body: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  },
  { what: 'no credential', path: 'access.me', status: 401, code: 'kernel_unauthenticated', options: { key: undefined } },
  {
    what: 'a batch under one idempotency key',
    path: 'access.me,access.me?batch=1',
    status: 400,
    code: 'idempotency_batch_refused',
    options: { headers: { 'idempotency-key': 'k' } },
  },
  {
    what: 'a batch under one idempotency key, whose commas are encoded',
    path: 'access.me%2Csystem.access.me?batch=1',
    status: 400,
    code: 'idempotency_batch_refused',
    options: { headers: { 'idempotency-key': 'k' } },
  },
  { what: 'a batch of 51', path: `access.me${',system.access.me'.repeat(50)}?batch=1`, status: 400, code: 'kernel_invalid_input', options: {} },
  {
    what: 'a batch of 51, whose commas are encoded',
    path: `access.me${'%2csystem.access.me'.repeat(50)}?batch=1`,
    status: 400,
    code: 'kernel_invalid_input',
    options: {},
  },
  { what: 'an address that is no percent encoding', path: 'access.me%zz', status: 400, code: 'kernel_invalid_input', options: {} },
];

describe('bad input over tRPC carries the same problem', () => {
  test.each(rpcCases)('$what: $status $code', async ({ path, status, code, options }) => {
    const answer = await server.call(`/api/trpc/system.${path.replace(/,(?!system)/, ',system.')}`, { key: server.keyA, ...options });
    expect(answer.status, answer.text).toBe(status);
    expect(answer.body).toMatchObject({ error: { data: { httpStatus: status, problem: { status, code } } } });
    expect(answer.text).not.toMatch(/"stack"| at .*\.ts/);
  });
});

const attacks = [
  "'; drop table plinth_access.users; --",
  '" or 1=1 --',
  '$1',
  '$$;select 1;$$',
  "\\'; select pg_sleep(5); --",
  '{{7*7}}',
  '%27%20or%201=1',
  '’ or ‘1’=‘1',
  '\u202e',
];

describe('SQL in text is text', () => {
  test.each(attacks)('%j is stored as it is and found again', async (text) => {
    const made = await server.call('/api/v1/users', { method: 'POST', key: server.keyA, body: { id: `id ${text}`, name: text, attributes: { [text]: text } } });
    expect(made.status, made.text).toBe(200);
    expect(made.body).toMatchObject({ name: text });
    const read = await server.call(`/api/v1/users/${encodeURIComponent(`id ${text}`)}`, { key: server.keyA });
    expect(read.body).toMatchObject({ name: text });
    const filter = encodeURIComponent(`name:"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
    const list = await server.call(`/api/v1/lists/access/users?q=${filter}`, { key: server.keyA });
    expect(list.body, list.text).toMatchObject({ rows: [{ name: text }] });
    const other = await server.call(`/api/v1/lists/access/users?q=${filter}`, { key: server.keyB });
    expect(other.body).toMatchObject({ rows: [] });
  });

  test('in a reason, a user agent and a request id it is data of the audit log', async () => {
    const [attack = ''] = attacks;
    const { tenantA } = server.database;
    const looked = await server.call('/api/v1/users', {
      key: server.operator,
      headers: { 'x-plinth-tenant': tenantA, 'x-plinth-reason': attack, 'user-agent': attack },
    });
    expect(looked.status).toBe(200);
    const found = await server.call('/api/v1/lists/audit/entries?q=action:operator.accessed&limit=1', { key: server.keyA });
    expect(found.body).toMatchObject({ rows: [{ reason: attack }] });
  });
});

test.each(['/api/v1', '/api/v1/nothing', '/wp-admin'])('%s, where nothing is, is told as it was asked for', async (path) => {
  const { body } = await server.call(path, { key: server.keyA });
  expect(body).toMatchObject({ code: 'kernel_unknown_route', title: `There is no address ${path}`, way_out: expect.stringContaining('/docs') });
});

test('a body that is announced small and comes large is given up while it comes', async () => {
  let sent = 0;
  const chunk = new Uint8Array(65_536).fill(32);
  const body = new ReadableStream({
    pull(controller) {
      sent += chunk.length;
      if (sent > 64 * 1_048_576) controller.close();
      else controller.enqueue(chunk);
    },
  });
  const request = new Request('http://plinth.test/api/v1/users', {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${server.keyA}` },
  } as RequestInit);
  const response = await server.handler(request);
  expect(response.status).toBe(413);
  expect(sent).toBeLessThan(2 * 1_048_576);
});

describe('without a credential nothing of a body is read', () => {
  test.each([
    ['POST', '/api/v1/users'],
    ['POST', '/api/trpc/system.access.users.create'],
    ['POST', '/api/v1/events/cloudevents'],
    ['PUT', '/api/v1/streams/anybodys'],
    ['POST', '/api/v1/streams/anybodys'],
  ])('%s %s', async (method, path) => {
    let asked = 0;
    const body = new ReadableStream(
      {
        pull(controller) {
          asked++;
          controller.enqueue(new Uint8Array(65_536).fill(32));
        },
      },
      { highWaterMark: 0 },
    );
    const headers = { 'content-type': 'application/json' };
    const response = await server.handler(new Request(`http://plinth.test${path}`, { method, body, duplex: 'half', headers } as RequestInit));
    expect([response.status, asked]).toEqual([401, 0]);
  });
});

test('a body that something before Plinth has read is told as that, and not as one without fields', async () => {
  const headers = { authorization: `Bearer ${server.keyA}`, 'content-type': 'application/json' };
  const taken = new Request('http://plinth.test/api/v1/users', { method: 'POST', headers, body: user({}) });
  await taken.text();
  // As a bridge from node:http gives it: the stream is over, and the length says that there was something.
  const drained = new Request('http://plinth.test/api/v1/users', { method: 'POST', headers: { ...headers, 'content-length': '16' }, body: '' });
  for (const request of [taken, drained]) {
    const answer = await server.handler(request);
    expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'kernel_malformed_body', way_out: expect.stringContaining('express.json()') }]);
  }
});

test('what is wrong with the whole input is told without a name of a field that it does not have', async () => {
  const { body } = await server.call('/api/v1/users', { method: 'POST', key: server.keyA, body: { nmae: 'Ada' } });
  expect(body).toMatchObject({ code: 'kernel_invalid_input', title: expect.stringMatching(/^The input is not valid: there is no field nmae; it takes /) });
});
