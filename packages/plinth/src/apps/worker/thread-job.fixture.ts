/** A job that runs in a thread: does what its payload says. */
import { existsSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import type { ThreadRun } from '#kernel/work.ts';

const spin = (ms: number): void => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

let snoozed = false;
/** A run that is over, kept by a handler that did not wait for all that it began. */
let earlier: ThreadRun | undefined;

// biome-ignore lint/style/noDefaultExport: a thread calls the default export of its module
export default async function work(run: ThreadRun): Promise<unknown> {
  const { do: what } = run.payload;
  if (what === 'spin') spin(Number(run.payload.ms));
  if (what === 'spin until') {
    run.log('computes');
    while (!existsSync(String(run.payload.file))) spin(10);
  }
  if (what === 'for ever') for (;;);
  if (what === 'exit') process.exit(7);
  if (what === 'throw elsewhere')
    setTimeout(() => {
      throw new Error('nobody caught it');
    }, 1);
  if (what === 'throw what is no error') throw Object.create(null);
  if (what === 'fail') throw Object.assign(new Error('hopeless', { cause: new Error('root') }), { name: 'JobFailure', final: true });
  if (what === 'odd result') return { n: 1n };
  if (what === 'throw elsewhere') await new Promise(() => {});
  if (what === 'snooze' && !snoozed) {
    snoozed = true;
    run.snooze(1);
  }
  if (what === 'wait') {
    run.log('waits');
    await new Promise((_, reject) => run.signal.addEventListener('abort', () => reject(run.signal.reason)));
  }
  if (what === 'speak for another') {
    earlier?.log('of an earlier job');
    earlier?.snooze(60_000);
    return { refused: await earlier?.progress(99, 'of an earlier job').catch((error: Error) => error.message) };
  }
  earlier = run;
  run.log('in a thread', { what });
  await run.progress(50, 'half');
  return { what, thread: threadId > 0, attempt: run.attempt, tenantId: run.tenantId };
}
