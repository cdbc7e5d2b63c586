/**
 * The Durable Streams protocol's own conformance suite against the real server. It knows nothing of tenants and credentials: what stands before
 * the handler here gives every request the key of a tenant and puts its paths under /api/v1/streams.
 */
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { afterAll, beforeAll, describe } from 'vitest';
import type { Serving } from './index.ts';
import { serve } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const options = { baseUrl: '', longPollTimeoutMs: 1_000 };
let server: TestServer;
let serving: Serving;
beforeAll(async () => {
  server = await testServer('durable', { limits: { bodyBytes: 32 * 1_048_576 }, durableStreams: { longPollMs: 1_000 } });
  const inTenant = (request: Request): Request => {
    const url = new URL(request.url);
    url.pathname = `/api/v1/streams${url.pathname}`;
    const headers = new Headers(request.headers);
    headers.set('authorization', `Bearer ${server.keyA}`);
    const { method, signal } = request;
    return new Request(url, { method, headers, signal, ...(request.body ? { body: request.body, duplex: 'half' } : {}) } as RequestInit);
  };
  serving = await serve({ fetch: (request, peer) => server.handler(inTenant(request), peer), port: 0, graceMs: 200 });
  options.baseUrl = serving.origin;
});
afterAll(async () => {
  server.handler.endStreams();
  await serving.close();
  await server.close();
});

describe('the Durable Streams protocol', () => {
  runConformanceTests(options);
});
