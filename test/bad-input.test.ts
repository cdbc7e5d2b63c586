/**
 * Bad input at every procedure, over REST and tRPC: SQL in every text, values of the wrong type in every field, NUL bytes, fields that are not known, bodies
 * that are broken, too deep or too large. Each is answered by a problem with a page, and nothing is written; text that is taken stays text, and does
 * nothing to another tenant. Procedures come from the router, so a module that is added later is covered without a change here.
 */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { Answer, TestServer } from '../packages/plinth/src/apps/server/server.fixture.ts';
import { testServer } from '../packages/plinth/src/apps/server/server.fixture.ts';
import { createKeyRing } from '../packages/plinth/src/kernel/keys.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { callRest, callRpc, type Input, isBodied, type Procedure, proceduresOf } from './fuzz-calls.ts';
import { fieldsOf, fits, inputFor, placesIn, wrongFor } from './fuzz-input.ts';
import type { World } from './fuzz-world.ts';
import { fingerprint, forget, populate } from './fuzz-world.ts';

const procedures = proceduresOf(modules);
const taking = procedures.filter(({ input }) => input);
const mutations = procedures.filter((procedure) => procedure.type === 'mutation' && isBodied(procedure));

let server: TestServer;
let client: pg.Client;
let world: World;
let ready: Date;
let before: Record<string, string>;
let all: Record<string, string>;
beforeAll(async () => {
  server = await testServer('bad input everywhere', { keys: createKeyRing({ current: Buffer.alloc(32, 5).toString('base64') }) });
  client = new pg.Client({ connectionString: server.database.url });
  await client.connect();
  world = await populate(client, modules, server.database.tenantA);
  before = await fingerprint(client, server.database.tenantB);
  all = await everything();
  ready = (await client.query<{ now: Date }>('select clock_timestamp() as now')).rows[0]?.now ?? new Date();
});
afterAll(async () => {
  await client.end();
  await server.close();
});

/** A fingerprint of all rows of all tenants. That a key was used is noted in its row. */
async function everything(): Promise<Record<string, string>> {
  const { 'plinth_access.api_keys': _used, ...rest } = await fingerprint(client, crypto.randomUUID());
  return rest;
}

const keyFor = ({ operator }: Procedure): string => (operator ? server.operator : server.keyB);

const known = new Map<string, Promise<Answer>>();

/** Refused by a problem that has a page, with this code where one is given. */
async function expectProblem(answer: Answer, about: string, code?: string): Promise<void> {
  const body = answer.body as Record<string, unknown> & { error?: { data: { problem: Record<string, unknown> } } };
  const problem = body?.error?.data.problem ?? body;
  expect(problem, `${about}\n${answer.text}`).toMatchObject({ status: answer.status, code: code ?? expect.any(String), title: expect.any(String) });
  if (!body.error) expect(answer.headers.get('content-type'), about).toContain('application/problem+json');
  expect(answer.status, about).toBeGreaterThanOrEqual(400);
  expect(answer.status, `${about}\n${answer.text}`).toBeLessThan(500);
  const page = `/docs/errors/${String(problem.code)}`;
  if (!known.has(page)) known.set(page, server.call(page));
  expect((await known.get(page))?.status, page).toBe(200);
}

const withField = (procedure: Procedure, field: string, value: unknown): Input => ({ ...inputFor(procedure.input as z.core.$ZodType), [field]: value });

test('there is something to send, and somewhere to put it', () => {
  const places = taking.flatMap(({ input }) => placesIn(input as z.core.$ZodType));
  const typed = taking.flatMap(({ input }) => Object.values(fieldsOf(input as z.core.$ZodType) ?? {})).filter((schema) => wrongFor(schema) !== undefined);
  expect([taking.length, mutations.length, places.length, typed.length].map((count) => count > 50)).toEqual([true, true, true, true]);
  expect(world.secrets.size).toBeGreaterThan(50);
});

describe('what is refused is not written', () => {
  afterEach(async () => expect(await everything()).toEqual(all));

  test.each(taking.map((one) => [one.path, one] as const))(
    '%s with a value of the wrong type in each field, and a field that is not known',
    async (path, procedure) => {
      const fields = Object.entries(fieldsOf(procedure.input as z.core.$ZodType) ?? {});
      for (const [field, schema] of fields) {
        const wrong = wrongFor(schema);
        if (wrong === undefined) continue;
        const inPath = procedure.template.includes(`{${field}}`);
        const call = isBodied(procedure) && !inPath ? callRest : callRpc;
        await expectProblem(await call(server, keyFor(procedure), procedure, withField(procedure, field, wrong)), `${path} ${field}`, 'kernel_invalid_input');
      }
      for (const call of [callRest, callRpc])
        await expectProblem(await call(server, keyFor(procedure), procedure, withField(procedure, 'no_such_field', 'x')), path, 'kernel_invalid_input');
    },
  );

  test.each(taking.map((one) => [one.path, one] as const))('%s with a NUL byte in each text', async (path, procedure) => {
    for (const place of placesIn(procedure.input as z.core.$ZodType)) {
      const value = place.holding('a\0b');
      for (const call of isBodied(procedure) || typeof value === 'string' ? [callRest, callRpc] : [callRpc])
        await expectProblem(
          await call(server, keyFor(procedure), procedure, withField(procedure, place.field, value)),
          `${path} ${place.name}`,
          'kernel_forbidden_text',
        );
    }
  });

  test.each([
    ['half of an object', '{"a":', 'kernel_malformed_body'],
    ['1,000 levels', `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`, 'kernel_too_deep'],
    ['the key __proto__', '{"__proto__":{"a":1}}', 'kernel_forbidden_text'],
    ['more than 1 MiB', JSON.stringify({ a: 'x'.repeat(1_048_577) }), 'kernel_body_too_large'],
    ['a list', '[]', 'kernel_invalid_input'],
  ])('every mutation with %s for a body', async (_what, text, code) => {
    for (const procedure of mutations) {
      const path = procedure.template.replaceAll(/\{\w+\}/g, '01900000-0000-7000-8000-000000000000');
      for (const address of [`/api/v1${path}`, `/api/trpc/${procedure.path}`]) {
        const method = address.startsWith('/api/v1') ? procedure.method : 'POST';
        if (code === 'kernel_invalid_input' && !procedure.input) continue;
        await expectProblem(await server.call(address, { method, key: keyFor(procedure), body: text }), `${method} ${address}`, code);
      }
    }
  });
});

const SQL = [
  "'; drop table plinth_access.users; --",
  "' or true --",
  '" or 1=1 --',
  '$$;select 1;$$',
  "\\'; select pg_sleep(60); --",
  "') returning tenant_id --",
  '1; set role plinth_owner',
];

describe('SQL in a text is text', () => {
  let taken = 0;
  afterEach(async () => {
    await server.handler.settle();
    await forget(client, server.database.tenantB, ready);
  });

  test.each(taking.filter(({ operator }) => !operator).map((one) => [one.path, one] as const))('%s', async (path, procedure) => {
    const input = procedure.input as z.core.$ZodType;
    for (const place of placesIn(input)) {
      for (const text of SQL) {
        const sent = withField(procedure, place.field, place.holding(text));
        const call = isBodied(procedure) || typeof sent[place.field] === 'string' ? callRest : callRpc;
        const answer = await call(server, server.keyB, procedure, sent);
        const about = `${path} ${place.name} = ${text}`;
        if (answer.status >= 300) await expectProblem(answer, about);
        else taken += fits(input, sent) ? 1 : 0;
        expect(
          [...world.secrets].filter((secret) => answer.text.includes(secret) && !JSON.stringify(sent).includes(secret)),
          about,
        ).toEqual([]);
      }
    }
    expect(await fingerprint(client, server.database.tenantB), path).toEqual(before);
  });

  test('some of it was taken', () => expect(taken).toBeGreaterThan(100));
});
