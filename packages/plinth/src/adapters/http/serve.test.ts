import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import type { Serving } from './serve.ts';
import { serve } from './serve.ts';

const open: Serving[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((serving) => serving.close()));
});
const started = async (options: Parameters<typeof serve>[0]): Promise<Serving> => {
  const serving = await serve(options);
  open.push(serving);
  return serving;
};
const hello = async (): Promise<Response> => new Response('hello');

test('a taken port gives the next free one, and says which was taken', async () => {
  const first = await started({ fetch: hello, port: 0 });
  expect(first.taken).toBeUndefined();
  const second = await started({ fetch: hello, port: first.port });
  expect(second.taken).toBe(first.port);
  expect(second.port).toBeGreaterThan(first.port);
  expect(await (await fetch(second.origin)).text()).toBe('hello');
});

test('when no port may be tried further it fails', async () => {
  const blocker = createServer();
  await new Promise<void>((done) => void blocker.listen(0, '127.0.0.1', done));
  const { port } = blocker.address() as AddressInfo;
  await expect(serve({ fetch: hello, port, tries: 0 })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  blocker.close();
});

test('the handler is told the address of the other end', async () => {
  const serving = await started({ fetch: async (_request, { ip }) => new Response(ip), port: 0 });
  expect(await (await fetch(serving.origin)).text()).toBe('127.0.0.1');
});

test('a connection is kept for longer than proxies keep theirs, so that no request crosses its end', async () => {
  const serving = await started({ fetch: hello, port: 0 });
  const [, seconds] = /^timeout=(\d+)$/.exec((await fetch(serving.origin)).headers.get('keep-alive') ?? '') ?? [];
  expect(Number(seconds)).toBeGreaterThan(60);
});

test('headers that are too large, and what is no request, are refused in the documented form', async () => {
  const serving = await started({ fetch: hello, port: 0 });
  const refused = async (sent: string): Promise<{ head: string; body: unknown }> => {
    const socket = connect(serving.port, '127.0.0.1');
    socket.write(sent);
    const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n');
    return { head, body: JSON.parse(body) };
  };
  const large = await refused(`GET / HTTP/1.1\r\nhost: plinth.test\r\ncookie: a=${'x'.repeat(40_000)}\r\n\r\n`);
  expect(large.head).toMatch(/^HTTP\/1\.1 431 .*\r\ncontent-type: application\/problem\+json/s);
  expect(large.body).toMatchObject({ status: 431, code: 'kernel_headers_too_large', type: '/docs/errors/kernel_headers_too_large' });
  const tls = await refused('\u0016\u0003\u0001 no HTTP\r\n\r\n');
  expect(tls.head).toMatch(/^HTTP\/1\.1 400 /);
  expect(tls.body).toMatchObject({ code: 'kernel_malformed_request' });
  expect(await (await fetch(serving.origin)).text()).toBe('hello');
});

test('a second request that is none does not end up in the answer to the first', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const answer = async (): Promise<Response> => {
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('first half'));
        enter();
        await released;
        controller.close();
      },
    });
    return new Response(body);
  };
  const serving = await started({ fetch: answer, port: 0 });
  const socket = connect(serving.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nhost: plinth.test\r\n\r\n');
  await Promise.all([entered, once(socket, 'readable')]);
  socket.write(`GET / HTTP/1.1\r\ncookie: ${'x'.repeat(40_000)}\r\n\r\n`);
  const got = await text(socket);
  release();
  expect(got).toContain('first half');
  expect(got).not.toContain('431');
});

test('closing waits for an answer that is under way, and lets nobody new in', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const serving = await started({
    port: 0,
    fetch: async () => {
      enter();
      await released;
      return new Response('late but whole');
    },
  });
  const asking = fetch(serving.origin).then((response) => response.text());
  await entered;
  const closing = serving.close();
  await expect(fetch(serving.origin)).rejects.toThrow();
  release();
  expect(await asking).toBe('late but whole');
  await closing;
});

test('closing hangs up on what never ends, within the grace', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const serving = await started({
    port: 0,
    graceMs: 100,
    fetch: () => {
      enter();
      return new Promise(() => {});
    },
  });
  const asking = fetch(serving.origin).then(
    () => 'answered',
    () => 'hung up',
  );
  const idle = connect(serving.port, '127.0.0.1');
  idle.on('error', () => {});
  await entered;
  const from = performance.now();
  await serving.close();
  expect(performance.now() - from).toBeLessThan(5_000);
  expect(await asking).toBe('hung up');
  idle.destroy();
});
