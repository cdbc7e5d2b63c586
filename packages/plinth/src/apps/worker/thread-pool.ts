import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { JobRun } from '#kernel/work.ts';
import { JobFailure } from '#modules/jobs';
import type { FromThread, ThreadError, ToThread } from './thread-messages.ts';

/** A few threads for jobs that compute: the event loop of the process, and with it its heartbeat, stays free. */
export interface ThreadPool {
  /**
   * Runs the default export of the module in a thread, when one is free, and returns what that returned, by way of JSON. Errors: those of
   * the handler; an Error when the thread ended under it; the reason of `run.signal` when it did not end in time after that was aborted.
   */
  run(module: URL, run: JobRun): Promise<unknown>;
  readonly size: number;
  close(): Promise<void>;
}

export interface ThreadPoolOptions {
  /** Most threads. Default: one fewer than the processor can run at once, at least one. */
  most?: number | undefined;
  /** How long a handler may take to end after its signal was aborted, ms; then its thread is ended. */
  stopMs: number;
  /** A thread without work is ended after so long, ms. Default 30,000. */
  idleMs?: number;
  /** A job begins to wait for a thread, or for that to start; what is returned is called when it does so no longer. */
  onWait?: (run: JobRun) => () => void;
}

/** A thread starts and imports the module in a fraction of this; one that never does must not hold its job for ever. */
const LONGEST_START_MS = 30_000;

interface Thread {
  worker: Worker;
  /** Ends what runs in it, if anything does. */
  fail: ((error: Error) => void) | undefined;
  receive: ((message: FromThread) => void) | undefined;
  idle: NodeJS.Timeout | undefined;
}

/** Beside this file, in whatever form this file runs. Looked for when a thread starts: what was bundled into one file has none beside it, and may need none. */
const program = (): URL => new URL(`./thread-main${extname(import.meta.url)}`, import.meta.url);

interface Pool {
  threads: Set<Thread>;
  free: Thread[];
  /** Jobs that wait for a thread. */
  queue: ((thread: Thread) => void)[];
}

export function createThreadPool(options: ThreadPoolOptions): ThreadPool {
  const { most = Math.max(1, availableParallelism() - 1), stopMs, idleMs = 30_000, onWait = () => () => {} } = options;
  const pool: Pool = { threads: new Set(), free: [], queue: [] };
  return {
    async run(module, run) {
      const { signal } = run;
      signal.throwIfAborted();
      const thread = await waiting(onWait(run), acquire(pool, most, signal));
      clearTimeout(thread.idle);
      thread.worker.ref();
      let stuck: NodeJS.Timeout | undefined;
      const abort = (): void => {
        const { why = 'stopped', message } = signal.reason as { why?: string; message: string };
        say(thread, { type: 'abort', why, message });
        // A loop that never ends hears of no signal; ending its thread is all that helps.
        stuck = setTimeout(() => end(pool, thread, signal.reason as Error), stopMs);
      };
      signal.addEventListener('abort', abort, { once: true });
      const begun = onceWithin(LONGEST_START_MS, onWait(run));
      try {
        return await converse(thread, module, run, begun);
      } finally {
        begun();
        clearTimeout(stuck);
        signal.removeEventListener('abort', abort);
        release(pool, thread, idleMs);
      }
    },
    get size() {
      return pool.threads.size;
    },
    async close() {
      pool.queue.length = 0;
      await Promise.all(
        [...pool.threads].map((thread) => {
          forget(pool, thread, new Error('the worker shuts down'));
          return thread.worker.terminate();
        }),
      );
    },
  };
}

const say = (thread: Thread, message: ToThread): void => thread.worker.postMessage(message, []);

function start(pool: Pool): Thread {
  const worker = new Worker(program(), { name: 'plinth jobs' });
  const thread: Thread = { worker, fail: undefined, receive: undefined, idle: undefined };
  pool.threads.add(thread);
  worker.on('message', (message: FromThread) => thread.receive?.(message));
  worker.on('error', (error) => end(pool, thread, new Error(`its thread ended: ${error instanceof Error ? error.message : String(error)}`)));
  worker.on('exit', (code) => forget(pool, thread, new Error(`its thread ended with code ${code}`)));
  return thread;
}

/** The thread is no more; who waits for one gets another. */
function forget(pool: Pool, thread: Thread, error: Error): void {
  if (!pool.threads.delete(thread)) return;
  clearTimeout(thread.idle);
  const at = pool.free.indexOf(thread);
  if (at >= 0) pool.free.splice(at, 1);
  thread.fail?.(error);
  const next = pool.queue.shift();
  if (next) next(start(pool));
}

function end(pool: Pool, thread: Thread, error: Error): void {
  forget(pool, thread, error);
  void thread.worker.terminate();
}

async function waiting(over: () => void, thread: Promise<Thread> | Thread): Promise<Thread> {
  try {
    return await thread;
  } finally {
    over();
  }
}

/** Calls back when it is called first, or after so long. */
function onceWithin(longestMs: number, callback: () => void): () => void {
  const timer = setTimeout(() => call(), longestMs).unref();
  let call = (): void => {
    call = () => {};
    clearTimeout(timer);
    callback();
  };
  return () => call();
}

function acquire(pool: Pool, most: number, signal: AbortSignal): Promise<Thread> | Thread {
  const thread = pool.free.pop() ?? (pool.threads.size < most ? start(pool) : undefined);
  if (thread) return thread;
  return new Promise((resolve, reject) => {
    const take = (given: Thread): void => {
      signal.removeEventListener('abort', leave);
      resolve(given);
    };
    const leave = (): void => {
      pool.queue.splice(pool.queue.indexOf(take), 1);
      reject(signal.reason);
    };
    pool.queue.push(take);
    signal.addEventListener('abort', leave, { once: true });
  });
}

/** To the next job, or to the free ones for a while. */
function release(pool: Pool, thread: Thread, idleMs: number): void {
  thread.receive = undefined;
  thread.fail = undefined;
  if (!pool.threads.has(thread)) return;
  const next = pool.queue.shift();
  if (next) {
    next(thread);
    return;
  }
  thread.worker.unref();
  thread.idle = setTimeout(() => end(pool, thread, new Error('idle')), idleMs).unref();
  pool.free.push(thread);
}

/** One job in a thread, from its beginning to its end, with what it says in between; `begun` is called when its handler is. */
function converse(thread: Thread, module: URL, run: JobRun, begun: () => void): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const send = (message: ToThread): void => say(thread, message);
  thread.fail = reject;
  thread.receive = (message) => {
    if (message.type === 'begun') begun();
    else if (message.type === 'done') resolve(message.result === undefined ? undefined : JSON.parse(message.result));
    else if (message.type === 'failed') reject(errorOf(message.error));
    else if (message.type === 'log')
      run.log(message.message, message.fields === undefined ? undefined : (JSON.parse(message.fields) as Record<string, unknown>));
    else if (message.type === 'snooze') run.snooze(message.delayMs);
    else
      run.progress(message.percent, message.note).then(
        () => send({ type: 'progressed', call: message.call }),
        (error: Error & { code?: string }) =>
          send({ type: 'progressed', call: message.call, error: { name: error.name, message: error.message, code: error.code } }),
      );
  };
  const { id, kind, payload, attempt, runId, tenantId, correlationId } = run;
  send({ type: 'run', module: module.href, job: { id, kind, payload, attempt, runId, tenantId, correlationId } });
  return promise;
}

function errorOf({ name, message, cause, final, retryAfterMs }: ThreadError): Error {
  const options = cause === undefined ? {} : { cause: new Error(cause) };
  if (name === 'JobFailure')
    return new JobFailure(message, { ...options, ...(final === undefined ? {} : { final }), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
  return Object.assign(new Error(message, options), { name });
}
