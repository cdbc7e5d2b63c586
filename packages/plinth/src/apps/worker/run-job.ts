import { SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context } from '#kernel/context.ts';
import { runInContext } from '#kernel/context.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, JobRun, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, Settlement } from '#modules/jobs';
import { addsToBatch, JobFailure, SYSTEM_TENANT } from '#modules/jobs';
import type { AttemptJournal, Journal } from './journal.ts';
import type { StopReason } from './stop-reason.ts';

/** One attempt that runs here. */
export interface RunningJob {
  readonly job: ClaimedJob;
  /** True once its outcome is stored or on its way: a heartbeat that no longer finds it means nothing. */
  settled: boolean;
  /** It told something about itself, so somebody may be watching. */
  watched: boolean;
  /** When it runs out of time, by performance.now(). */
  readonly endsMs: number;
  /** Aborts its signal; only the first reason counts. */
  stop(reason: StopReason): void;
  /** Made when a handler asks for it: most never do. */
  readonly signal: AbortSignal;
  /** Calls back at the stop, at once when it was before. */
  onStop(listener: (reason: StopReason) => void): void;
}

export function runningJob(job: ClaimedJob, timeoutMs: number): RunningJob {
  let controller: AbortController | undefined;
  let reason: StopReason | undefined;
  let listener: ((reason: StopReason) => void) | undefined;
  return {
    job,
    settled: false,
    watched: false,
    endsMs: performance.now() + timeoutMs,
    stop(why) {
      if (reason) return;
      reason = why;
      controller?.abort(why);
      listener?.(why);
    },
    get signal() {
      controller ??= new AbortController();
      if (reason && !controller.signal.aborted) controller.abort(reason);
      return controller.signal;
    },
    onStop(call) {
      listener = call;
      if (reason) call(reason);
    },
  };
}

export interface RunDeps {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  journal: Journal;
  /** How long a handler may take to end after its signal was aborted, ms. */
  stopMs: number;
}

type Outcome = Pick<Settlement, 'outcome' | 'result' | 'error' | 'delay_ms' | 'final'>;

export const DEFAULT_TIMEOUT_MS = 60_000;
const MOST_RESULT_BYTES = 256 * 1024;
const LONGEST_ERROR = 4000;

const tracer = trace.getTracer('plinth.worker');

/**
 * Runs the handler of a claimed job and says how it ended; undefined when there is nothing left to store, because the handler has
 * completed the job in a transaction of its own or has lost it. Never rejects.
 */
export async function runJob(deps: RunDeps, running: RunningJob, definition: JobDefinition): Promise<Outcome | undefined> {
  const { job } = running;
  const asked: Asked = { snoozeMs: undefined, journal: undefined };
  const context = contextOf(job);
  const run = jobRun(deps, running, context, asked);
  const span = tracer.startSpan(`job ${job.kind}`, {
    attributes: {
      'plinth.job.id': job.id,
      'plinth.tenant.id': job.tenant_id,
      'plinth.job.attempt': job.attempt,
      'plinth.correlation_id': context.correlationId,
    },
  });
  let stopped: StopReason | undefined;
  try {
    const result = await untilStopped(
      runInContext(context, async () => definition.handler(run)),
      running,
      deps.stopMs,
      (reason) => {
        stopped = reason;
      },
    );
    if (running.settled) return undefined;
    if (asked.snoozeMs !== undefined) return { outcome: 'snoozed', delay_ms: asked.snoozeMs };
    return result === undefined ? { outcome: 'completed' } : { outcome: 'completed', result: storable(result) };
  } catch (error) {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
    // A handler that throws after its completion was committed has completed.
    return running.settled ? undefined : failureOf(error, stopped);
  } finally {
    span.end();
    if (asked.journal) {
      running.watched = true;
      await asked.journal.close();
    }
  }
}

function contextOf(job: ClaimedJob): Context {
  return {
    tenantId: job.tenant_id,
    actor: { type: 'service', id: `job:${job.kind}` },
    // Enqueued by SQL without a context: the job itself begins the story.
    correlationId: job.correlation_id ?? job.id,
    causationId: job.id,
  };
}

/** What a handler has asked for while it ran. */
interface Asked {
  snoozeMs: number | undefined;
  /** Made when it tells something: most never do. */
  journal: AttemptJournal | undefined;
}

const journalOf = (deps: RunDeps, job: ClaimedJob, asked: Asked): AttemptJournal => (asked.journal ??= deps.journal.of(job));

function jobRun(deps: RunDeps, running: RunningJob, context: Context, asked: Asked): JobRun {
  const { job } = running;
  const transaction: JobRun['transaction'] = (body) => deps.plinth.transaction({ ...context, signal: running.signal }, body);
  return {
    id: job.id,
    kind: job.kind,
    payload: job.payload,
    attempt: job.attempt,
    runId: job.run_id,
    tenantId: job.tenant_id === SYSTEM_TENANT ? undefined : job.tenant_id,
    correlationId: context.correlationId,
    get signal() {
      return running.signal;
    },
    services: deps.services,
    transaction,
    asWorker: (body) => deps.plinth.asWorker({ ...context, signal: running.signal }, body),
    progress: (percent, note) => journalOf(deps, job, asked).progress(percent, note),
    log: (message, fields) => journalOf(deps, job, asked).log(message, fields),
    async completeIn(tx, result) {
      const stored = storable(result);
      // What it adds to its own batch comes before its end, or the batch could have finished.
      if (addsToBatch(tx)) await tx.flush();
      await tx.query('select plinth_jobs.complete_in($1, $2, $3)', [job.id, job.run_id, stored === undefined ? null : JSON.stringify(stored)]);
      tx.afterCommit(() => {
        running.settled = true;
      });
    },
    snooze(delayMs) {
      asked.snoozeMs = Math.max(0, delayMs);
    },
  };
}

/** The handler's own end; or, once it was told to stop, its end within `stopMs`, else the reason. */
function untilStopped<T>(handler: Promise<T>, running: RunningJob, stopMs: number, stopped: (reason: StopReason) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    running.onStop((reason) => {
      stopped(reason);
      timer = setTimeout(() => reject(reason), stopMs);
    });
    handler.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

function failureOf(error: unknown, stopped: StopReason | undefined): Outcome | undefined {
  if (stopped) {
    const { why, message } = stopped;
    if (why === 'lease_lost') return undefined;
    if (why === 'shutdown') return { outcome: 'returned' };
    if (why === 'cancelled') return { outcome: 'cancelled', error: message };
    return { outcome: 'failed', error: message };
  }
  const base: Outcome = { outcome: 'failed', error: describe(error) };
  if (!(error instanceof JobFailure)) return base;
  return { ...base, final: error.final, ...(error.retryAfterMs === undefined ? {} : { delay_ms: error.retryAfterMs }) };
}

/** Name and message, and that of what caused it; never a stack, which would show paths to every reader of the job. */
function describe(error: unknown): string {
  const one = (thrown: unknown): string =>
    thrown instanceof Error ? (thrown.name === 'Error' ? thrown.message : `${thrown.name}: ${thrown.message}`) : String(thrown);
  const cause = error instanceof Error && error.cause !== undefined ? ` (${one(error.cause)})` : '';
  return `${one(error)}${cause}`.replaceAll('\0', '\uFFFD').slice(0, LONGEST_ERROR) || 'failed without a message';
}

/** The result as it is stored; in place of one that is no JSON or too large, a note: the work is done, it must not run again for that. */
function storable(result: unknown): unknown {
  if (result === undefined) return undefined;
  try {
    const text = JSON.stringify(result) as string | undefined;
    if (text === undefined) return undefined;
    const sizeBytes = Buffer.byteLength(text);
    return sizeBytes > MOST_RESULT_BYTES ? { omitted: `the result has ${sizeBytes} bytes; the limit is ${MOST_RESULT_BYTES}` } : result;
  } catch (error) {
    return { omitted: `the result is not JSON: ${(error as Error).message}` };
  }
}
