/** Handlers that throw what nobody expects, or do not wait for what they began: their own job ends, the process and its other jobs go on. */
import type { Tracer, TracerProvider } from '@opentelemetry/api';
import { ProxyTracerProvider, trace } from '@opentelemetry/api';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { describeError } from '#kernel/thrown.ts';
import type { JobRun } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('unruly');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_jobs.jobs'));

const start = workersOf(() => database);
const enqueue = (payload: Record<string, unknown> = {}, tenantId = database.tenantA): Promise<string> =>
  database.plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', payload, { maxAttempts: 1 }));
const ended = async (id: string) => {
  const read = async () => (await database.admin.query('select * from plinth.background_jobs where id = $1', [id])).rows[0];
  await expect.poll(async () => (await read())?.finished_at, { interval: 20 }).not.toBeNull();
  return read();
};

const hostile = new Proxy(new Error('x'), {
  get() {
    throw new Error('not even its name');
  },
});

test.each([
  ['nothing', undefined, 'undefined'],
  ['text', 'plain text', 'plain text'],
  ['a symbol', Symbol('s'), 'Symbol(s)'],
  ['an object of an SDK', { code: 'E42', message: 'card declined' }, 'card declined'],
  ['an object without a message', { status: 502 }, '{"status":502}'],
  ['an object without a prototype', Object.create(null), '{}'],
  ['an object that contains itself', Object.assign([] as unknown[], { toJSON: () => 1n }), 'what was thrown cannot be read'],
  ['what refuses to be read', hostile, 'what was thrown cannot be read'],
  ['an error without a message', new TypeError(), 'TypeError'],
  [
    'a connection that no address answered',
    new TypeError('fetch failed', { cause: new AggregateError([new Error('connect ECONNREFUSED ::1:80'), new Error('connect ECONNREFUSED 127.0.0.1:80')]) }),
    'TypeError: fetch failed (AggregateError: connect ECONNREFUSED ::1:80; connect ECONNREFUSED 127.0.0.1:80)',
  ],
])('%s, thrown, is kept as text', (_name, thrown, text) => {
  expect(describeError(thrown)).toBe(text);
});

test('whatever is thrown, the job fails with it and the worker goes on', async () => {
  const worker = start(async (run) => {
    if (run.payload.bad) throw run.payload.bad === 1 ? Object.create(null) : hostile;
  });
  expect(await ended(await enqueue({ bad: 1 }))).toMatchObject({ status: 'failed', error: '{}' });
  expect(await ended(await enqueue({ bad: 2 }))).toMatchObject({ status: 'failed', error: 'what was thrown cannot be read' });
  expect(await ended(await enqueue({}, database.tenantB))).toMatchObject({ status: 'completed' });
  await expect.poll(() => worker.stats).toMatchObject({ running: 0, completed: 1, deadLetters: 2 });
});

test('a tracer that throws keeps no slot and ends no attempt', async () => {
  const faults = new Set(['start', 'end']);
  // A tracer that was handed out goes on with what it was once given: after this test it does nothing.
  const nothing = new ProxyTracerProvider();
  const tracer = {
    startSpan(name: string) {
      if (faults.has('start')) throw new Error('no span');
      const span = nothing.getTracer(name).startSpan(name);
      if (faults.has('end'))
        span.end = () => {
          throw new Error('no end');
        };
      return span;
    },
  } as unknown as Tracer;
  trace.setGlobalTracerProvider({ getTracer: (name) => (name === 'plinth.worker' ? tracer : nothing.getTracer(name)) } as TracerProvider);
  try {
    const worker = start(async (run) => {
      if (run.payload.bad) throw new Error('bad');
    });
    expect(await ended(await enqueue())).toMatchObject({ status: 'completed' });
    expect(await ended(await enqueue({ bad: 1 }))).toMatchObject({ status: 'failed', error: 'bad' });
    faults.delete('start');
    expect(await ended(await enqueue())).toMatchObject({ status: 'completed' });
    expect(await ended(await enqueue({ bad: 1 }))).toMatchObject({ status: 'failed', error: 'bad' });
    await expect.poll(() => worker.stats).toMatchObject({ running: 0, completed: 2, deadLetters: 2 });
  } finally {
    faults.clear();
    trace.disable();
  }
});

// Vitest fails a run for a rejection that nobody handles, as Node.js ends a process for it.
test('progress that is refused and not waited for ends no process', async () => {
  const run = Promise.withResolvers<JobRun>();
  const go = Promise.withResolvers<void>();
  start(async (mine) => {
    await mine.transaction((tx) => mine.completeIn(tx));
    void mine.progress(10, 'too late');
    run.resolve(mine);
    await go.promise;
  });
  const id = await enqueue();
  const { progress } = await run.promise;
  const told = (): Promise<string> =>
    progress(20).then(
      () => 'stored',
      (error: { code: string }) => error.code,
    );
  await expect.poll(told).toBe('jobs_lease_lost');
  go.resolve();
  expect(await ended(id)).toMatchObject({ status: 'completed', progress_note: null });
});
