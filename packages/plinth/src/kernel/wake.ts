import type pg from 'pg';
import { literal } from './database.ts';

/**
 * Wake-up hints. Sent after COMMIT, behind it on the same connection or on one of their own, at most one per signal in `intervalMs`: a NOTIFY inside
 * the writer's transaction serialises commits (measured 0.25x to 0.37x, research/lab.md 3c). A hint may be lost; polling is the truth.
 */
export interface Wake {
  /** Local listeners at once, other processes by a coalesced NOTIFY. `ridden`: a text of `ride` has gone for these already. */
  signal(names: Iterable<string>, ridden?: boolean): void;
  /**
   * After a pause: a text that tells other processes, for a connection that is about to commit to send right behind COMMIT (as a message of its own, so
   * that it is never part of the transaction). Others hear one round trip sooner than by a connection of ours. Undefined: hints are being coalesced.
   */
  ride(names: Iterable<string>): string | undefined;
  /** Hands the hints of this process to another bus as well, coalesced as they are; a carrier that fails loses hints. Returns the way to stop. */
  carry(carrier: (names: readonly string[]) => Promise<unknown>): () => void;
  /** Passes on a hint that came from another process: to the listeners here only. */
  hear(name: string): void;
  /** Calls back on a signal from this or another process; returns the way to stop. */
  on(name: string, listener: () => void): () => void;
  /** Resolves at the next signal of one of these names, after `timeoutMs`, or when `until` is aborted: one turn of a poller. Never rejects. */
  next(names: readonly string[], timeoutMs: number, until?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/**
 * Brings hints ("there is something to read") of other processes. Only hints: what happened is in the database, so that one which gets lost
 * costs a second at most, and one too many a look.
 */
export interface Backplane {
  /** Calls back for each hint that another process gave, and connects again by itself; returns the way to stop. */
  listen(onHint: (name: string) => void, log: { warn(fields: object, message: string): void }): () => void;
}

const CHANNEL = 'plinth_wake';
/** A note that is not taken by then is lost, and its connection given up: it may have been swallowed on the way. */
const LONGEST_NOTE_MS = 10_000;

/** See Wake.next. */
function nextOf(on: Wake['on'], names: readonly string[], timeoutMs: number, until?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const stop of stops) stop();
      until?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, timeoutMs);
    const stops = names.map((name) => on(name, done));
    if (until?.aborted) done();
    else until?.addEventListener('abort', done, { once: true });
  });
}

/** A hint need not survive a crash: its commit does not wait for the disk. One text, because NOTIFY needs no planner and nobody waits for parameters. */
const noteText = (names: readonly string[]): string =>
  `set local synchronous_commit to off;${names.map((name) => `notify ${CHANNEL}, ${literal(name)}`).join(';')}`;

export function createWake(pool: pg.Pool, intervalMs = 10): Wake {
  const listeners = new Map<string, Set<() => void>>();
  const carriers = new Set<Parameters<Wake['carry']>[0]>();
  let waiting = new Set<string>();
  let due = false;
  let timer: NodeJS.Timeout | undefined;
  let sentMs = Number.NEGATIVE_INFINITY;
  let sending: Promise<unknown> = Promise.resolve();
  const tell = (name: string): void => {
    for (const listener of listeners.get(name) ?? []) listener();
  };
  const hand = (names: readonly string[]): void => {
    for (const carrier of carriers) void carrier(names).catch(() => {});
  };
  const send = (): void => {
    due = false;
    const names = [...waiting];
    waiting = new Set();
    sentMs = performance.now();
    const note = { text: noteText(names), query_timeout: LONGEST_NOTE_MS };
    sending = pool.query(note).catch(() => {});
    hand(names);
  };
  const on: Wake['on'] = (name, listener) => {
    const set = listeners.get(name) ?? new Set();
    set.add(listener);
    listeners.set(name, set);
    return () => {
      set.delete(listener);
      // Names have ids in them, and callers choose some: of those that nobody listens to any more nothing stays.
      if (set.size === 0 && listeners.get(name) === set) listeners.delete(name);
    };
  };
  return {
    ride(names) {
      if (due || performance.now() - sentMs < intervalMs) return undefined;
      sentMs = performance.now();
      return noteText([...names]);
    },
    signal(names, ridden = false) {
      for (const name of names) {
        tell(name);
        if (!ridden) waiting.add(name);
      }
      if (ridden) hand([...names]);
      if (due || ridden) return;
      due = true;
      // The first after a pause goes with what else is told in this turn of the event loop; those that follow wait for each other.
      const restMs = intervalMs - (performance.now() - sentMs);
      if (restMs <= 0) setImmediate(send);
      else timer = setTimeout(send, restMs).unref();
    },
    carry(carrier) {
      carriers.add(carrier);
      return () => void carriers.delete(carrier);
    },
    hear: tell,
    on,
    next: (names, timeoutMs, until) => nextOf(on, names, timeoutMs, until),
    async close() {
      clearTimeout(timer);
      await sending;
    },
  };
}

/** Listens for the hints of other processes on a connection of its own; give them to `wake.hear`. */
export async function listenForWakes(client: pg.Client, onSignal: (name: string) => void): Promise<() => Promise<void>> {
  client.on('notification', (message) => {
    if (message.channel === CHANNEL && message.payload) onSignal(message.payload);
  });
  // It is silent for long; where that ends a session, hints are lost until another is open.
  await client.query(`listen ${CHANNEL}; set idle_session_timeout = 0`);
  return async () => {
    await client.query(`unlisten ${CHANNEL}`).catch(() => {});
  };
}
