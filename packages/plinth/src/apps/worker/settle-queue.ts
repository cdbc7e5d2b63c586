import { setTimeout as pause } from 'node:timers/promises';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { FailedJob, Settlement } from '#modules/jobs';
import { createAside } from './settle-aside.ts';
import { claimsOf, createSettleStore, isApart, MOST_AT_ONCE } from './settle-store.ts';

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
  /** Outcomes that are not stored yet, but for a reasonable number of those that wait for a transaction of their own tenant. */
  readonly size: number;
  /** Size of the results among those that wait to be sent, in the same way. */
  readonly bytes: number;
  /** All that is not stored yet. */
  readonly left: number;
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

/** Results of more bytes go in several statements: the database takes about 100 ms for a megabyte, and others wait. */
const MOST_BYTES_AT_ONCE = 4 * 1024 * 1024;
/** While more are about to come, so many gather: a statement for each few would cost more than the outcomes. */
const ENOUGH = 500;
/** So many may wait aside, with results of so many bytes, before they keep further jobs from beginning. */
const MOST_ASIDE = 10_000;
const MOST_BYTES_ASIDE = 32 * 1024 * 1024;
const PAUSE_MS = 100;
/** Outcomes of one turn of the event loop go together. */
const turnOfTheLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function giveUp({ log, onGivenUp }: SettleQueueOptions, late: readonly Ended[], error: unknown): void {
  log.error({ jobs: late.length, err: error }, 'worker: outcomes could not be stored before their leases expired; the jobs will run again');
  for (const entry of late) entry.stored(undefined);
  onGivenUp();
}

function lateOf(entries: readonly Ended[], giveUpMs: number): Set<Ended> {
  const now = performance.now();
  return new Set(entries.filter((entry) => now - entry.sinceMs > giveUpMs));
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

/**
 * Stores outcomes, those that arrive while one statement is under way together in the next. While the database is away they wait,
 * at most `giveUpMs`: by then the leases have expired and the jobs run again. A claim with a job that was given up is never closed: that it is there is
 * how another worker finds the job.
 */
export function createSettleQueue(options: SettleQueueOptions): SettleQueue {
  let waiting: Ended[] = [];
  let bytes = 0;
  let sending = false;
  /** What one statement is storing, and the claims that it closes. */
  let underway: readonly Ended[] = [];
  let closingNow: string[] = [];
  const closing: string[] = [];

  const store = createSettleStore(options, () => aside);
  const close = (claim: string): void => {
    closing.push(claim);
    if (!sending) void send();
  };
  /** Those that are not late yet. Where some are, all that was claimed is given up. */
  const inTime = (entries: readonly Ended[], error: unknown): readonly Ended[] => {
    const late = lateOf(entries, options.giveUpMs);
    if (late.size === 0) return entries;
    for (const entry of [...entries, ...waiting]) entry.claim = undefined;
    closing.length = 0;
    aside.forgetClaims();
    giveUp(options, [...late], error);
    return entries.filter((entry) => !late.has(entry));
  };
  const aside = createAside({ log: options.log, store: store.ofTenant, inTime, close });

  const putBack = async (batch: readonly Ended[], error: unknown): Promise<void> => {
    closing.unshift(...closingNow);
    closingNow = [];
    waiting = [...inTime(batch, error), ...waiting];
    bytes = totalOf(waiting);
    await pause(PAUSE_MS);
  };
  const storeApart = async (batch: readonly Ended[]): Promise<void> => {
    // Tenants are taken out of their order: claims are closed when all of it is done.
    closing.unshift(...claimsOf(batch), ...closingNow);
    closingNow = [];
    for (const entry of batch) entry.claim = undefined;
    const left = new Set(batch);
    await store.byTenant(batch, left).catch((error: unknown) => putBack([...left], error));
  };
  const send = async (): Promise<void> => {
    sending = true;
    await turnOfTheLoop();
    while (waiting.length > 0 || closing.length > 0) {
      while (waiting.length < ENOUGH && options.more()) await turnOfTheLoop();
      underway = waiting.splice(0, bytes > MOST_BYTES_AT_ONCE ? countWithin(waiting, MOST_BYTES_AT_ONCE) : MOST_AT_ONCE);
      if (bytes > 0) bytes -= totalOf(underway);
      // Not before every job of theirs, which may still be waiting.
      closingNow = waiting.length === 0 ? closing.splice(0) : [];
      await store
        .together(underway, closingNow)
        .catch((error: unknown) => (underway.length > 0 && isApart(error) ? storeApart(underway) : putBack(underway, error)));
      underway = [];
      closingNow = [];
    }
    sending = false;
  };

  return {
    push(ended) {
      ended.sinceMs = performance.now();
      if (aside.has(ended.settlement.tenant_id)) return aside.put([ended]);
      waiting.push(ended);
      bytes += bytesOf(ended);
      if (!sending) void send();
    },
    close,
    closing: () => [...closing, ...closingNow, ...claimsOf(underway), ...claimsOf(waiting), ...aside.closing()],
    get size() {
      return waiting.length + underway.length + Math.max(0, aside.size - MOST_ASIDE);
    },
    get bytes() {
      return bytes + Math.max(0, aside.bytes - MOST_BYTES_ASIDE);
    },
    get left() {
      return waiting.length + underway.length + aside.size;
    },
  };
}
