import { toPlinthError } from '#kernel/errors.ts';
import { FEED_SIGNAL } from '#kernel/feed.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { WorkServices } from '#kernel/work.ts';
import type { LiveEvent, LiveWindow, LogState } from '#modules/events';
import { areGivenAgain, readLivePage, readLogState } from '#modules/events';
import { parseSnapshot } from './realtime-offset.ts';

/** What one look at the log brought: its events, and where whoever has seen them stands. */
export interface LiveBatch {
  events: readonly LiveEvent[];
  /** Window that the events were read from; `s2` is its end. */
  s1: string;
  s2: string;
  /** The window goes on after the last event. */
  full: boolean;
  /** When `s1` was seen and when `s2` was, as in Offset. */
  fromMs: number;
  untilMs: number;
}

/** The log as one process reads it for everybody in it, however many listen. */
export interface Tail {
  /** Where the log stands for those who have seen every batch so far: a window whose end is `s1`, or one that is half read. */
  readonly at: LiveWindow;
  /** When `at.s1` was seen, as in Offset. */
  readonly atMs: number;
  readonly log: LogState;
  /** The clock of the database or a moment later, ms since 1970: that of this machine may be hours off. */
  nowMs(): number;
  /** Begins to read; resolves when `at` and `log` are known. Errors: kernel_unavailable. */
  start(): Promise<void>;
  /** Looks at the log now; resolves after a look that began after the call. Errors: what the look threw. */
  refresh(): Promise<void>;
  stop(): void;
}

/** A hint may be lost, and SQL writers send none. */
const POLL_MS = 1_000;
/** However many hints there are, no more looks than this. */
const APART_MS = 4;
/**
 * Telling thousands takes a while. When a look brought several events, more are coming: the next one rests after the telling for as long again, at
 * most this, so that what comes meanwhile is told with one write each. An event that comes alone waits for nothing.
 */
const MOST_APART_MS = 100;
const SEVERAL = 3;
const PAGE = 500;
/** After a look that failed. */
const RETRY_MS = 200;
/** Whoever asked later than this before a look that failed for want of a connection waits for the next: an administrator or a failover ends all of them, and new ones are made at once. */
const PATIENCE_MS = 2_000;
/** Retention moves the beginning of the log, a restore its epoch. */
const STATE_MS = 60_000;

export interface TailListener {
  onBatch(batch: LiveBatch): void;
  /** Continuity was lost: the log is another one than before (restored, failed over). `at` is where it begins anew. */
  onBreak(): void;
}

export function createTail(plinth: Plinth<ModuleMap>, log: WorkServices['log'], listener: TailListener): Tail {
  return new LogTail(plinth, log, listener);
}

interface Asked extends PromiseWithResolvers<void> {
  sinceMs: number;
}
const mayWait = (error: unknown, sinceMs: number): boolean => performance.now() - sinceMs < PATIENCE_MS && toPlinthError(error).code === 'kernel_unavailable';
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

class LogTail implements Tail {
  at: LiveWindow = { s1: '', last: '0' };
  atMs = 0;
  readonly #plinth: Plinth<ModuleMap>;
  readonly #log: WorkServices['log'];
  readonly #listener: TailListener;
  #state: LogState | undefined;
  #stateMs = Number.NEGATIVE_INFINITY;
  /** How much later the clock of the database is than this process has run, ms. */
  #aheadMs = 0;
  #running: AbortController | undefined;
  #started: Promise<void> = Promise.resolve();
  #asked: Asked[] = [];
  #nudge = new AbortController();
  /** No look before this. */
  #restsUntilMs = 0;

  constructor(plinth: Plinth<ModuleMap>, log: WorkServices['log'], listener: TailListener) {
    this.#plinth = plinth;
    this.#log = log;
    this.#listener = listener;
  }

  get log(): LogState {
    if (!this.#state) throw new Error('the tail was not started');
    return this.#state;
  }

  start(): Promise<void> {
    if (this.#running) return this.#started;
    const mine = new AbortController();
    this.#running = mine;
    this.#started = this.#begin(mine);
    return this.#started;
  }

  refresh(): Promise<void> {
    const one = { ...Promise.withResolvers<void>(), sinceMs: performance.now() };
    this.#asked.push(one);
    // With a reason, and once: Node would make an exception with its stack for each call.
    if (!this.#nudge.signal.aborted) this.#nudge.abort('asked');
    return one.promise;
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    for (const one of this.#asked) one.reject(new Error('the tail was stopped'));
    this.#asked = [];
  }

  async #begin(mine: AbortController): Promise<void> {
    const sinceMs = performance.now();
    for (let known = false; !known; )
      try {
        const { snapshot } = await this.#readState();
        this.#moveTo({ s1: snapshot, last: '0' });
        known = true;
      } catch (error) {
        if (mine.signal.aborted || !mayWait(error, sinceMs)) {
          if (this.#running === mine) this.#running = undefined;
          throw error;
        }
        await pause(RETRY_MS);
      }
    void this.#run(mine.signal);
  }

  #moveTo(window: LiveWindow): void {
    this.at = window;
    if (window.s2 === undefined) this.atMs = this.nowMs();
  }

  nowMs(): number {
    return Math.ceil(performance.now() + this.#aheadMs);
  }

  async #readState(): Promise<LogState> {
    const before = this.#state;
    const askedMs = performance.now();
    const found = await this.#plinth.asWorker({ timeoutMs: 10_000 }, readLogState);
    const broken = before !== undefined && (await isBroken(this.#plinth, before, found, this));
    this.#stateMs = performance.now();
    this.#aheadMs = found.nowMs - askedMs;
    this.#state = found;
    if (broken) {
      this.#moveTo({ s1: found.snapshot, last: '0' });
      this.#listener.onBreak();
    }
    return found;
  }

  async #look(stop: AbortSignal): Promise<void> {
    const { above } = performance.now() - this.#stateMs > STATE_MS || !this.#state ? await this.#readState() : this.#state;
    let told = 0;
    let toldMs = 0;
    const lookedMs = performance.now();
    for (let full = true; full && !stop.aborted; ) {
      const { at: before, atMs: fromMs } = this;
      const page = await readLivePage(this.#plinth, before, above, PAGE);
      full = page.full;
      const last = page.events.at(-1)?.position ?? before.last;
      this.#moveTo(full ? { s1: before.s1, s2: page.s2, last } : { s1: page.s2, last: '0' });
      if (page.events.length === 0) continue;
      const beganMs = performance.now();
      this.#listener.onBatch({ events: page.events, s1: before.s1, s2: page.s2, full, fromMs, untilMs: this.nowMs() });
      toldMs += performance.now() - beganMs;
      told += page.events.length;
    }
    // A look that took long found a busy process, or a busy database: those who ask meanwhile share the next one.
    const restMs = told < SEVERAL ? performance.now() - lookedMs - toldMs : toldMs;
    this.#restsUntilMs = performance.now() + Math.max(APART_MS, Math.min(restMs, MOST_APART_MS));
  }

  async #run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      this.#nudge = new AbortController();
      // Asked to be woken before it looks: a hint in between is not missed.
      const hinted = this.#plinth.wake.next([FEED_SIGNAL], POLL_MS, AbortSignal.any([this.#nudge.signal, stop]));
      const those = this.#asked;
      this.#asked = [];
      try {
        await this.#look(stop);
        for (const one of those) one.resolve();
      } catch (error) {
        for (const one of those) {
          if (!stop.aborted && mayWait(error, one.sinceMs)) this.#asked.push(one);
          else one.reject(error);
        }
        if (!stop.aborted) this.#log.warn({ err: error }, 'the log could not be read for realtime');
        // What was known of the log may not hold after an outage: another server may answer.
        this.#stateMs = Number.NEGATIVE_INFINITY;
        await pause(RETRY_MS);
      }
      await hinted;
      const restMs = this.#restsUntilMs - performance.now();
      if (restMs > 0) await pause(restMs);
    }
  }
}

/**
 * Transaction ids of another epoch mean nothing, and neither do those that the server has lost (a failover, a restore, a crash): it has seen less than this
 * reader, or given them again. Whoever listens begins anew.
 */
const isBroken = async (plinth: Plinth<ModuleMap>, before: LogState, found: LogState, { at, atMs }: Pick<Tail, 'at' | 'atMs'>): Promise<boolean> =>
  before.epoch !== found.epoch ||
  before.timeline !== found.timeline ||
  parseSnapshot(found.snapshot).xmax < parseSnapshot(at.s2 ?? at.s1).xmax ||
  areGivenAgain(plinth, { snapshot: at.s1, atMs, above: found.above });
