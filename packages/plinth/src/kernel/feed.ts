import { fail, toPlinthError } from './errors.ts';
import { park, retryParked } from './feed-parked.ts';
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
const DEFAULT_ATTEMPTS = 5;

/** A process that hangs or stands still must not keep its shards: the server ends its transaction, and others take over. */
const limitsOf = (consumer: Consumer) => ({ timeoutMs: LONGEST_STATEMENT_MS, idleMs: consumer.idleMs ?? LONGEST_IDLE_MS });

/** What this process knows of the consumers it runs: that they are registered, and whether the last claim found nothing. */
const running = new WeakMap<object, Map<string, { quiet: boolean }>>();

async function start<Modules extends ModuleMap>(plinth: Plinth<Modules>, feed: Feed, name: string, from: 'beginning' | 'now'): Promise<{ quiet: boolean }> {
  const known = running.get(plinth) ?? new Map<string, { quiet: boolean }>();
  running.set(plinth, known);
  const state = known.get(name);
  if (state) return state;
  await plinth.asWorker({}, (tx) => tx.query('select plinth_kernel.feed_start($1, $2, $3)', [feed.name, name, from]));
  const fresh = { quiet: false };
  known.set(name, fresh);
  return fresh;
}

/**
 * Gives a consumer (`<module>.<name>`) its next batch, handles it and moves the cursor, all in one transaction as plinth_worker.
 * Returns how many events were handled; 0 when there are none, other processes hold all shards, or the consumer is paused. Errors: what the handler
 * throws, after the failure was noted on the cursors, whose batch is then tried again later, one event at a time, and after the event was
 * parked if that was its last try and the consumer wants it so. kernel_unavailable and kernel_serialization are noted too, and count as nobody's failure.
 */
export async function consumeOnce<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<number> {
  const feed = feedOf(plinth.modules, consumer);
  const state = await start(plinth, feed, name, consumer.from ?? 'beginning');
  if (state.quiet && (await plinth.lookAsWorker(peek(feed, name))).length === 0) return 0;
  // A claim of idle shards that ends a window of theirs says nothing about the other shards, so it is followed by another.
  for (let claims = 0; claims < MOST_EMPTY_CLAIMS; claims++) {
    const { handled, moved } = await attempt(plinth, feed, name, consumer);
    state.quiet = handled === 0;
    if (handled > 0 || !moved) return handled;
  }
  return 0;
}

/**
 * Gives a consumer the parked events of it that somebody asked to be tried again, each in a transaction of its own, by position. Returns how many
 * it handled; those that fail again are parked again. The worker calls it now and then.
 */
export async function consumeParked<Modules extends ModuleMap>(plinth: Plinth<Modules>, name: string, consumer: Consumer): Promise<number> {
  const feed = feedOf(plinth.modules, consumer);
  let handled = 0;
  for (;;) {
    const outcome = await retryParked(plinth, feed, name, consumer, limitsOf(consumer));
    if (outcome === 'none') return handled;
    if (outcome === 'handled') handled += 1;
  }
}

async function attempt<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
): Promise<{ handled: number; moved: boolean }> {
  let failing: Batch | undefined;
  let moving: Promise<void> | undefined;
  try {
    return await plinth.asWorker({ ...limitsOf(consumer), durable: consumer.durable }, async (tx) => {
      const batch = await readBatch(tx, feed, { consumer: name, ...(consumer.batchSize ? { batchSize: consumer.batchSize } : {}) });
      if (batch.events.length > 0) {
        failing = batch;
        await consumer.handle(tx, await feed.open(tx, batch.events));
      }
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
    if (failing && blamesHandler(error)) await settleFailure(plinth, feed, name, consumer, failing, error);
    // For whoever looks at plinth.consumers, if it can be noted at all: it may be this database that cannot be reached.
    else if (failing) await plinth.asWorker({}, note(feed, name, failing, messageOf(error), null)).catch(() => {});
    throw error;
  }
}

/** A lost connection or a deadlock says nothing about the events. */
const blamesHandler = (error: unknown): boolean => !['kernel_unavailable', 'kernel_serialization'].includes(toPlinthError(error).code);

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Notes on the cursors that a batch failed, where they are still before it. `to`: the position that it reached to; null: nobody is to blame. */
const note =
  (feed: Feed, name: string, batch: Batch, message: string, to: string | null) =>
  (tx: AnyTransaction): Promise<unknown> => {
    const failing = batch.claims.filter((_, index) => batch.handled[index] !== 0);
    const [shards, s1, lasts] = [failing.map(({ shard }) => shard), failing.map((claim) => claim.s1), failing.map(({ last }) => last)];
    return tx.query('select plinth_kernel.feed_fail($1, $2, $3, $4, $5, $6, $7)', [feed.name, name, shards, s1, lasts, message, to]);
  };

async function settleFailure<Modules extends ModuleMap>(
  plinth: Plinth<Modules>,
  feed: Feed,
  name: string,
  consumer: Consumer,
  batch: Batch,
  error: unknown,
): Promise<void> {
  const message = messageOf(error);
  const [only, ...more] = batch.events;
  const failing = batch.claims.find((_, index) => batch.handled[index] !== 0);
  const tries = (failing?.failures ?? 0) + 1;
  const parks = consumer.onPoison === 'park' && only !== undefined && more.length === 0 && tries >= (consumer.attempts ?? DEFAULT_ATTEMPTS);
  await plinth
    .asWorker({}, async (tx) => {
      if (parks && (await park(tx, feed, { consumer: name, shard: failing?.shard ?? 0, position: only.position, error: message, attempts: tries }))) return;
      await note(feed, name, batch, message, batch.events.at(-1)?.position ?? null)(tx);
    })
    .catch((fault: unknown) => {
      throw fail('unavailable', { message: `The failure of ${name} could not be noted: ${message}`, cause: fault });
    });
}
