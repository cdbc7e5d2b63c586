/** The program of a thread that runs jobs, one at a time: it imports the module of a job and calls its default export. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '#kernel/thrown.ts';
import type { ThreadRun } from '#kernel/work.ts';
import { snoozeMs } from './delay.ts';
import type { FromThread, ThreadError, ThreadJob, ToThread } from './thread-messages.ts';

const port = parentPort;
const send = (message: FromThread): void => port?.postMessage(message);

/** JSON text; in place of what is none, a note. */
function text(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    return JSON.stringify({ omitted: `it is not JSON: ${(error as Error).message}` });
  }
}

function errorOf(error: unknown): ThreadError {
  if (!(error instanceof Error)) return { name: 'Error', message: messageOf(error) };
  const { final, retryAfterMs, cause } = error as Error & { final?: unknown; retryAfterMs?: unknown };
  return {
    name: messageOf(error.name),
    message: messageOf(error),
    cause: cause === undefined ? undefined : messageOf(cause),
    ...(typeof final === 'boolean' ? { final } : {}),
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
  };
}

let controller = new AbortController();
let calls = 0;
const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

/** The main thread takes what is said for that of the job that it has sent last, which may be of another tenant than what an earlier one left behind. */
let current: ThreadJob | undefined;

function runOf(job: ThreadJob): ThreadRun {
  const sendIfCurrent = (message: FromThread): void => {
    if (current === job) send(message);
  };
  return {
    ...job,
    signal: controller.signal,
    log: (message, fields) => sendIfCurrent({ type: 'log', message: String(message), fields: fields === undefined ? undefined : text(fields) }),
    progress(percent, note) {
      const told = new Promise<void>((resolve, reject) => {
        if (current !== job) throw new Error('The attempt is over: nothing more is told of it');
        calls += 1;
        waiting.set(calls, { resolve, reject });
        send({ type: 'progress', call: calls, percent, note });
      });
      // As in the main thread: a handler need not wait for it.
      told.catch(() => {});
      return told;
    },
    snooze: (delayMs) => sendIfCurrent({ type: 'snooze', delayMs: snoozeMs(delayMs) }),
  };
}

async function run(module: string, job: ThreadJob): Promise<void> {
  controller = new AbortController();
  current = job;
  const end = await outcomeOf(module, job);
  current = undefined;
  send(end);
}

async function outcomeOf(module: string, job: ThreadJob): Promise<FromThread> {
  try {
    const { default: handler } = (await import(module)) as { default?: unknown };
    if (typeof handler !== 'function') throw new TypeError(`the default export of ${module.split('/').at(-1)} is no function`);
    send({ type: 'begun' });
    return { type: 'done', result: text(await handler(runOf(job))) };
  } catch (error) {
    return { type: 'failed', error: errorOf(error) };
  }
}

port?.on('message', (message: ToThread) => {
  if (message.type === 'run') void run(message.module, message.job);
  else if (message.type === 'abort') controller.abort(Object.assign(new Error(message.message), { name: 'StopReason', why: message.why }));
  else {
    const call = waiting.get(message.call);
    waiting.delete(message.call);
    if (message.error) call?.reject(Object.assign(new Error(message.error.message), { name: message.error.name, code: message.error.code }));
    else call?.resolve();
  }
});
