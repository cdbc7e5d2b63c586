/** Counts and logs how attempts ended. */
import type { WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, FailedJob, Settlement } from '#modules/jobs';
import type { WorkerMetrics, WorkerStats } from './metrics.ts';

export interface Teller {
  services: { log: WorkServices['log'] };
  stats: WorkerStats;
  metrics: WorkerMetrics;
}

/** The end of an attempt. `status`: what became of the job, as the database told; undefined when the outcome was refused. */
export function tellEnd({ stats, metrics, services }: Teller, job: ClaimedJob, end: Settlement | undefined, status: string | undefined, tookMs: number): void {
  const outcome = outcomeOf(end, status);
  metrics.attempts.add(1, { kind: job.kind, outcome });
  metrics.duration.record(tookMs / 1000, { kind: job.kind, outcome });
  if (outcome === 'completed') {
    stats.completed += 1;
    // What went well is in the history; a line for each would cost more than the job.
    services.log.debug?.(factsOf(job, outcome, tookMs), 'job completed');
    return;
  }
  const fields = factsOf(job, outcome, tookMs);
  if (outcome === 'dead_letter') {
    stats.deadLetters += 1;
    services.log.error({ ...fields, error: end?.error }, 'job failed for good');
  } else if (outcome === 'failed') {
    stats.failed += 1;
    services.log.warn({ ...fields, error: end?.error }, 'job failed and will be tried again');
  } else {
    stats[outcome] += 1;
    services.log.info(fields, `job ${outcome}`);
  }
}

/** Jobs that became dead letters without an attempt that ended here: those that depend on one that failed, those that ended their workers. */
export function tellFailed({ stats, metrics, services }: Teller, jobs: readonly FailedJob[]): void {
  for (const { id, kind, tenant_id, correlation_id, error } of jobs) {
    stats.deadLetters += 1;
    metrics.attempts.add(1, { kind, outcome: 'dead_letter' });
    services.log.error({ job_id: id, kind, tenant_id, correlation_id, outcome: 'dead_letter', error }, 'job failed for good');
  }
}

function outcomeOf(end: Settlement | undefined, status: string | undefined): Settlement['outcome'] | 'lost' | 'dead_letter' {
  if (status === undefined) return 'lost';
  if (status === 'failed') return 'dead_letter';
  return status === 'cancelled' || status === 'completed' ? status : (end?.outcome ?? 'completed');
}

const factsOf = (job: ClaimedJob, outcome: string, tookMs: number): object => ({
  job_id: job.id,
  kind: job.kind,
  tenant_id: job.tenant_id,
  correlation_id: job.correlation_id,
  run_id: job.run_id,
  attempt: job.attempt,
  took_ms: Math.round(tookMs),
  outcome,
});
