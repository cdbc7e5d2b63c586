import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { Handler } from './index.ts';
import { createHandler, createServices } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const slow = {
  sleep: procedure({ rest: 'POST /slow', permission: undefined, summary: 'Writes, then sleeps in the database' })
    .input(z.object({}))
    .output(z.object({}))
    .mutation(async ({ ctx }) => {
      await ctx.tx.query(`insert into plinth_access.users (tenant_id, id) values ($1, 'sleeper')`, [ctx.tx.context.tenantId]);
      await ctx.tx.query('select pg_sleep(30)');
      return {};
    }),
  think: procedure({ rest: 'GET /slow', permission: undefined, summary: 'Never ends outside the database' })
    .output(z.object({}))
    .query(async ({ ctx }) => {
      await ctx.tx.query('select 1');
      await new Promise(() => {});
      return {};
    }),
  fail: procedure({ rest: 'GET /broken', permission: undefined, summary: 'Fails in a way nobody expects' })
    .output(z.object({}))
    .query(() => {
      throw new TypeError('a bug with a secret');
    }),
  lie: procedure({ rest: 'GET /lying', permission: undefined, summary: 'Answers what it did not promise' })
    .output(z.object({ n: z.number() }))
    .query(async () => ({ n: 'seven' }) as unknown as { n: number }),
};

let server: TestServer;
/** Of the same database, for what does not end by itself: all else may take longer than this on a slow machine. */
let hasty: Handler;
beforeAll(async () => {
  server = await testServer('time', { api: { slow }, limits: { bodyBytes: 1000 } });
  hasty = createHandler({ plinth: server.database.plinth, services: createServices({ log: { level: 'silent' } }), api: { slow }, limits: { requestMs: 600 } });
});
afterAll(async () => {
  await hasty.settle();
  await server.close();
});

async function hurried(path: string, init: RequestInit & { duplex?: 'half' } = {}): Promise<{ status: number; code?: string }> {
  const headers = { authorization: `Bearer ${server.keyA}`, 'content-type': 'application/json' };
  const response = await hasty(new Request(`http://plinth.test${path}`, { headers, ...init }));
  return { status: response.status, ...((await response.json()) as { code?: string }) };
}

const openConnections = async (): Promise<number> =>
  (
    await server.database.admin.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`,
    )
  ).rows[0]?.n ?? 0;

test('a statement that takes too long is stopped, answered with 504 and leaves nothing', async () => {
  expect(await hurried('/api/v1/slow', { method: 'POST', body: '{}' })).toMatchObject({ status: 504, code: 'kernel_timeout' });
  expect((await server.call('/api/v1/users/sleeper', { key: server.keyA })).status).toBe(404);
});

test('work that hangs outside the database is answered with 504 too, and its connection is given back', async () => {
  expect(await hurried('/api/v1/slow')).toMatchObject({ status: 504 });
  await expect.poll(openConnections).toBe(0);
  expect((await server.call('/api/v1/me', { key: server.keyA })).status).toBe(200);
});

test('a body that never ends is answered with 504', async () => {
  const body = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"a":')) });
  expect(await hurried('/api/v1/users', { method: 'POST', body, duplex: 'half' })).toMatchObject({ status: 504 });
});

test.each(['/api/v1/broken', '/api/v1/lying'])('%s: a bug is 500 without a word of it, and the log has all of it', async (path) => {
  const answer = await server.call(path, { key: server.keyA });
  expect(answer.body).toMatchObject({ status: 500, code: 'kernel_internal' });
  expect(answer.text).not.toMatch(/secret|TypeError|seven| at /);
  expect(server.logged.join('')).toContain((answer.body as { correlation_id: string }).correlation_id);
});

test('the same bug over tRPC is the same', async () => {
  const answer = await server.call('/api/trpc/system.slow.fail', { key: server.keyA });
  expect(answer.body).toMatchObject({ error: { data: { httpStatus: 500, problem: { code: 'kernel_internal' } } } });
  expect(answer.text).not.toMatch(/secret|TypeError|stack/);
});

test('the limit of the body is the one that was set', async () => {
  const answer = await server.call('/api/v1/users', { method: 'POST', key: server.keyA, body: { name: 'x'.repeat(1000) } });
  expect(answer.body).toMatchObject({ status: 413, limit_bytes: 1000 });
});
