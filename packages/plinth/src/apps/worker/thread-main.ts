/** The program of a thread that runs jobs, one at a time: it imports the module of a job and calls its default export. */
import { parentPort } from 'node:worker_threads';
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
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const { final, retryAfterMs, cause } = error as Error & { final?: unknown; retryAfterMs?: unknown };
  return {
    name: error.name,
    message: error.message,
    cause: cause instanceof Error ? cause.message : cause === undefined ? undefined : String(cause),
    ...(typeof final === 'boolean' ? { final } : {}),
    ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}),
  };
}

let controller = new AbortController();
let calls = 0;
const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

function runOf(job: ThreadJob): ThreadRun {
  return {
    ...job,
    signal: controller.signal,
    log: (message, fields) => send({ type: 'log', message: String(message), fields: fields === undefined ? undefined : text(fields) }),
    progress: (percent, note) =>
      new Promise((resolve, reject) => {
        calls += 1;
        waiting.set(calls, { resolve, reject });
        send({ type: 'progress', call: calls, percent, note });
      }),
    snooze: (delayMs) => send({ type: 'snooze', delayMs: snoozeMs(delayMs) }),
  };
}

async function run(module: string, job: ThreadJob): Promise<void> {
  controller = new AbortController();
  try {
    const { default: handler } = (await import(module)) as { default?: unknown };
    if (typeof handler !== 'function') throw new TypeError(`the default export of ${module.split('/').at(-1)} is no function`);
    send({ type: 'done', result: text(await handler(runOf(job))) });
  } catch (error) {
    send({ type: 'failed', error: errorOf(error) });
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
