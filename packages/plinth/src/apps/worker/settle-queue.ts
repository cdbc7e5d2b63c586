import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { FailedJob, Settlement } from '#modules/jobs';
import { settleJobs } from '#modules/jobs';
import { isRefusal, storeApart } from './refused.ts';

/** An attempt that has ended, and is told when its outcome is stored. */
export interface Ended {
  settlement: Settlement;
  /** The claim of which every other job has been pushed before. */
  claim: string | undefined;
  /** When it was pushed, by performance.now(). */
  sinceMs: number;
  /** What became of its job; undefined: it was refused, because the lease was lost, or could not be stored in time. */
  stored(status: string | undefined): void;
}

export interface SettleQueue {
  push(ended: Ended): void;
  /** Every job of this claim has ended without an outcome to store. */
  close(claim: string): void;
  /** Outcomes that are not stored yet. */
  readonly size: number;
  /** Size of the results among those that wait to be sent. */
  readonly bytes: number;
  /** Claims that are closed here and not yet in the database. */
  closing(): string[];
}

export interface SettleQueueOptions {
  plinth: Plinth<ModuleMap>;
  log: WorkServices['log'];
  giveUpMs: number;
  /** See WorkerOptions.durable. */
  durable: boolean;
  /** One statement stored so many outcomes. */
  onStored: (outcomes: number, tookMs: number) => void;
  /** These failed because they depend on jobs whose outcome was stored. */
  onFailed: (jobs: readonly FailedJob[]) => void;
  /** Outcomes were given up: whoever waits for a sign of life of this process must not get it. */
  onGivenUp: () => void;
  /** True: jobs will end in the next turn of the event loop. */
  more: () => boolean;
}

const MOST_AT_ONCE = 1_000;
/** Results of more bytes go in several statements: the database takes about 100 ms for a megabyte, and others wait. */
const MOST_BYTES_AT_ONCE = 4 * 1024 * 1024;
/** While more are about to come, so many gather: a statement for each few would cost more than the outcomes. */
const ENOUGH = 500;
const PAUSE_MS = 100;
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
/** Outcomes of one turn of the event loop go together. */
const turnOfTheLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function giveUp({ log, onGivenUp }: SettleQueueOptions, late: readonly Ended[], error: unknown): void {
  log.error({ jobs: late.length, err: error }, 'worker: outcomes could not be stored before their leases expired; the jobs will run again');
  for (const entry of late) entry.stored(undefined);
  onGivenUp();
}

function claimsOf(entries: readonly Pick<Ended, 'claim'>[]): string[] {
  const claims: string[] = [];
  for (const { claim } of entries) if (claim !== undefined) claims.push(claim);
  return claims;
}

const bytesOf = ({ settlement }: Ended): number => settlement.bytes ?? 0;

const totalOf = (entries: readonly Ended[]): number => entries.reduce((sum, entry) => sum + bytesOf(entry), 0);

/** How many of the first go together: one at least. */
function countWithin(entries: readonly Ended[], bytes: number): number {
  let count = 0;
  for (let sum = 0; count < Math.min(entries.length, MOST_AT_ONCE); count++) {
    sum += bytesOf(entries[count] as Ended);
    if (sum > bytes) break;
  }
  return Math.max(1, count);
}

const storer =
  ({ plinth, durable, onStored, onFailed }: SettleQueueOptions) =>
  async (entries: readonly Ended[], closes: readonly string[] = []): Promise<void> => {
    const startedMs = performance.now();
    const settlements = entries.map((entry) => entry.settlement);
    const { statuses, failed } = await plinth.asWorker({ durable }, (tx) => settleJobs(tx, settlements, [...claimsOf(entries), ...closes]));
    onStored(entries.length, performance.now() - startedMs);
    for (const entry of entries) entry.stored(statuses.get(entry.settlement.run_id));
    if (failed.length > 0) onFailed(failed);
  };

/**
 * Stores outcomes, those that arrive while one statement is under way together in the next. While the database is away they wait,
 * at most `giveUpMs`: by then the leases have expired and the jobs run again. A claim with a job that was given up is never closed: that it is there is
 * how another worker finds the job.
 */
export function createSettleQueue(options: SettleQueueOptions): SettleQueue {
  const { giveUpMs } = options;
  let waiting: Ended[] = [];
  let bytes = 0;
  const closing: string[] = [];
  let sending = false;
  let underway: readonly Ended[] = [];
  let closingNow: string[] = [];

  const store = storer(options);

  const take = (): Ended[] => {
    const batch = waiting.splice(0, bytes > MOST_BYTES_AT_ONCE ? countWithin(waiting, MOST_BYTES_AT_ONCE) : MOST_AT_ONCE);
    if (bytes > 0) bytes -= totalOf(batch);
    return batch;
  };

  const send = async (): Promise<void> => {
    sending = true;
    await turnOfTheLoop();
    while (waiting.length > 0 || closing.length > 0) {
      while (waiting.length < ENOUGH && options.more()) await turnOfTheLoop();
      const batch = take();
      // Not before every job of theirs, which may still be waiting.
      closingNow = waiting.length === 0 ? closing.splice(0) : [];
      underway = batch;
      try {
        await store(batch, closingNow);
      } catch (error) {
        if (batch.length > 0 && isRefusal(error)) await storeEach(batch, error);
        else await putBack(batch, error);
      }
      underway = [];
      closingNow = [];
    }
    sending = false;
  };

  const storeEach = async (batch: readonly Ended[], refusal: unknown): Promise<void> => {
    const left = new Set(batch);
    try {
      await storeApart({ ...options, store, close: (claim) => closing.push(claim) }, batch, refusal, left);
      closing.unshift(...closingNow);
    } catch (error) {
      await putBack([...left], error);
    }
  };

  const putBack = async (batch: readonly Ended[], error: unknown): Promise<void> => {
    const now = performance.now();
    const late = batch.filter((entry) => now - entry.sinceMs > giveUpMs);
    waiting = [...batch.filter((entry) => !late.includes(entry)), ...waiting];
    bytes = totalOf(waiting);
    if (late.length > 0) {
      for (const entry of waiting) entry.claim = undefined;
      closing.length = 0;
      giveUp(options, late, error);
    } else closing.unshift(...closingNow);
    await pause();
  };

  return {
    push(ended) {
      ended.sinceMs = performance.now();
      waiting.push(ended);
      bytes += bytesOf(ended);
      if (!sending) void send();
    },
    close(claim) {
      closing.push(claim);
      if (!sending) void send();
    },
    closing: () => [...closing, ...closingNow, ...claimsOf(underway), ...claimsOf(waiting)],
    get size() {
      return waiting.length + underway.length;
    },
    get bytes() {
      return bytes;
    },
  };
}
