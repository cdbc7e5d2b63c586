import { fail, toPlinthError } from './errors.ts';
import { LOST, MOST_LOST_LIVE, putAside, withoutHeld } from './feed-aside.ts';
import type { Told } from './feed-failure.ts';
import { blamesHandler, opened, textOf } from './feed-failure.ts';
import type { Tried } from './feed-parked.ts';
import { tryAside } from './feed-parked.ts';
import type { Batch, Feed } from './feed-read.ts';
import { checkpoint, feedOf, peek, readBatch } from './feed-read.ts';
import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Consumer } from './work.ts';

/** Sent after COMMIT by whoever writes to the log, or gives a consumer something to do: there is something to read. A hint; polling is the truth. */
export const FEED_SIGNAL = 'kernel.feed';

const LONGEST_STATEMENT_MS = 60_000;
const LONGEST_IDLE_MS = 60_000;
const MOST_EMPTY_CLAIMS = 16;
const MOST_TRIES_ASIDE = 10_000;

/** A process that hangs or stands still must not keep its shards: the server ends its transaction, and others take over. */
const limitsOf = (consumer: Consumer) => ({ timeoutMs: LONGEST_STATEMENT_MS, idleMs: consumer.idleMs ?? LONGEST_IDLE_MS });

interface Running {
  /** The last claim found nothing. */
  quiet: boolean;
  /** Epoch of the log when it was last asked for, and when that was, by performance.now(). */
  epoch: number;
  askedMs: number;
}

/** What this process knows of the consumers it runs; those that are in it are registered. */
const running = new WeakMap<object, Map<string, Running>>();

/** A pooler may hand connections on to another server without a word. */
const EPOCH_MS = 60_000;

/**
 * Registers a consumer, once a process and again when a turn had failed: a database that was away may come back as another, restored from a dump, in which cursors mean nothing
 * before a new epoch has begun.
 */
async function start<Modules extends ModuleMap>(plinth: Plinth<Modules>, feed: Feed, name: string, from: 'beginning' | 'now'): Promise<Running> {
  const known = running.get(plinth) ?? new Map<string, Running>();
  running.set(plinth, known);
  const state = known.get(name);
  const askedMs = performance.now();
  if (state && askedMs - state.askedMs < EPOCH_MS) return state;
  const epoch = await plinth.asWorker({}, async (tx) => {
    // One that was forgotten while it runs stays so.
    if (!state) await tx.query('select plinth_kernel.feed_start($1, $2, $3)', [feed.name, name, from]);
    const [row] = await tx.query<{ epoch: number }>('select plinth_kernel.feed_epoch($1) as epoch', [feed.name]);
    return row?.epoch ?? 0;
  });
  const fresh = { quiet: state?.quiet === true && state.epoch === epoch, epoch, askedMs };
  known.set(name, fresh);
  return fresh;
}

export interface Turn {
  /** Events that were handled, or put behind one of their tenant that is aside. */
  handled: number;
  /** An event was set aside on which processes had ended: consumeParked may try it at once. */
  aside?: true | undefined;
  /** What a handler threw, after it was noted: the events come again when their time has come, and there may be others to handle now. */
  failure?: {
    error: unknown;
    /** What may be kept of it: without its text when the handler was given personal fields, which that may quote. */
    text: string;
    personal: boolean;
  };
}

/**
 * Gives a consumer (`<module>.<name>`) its next batch, handles it and moves the cursor, all in one transaction as plinth_worker.
 * Nothing is handled when there is nothing to read, other processes hold all shards, or the consumer is paused. A batch that fails is read again one
 * event at a time; an event that fails alone is put aside, and the later ones of its tenant after it: consumeParked tries them again. Errors:
 * kernel_unavailable and kernel_serialization of a handler, which are noted too and count as nobody's failure; those of the database.
 */
export async function consumeTurn<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<Turn> {
  try {
    return await turn(plinth, name, consumer);
  } catch (error) {
    running.get(plinth)?.delete(name);
    throw error;
  }
}

async function turn<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<Turn> {
  const feed = feedOf(plinth.modules, consumer);
  const state = await start(plinth, feed, name, consumer.from ?? 'beginning');
  if (state.quiet && (await plinth.lookAsWorker(peek(feed, name))).length === 0) return { handled: 0 };
  // A claim of idle shards that ends a window of theirs says nothing about the other shards, so it is followed by another.
  let aside: true | undefined;
  for (let claims = 0; claims < MOST_EMPTY_CLAIMS; claims++) {
    const { moved, ...done } = await attempt(plinth, feed, name, consumer);
    aside ??= done.aside;
    state.quiet = done.handled === 0 && !done.failure && !moved;
    if (done.failure || done.handled > 0 || !moved) return { ...done, aside };
  }
  return { handled: 0, aside };
}

/** As consumeTurn; returns how many events were handled, and throws what the handler threw. */
export async function consumeOnce<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<number> {
  const { handled, failure } = await consumeTurn(plinth, name, consumer);
  if (failure) throw failure.error;
  return handled;
}

/**
 * Gives a consumer what was put aside and may be tried now: an event that failed when its time has come, those of its tenant that waited for it, or one
 * that somebody asked to be tried again. The worker calls it beside the live feed. Errors: as consumeTurn.
 */
export const consumeAside = <Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<Tried> =>
  tryAside(plinth, feedOf(plinth.modules, consumer), name, consumer, limitsOf(consumer));

/** As consumeAside, until there is nothing that may be tried now. Returns how many events were handled. */
export async function consumeParked<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<number> {
  let handled = 0;
  for (let tries = 0; tries < MOST_TRIES_ASIDE; tries++) {
    const done = await consumeAside(plinth, name, consumer);
    if (done.tried === 0) break;
    handled += done.handled;
  }
  return handled;
}

interface Attempt extends Turn {
  /** There may be more to read although nothing was handled. */
  moved: boolean;
}

async function attempt<Modules extends ModuleMap>(plinth: Plinth<Modules>, feed: Feed, name: string, consumer: Consumer): Promise<Attempt> {
  let failing: Batch | undefined;
  let moving: Promise<void> | undefined;
  const told: Told = { revealed: false };
  try {
    return await plinth.asWorker({ ...limitsOf(consumer), durable: consumer.durable }, async (tx) => {
      const batch = await readBatch(tx, feed, { consumer: name, ...(consumer.batchSize ? { batchSize: consumer.batchSize } : {}) });
      if (batch.claims.some(({ lost }, index) => lost > 0 && batch.handled[index] !== 0)) {
        return { handled: 0, moved: true, aside: (await settleLost(tx, feed, name, consumer, batch)) || undefined };
      }
      failing = batch;
      const events = await withoutHeld(tx, feed, name, batch);
      if (events.length > 0) await consumer.handle(tx, await opened(tx, feed, events, told));
      // Not awaited: it travels with COMMIT, which rolls back if it fails. A round trip fewer is what lag consists of.
      moving = checkpoint(tx, feed, name, batch);
      moving.catch(() => {});
      return { handled: batch.events.length, moved: batch.claims.some((claim) => claim.move) };
    });
  } catch (thrown) {
    // COMMIT after a checkpoint that failed says only that something had; a checkpoint that came too late says nothing.
    const error = await (moving ?? Promise.resolve()).then(
      () => thrown,
      (fault: unknown) => (toPlinthError(fault).code === 'kernel_transaction_ended' ? thrown : fault),
    );
    if (!failing || failing.events.length === 0) throw error;
    if (!blamesHandler(error)) {
      // For whoever looks at plinth.consumers, if it can be noted at all: it may be this database that cannot be reached.
      await plinth.asWorker({}, note(feed, name, failing, textOf(error, told), null)).catch(() => {});
      throw error;
    }
    const text = textOf(error, told);
    await settleFailure(plinth, feed, name, consumer, failing, text);
    return { handled: 0, moved: true, failure: { error, text, personal: told.revealed } };
  }
}

/** Notes on the cursors that a batch failed, where they are still before it. `to`: the position that it reached to; null: nobody is to blame. */
const note =
  (feed: Feed, name: string, batch: Batch, message: string, to: string | null, lost = 0) =>
  (tx: AnyTransaction): Promise<unknown> => {
    const failing = batch.claims.filter((_, index) => batch.handled[index] !== 0);
    const [shards, s1, lasts] = [failing.map(({ shard }) => shard), failing.map((claim) => claim.s1), failing.map(({ last }) => last)];
    return tx.query('select plinth_kernel.feed_fail($1, $2, $3, $4, $5, $6, $7, $8)', [feed.name, name, shards, s1, lasts, message, to, lost]);
  };

/** An event that failed alone is put aside, unless its shard is to wait. True: it was. */
async function aside(tx: AnyTransaction, feed: Feed, name: string, consumer: Consumer, batch: Batch, error: string, lost = 0): Promise<boolean> {
  const [only, ...more] = batch.events;
  const claim = batch.claims.find((_, index) => batch.handled[index] !== 0);
  if (!only || !claim || more.length > 0 || consumer.onPoison === 'stop') return false;
  const attempts = Math.max(claim.failures + 1, lost);
  return putAside(tx, feed, consumer, { consumer: name, shard: claim.shard, position: only.position, error, attempts, lost: lost > 0 ? MOST_LOST_LIVE : 0 });
}

/**
 * A process ended while it handled these events, or lost its connection. That is committed before they are tried again: should one of them end
 * this process too, the next one counts that. The first time says little; after the second they are read one at a time, and one that was alone is put aside. True: it was.
 */
async function settleLost(tx: AnyTransaction, feed: Feed, name: string, consumer: Consumer, batch: Batch): Promise<boolean> {
  const times = Math.max(...batch.claims.map(({ lost }, index) => (batch.handled[index] === 0 ? 0 : lost)));
  const suspect = times >= MOST_LOST_LIVE || batch.claims.some(({ failures }) => failures > 0);
  if (suspect && (await aside(tx, feed, name, consumer, batch, LOST, times))) return true;
  const lost = { ...batch, claims: batch.claims.filter((claim) => claim.lost > 0), handled: batch.handled.filter((_, index) => batch.claims[index]?.lost) };
  await note(feed, name, lost, LOST, suspect ? (batch.events.at(-1)?.position ?? null) : null, times)(tx);
  return false;
}

async function settleFailure<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
  batch: Batch,
  message: string,
): Promise<void> {
  await plinth
    .asWorker({}, async (tx) => {
      if (await aside(tx, feed, name, consumer, batch, message)) return;
      await note(feed, name, batch, message, batch.events.at(-1)?.position ?? null)(tx);
    })
    .catch((fault: unknown) => {
      throw fail('unavailable', { message: `The failure of ${name} could not be noted: ${message}`, cause: fault });
    });
}
