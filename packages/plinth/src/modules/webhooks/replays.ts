import { toPlinthError } from '#kernel/errors.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import { DUE } from './consumer.ts';
import { loopPart } from './loop-part.ts';

/** Name of the hint that a replay has begun. */
export const REPLAY = 'webhooks.replay';

const EVERY_MS = 1000;
/** A process that hangs or stands still must not keep the replays that it has locked. */
const LIMITS = { timeoutMs: 60_000, idleMs: 5_000 };

/** Works replays off, a batch of each at a time; a batch that found something is followed by another at once only when all of it has gone out. */
async function run({ plinth, services, wake }: WorkerRuntime, stopping: AbortSignal): Promise<void> {
  while (!stopping.aborted) {
    try {
      const [worked] = await plinth.asWorker(LIMITS, async (tx) => {
        const rows = await tx.query<{ looked: number }>('select plinth_webhooks.work_replays() as looked');
        if ((rows[0]?.looked ?? 0) > 0) tx.signal(DUE);
        return rows;
      });
      if ((worked?.looked ?? 0) > 0) continue;
    } catch (error) {
      const { code, message } = toPlinthError(error);
      services.log.warn({ module: 'webhooks', code, error: message }, 'webhooks: could not work replays off');
    }
    await wake.next([REPLAY], EVERY_MS, stopping);
  }
}

/** The part of the worker that adds the deliveries of replays. */
export const replayer = loopPart(run);
