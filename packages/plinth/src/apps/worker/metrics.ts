import { metrics } from '@opentelemetry/api';

/** The worker's instruments; without an SDK in the process they cost nothing and go nowhere. */
export function workerMetrics() {
  const meter = metrics.getMeter('plinth.worker');
  return {
    attempts: meter.createCounter('plinth.jobs.attempts', { description: 'Attempts at jobs that ended, by kind and outcome.' }),
    duration: meter.createHistogram('plinth.jobs.duration', { unit: 's', description: 'How long attempts ran, by kind and outcome.' }),
    wait: meter.createHistogram('plinth.jobs.wait', { unit: 's', description: 'From the moment a job could run to its start, by queue.' }),
    running: meter.createUpDownCounter('plinth.jobs.running', { description: 'Jobs that run in this process now.' }),
    recovered: meter.createCounter('plinth.jobs.recovered', { description: 'Jobs taken back because their lease had expired.' }),
    scheduled: meter.createCounter('plinth.jobs.scheduled', { description: 'Jobs enqueued by schedules.' }),
    consumed: meter.createCounter('plinth.events.consumed', { description: 'Events handled by consumers of the feed, by consumer.' }),
  };
}

export type WorkerMetrics = ReturnType<typeof workerMetrics>;

/** What this process has done since it started, for people and tests. */
export interface WorkerStats {
  running: number;
  claimed: number;
  completed: number;
  /** Attempts that failed and will be tried again. */
  failed: number;
  /** Jobs that failed for good. */
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
