import type { Attributes, Context, Counter, Histogram, MeterProvider, Span } from '@opentelemetry/api';
import { context, diag, isSpanContextValid, metrics, SpanStatusCode, trace } from '@opentelemetry/api';

/**
 * Spans and metrics through @opentelemetry/api: with no SDK registered they cost next to nothing.
 *
 * | span | attributes | metric |
 * |---|---|---|
 * | `plinth.http` | http.request.method, http.route, http.response.status_code, plinth.correlation_id | `plinth_http_requests` (count), `plinth_http_request_duration` (s) |
 * | `plinth.transaction` | plinth.role, plinth.outcome, plinth.correlation_id | `plinth_transactions` (count), `plinth_transaction_duration` (s) |
 * | `plinth.delivery` | plinth.outcome, http.response.status_code, plinth.delivery_id, plinth.subscription_id, plinth.attempt, plinth.correlation_id | `plinth_deliveries` (count), `plinth_delivery_duration` (s) |
 *
 * Jobs are measured where they run: span `job <kind>`, a trace of its own with the spans of the handler below it, metrics `plinth.jobs.*` (apps/worker/metrics.ts).
 *
 * Metrics carry no tenant, user or path that a caller makes up: their number of series is bounded by the code.
 */
export type MeasuredKind = 'http' | 'transaction' | 'delivery';

const NAME = 'plinth';
const COUNTERS: Record<MeasuredKind, [name: string, description: string]> = {
  http: ['plinth_http_requests', 'HTTP requests answered'],
  transaction: ['plinth_transactions', 'Transactions ended'],
  delivery: ['plinth_deliveries', 'Attempts to deliver ended'],
};
const DURATIONS: Record<MeasuredKind, [name: string, description: string]> = {
  http: ['plinth_http_request_duration', 'Time from request to answer'],
  transaction: ['plinth_transaction_duration', 'Time from BEGIN to COMMIT or ROLLBACK'],
  delivery: ['plinth_delivery_duration', 'Time of one attempt to deliver'],
};
/** Seconds; from a point read to a request at its time limit. */
const BOUNDARIES = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Instruments = Record<MeasuredKind, { count: Counter; duration: Histogram }>;
let made: { provider: MeterProvider; instruments: Instruments } | undefined;

/** Made when first used, and again when a provider is registered later: instruments of the API's own provider stay silent for ever. */
function instruments(): Instruments {
  const provider = metrics.getMeterProvider();
  if (made?.provider !== provider) {
    const meter = provider.getMeter(NAME);
    const of = (kind: MeasuredKind) => ({
      count: meter.createCounter(COUNTERS[kind][0], { description: COUNTERS[kind][1] }),
      duration: meter.createHistogram(DURATIONS[kind][0], { description: DURATIONS[kind][1], unit: 's', advice: { explicitBucketBoundaries: BOUNDARIES } }),
    });
    made = { provider, instruments: { http: of('http'), transaction: of('transaction'), delivery: of('delivery') } };
  }
  return made.instruments;
}

export interface Measured {
  kind: MeasuredKind;
  /** Attributes of the metric: few values each. */
  labels: Attributes;
  /** Further attributes of the span alone: ids. */
  facts?: Attributes;
}

/** What a processor or an exporter of the application throws is told to the diagnostics of OpenTelemetry: nothing that was done fails, hangs or is done again for it. */
export function harmless(tell: () => void): void {
  try {
    tell();
  } catch (error) {
    diag.error('plinth: telemetry threw', error);
  }
}

/** Runs `body` below a span that was started: what it does, and what the libraries that it calls tell, are the span's children. */
export function below<T>(span: Span, body: () => T): T {
  let inside: Context | undefined;
  harmless(() => {
    if (isSpanContextValid(span.spanContext())) inside = trace.setSpan(context.active(), span);
  });
  return inside ? context.with(inside, body) : body();
}

/** Runs `body` in a span and counts it. `labels` that are only known at the end are set through `note`. */
export async function measured<T>(what: Measured, body: (note: (labels: Attributes) => void) => Promise<T>): Promise<T> {
  const started = performance.now();
  const labels: Attributes = { ...what.labels };
  const end = (span: Span, outcome: string): void => {
    labels['plinth.outcome'] ??= outcome;
    const { count, duration } = instruments()[what.kind];
    count.add(1, labels);
    duration.record((performance.now() - started) / 1000, labels);
    span.setAttributes(labels);
    span.end();
  };
  return trace.getTracer(NAME).startActiveSpan(`plinth.${what.kind}`, { attributes: { ...what.labels, ...what.facts } }, async (span) => {
    try {
      const result = await body((more) => void Object.assign(labels, more));
      harmless(() => end(span, 'ok'));
      return result;
    } catch (error) {
      harmless(() => {
        span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' });
        end(span, 'failed');
      });
      throw error;
    }
  });
}
