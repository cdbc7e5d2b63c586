import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { createLog } from '#kernel/log.ts';
import { answer } from './exchange.ts';
import type { Env } from './host.ts';

test('a stream that is opened after its request was answered with 504 is ended, and its place free again', async () => {
  const { promise: answered, resolve: goOn } = Promise.withResolvers<void>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const app = new Hono<Env>().get('/late', async () => {
    await answered;
    return new Response(new ReadableStream({ cancel: () => end() }));
  });
  const host = { plinth: { newId: () => '018f0000-0000-7000-8000-0000000000aa' }, log: createLog({ level: 'silent' }), requestMs: 5, trustProxy: false };
  const response = await answer(host as unknown as Parameters<typeof answer>[0], app, new Request('http://plinth.test/late'), {});
  expect(response.status).toBe(504);
  goOn();
  await ended;
});
