import { cleanText } from '#kernel/clean-text.ts';
import type { JsonObject, JsonText } from '#kernel/effects.ts';
import { jsonText } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { errors } from './errors.ts';
import { isUnholdable } from './storable.ts';

const fail = raiser('jobs', errors);

/** Largest payload, as JSON text. */
export const MOST_PAYLOAD_BYTES = 256 * 1024;

/**
 * Waits before the next attempt: `exponential` (min(3600, 2^attempt) s, give or take a quarter), seconds for each attempt of which the last
 * one repeats, an exponential of your own, or `none`, with which the first failure is the last.
 */
export type Backoff = 'exponential' | 'none' | readonly number[] | { baseS: number; mostS?: number; jitter?: number };

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
  /** A job that has not started by then is not started any more: it fails, with a sentence that says so. */
  deadline?: Date | undefined;
  /** Default: that of the kind's handler, else 3. */
  maxAttempts?: number | undefined;
  /** Default: that of the kind's handler, else `exponential`. */
  backoff?: Backoff | undefined;
  /** Jobs of the tenant and queue with the same key form a lane, for limits and fair shares by key. At most 200 characters. */
  concurrencyKey?: string | undefined;
  /**
   * One job of this kind and tenant holds the key, until `uniqueUntil`. What happens to another one is said by `onDuplicate`. Waits while
   * the transaction that takes the key is open.
   */
  uniqueKey?: string | undefined;
  /** `done` (default): while the job is scheduled, pending or processing. `started`: until its first attempt begins (default of replace and debounce). */
  uniqueUntil?: 'done' | 'started' | undefined;
  /** The key is held for so many ms from now, also when the job has ended before. */
  uniqueForMs?: number | undefined;
  /**
   * `keep` (default): nothing is written, and the id that enqueue returned belongs to no job (`uniqueJob` tells the holder's). `reject`: error
   * jobs_duplicate. `replace`: a waiting holder gets this payload, priority, name and time. `debounce`: so, and its time is pushed back to
   * runAt or delayMs from now, at most `maxWaitMs` from the first. A holder that runs is left, and nothing is written.
   */
  onDuplicate?: 'keep' | 'reject' | 'replace' | 'debounce' | undefined;
  /** Longest time that `debounce` puts a job off, from its first enqueue. */
  maxWaitMs?: number | undefined;
  /** Adds the job to a batch that has not finished: see `tx.jobs.batch`. */
  batchId?: string | undefined;
  /** Ids of jobs that must have ended first: of this transaction or earlier ones of the tenant. */
  dependsOn?: readonly string[] | undefined;
  /** When one of them fails for good or is cancelled: `fail` (default) fails this job, `ignore` counts it as ended, `run` runs this job at once. */
  onDependencyFailure?: 'fail' | 'ignore' | 'run' | undefined;
  /** Id of the record that caused it. Default: that of the transaction. */
  causationId?: string | undefined;
}

const within = (value: number | undefined, least: number, most: number): boolean =>
  value === undefined || (Number.isInteger(value) && value >= least && value <= most);
const YEAR_MS = 366 * 86_400_000;
/** An enqueue may come so far ahead of its job. */
const CENTURY_MS = 100 * YEAR_MS;
const YEAR_S = 31_536_000;

const TEXTS = [
  { field: 'name', title: 'The name of a job', least: 0, most: 500 },
  { field: 'queue', title: 'The queue of a job', least: 1, most: 100 },
  { field: 'concurrencyKey', title: 'The concurrency key of a job', least: 0, most: 200 },
  { field: 'uniqueKey', title: 'The unique key of a job', least: 1, most: 500 },
] as const;

/** What is wrong with the length or the characters of a text. */
export function faultOfText(title: string, text: string | undefined, least: number, most: number): string | undefined {
  if (text === undefined) return undefined;
  if (text.length < least || text.length > most) return `${title} has ${least === 0 ? 'at most' : `${least} to`} ${most} characters`;
  return text.includes('\0') || !text.isWellFormed() ? `${title} has a NUL character or half of a surrogate pair, which the database cannot hold` : undefined;
}

function faultOfTimes(options: EnqueueOptions): string | undefined {
  const { delayMs } = options;
  if (delayMs !== undefined && !(Number.isFinite(delayMs) && delayMs <= CENTURY_MS))
    return `delayMs is a number of ms, of a hundred years at most, not ${delayMs}`;
  for (const field of ['runAt', 'deadline'] as const) {
    const moment = options[field];
    // Its year has four digits, or SQL would not read it; NaN is in no range.
    if (moment instanceof Date && !(moment.getUTCFullYear() >= 0 && moment.getUTCFullYear() <= 9999))
      return `${field} is a date of the years 0 to 9999, not ${moment}`;
  }
  for (const field of ['uniqueForMs', 'maxWaitMs'] as const)
    if (!within(options[field], 1, YEAR_MS)) return `${field} is a whole number of ms, of a year at most`;
  return undefined;
}

const isWait = (seconds: unknown): boolean => typeof seconds === 'number' && seconds >= 0 && seconds <= YEAR_S;

/** What is wrong with waits between attempts, as plinth_jobs.backoff_valid sees it. */
export function faultOfBackoff(backoff: Backoff | undefined): string | undefined {
  if (backoff === undefined || backoff === 'exponential' || backoff === 'none') return undefined;
  if (Array.isArray(backoff))
    return backoff.length >= 1 && backoff.length <= 100 && backoff.every(isWait)
      ? undefined
      : 'A list of waits has 1 to 100 numbers of seconds, of a year at most';
  const { baseS, mostS = 0, jitter = 0 } = backoff as { baseS?: number; mostS?: number; jitter?: number };
  if (!isWait(baseS) || !isWait(mostS)) return 'baseS and mostS of a backoff are numbers of seconds, of a year at most';
  return jitter >= 0 && jitter <= 1 ? undefined : `jitter of a backoff is a number from 0 to 1, not ${jitter}`;
}

/** The sentence that says what is wrong, if anything is. */
function faultOf(kind: string, options: EnqueueOptions): string | undefined {
  const ofKind = faultOfText('The kind of a job', kind, 1, 200);
  if (ofKind) return ofKind;
  for (const { field, title, least, most } of TEXTS) {
    const fault = faultOfText(title, options[field], least, most);
    if (fault) return fault;
  }
  if (!within(options.priority, 1, 100)) return `The priority of a job is a whole number from 1 to 100, not ${options.priority}`;
  if (!within(options.maxAttempts, 1, 1000)) return `A job has 1 to 1000 attempts, not ${options.maxAttempts}`;
  if (options.onDuplicate === 'debounce' && options.runAt === undefined && options.delayMs === undefined) return 'onDuplicate debounce needs delayMs or runAt';
  if (options.uniqueKey === undefined && (options.onDuplicate ?? options.uniqueUntil ?? options.uniqueForMs) !== undefined)
    return 'onDuplicate, uniqueUntil and uniqueForMs need a uniqueKey';
  return faultOfTimes(options) ?? faultOfBackoff(options.backoff);
}

const invalid = (kind: string, message: string): Error => fail('job_invalid', { message, detail: { kind: cleanText(kind.slice(0, 200)) } });

/** Returns the payload as it will be stored. `which` names the row of a bulk call. Errors: jobs_job_invalid, jobs_payload_too_large, kernel_effect_invalid. */
export function checkJob(kind: string, payload: JsonObject, options: EnqueueOptions, which = ''): JsonText | undefined {
  const fault = faultOf(kind, options);
  if (fault) throw invalid(kind, `${fault}${which}`);
  return checkPayload(kind, payload, which);
}

/** Errors: jobs_job_invalid. */
export function checkBatchName(name: string | undefined): void {
  const fault = faultOfText('The name of a batch', name, 0, 500);
  if (fault) throw fail('job_invalid', { message: fault });
}

export function checkPayload(kind: string, payload: JsonObject, which = ''): JsonText | undefined {
  const json = jsonText(`jobs.enqueue(${JSON.stringify(kind)})${which}`, 'payload', payload);
  const text = json?.text ?? '';
  const fault =
    text[0] !== '{' ? 'is a JSON object' : isUnholdable(text) ? 'has a NUL character or half of a surrogate pair, which the database cannot hold' : undefined;
  if (fault) throw invalid(kind, `The payload of a job ${fault}${which}`);
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MOST_PAYLOAD_BYTES) {
    throw fail('payload_too_large', {
      message: `The payload of job ${JSON.stringify(kind)}${which} has ${sizeBytes} bytes; the limit is ${MOST_PAYLOAD_BYTES}`,
      detail: { limit_bytes: MOST_PAYLOAD_BYTES, size_bytes: sizeBytes },
    });
  }
  return json;
}

/** As plinth_jobs.backoff_of reads it. */
export const backoffJson = (backoff: Backoff | undefined): unknown =>
  backoff === undefined || typeof backoff === 'string' || Array.isArray(backoff)
    ? backoff
    : { base_s: (backoff as { baseS: number }).baseS, most_s: (backoff as { mostS?: number }).mostS, jitter: (backoff as { jitter?: number }).jitter };

/** The options as plinth_jobs.write_effects takes them; what only some jobs need stands under `more`. */
export function optionColumns(options: EnqueueOptions): Record<string, unknown> {
  return {
    name: options.name,
    queue: options.queue,
    priority: options.priority,
    concurrency_key: options.concurrencyKey,
    max_attempts: options.maxAttempts,
    deadline: options.deadline,
    causation_id: options.causationId,
    more: more(options),
  };
}

function more(options: EnqueueOptions): Record<string, unknown> | undefined {
  if (
    (options.runAt ?? options.delayMs ?? options.uniqueKey ?? options.batchId ?? options.backoff) === undefined &&
    (options.dependsOn === undefined || options.dependsOn.length === 0)
  )
    return undefined;
  return {
    run_at: options.runAt,
    delay_ms: options.delayMs,
    unique_key: options.uniqueKey,
    unique_until: options.uniqueUntil,
    unique_for_ms: options.uniqueForMs,
    on_duplicate: options.onDuplicate,
    max_wait_ms: options.maxWaitMs,
    batch_id: options.batchId,
    depends_on: options.dependsOn?.length ? options.dependsOn : undefined,
    on_dependency_failure: options.onDependencyFailure,
    backoff: backoffJson(options.backoff),
  };
}
