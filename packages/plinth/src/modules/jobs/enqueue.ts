import type { EffectSink } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { errors } from './errors.ts';

const fail = raiser('jobs', errors);

/** Largest payload, as JSON text. */
export const MOST_PAYLOAD_BYTES = 256 * 1024;

export interface EnqueueOptions {
  /** For people: `Invoice 4711`. At most 500 characters. */
  name?: string | undefined;
  /** Default `default`. */
  queue?: string | undefined;
  /** 1 (most urgent) to 100. Default 5. */
  priority?: number | undefined;
  /** Not before this moment. Default: at once. */
  runAt?: Date | undefined;
  /** Not before so many ms from now, by the clock of the database. Ignored when runAt is given. */
  delayMs?: number | undefined;
  /** Default: that of the kind's handler, else 3. */
  maxAttempts?: number | undefined;
  /**
   * At most one scheduled, pending or processing job of this kind and tenant has this key. When one exists, nothing is
   * written and the id that enqueue returned belongs to no job. Waits while the other job's transaction is open.
   */
  uniqueKey?: string | undefined;
  /** Id of the record that caused it. Default: that of the transaction. */
  causationId?: string | undefined;
}

/** Hints that workers wait for (kernel/wake.ts): new jobs, a running job to cancel, a changed schedule. */
export const JOB_SIGNALS = { enqueued: 'jobs', cancelled: 'jobs_cancel', scheduled: 'jobs_schedules' } as const;

const within = (value: number | undefined, least: number, most: number): boolean =>
  value === undefined || (Number.isInteger(value) && value >= least && value <= most);

function check(kind: string, payload: Record<string, unknown>, options: EnqueueOptions): void {
  const fault =
    kind.length < 1 || kind.length > 200
      ? 'The kind of a job has 1 to 200 characters'
      : !within(options.priority, 1, 100)
        ? `The priority of a job is a whole number from 1 to 100, not ${options.priority}`
        : !within(options.maxAttempts, 1, 1000)
          ? `A job has 1 to 1000 attempts, not ${options.maxAttempts}`
          : undefined;
  if (fault) throw fail('job_invalid', { message: fault, detail: { kind: kind.slice(0, 200) } });
  const sizeBytes = Buffer.byteLength(JSON.stringify(payload));
  if (sizeBytes > MOST_PAYLOAD_BYTES) {
    throw fail('payload_too_large', {
      message: `The payload of job ${JSON.stringify(kind)} has ${sizeBytes} bytes; the limit is ${MOST_PAYLOAD_BYTES}`,
      detail: { limit_bytes: MOST_PAYLOAD_BYTES, size_bytes: sizeBytes },
    });
  }
}

/** `tx.jobs`: jobs are enqueued with the transaction, or not at all. */
export const jobEffects = (sink: EffectSink) => ({
  /**
   * Enqueues one job and returns its id at once; the row is written before COMMIT and workers are woken after it.
   * Errors: jobs_job_invalid, jobs_payload_too_large.
   */
  enqueue(kind: string, payload: Record<string, unknown> = {}, options: EnqueueOptions = {}): string {
    check(kind, payload, options);
    const id = sink.newId();
    sink.push(`jobs.enqueue(${JSON.stringify(kind)})`, {
      id,
      kind,
      payload,
      name: options.name,
      queue: options.queue,
      priority: options.priority,
      run_at: options.runAt,
      delay_ms: options.delayMs,
      max_attempts: options.maxAttempts,
      unique_key: options.uniqueKey,
      causation_id: options.causationId,
    });
    sink.afterCommit(JOB_SIGNALS.enqueued);
    return id;
  },
});

/** A transaction of a build that holds this module, which every transaction of a procedure or handler here is. */
export type JobsTransaction = AnyTransaction & { readonly jobs: ReturnType<typeof jobEffects> };
