import type { Wake } from '#kernel/wake.ts';
import type { WorkServices } from '#kernel/work.ts';

export interface Loop {
  /** Next turn at once. */
  nudge(): void;
  /** Waits for the turn that is under way; there is none after it. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  name: string;
  log: WorkServices['log'];
  wake: Wake;
  /** Hints that end the wait between two turns. */
  signals?: readonly string[];
  /** Longest wait after a failed turn, ms. Default 15,000. */
  longestBackoffMs?: number;
  /** One turn. Returns how long to wait for the next, ms; 0 is at once. */
  turn: () => Promise<number>;
}

/**
 * Turns, one after the other, with a wait in between that a hint ends. A turn that fails is logged and followed by a growing wait
 * that no hint ends: hints are no sign that the database is back.
 */
export function startLoop(options: LoopOptions): Loop {
  let stopped = false;
  let nudged = false;
  let endWait: (() => void) | undefined;
  const nudge = (): void => {
    nudged = true;
    endWait?.();
  };
  const forget = (options.signals ?? []).map((signal) => options.wake.on(signal, nudge));

  const wait = (waitMs: number, deaf: boolean): Promise<void> =>
    new Promise((resolve) => {
      if (stopped || (nudged && !deaf)) return resolve();
      const timer = setTimeout(finish, waitMs);
      function finish(): void {
        clearTimeout(timer);
        endWait = undefined;
        resolve();
      }
      endWait = () => {
        if (!deaf || stopped) finish();
      };
    });

  const run = async (): Promise<void> => {
    let failures = 0;
    while (!stopped) {
      nudged = false;
      let waitMs = 0;
      try {
        waitMs = await options.turn();
        failures = 0;
      } catch (error) {
        failures += 1;
        waitMs = Math.min(options.longestBackoffMs ?? 15_000, 125 * 2 ** failures);
        options.log.warn({ loop: options.name, failures, err: error }, `worker: ${options.name} failed and is tried again in ${waitMs} ms`);
      }
      if (waitMs > 0) await wait(waitMs, failures > 0);
    }
  };
  const running = run();

  return {
    nudge,
    async stop() {
      stopped = true;
      for (const stop of forget) stop();
      endWait?.();
      await running;
    },
  };
}
