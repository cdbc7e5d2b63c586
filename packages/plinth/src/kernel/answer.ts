import type pg from 'pg';
import { streamOf } from './begin.ts';

/** How much later than the server ends a statement its answer may come, ms. */
const ON_THE_WAY_MS = 5_000;

/** Waits for answers of one connection. */
export type Answer = <T>(asked: Promise<T>) => Promise<T>;

/**
 * A connection that a network or a pooler swallowed reports nothing, and TCP gives it up after a quarter of an hour, or never. The server ends a statement after
 * `timeoutMs`; where no answer has come some seconds after that, the connection is cut off: whoever waits gets the driver's error for a lost one. Without `timeoutMs`
 * nobody knows how long a statement may take, and it is waited for.
 */
export function answerWithin(client: pg.PoolClient, timeoutMs: number | undefined): Answer {
  if (!timeoutMs) return (asked) => asked;
  let waiting = 0;
  let answers = 0;
  let timer: NodeJS.Timeout | undefined;
  const late = (): void => {
    const before = answers;
    // A process that stood still sees its timers before what has arrived meanwhile.
    setImmediate(() => {
      if (waiting > 0 && answers === before) streamOf(client)?.destroy();
    });
  };
  const again = (): void => {
    clearTimeout(timer);
    timer = waiting > 0 ? setTimeout(late, timeoutMs + ON_THE_WAY_MS) : undefined;
  };
  return async (asked) => {
    waiting += 1;
    if (waiting === 1) again();
    try {
      return await asked;
    } finally {
      waiting -= 1;
      answers += 1;
      again();
    }
  };
}
