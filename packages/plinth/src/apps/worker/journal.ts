import { cleanText } from '#kernel/clean-text.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { ClaimedJob, LogLine } from '#modules/jobs';
import { JOB_WATCH_SIGNAL, MOST_LOG_LINES, storableLine, writeLogs } from '#modules/jobs';
import { isRefusal } from './refused.ts';

/** What handlers tell about their jobs while they run, on its way to the database. */
export interface Journal {
  /** The journal of one attempt. */
  of(job: ClaimedJob): AttemptJournal;
  /** There is something new to see of a job: whoever watches one is told, soon. */
  seen(): void;
  /** Resolves when all lines so far are stored or given up. */
  flush(): Promise<void>;
  stop(): Promise<void>;
}

export interface AttemptJournal {
  /** Keeps a line; never waits, never fails. */
  log(message: string, fields?: Record<string, unknown>): void;
  /** Resolves when progress was stored, or will be within half a second. Errors: jobs_lease_lost, maybe of an earlier report. */
  progress(percent: number, note?: string): Promise<void>;
  /** The attempt is over: stores what is left of it. Never rejects. */
  close(): Promise<void>;
}

const EVERY_MS = 200;
/** Two writes have different milliseconds, on which the order of their ids stands. */
const APART_MS = 5;
const PROGRESS_MS = 500;
const SIGNAL_MS = 100;
const MOST_AT_ONCE = 1_000;
/** Lines that may wait for a database that is away; further ones are dropped. */
const MOST_WAITING = 20_000;
const MOST_TRIES = 3;
const LONGEST_CLOSE_MS = 2_000;

interface Waiting {
  line: Omit<LogLine, 'ago_ms'>;
  sinceMs: number;
}

export function createJournal(plinth: Plinth<ModuleMap>, log: WorkServices['log']): Journal {
  const lines = lineWriter(plinth, log, () => seen());
  let signalTimer: NodeJS.Timeout | undefined;
  const seen = (): void => {
    signalTimer ??= setTimeout(() => {
      signalTimer = undefined;
      plinth.wake.signal([JOB_WATCH_SIGNAL]);
    }, SIGNAL_MS).unref();
  };
  return {
    of: (job) => attemptJournal(plinth, job, lines, seen),
    seen,
    flush: lines.flush,
    async stop() {
      await lines.flush();
      if (!signalTimer) return;
      clearTimeout(signalTimer);
      plinth.wake.signal([JOB_WATCH_SIGNAL]);
    },
  };
}

interface Lines {
  add(line: Waiting['line']): void;
  flush(): Promise<void>;
}

/** Stores lines of all jobs together, every 200 ms while there are any. */
function lineWriter(plinth: Plinth<ModuleMap>, log: WorkServices['log'], stored: () => void): Lines {
  const waiting: Waiting[] = [];
  let dropped = 0;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;

  const write = (batch: readonly Waiting[]): Promise<void> => {
    const now = performance.now();
    const rows = batch.map(({ line, sinceMs }) => ({ ...line, ago_ms: now - sinceMs }));
    return plinth.asWorker({ durable: false }, (tx) => writeLogs(tx, rows));
  };
  const send = async (): Promise<void> => {
    for (let tries = 0, size = MOST_AT_ONCE; waiting.length > 0; ) {
      const batch = waiting.splice(0, size);
      try {
        await write(batch);
        stored();
        tries = 0;
        size = MOST_AT_ONCE;
      } catch (error) {
        const refused = isRefusal(error);
        // One line that the database refuses must not take the others with it.
        if (refused) size = Math.ceil(batch.length / 2);
        else tries += 1;
        if (refused ? batch.length > 1 : tries < MOST_TRIES) waiting.unshift(...batch);
        else dropped += batch.length;
        log.warn({ lines: batch.length, tries, err: error }, 'worker: lines of jobs could not be stored');
      }
      await new Promise((resolve) => setTimeout(resolve, tries > 0 ? EVERY_MS * tries : APART_MS));
    }
    if (dropped > 0) log.error({ lines: dropped }, 'worker: lines of jobs were dropped');
    dropped = 0;
  };
  const flush = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    while (sending ?? waiting.length > 0) {
      sending ??= send().finally(() => {
        sending = undefined;
      });
      await sending;
    }
  };
  return {
    add(line) {
      if (waiting.length >= MOST_WAITING) {
        dropped += 1;
        return;
      }
      waiting.push({ line, sinceMs: performance.now() });
      timer ??= setTimeout(() => void flush(), EVERY_MS);
    },
    flush,
  };
}

function attemptJournal(plinth: Plinth<ModuleMap>, job: ClaimedJob, lines: Lines, seen: () => void): AttemptJournal {
  let count = 0;
  let progress: Progress | undefined;
  const report = (percent: number, note: string | undefined): Promise<void> =>
    plinth
      .transaction({ tenantId: job.tenant_id }, (tx) =>
        tx.query('select plinth_jobs.report_progress($1, $2, $3, $4)', [
          job.id,
          job.run_id,
          Math.round(percent),
          note === undefined ? null : cleanText(String(note)),
        ]),
      )
      .then(seen);
  return {
    log(message, fields) {
      count += 1;
      if (count > MOST_LOG_LINES + 1) return;
      const line = count > MOST_LOG_LINES ? { message: `further lines were left out: an attempt keeps ${MOST_LOG_LINES}` } : storableLine(message, fields);
      lines.add({ tenant_id: job.tenant_id, job_id: job.id, run_id: job.run_id, attempt: job.attempt, ...line });
    },
    progress(percent, note) {
      progress ??= throttled(report);
      const told = progress.report(percent, note);
      // Whoever waits for it hears of a refusal; one that a handler did not wait for must not end the process.
      told.catch(() => {});
      return told;
    },
    async close() {
      const told = Promise.all([progress?.close(), count > 0 ? lines.flush() : undefined]);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, LONGEST_CLOSE_MS);
      });
      await Promise.race([told, late]);
      clearTimeout(timer);
    },
  };
}

interface Progress {
  report(percent: number, note?: string): Promise<void>;
  close(): Promise<void>;
}

/** Writes at most twice a second; of what is reported in between, the last. Once the job is lost nothing more is written; a database that was away for a moment is no reason. */
function throttled(write: (percent: number, note: string | undefined) => Promise<void>): Progress {
  let next: { percent: number; note: string | undefined } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let writtenMs = Number.NEGATIVE_INFINITY;
  let writing: Promise<void> = Promise.resolve();
  let fault: unknown;

  const send = (): Promise<void> => {
    const { percent, note } = next ?? { percent: 0, note: undefined };
    clearTimeout(timer);
    timer = undefined;
    next = undefined;
    writtenMs = performance.now();
    const sent = writing.then(() => write(percent, note));
    writing = sent.catch((error: unknown) => {
      if ((error as { code?: unknown }).code === 'jobs_lease_lost') fault = error;
    });
    return sent;
  };
  return {
    async report(percent, note) {
      if (fault !== undefined) throw fault;
      if (!Number.isFinite(percent)) throw new RangeError(`run.progress takes a number from 0 to 100, not ${percent}`);
      next = { percent, note };
      const waitMs = writtenMs + PROGRESS_MS - performance.now();
      if (waitMs <= 0) return send();
      timer ??= setTimeout(() => void send().catch(() => {}), waitMs);
    },
    async close() {
      if (next && fault === undefined) await send().catch(() => {});
      else await writing;
    },
  };
}
