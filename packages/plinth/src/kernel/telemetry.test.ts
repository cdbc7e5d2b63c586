import type { Attributes, Span, Tracer, TracerProvider } from '@opentelemetry/api';
import { ProxyTracerProvider, trace } from '@opentelemetry/api';
import { expect, test } from 'vitest';
import { prometheusMetrics } from '../adapters/telemetry/prometheus.ts';
import { measured } from './telemetry.ts';

test('what runs is counted with its outcome, and a span carries its ids', async () => {
  const scrape = prometheusMetrics();
  const spans: { name: string; attributes: Attributes; status: unknown; ended: boolean }[] = [];
  let watching = true;
  let throws = false;
  // A tracer that was handed out goes on with what it was once given: after this test, and for the other tracers of this process, it does nothing.
  const nothing = new ProxyTracerProvider();
  const tracer = {
    startActiveSpan: (name: string, options: { attributes: Attributes }, body: (span: Span) => unknown) => {
      if (!watching) return nothing.getTracer(name).startActiveSpan(name, options, body);
      const seen = { name, attributes: { ...options.attributes }, status: undefined as unknown, ended: false };
      spans.push(seen);
      const span = {
        setAttributes: (more: Attributes) => void Object.assign(seen.attributes, more),
        setStatus: (status: unknown) => void (seen.status = status),
        end: () => {
          seen.ended = true;
          if (throws) throw new Error('no end');
        },
      };
      return body(span as unknown as Span);
    },
  } as unknown as Tracer;
  trace.setGlobalTracerProvider({ getTracer: (name) => (name === 'plinth' ? tracer : nothing.getTracer(name)) } as TracerProvider);
  const facts = { 'plinth.correlation_id': 'c-1' };
  expect(
    await measured({ kind: 'delivery', labels: { 'http.response.status_code': '200' }, facts }, async (note) => {
      note({ 'plinth.outcome': 'completed' });
      return 7;
    }),
  ).toBe(7);
  await expect(measured({ kind: 'delivery', labels: { 'http.response.status_code': '200' } }, () => Promise.reject(new TypeError('no')))).rejects.toThrow('no');
  throws = true;
  expect(await measured({ kind: 'delivery', labels: {} }, async () => 8), 'what was done is told, whatever telemetry throws').toBe(8);
  await expect(measured({ kind: 'delivery', labels: {} }, () => Promise.reject(new TypeError('no, too')))).rejects.toThrow('no, too');
  spans.splice(2);
  trace.disable();
  watching = false;
  expect(spans).toMatchObject([
    {
      name: 'plinth.delivery',
      attributes: { 'http.response.status_code': '200', 'plinth.correlation_id': 'c-1', 'plinth.outcome': 'completed' },
      status: undefined,
      ended: true,
    },
    { name: 'plinth.delivery', attributes: { 'plinth.outcome': 'failed' }, status: { message: 'TypeError' }, ended: true },
  ]);
  const { text } = await scrape();
  expect(text).toContain('plinth_deliveries_total{http_response_status_code="200",plinth_outcome="completed"} 1');
  expect(text).toContain('plinth_deliveries_total{http_response_status_code="200",plinth_outcome="failed"} 1');
  expect(text).toMatch(/plinth_delivery_duration_bucket\{http_response_status_code="200",plinth_outcome="completed",le="30"\} 1/);
  expect(text).not.toContain('c-1');
});
