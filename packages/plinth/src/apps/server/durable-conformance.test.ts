/**
 * The Durable Streams protocol's own conformance suite against the real server. It knows nothing of tenants and credentials: what stands before
 * the handler here gives every request the key of a tenant and puts its paths under /api/v1/streams.
 */
import { runConformanceTests } from '@durable-streams/server-conformance-tests';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import type { Serving } from './index.ts';
import { serve } from './index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

// Only tests that need more than the usual time are told how long that is.
const options = { baseUrl: '', longPollTimeoutMs: 30_000 };
let server: TestServer;

/**
 * The suite lets streams live for a second or two, sleeps for three quarters of that and expects them to be there: half a second in which the machine stands
 * still breaks it. So what it sleeps and what it gives such streams to live are longer, both by as much: what it says of one and the other holds as it did.
 */
const SLOWER = 4;
const ofSuite = /\bsleep \(.*server-conformance-tests/;
const { setTimeout: real } = globalThis;
vi.stubGlobal(
  'setTimeout',
  Object.assign((run: () => void, ms = 0, ...more: []) => real(run, ms >= 500 && ofSuite.test(new Error().stack ?? '') ? ms * SLOWER : ms, ...more), real),
);

function livingLonger(headers: Headers): void {
  const [ttl, at] = [headers.get('stream-ttl') ?? '', Date.parse(headers.get('stream-expires-at') ?? '')];
  if (/^[12]$/.test(ttl)) headers.set('stream-ttl', String(Number(ttl) * SLOWER));
  // Said some time ago, and of three or four seconds.
  if (Math.abs(at - Date.now()) < 10_000) headers.set('stream-expires-at', new Date(at + (SLOWER - 1) * 4_000).toISOString());
}

let serving: Serving;
beforeAll(async () => {
  server = await testServer('durable', { limits: { bodyBytes: 32 * 1_048_576 }, durableStreams: { longPollMs: 3_000 } });
  const inTenant = (request: Request): Request => {
    const url = new URL(request.url);
    url.pathname = `/api/v1/streams${url.pathname}`;
    const headers = new Headers(request.headers);
    headers.set('authorization', `Bearer ${server.keyA}`);
    livingLonger(headers);
    const { method, signal } = request;
    return new Request(url, { method, headers, signal, ...(request.body ? { body: request.body, duplex: 'half' } : {}) } as RequestInit);
  };
  serving = await serve({ fetch: (request, peer) => server.handler(inTenant(request), peer), port: 0, graceMs: 200 });
  options.baseUrl = serving.origin;
});
afterAll(async () => {
  vi.unstubAllGlobals();
  server.handler.endStreams();
  await serving.close();
  await server.close();
});

describe('the Durable Streams protocol', () => {
  runConformanceTests(options);
});
