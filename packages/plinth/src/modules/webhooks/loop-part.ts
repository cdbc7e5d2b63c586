import type { WorkerPart, WorkerRuntime } from '#kernel/work.ts';

/** A part of the worker that is one loop: `body` runs until it is told to stop, and `stop` waits for it to return. */
export const loopPart =
  (body: (runtime: WorkerRuntime, stopping: AbortSignal) => Promise<void>): WorkerPart =>
  (runtime) => {
    const stopping = new AbortController();
    const running = body(runtime, stopping.signal);
    return {
      async stop() {
        stopping.abort();
        await running;
      },
    };
  };
