import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPlinth } from '../../index.ts';
import { csvField } from './export.ts';
import { createHandler, createServices } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('export');
  const { plinth, tenantA, tenantB } = server.database;
  for (const [tenantId, count] of [
    [tenantA, 2500],
    [tenantB, 3],
  ] as const) {
    await plinth.transaction({ tenantId }, async (tx) => {
      for (let n = 0; n < count; n++) {
        tx.audit.record({
          action: `row.n${n}`,
          entityType: 'row',
          entityId: String(n),
          reason: n === 0 ? '=cmd|calc, "quoted"\nline' : undefined,
          metadata: { n },
        });
      }
    });
  }
});
afterAll(() => server.close());

const exported = (query: string, key = server.keyA) => server.call(`/api/v1/exports/audit/entries?${query}`, { key });

describe('an export', () => {
  test('as NDJSON holds every record of the filter, newest first, with all columns', async () => {
    const { text, headers } = await exported('format=ndjson&q=entity_type:row');
    expect(headers.get('content-type')).toContain('application/x-ndjson');
    expect(headers.get('content-disposition')).toBe('attachment; filename="audit-entries.ndjson"');
    const rows = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; metadata: object; tenant_id: string });
    expect(rows).toHaveLength(2500);
    expect(rows.map(({ id }) => id)).toEqual(
      rows
        .map(({ id }) => id)
        .sort()
        .reverse(),
    );
    expect(rows[0]).toMatchObject({ metadata: { n: 2499 }, tenant_id: server.database.tenantA });
  });

  test('as CSV has a heading and a line a record, and nothing a spreadsheet would run', async () => {
    const { text } = await exported('format=csv&q=entity_type:row');
    expect(text.split('\r\n')[0]).toMatch(/^id,tenant_id,.*action/);
    expect(text.split('\r\n')).toHaveLength(2502);
    expect(text).toContain(`"'=cmd|calc, ""quoted""\nline"`);
  });

  test('has an address of its own: a record whose id is "export" is read like any other', async () => {
    const made = await server.call('/api/v1/users', { method: 'POST', key: server.keyA, body: { id: 'export', name: 'Ex Port', roles: [] } });
    expect(made.status, made.text).toBe(200);
    expect((await server.call('/api/v1/lists/access/users/export', { key: server.keyA })).body).toMatchObject({ id: 'export', name: 'Ex Port' });
  });

  test('follows the list’s own filter and stays in its tenant', async () => {
    expect((await exported('format=ndjson&q=action:row.n7')).text.trimEnd().split('\n')).toHaveLength(1);
    expect((await exported('format=ndjson&q=entity_type:row', server.keyB)).text.trimEnd().split('\n')).toHaveLength(3);
    const empty = await exported('format=csv&q=action:nothing.happened');
    expect(empty.text.split('\r\n')).toHaveLength(2);
  });

  test('under a filter by age holds what that was when it began, however long it is read', async () => {
    let skewMs = 0;
    const plinth = createPlinth({ database: { url: server.database.serverUrl }, clock: { now: () => Date.now() + skewMs } });
    const handler = createHandler({ plinth, services: createServices({ log: { level: 'silent' } }) });
    const response = await handler(
      new Request('http://plinth.test/api/v1/exports/audit/entries?format=ndjson&q=entity_type:row%20since:1h', {
        headers: { authorization: `Bearer ${server.keyA}` },
      }),
    );
    skewMs = 7_200_000;
    expect((await response.text()).trimEnd().split('\n')).toHaveLength(2500);
    await handler.settle();
    await plinth.close();
  });

  test('needs the permission of the module', async () => {
    const { secret } = await server.makeKey(server.database.tenantA, ['jobs.read']);
    expect((await exported('format=csv', secret)).body).toMatchObject({ status: 403, permission: 'audit.read' });
    expect((await server.call('/api/v1/exports/audit/entries')).status).toBe(401);
  });

  test('is read as fast as it is taken: the next page is asked for when the reader wants it', async () => {
    const { pool } = server.database.plinth;
    const response = await server.handler(
      new Request('http://plinth.test/api/v1/exports/audit/entries?format=ndjson&q=entity_type:row', {
        headers: { authorization: `Bearer ${server.keyA}` },
      }),
    );
    const reader = response.body?.getReader();
    await reader?.read();
    expect(pool.totalCount - pool.idleCount).toBeLessThanOrEqual(1);
    await reader?.cancel();
  });

  test('breaks off when its key is revoked: what was read then is all there is', async () => {
    // Across tenants pages are smaller, so that there are more of them than are read ahead.
    const made = await server.call('/api/v1/operators/keys', { method: 'POST', key: server.operator, body: { name: 'export', scopes: ['audit.read'] } });
    const { id, secret } = made.body as { id: string; secret: string };
    const headers = { authorization: `Bearer ${secret}`, 'x-plinth-reason': 'test' };
    const response = await server.handler(new Request('http://plinth.test/api/v1/exports/audit/entries?format=ndjson&q=entity_type:row', { headers }));
    const reader = response.body?.getReader();
    await reader?.read();
    await server.call(`/api/v1/operators/keys/${id}`, { method: 'DELETE', key: server.operator });
    const rest = async (): Promise<void> => {
      for (let page = await reader?.read(); page && !page.done; page = await reader?.read());
    };
    await expect(rest()).rejects.toMatchObject({ code: 'access_key_revoked' });
  });
});

test.each([
  ['=1+1', `'=1+1`],
  ['+1', `'+1`],
  ['-1', '-1'],
  ['-1.5', '-1.5'],
  ['-cmd', `'-cmd`],
  ['@sum', `'@sum`],
  ['\tx', `'\tx`],
  [-5, '-5'],
  [null, ''],
  [undefined, ''],
  ['plain', 'plain'],
  ['a,b', '"a,b"'],
  ['say "hi"', '"say ""hi"""'],
  [{ a: 1 }, '"{""a"":1}"'],
  [new Date(0), '1970-01-01T00:00:00.000Z'],
  [true, 'true'],
  [['a'], '"[""a""]"'],
])('%j becomes %s', (value, expected) => {
  // A lone plus sign before digits is a formula to a spreadsheet; a negative number is a number.
  expect(csvField(value)).toBe(expected);
});
