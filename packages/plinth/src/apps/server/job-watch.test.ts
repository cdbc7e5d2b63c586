/** Watching a job over HTTP while a worker runs it. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { serve } from '#adapters/http/serve.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { JobFailure, writeLogs } from '#modules/jobs';
import { workersOf } from '../worker/started.fixture.ts';
import { createJobWatch } from './job-watch.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testServer('job_watch', { streams: { most: 5, mostPerTenant: 4, heartbeatMs: 50 } });
});
afterAll(() => server.close());
const start = workersOf(() => server.database);

interface Seen {
  event: string;
  id?: string;
  data: Record<string, unknown>;
}

interface Reader {
  status: number;
  /** Text as it came, heartbeats included. */
  text: () => string;
  events: () => Seen[];
  ended: Promise<void>;
  hangUp: () => Promise<void>;
}

const parse = (text: string): Seen[] =>
  text
    .split('\n\n')
    .filter((block) => block.includes('event: '))
    .map((block) => {
      const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const id = field('id');
      return { event: field('event') ?? '', ...(id === undefined ? {} : { id }), data: JSON.parse(field('data') ?? 'null') as Record<string, unknown> };
    });

const readers: Reader[] = [];
afterEach(async () => {
  await Promise.all(readers.splice(0).map((reader) => reader.hangUp()));
});
async function watch(id: string, key: string, lastEventId?: string): Promise<Reader> {
  const headers = { authorization: `Bearer ${key}`, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) };
  const response = await server.handler(new Request(`http://plinth.test/api/v1/jobs/${id}/watch`, { headers }));
  let text = '';
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  const reading = async (): Promise<void> => {
    for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) text += decoder.decode(part.value, { stream: true });
  };
  const ended = reading();
  const made: Reader = { status: response.status, text: () => text, events: () => parse(text), ended, hangUp: async () => reader?.cancel() };
  readers.push(made);
  return made;
}
const enqueue = (tenantId: string): Promise<string> => server.database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', { n: 1 }));
const sees = (reader: Reader, event: string, data: object) =>
  expect
    .poll(() => reader.events().some((one) => one.event === event && Object.entries(data).every(([name, value]) => one.data[name] === value)), {
      interval: 20,
    })
    .toBe(true);

describe('GET /jobs/{id}/watch', () => {
  test('tells status, progress and lines while the job runs, beats, and ends when it is over', async () => {
    const id = await enqueue(server.database.tenantA);
    const reader = await watch(id, server.keyA);
    await sees(reader, 'status', { status: 'pending' });
    const go = Promise.withResolvers<void>();
    start(async (run) => {
      run.log('begun', { n: 1 });
      await run.progress(40, 'nearly');
      await go.promise;
      run.log('last');
    });
    await sees(reader, 'log', { message: 'begun' });
    await sees(reader, 'status', { status: 'processing', progress: 40, progress_note: 'nearly' });
    await expect.poll(() => reader.text().includes(': alive')).toBe(true);
    go.resolve();
    await reader.ended;
    const events = reader.events();
    expect(events.at(-1)).toMatchObject({ event: 'end', data: { status: 'completed' } });
    expect(events.filter((one) => one.event === 'log').map((one) => one.data.message)).toEqual(['begun', 'last']);
    expect(events.filter((one) => one.event === 'status').at(-1)?.data).toMatchObject({ status: 'completed', progress: 100 });
  });

  test('goes on after the last event that was received, and says stop to who comes back after the end', async () => {
    start(async (run) => {
      for (let n = 0; n < 450; n++) run.log(`line ${n}`);
      throw new JobFailure('over', { final: true });
    });
    const id = await enqueue(server.database.tenantA);
    const whole = await watch(id, server.keyA);
    await whole.ended;
    const lines = whole.events().filter((one) => one.event === 'log');
    expect(lines.map((one) => one.data.message)).toEqual(Array.from({ length: 450 }, (_, n) => `line ${n}`));
    const rest = await watch(id, server.keyA, lines[299]?.id);
    await rest.ended;
    expect(
      rest
        .events()
        .filter((one) => one.event === 'log')
        .map((one) => one.data.message),
    ).toEqual(Array.from({ length: 150 }, (_, n) => `line ${n + 300}`));
    const end = whole.events().at(-1);
    expect(end).toMatchObject({ event: 'end', data: { status: 'failed' } });
    expect((await watch(id, server.keyA, end?.id)).status).toBe(204);
  });

  test('shows nothing to another tenant or without permission, and refuses what is no job and no event', async () => {
    const id = await enqueue(server.database.tenantA);
    const codeOf = async (path: string, key: string | undefined, headers = {}) => {
      const answer = await server.call(path, { key, headers });
      return [answer.status, (answer.body as { code: string }).code];
    };
    const path = `/api/v1/jobs/${id}/watch`;
    expect(await codeOf(path, server.keyB)).toEqual([404, 'jobs_job_not_found']);
    expect(await codeOf(path, undefined)).toEqual([401, 'kernel_unauthenticated']);
    expect(await codeOf(path, (await server.makeKey(server.database.tenantA, ['audit.read'])).secret)).toEqual([403, 'kernel_forbidden']);
    expect(await codeOf('/api/v1/jobs/7/watch', server.keyA)).toEqual([400, 'kernel_invalid_input']);
    expect(await codeOf(path, server.keyA, { 'last-event-id': 'x' })).toEqual([400, 'kernel_header_invalid']);
    expect(await codeOf(path, server.operator, { 'x-plinth-tenant': server.database.tenantA })).toEqual([400, 'kernel_reason_required']);
  });

  test('holds no connection while it waits, no more streams than it may, not all of them for one tenant, and forgets readers that hang up', async () => {
    const ids = await Promise.all(Array.from({ length: 4 }, () => enqueue(server.database.tenantB)));
    const open = await Promise.all(ids.map((id) => watch(id, server.keyB)));
    const more = await server.call(`/api/v1/jobs/${ids[0]}/watch`, { key: server.keyB });
    expect([more.status, (more.body as { code: string }).code, more.headers.get('retry-after')]).toEqual([429, 'kernel_streams_of_tenant', '5']);
    const other = await enqueue(server.database.tenantA);
    open.push(await watch(other, server.keyA));
    await Promise.all(open.map((reader) => sees(reader, 'status', { status: 'pending' })));
    await expect.poll(() => server.database.plinth.pool.totalCount - server.database.plinth.pool.idleCount).toBe(0);
    const refused = await server.call(`/api/v1/jobs/${other}/watch`, { key: server.keyA });
    expect([refused.status, (refused.body as { code: string }).code]).toEqual([503, 'kernel_streams_full']);
    await open[0]?.hangUp();
    const again = await watch(ids[0] ?? '', server.keyB);
    await sees(again, 'status', { status: 'pending' });
    server.handler.endStreams();
    await Promise.all([...open.slice(1), again].map((reader) => reader.ended));
  });

  test('takes no place when only its head is asked for, and is not to be changed on the way', async () => {
    const path = `/api/v1/jobs/${await enqueue(server.database.tenantB)}/watch`;
    for (let n = 0; n < 8; n++) expect((await server.call(path, { method: 'HEAD', key: server.keyB })).status).toBe(200);
    const response = await server.handler(new Request(`http://plinth.test${path}`, { headers: { authorization: `Bearer ${server.keyB}` } }));
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store, no-transform']);
    await response.body?.cancel();
  });

  test('over a socket arrives event by event, and a reader that hangs up makes room', async () => {
    const serving = await serve({ fetch: server.handler, port: 0, graceMs: 0 });
    const id = await enqueue(server.database.tenantA);
    // More readers, one after the other, than there may be at once.
    for (let n = 0; n < 8; n++) {
      const gone = new AbortController();
      const first = async (): Promise<string> => {
        const response = await fetch(`${serving.origin}/api/v1/jobs/${id}/watch`, { headers: { authorization: `Bearer ${server.keyA}` }, signal: gone.signal });
        if (!response.ok) return 'full';
        const reader = response.body?.getReader();
        let text = '';
        while (!text.includes('event: status')) text += new TextDecoder().decode((await reader?.read())?.value);
        return parse(text)[0]?.data.status as string;
      };
      await expect.poll(first).toBe('pending');
      gone.abort();
    }
    await serving.close();
  });

  test('its lines are pages over REST as well', async () => {
    start(async (run) => {
      for (let n = 0; n < 5; n++) run.log(`line ${n}`, { n });
    });
    const id = await enqueue(server.database.tenantA);
    await (await watch(id, server.keyA)).ended;
    type Page = { lines: { id: string; message: string }[]; next: string | null };
    const first = (await server.call(`/api/v1/jobs/${id}/logs?limit=3`, { key: server.keyA })).body as Page;
    const second = (await server.call(`/api/v1/jobs/${id}/logs?limit=3&after=${first.next}`, { key: server.keyA })).body as Page;
    expect([...first.lines, ...second.lines].map((line) => line.message)).toEqual(['line 0', 'line 1', 'line 2', 'line 3', 'line 4']);
    expect(second.next).toBeNull();
    const other = await server.call(`/api/v1/jobs/${id}/logs`, { key: server.keyB });
    expect([other.status, (other.body as { code: string }).code]).toEqual([404, 'jobs_job_not_found']);
    expect((await server.call(`/api/v1/lists/jobs/logs?q=job_id:${id}`, { key: server.keyA })).body).toMatchObject({ rows: { length: 5 } });
  });
});

test('a look that takes longer than lines are waited for is waited for, so that the end does not come before the last of them', async () => {
  const { tenantA } = server.database;
  const plinth = server.database.plinth as unknown as Plinth<ModuleMap>;
  const id = await enqueue(tenantA);
  const lines = Array.from({ length: 250 }, (_, n) => ({ tenant_id: tenantA, job_id: id, run_id: id, attempt: 1, message: `line ${n}`, ago_ms: 0 }));
  await plinth.asWorker({}, (tx) => writeLogs(tx, lines));
  const slow = Promise.withResolvers<void>();
  let looks = 0;
  const asWorker: typeof plinth.asWorker = async (input, body) => {
    looks += 1;
    if (looks > 1) await slow.promise;
    return plinth.asWorker(input, body);
  };
  const watcher = createJobWatch({ ...plinth, asWorker }, { info: () => {}, warn: () => {}, error: () => {} }).join(tenantA, id, undefined);
  try {
    expect((await watcher.next(20_000))?.lines).toHaveLength(200);
    const rest = watcher.next(1, true);
    // Nothing but the page that was full asks for this one so soon.
    await expect.poll(() => looks).toBe(2);
    slow.resolve();
    expect((await rest)?.lines).toHaveLength(50);
    expect(await watcher.next(1, true)).toBeUndefined();
    expect(looks).toBe(3);
  } finally {
    watcher.leave();
  }
});
