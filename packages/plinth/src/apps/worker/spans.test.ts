/** Spans of a worker, as an application with an OpenTelemetry SDK sees them. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import type { Context, ContextManager, Span, SpanOptions, Tracer, TracerProvider } from '@opentelemetry/api';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

interface Seen {
  name: string;
  traceId: string;
  spanId: string;
  parent: string | undefined;
}
const seen: Seen[] = [];

/** What an SDK registers, as far as spans have parents. */
const stored = new AsyncLocalStorage<Context>();
const manager: ContextManager = {
  active: () => stored.getStore() ?? ROOT_CONTEXT,
  with: (active, body, self, ...given) => stored.run(active, () => body.call(self as ThisParameterType<typeof body>, ...given)),
  bind: (_active, target) => target,
  enable: () => manager,
  disable: () => manager,
};

function startSpan(name: string, _options?: SpanOptions, within: Context = manager.active()): Span {
  const parent = trace.getSpanContext(within);
  const spanContext = { traceId: parent?.traceId ?? randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex'), traceFlags: 1 };
  seen.push({ name, traceId: spanContext.traceId, spanId: spanContext.spanId, parent: parent?.spanId });
  return trace.wrapSpanContext(spanContext);
}

const tracer = {
  startSpan,
  startActiveSpan: (name: string, options: SpanOptions, body: (span: Span) => unknown) => {
    const span = startSpan(name, options);
    return manager.with(trace.setSpan(manager.active(), span), () => body(span));
  },
} as unknown as Tracer;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('spans');
  context.setGlobalContextManager(manager);
  trace.setGlobalTracerProvider({ getTracer: () => tracer } as TracerProvider);
});
afterAll(async () => {
  trace.disable();
  context.disable();
  await database.drop();
});
const start = workersOf(() => database);

test('what a handler does is below the span of its job, and a job is no part of the span that the worker was started in', async () => {
  const boot = startSpan('boot');
  context.with(trace.setSpan(ROOT_CONTEXT, boot), () =>
    start(async (run) => {
      await run.transaction(async () => void startSpan(`own ${run.tenantId}`));
    }),
  );
  const tenants = [database.tenantA, database.tenantB];
  for (const tenantId of tenants) await database.plinth.transaction({ tenantId }, async (tx) => void tx.jobs.enqueue('k'));
  const own = () => seen.filter(({ name }) => name.startsWith('own '));
  await expect.poll(() => own().length, { interval: 20, timeout: 20_000 }).toBe(2);

  const parentOf = (span: Seen | undefined) => seen.find(({ spanId }) => spanId === span?.parent);
  for (const one of own()) {
    const transaction = parentOf(one);
    const job = parentOf(transaction);
    expect([transaction?.name, job?.name, job?.parent]).toEqual(['plinth.transaction', 'job k', undefined]);
  }
  expect(new Set(own().map(({ traceId }) => traceId)).size, 'each job is a trace of its own').toBe(2);
  expect(seen.filter(({ traceId }) => traceId === boot.spanContext().traceId).map(({ name }) => name)).toEqual(['boot']);
});
