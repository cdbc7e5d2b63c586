import type { ObservableResult } from '@opentelemetry/api';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import type { IMetricReader } from '@opentelemetry/sdk-metrics';
import { MeterProvider } from '@opentelemetry/sdk-metrics';

export interface Scrape {
  contentType: string;
  text: string;
}

interface Pool {
  totalCount: number;
  idleCount: number;
  waitingCount: number;
}

/** Gauges of the process itself: few, and always the same ones. */
function observeProcess(provider: MeterProvider, pool: Pool | undefined): void {
  const meter = provider.getMeter('plinth');
  const gauge = (name: string, description: string, unit: string, read: (result: ObservableResult) => void): void =>
    meter.createObservableGauge(name, { description, unit }).addCallback(read);
  gauge('plinth_process_memory', 'Memory of this process', 'By', (result) => {
    const { rss, heapUsed } = process.memoryUsage();
    result.observe(rss, { kind: 'resident' });
    result.observe(heapUsed, { kind: 'heap_used' });
  });
  gauge('plinth_process_uptime', 'Time since this process started', 's', (result) => result.observe(process.uptime()));
  if (!pool) return;
  gauge('plinth_pool_connections', 'Database connections of this process, and callers that wait for one', '', (result) => {
    result.observe(pool.totalCount - pool.idleCount, { state: 'busy' });
    result.observe(pool.idleCount, { state: 'idle' });
    result.observe(pool.waitingCount, { state: 'waiting' });
  });
}

let registered: (() => Promise<Scrape>) | undefined;

/**
 * What the product measures, as the text that Prometheus scrapes. Registers the process's OpenTelemetry meter provider the first time it is
 * called; later calls give the same. No server of its own is started: the caller serves the text. An application that registers its own
 * provider first keeps it, and gets the product's metrics there.
 */
export function prometheusMetrics(options: { pool?: Pool } = {}): () => Promise<Scrape> {
  if (registered) return registered;
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const provider = new MeterProvider({ readers: [exporter as IMetricReader] });
  metrics.setGlobalMeterProvider(provider);
  observeProcess(provider, options.pool);
  const serializer = new PrometheusSerializer('', false, undefined, true, true);
  registered = async () => {
    const { resourceMetrics, errors } = await exporter.collect();
    const failed = errors.map((error) => `# ${String(error).replaceAll(/\s+/g, ' ').slice(0, 200)}\n`).join('');
    return { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: serializer.serialize(resourceMetrics) + failed };
  };
  return registered;
}
