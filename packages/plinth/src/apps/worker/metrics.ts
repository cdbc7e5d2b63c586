import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Attributes, MetricOptions } from '@opentelemetry/api';
import { metrics } from '@opentelemetry/api';
import { harmless } from '#kernel/telemetry.ts';

/** What the worker tells its instruments never throws: a job would hold its slot for ever, or run again. */
const counted = (instrument: { add(value: number, attributes?: Attributes): void }) => ({
  add: (value: number, attributes?: Attributes): void => harmless(() => instrument.add(value, attributes)),
});
const recorded = (instrument: { record(value: number, attributes?: Attributes): void }) => ({
  record: (value: number, attributes?: Attributes): void => harmless(() => instrument.record(value, attributes)),
});

/** The worker's instruments; without an SDK in the process they cost nothing and go nowhere. */
export function workerMetrics() {
  const meter = metrics.getMeter('plinth.worker');
  const counter = (name: string, options: MetricOptions) => counted(meter.createCounter(name, options));
  const histogram = (name: string, options: MetricOptions) => recorded(meter.createHistogram(name, options));
  return {
    attempts: counter('plinth.jobs.attempts', { description: 'Attempts at jobs that ended, by kind and outcome.' }),
    duration: histogram('plinth.jobs.duration', { unit: 's', description: 'How long attempts ran, by kind and outcome.' }),
    wait: histogram('plinth.jobs.wait', { unit: 's', description: 'From the moment a job could run to its start, by queue.' }),
    running: counted(meter.createUpDownCounter('plinth.jobs.running', { description: 'Jobs that run in this process now.' })),
    claims: histogram('plinth.jobs.claim_batch', { description: 'Jobs taken by one claim; its count is that of the claims.' }),
    claimDuration: histogram('plinth.jobs.claim_duration', {
      unit: 's',
      description: 'How long one claim took, the wait for a connection included.',
    }),
    settled: histogram('plinth.jobs.settle_batch', { description: 'Outcomes stored by one statement.' }),
    settleDuration: histogram('plinth.jobs.settle_duration', {
      unit: 's',
      description: 'How long storing outcomes took, the wait for a connection included.',
    }),
    scaled: counter('plinth.jobs.scaled', { description: 'Changes of the number of slots, by reason: grow, overload, idle.' }),
    recovered: counter('plinth.jobs.recovered', { description: 'Jobs taken back because their lease had expired.' }),
    scheduled: counter('plinth.jobs.scheduled', { description: 'Jobs enqueued by schedules.' }),
    consumed: counter('plinth.events.consumed', { description: 'Events handled by consumers of the feed, by consumer.' }),
  };
}

export type WorkerMetrics = ReturnType<typeof workerMetrics>;

/** What this process has done since it started, for people and tests. */
export interface WorkerStats {
  running: number;
  /** Jobs that may run at a time now: see WorkerOptions.concurrency. */
  slots: number;
  /** Claimed jobs that wait here for a slot. */
  waiting: number;
  claimed: number;
  completed: number;
  /** Attempts that failed and will be tried again. */
  failed: number;
  /** Jobs that failed for good, with an attempt here or because of one that failed or of workers that died. */
  deadLetters: number;
  cancelled: number;
  snoozed: number;
  /** Given back without an attempt. */
  returned: number;
  /** Attempts whose outcome was refused because another attempt had taken over. */
  lost: number;
  recovered: number;
  scheduled: number;
  eventsConsumed: number;
}

export const emptyStats = (): WorkerStats => ({
  running: 0,
  slots: 0,
  waiting: 0,
  claimed: 0,
  completed: 0,
  failed: 0,
  deadLetters: 0,
  cancelled: 0,
  snoozed: 0,
  returned: 0,
  lost: 0,
  recovered: 0,
  scheduled: 0,
  eventsConsumed: 0,
});

/** How late the event loop of this process is. */
export interface LoopDelay {
  /** 99th percentile of the last quarter of a second or so, ms. */
  nowMs(): number;
  /** Highest of those since this was asked last, ms. */
  worstMs(): number;
  stop(): void;
}

const RESOLUTION_MS = 20;
const WINDOW_MS = 250;

export function watchLoopDelay(): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  let now = 0;
  let worst = 0;
  const timer = setInterval(() => {
    // The histogram holds the time between two of its ticks.
    now = histogram.count > 0 ? Math.max(0, histogram.percentile(99) / 1e6 - RESOLUTION_MS) : 0;
    worst = Math.max(worst, now);
    histogram.reset();
  }, WINDOW_MS).unref();
  return {
    nowMs: () => now,
    worstMs() {
      const seen = worst;
      worst = now;
      return seen;
    },
    stop() {
      clearInterval(timer);
      histogram.disable();
    },
  };
}

/** Gauges of the process, read when its metrics are; returns the way to stop. Of several workers in one process each tells its own, by its queues. */
export function observeWorker(stats: Readonly<WorkerStats>, delay: LoopDelay, queues: readonly string[] | undefined): () => void {
  const meter = metrics.getMeter('plinth.worker');
  const slots = meter.createObservableGauge('plinth.jobs.slots', { description: 'Jobs that this process may run at a time now.' });
  const waiting = meter.createObservableGauge('plinth.jobs.waiting', { description: 'Claimed jobs that wait in this process for a slot.' });
  const late = meter.createObservableGauge('plinth.jobs.event_loop_delay', {
    unit: 's',
    description: 'How late the event loop of this process was at its worst since the last scrape: the 99th percentile of a quarter of a second.',
  });
  const attributes = queues ? { queues: queues.join(',') } : {};
  const observe: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
    result.observe(slots, stats.slots, attributes);
    result.observe(waiting, stats.waiting, attributes);
    result.observe(late, delay.worstMs() / 1000);
  };
  meter.addBatchObservableCallback(observe, [slots, waiting, late]);
  return () => {
    meter.removeBatchObservableCallback(observe, [slots, waiting, late]);
    delay.stop();
  };
}
