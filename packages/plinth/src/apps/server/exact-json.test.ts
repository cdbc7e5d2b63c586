import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createRecords } from '#kernel/records.ts';
import type { CallMeta } from '#kernel/rpc.ts';
import { modules } from '#registry';
import { createRouter } from './router.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

interface Procedure {
  _def: { meta?: CallMeta; output?: z.ZodType };
}

/** Whether a JSON Schema lets any value stand somewhere. */
const isOpen = (schema: unknown): boolean =>
  typeof schema === 'object' &&
  schema !== null &&
  (Object.keys(schema).length === 0 ||
    Object.entries(schema).some(([key, part]) => key !== 'propertyNames' && (Array.isArray(part) ? part.some(isOpen) : isOpen(part))));

test('every procedure that answers with stored JSON keeps the digits of its numbers', () => {
  const router = createRouter(modules, createRecords(modules), {});
  const procedures = Object.entries(router._def.procedures as unknown as Record<string, Procedure>);
  const open = procedures.filter(
    ([, { _def }]) =>
      _def.output &&
      isOpen(
        z.toJSONSchema(_def.output, {
          unrepresentable: 'any',
          override: ({ zodSchema, jsonSchema }) => {
            if (zodSchema._zod.def.type === 'date') jsonSchema.type = 'string';
          },
        }),
      ),
  );
  expect(open.length).toBeGreaterThan(30);
  expect(procedures.filter(([, { _def }]) => _def.meta?.exactJson).map(([path]) => path)).toEqual(open.map(([path]) => path));
});

describe('a number of more digits than JavaScript holds', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await testServer('exact');
  });
  afterAll(() => server.close());

  const ODD = '9007199254740993';
  const LONG = '12345678901234567890';
  const FRACTION = '0.12345678901234567890123';
  const post = (path: string, body: string) => server.call(path, { method: 'POST', key: server.keyA, body });
  const get = async (path: string): Promise<string> => (await server.call(path, { key: server.keyA })).text;
  const stored = async (text: string): Promise<string> => (await server.database.admin.query<{ text: string }>(text)).rows[0]?.text ?? '';

  test('is stored by REST and tRPC as it was sent', async () => {
    const entry = (type: string) =>
      `{"action":"set","entity_type":"${type}","entity_id":"1","before":{"n":${ODD},"deep":[{"x":${FRACTION}}]},"after":{"n":1e3}}`;
    expect((await post('/api/v1/audit/entries', entry('rest'))).status).toBe(200);
    expect((await post('/api/trpc/system.audit.record', entry('trpc'))).status).toBe(200);
    expect((await post('/api/trpc/system.audit.record?batch=1', `{"0":${entry('batch')}}`)).status).toBe(200);
    for (const type of ['rest', 'trpc', 'batch'])
      expect(
        JSON.parse(await stored(`select jsonb_build_array(before::text, after::text)::text as text from plinth.audit_logs where entity_type = '${type}'`)),
        type,
      ).toEqual([`{"n": ${ODD}, "deep": [{"x": ${FRACTION}}]}`, '{"n": 1000}']);
  });

  test('is shown by REST, tRPC and exports as it is stored, and so is its difference', async () => {
    await server.database.plinth.transaction({ tenantId: server.database.tenantA }, (tx) =>
      tx.query(`select plinth.log_audit_event(p_action := 'moved', p_resource_type := 'account', p_resource_id := '7',
        p_before := '{"balance":${ODD},"same":${LONG}}', p_after := '{"balance":9007199254740992,"same":${LONG}}')`),
    );
    const changes = `"changes":{"balance":{"before":${ODD},"after":9007199254740992}}`;
    const sorted = `"changes":{"balance":{"after":9007199254740992,"before":${ODD}}}`;
    const input = encodeURIComponent('{"entity_type":"account","entity_id":"7"}');
    for (const path of ['/api/v1/audit/history/account/7', `/api/trpc/system.audit.history?input=${input}`]) {
      const text = await get(path);
      expect(text.includes(changes) || text.includes(sorted), text).toBe(true);
      expect(text).toContain(`"same":${LONG}`);
    }
    const exported = '/api/v1/exports/audit/entries?q=entity_type:account&format=';
    expect(await get(`${exported}ndjson`)).toContain(`"balance":${ODD}`);
    expect(await get(`${exported}csv`)).toContain(`""balance"":${ODD}`);
  });

  test('passes through jobs, queues and events, also as a whole payload', async () => {
    const { id } = (await post('/api/v1/jobs', `{"kind":"count","payload":{"n":${LONG}}}`)).body as { id: string };
    expect(await get(`/api/v1/jobs/${id}`)).toContain(`"n":${LONG}`);
    expect(await get('/api/v1/exports/jobs/jobs?format=ndjson')).toContain(`"n":${LONG}`);
    await post('/api/v1/queues/exact/messages', `{"messages":[{"payload":${ODD}},{"payload":{"n":${FRACTION}}}]}`);
    const { text } = await post('/api/v1/queues/exact/receive', '{"limit":2}');
    expect(text).toContain(`"payload":${ODD}`);
    expect(text).toContain(`"n":${FRACTION}`);
    const published = await post('/api/v1/events', `{"type":"order.made","data":{"n":${ODD}}}`);
    expect(await get(`/api/v1/events/${(published.body as { id: string }).id}`)).toContain(`"n":${ODD}`);
  });

  test('is a plain number to code of the application', async () => {
    const [row] = await server.database.plinth.transaction({ tenantId: server.database.tenantA }, (tx) => tx.query(`select '{"n":${ODD}}'::jsonb as data`));
    expect(row).toEqual({ data: { n: Number(ODD) } });
  });

  test('in a body changes no limit: nesting, forbidden keys, fields that are numbers', async () => {
    const codes = [];
    for (const body of [
      `{"action":"x","before":${'{"a":'.repeat(70)}${ODD}${'}'.repeat(70)}}`,
      `{"action":"x","before":{"a":${'['.repeat(200_000)}${ODD}${']'.repeat(200_000)}}}`,
      `{"action":"x","before":{"__proto__":${ODD}}}`,
      `{"action":${ODD}}`,
    ])
      codes.push(((await post('/api/v1/audit/entries', body)).body as { code: string }).code);
    expect(codes).toEqual(['kernel_too_deep', 'kernel_too_deep', 'kernel_forbidden_text', 'kernel_invalid_input']);
    const deepest = await post('/api/v1/audit/entries', `{"action":"x","before":${'{"a":'.repeat(63)}${ODD}${'}'.repeat(63)}}`);
    expect(deepest.status).toBe(200);
  });
});
