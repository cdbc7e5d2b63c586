import type { Span } from '@opentelemetry/api';
import { INVALID_SPAN_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import { cleanText } from '#kernel/clean-text.ts';
import type { Context } from '#kernel/context.ts';
import { runInContext } from '#kernel/context.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { below, harmless } from '#kernel/telemetry.ts';
import { describeError, exceptionOf } from '#kernel/thrown.ts';
import type { JobDefinition, JobRun, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, Settlement } from '#modules/jobs';
import { addsToBatch, JobFailure, SYSTEM_TENANT, storable } from '#modules/jobs';
import { isDelay, snoozeMs } from './delay.ts';
import type { AttemptJournal, Journal } from './journal.ts';
import type { StopReason } from './stop-reason.ts';

/** One attempt that runs here. */
export class RunningJob {
  readonly job: ClaimedJob;
  /** True once its outcome is stored or on its way: a heartbeat that no longer finds it means nothing. */
  settled = false;
  /** Its handler has completed it in a transaction that it opened itself: if that one commits, no other outcome is accepted. */
  maybeSettled = false;
  /** It told something about itself, so somebody may be watching. */
  watched = false;
  /** When it began and when it runs out of time, by performance.now(). */
  readonly startedMs: number;
  endsMs: number;
  #controller: AbortController | undefined;
  #reason: StopReason | undefined;
  #listener: ((reason: StopReason) => void) | undefined;

  constructor(job: ClaimedJob, timeoutMs: number) {
    this.job = job;
    this.startedMs = performance.now();
    this.endsMs = this.startedMs + timeoutMs;
  }

  /** Its time limit stands still until what is returned is called. */
  holdTime(): () => void {
    const leftMs = this.endsMs - performance.now();
    this.endsMs = Number.POSITIVE_INFINITY;
    return () => {
      this.endsMs = performance.now() + leftMs;
    };
  }

  /** Aborts its signal; only the first reason counts. */
  stop(reason: StopReason): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#listener?.(reason);
  }

  /** Made when a handler asks for it: most never do. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason && !this.#controller.signal.aborted) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Calls back at the stop, at once when it was before. */
  onStop(listener: (reason: StopReason) => void): void {
    this.#listener = listener;
    if (this.#reason) listener(this.#reason);
  }
}

export interface RunDeps {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  journal: Journal;
  /** How long a handler may take to end after its signal was aborted, ms. */
  stopMs: number;
}

type Outcome = Pick<Settlement, 'outcome' | 'result' | 'bytes' | 'error' | 'delay_ms' | 'final'>;

export const DEFAULT_TIMEOUT_MS = 60_000;
const MOST_RESULT_BYTES = 256 * 1024;
const LONGEST_ERROR = 4000;

const COMPLETED: Outcome = Object.freeze({ outcome: 'completed' });

/**
 * Runs the handler of a claimed job and says how it ended; undefined when there is nothing left to store, because the handler has
 * completed the job in `run.transaction` or has lost it. Never rejects. Once the job was told to stop, its handler has `stopMs` to
 * end, then the reason is the end.
 */
export function runJob(deps: RunDeps, running: RunningJob, definition: JobDefinition): Promise<Outcome | undefined> {
  const { job } = running;
  const context = contextOf(job);
  const run = new AttemptRun(deps, running, context);
  const span = spanOf(job, context.correlationId);
  // One promise for all of it, because most jobs are over in less time than a few more would take.
  return new Promise((resolve) => {
    let stopped: StopReason | undefined;
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const end = (outcome: Outcome | undefined): void => {
      over = true;
      clearTimeout(timer);
      harmless(() => span.end());
      const journal = AttemptRun.journal(run);
      running.watched = journal !== undefined;
      if (journal) void journal.close().then(() => resolve(outcome));
      else resolve(outcome);
    };
    const fail = (error: unknown): void => {
      if (over) return;
      harmless(() => {
        span.recordException(exceptionOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR });
      });
      // A handler that throws after its completion was committed has completed.
      end(running.settled ? undefined : failureOf(error, stopped));
    };
    running.onStop((reason) => {
      stopped = reason;
      timer = setTimeout(fail, deps.stopMs, reason);
    });
    below(span, () => runInContext(context, () => started(definition, run))).then((result) => {
      if (!over) end(running.settled ? undefined : (AttemptRun.asked(run) ?? completed(result)));
    }, fail);
  });
}

function spanOf(job: ClaimedJob, correlationId: string | undefined): Span {
  let span = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);
  harmless(() => {
    // Asked for each time: one that was handed out keeps what it was once given.
    span = trace.getTracer('plinth.worker').startSpan(`job ${job.kind}`, {
      attributes: {
        'plinth.job.id': job.id,
        'plinth.tenant.id': job.tenant_id,
        'plinth.job.attempt': job.attempt,
        'plinth.correlation_id': correlationId,
      },
    });
  });
  return span;
}

/** Of a run that a handler was given: see RunningJob. */
export const holdTime = (run: JobRun): (() => void) => AttemptRun.holdTime(run);

/** A handler that is no async function may return what is no promise, or throw at once. */
function started(definition: JobDefinition, run: JobRun): Promise<unknown> {
  try {
    return Promise.resolve(definition.handler(run));
  } catch (error) {
    return Promise.reject(error);
  }
}

const completed = (result: unknown): Outcome => (result === undefined ? COMPLETED : { outcome: 'completed', ...storedResult(result) });

function contextOf(job: ClaimedJob): Context {
  return {
    tenantId: job.tenant_id,
    actor: { type: 'service', id: `job:${job.kind}` },
    // Enqueued by SQL without a context: the job itself begins the story.
    correlationId: job.correlation_id ?? job.id,
    causationId: job.id,
  };
}

/** What a handler is given. Its functions are made when they are asked for, bound, so that a handler may take them apart. */
class AttemptRun implements JobRun {
  readonly id: string;
  readonly kind: string;
  readonly payload: Record<string, unknown>;
  readonly attempt: number;
  readonly runId: string;
  readonly tenantId: string | undefined;
  readonly correlationId: string;
  readonly services: WorkServices;
  readonly #deps: RunDeps;
  readonly #running: RunningJob;
  readonly #context: Context;
  #snoozeMs: number | undefined;
  /** Made when it tells something: most never do. */
  #journal: AttemptJournal | undefined;

  constructor(deps: RunDeps, running: RunningJob, context: Context) {
    const { job } = running;
    this.id = job.id;
    this.kind = job.kind;
    this.payload = job.payload;
    this.attempt = job.attempt;
    this.runId = job.run_id;
    this.tenantId = job.tenant_id === SYSTEM_TENANT ? undefined : job.tenant_id;
    this.correlationId = context.correlationId;
    this.services = deps.services;
    this.#deps = deps;
    this.#running = running;
    this.#context = context;
  }

  get signal(): AbortSignal {
    return this.#running.signal;
  }

  get transaction(): JobRun['transaction'] {
    return (body) => this.#deps.plinth.transaction({ ...this.#context, signal: this.signal }, body);
  }

  get asWorker(): JobRun['asWorker'] {
    return (body) => this.#deps.plinth.asWorker({ ...this.#context, signal: this.signal }, body);
  }

  get progress(): JobRun['progress'] {
    return (percent, note) => this.#tell().progress(percent, note);
  }

  get log(): JobRun['log'] {
    return (message, fields) => this.#tell().log(message, fields);
  }

  get completeIn(): JobRun['completeIn'] {
    return async (tx, result) => {
      const { result: stored } = storedResult(result);
      // What it adds to its own batch comes before its end, or the batch could have finished.
      if (addsToBatch(tx)) await tx.flush();
      await tx.query('select plinth_jobs.complete_in($1, $2, $3)', [this.id, this.runId, stored === undefined ? null : JSON.stringify(stored)]);
      // Of a joined transaction only the callback is over by then.
      tx.afterCommit(() => {
        this.#running[tx.joined ? 'maybeSettled' : 'settled'] = true;
      });
    };
  }

  get snooze(): JobRun['snooze'] {
    return (delayMs) => {
      this.#snoozeMs = snoozeMs(delayMs);
    };
  }

  #tell(): AttemptJournal {
    return (this.#journal ??= this.#deps.journal.of(this.#running.job));
  }

  static holdTime(run: JobRun): () => void {
    return #running in run ? run.#running.holdTime() : () => {};
  }

  static asked(run: AttemptRun): Outcome | undefined {
    return run.#snoozeMs === undefined ? undefined : { outcome: 'snoozed', delay_ms: run.#snoozeMs };
  }

  static journal(run: AttemptRun): AttemptJournal | undefined {
    return run.#journal;
  }
}

function failureOf(error: unknown, stopped: StopReason | undefined): Outcome | undefined {
  if (stopped) {
    const { why, message } = stopped;
    if (why === 'lease_lost') return undefined;
    if (why === 'shutdown') return { outcome: 'returned' };
    if (why === 'cancelled') return { outcome: 'cancelled', error: message };
    return { outcome: 'failed', error: message };
  }
  if (!(error instanceof JobFailure)) return { outcome: 'failed', error: describe(error) };
  const { final, retryAfterMs } = error;
  const base: Outcome = { outcome: 'failed', final, error: describe(error) };
  if (retryAfterMs === undefined) return base;
  return isDelay(retryAfterMs)
    ? { ...base, delay_ms: retryAfterMs }
    : { ...base, error: describe(error, `; retryAfterMs was ${retryAfterMs}: the usual wait instead`) };
}

const describe = (error: unknown, remark = ''): string => cleanText(`${describeError(error)}${remark}`.slice(0, LONGEST_ERROR)) || 'failed without a message';

/** The result as it is stored, with U+FFFD for what text of the database cannot hold; in place of one that is no JSON or too large, a note: the work is done, it must not run again for that. */
function storedResult(result: unknown): Pick<Settlement, 'result' | 'bytes'> {
  if (result === undefined) return {};
  try {
    const text = JSON.stringify(result) as string | undefined;
    if (text === undefined) return {};
    const bytes = Buffer.byteLength(text);
    return bytes > MOST_RESULT_BYTES
      ? { result: { omitted: `the result has ${bytes} bytes; the limit is ${MOST_RESULT_BYTES}` } }
      : { result: storable(result, text), bytes };
  } catch (error) {
    return { result: { omitted: `the result is not JSON: ${(error as Error).message}` } };
  }
}
