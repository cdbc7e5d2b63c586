import { runDetached } from '#kernel/context.ts';
import { fail, toPlinthError } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Backplane } from '#kernel/wake.ts';
import type { WorkServices } from '#kernel/work.ts';
import { accessSignal } from './call.ts';
import { catchUp } from './realtime-catch-up.ts';
import { createChannels } from './realtime-channels.ts';
import { Connection } from './realtime-connection.ts';
import type { Format } from './realtime-frames.ts';
import { frame, framesOf } from './realtime-frames.ts';
import type { Offset } from './realtime-offset.ts';
import { writeOffset } from './realtime-offset.ts';
import type { Past } from './realtime-pages.ts';
import { createPast } from './realtime-pages.ts';
import type { Sink } from './realtime-sinks.ts';
import type { Tail } from './realtime-tail.ts';
import { createTail } from './realtime-tail.ts';
import type { Topic } from './realtime-topics.ts';

export interface RealtimeOptions {
  /** Connections at a time in this process. Default 20,000. */
  most?: number;
  /** Connections of one tenant at a time in this process. Default 5,000. */
  mostPerTenant?: number;
  /** A connection that was told nothing for so long gets a sign of life with the newest offset, ms. Default 15,000. */
  heartbeatMs?: number;
  /** The credential of each connection is looked at so often, ms. Default 30,000. */
  checkMs?: number;
  /** A connection that has not taken so many bytes is dropped; it comes back with its offset. Default 1 MiB. */
  bufferBytes?: number;
  /** Brings hints of other processes. Default: LISTEN on a connection of its own. False: none, the log is looked at once a second. */
  backplane?: Backplane | false;
}

/** What a reader asks for, after it was found to be allowed to. */
export interface Ask {
  tenantId: string;
  topics: readonly Topic[];
  /** Undefined: from now on. Unreadable: continuity cannot be given. */
  offset: Offset | 'unreadable' | undefined;
  /** Resolves while the reader may go on reading. */
  check: () => Promise<unknown>;
}

/** A place that was kept for a connection. */
export interface Place {
  /** Begins to tell. */
  attach(format: Format, sink: Sink): Connection;
  /** The reader is gone. Called twice it does nothing. */
  leave(): void;
}

/** All realtime connections of a process. */
export interface Realtime {
  /** Errors: kernel_streams_full, kernel_streams_of_tenant, kernel_unavailable. */
  take(ask: Ask): Promise<Place>;
  /** Offset of what a transaction sees from now on, of its snapshot. */
  offsetOf(snapshot: string): Promise<string>;
  /** Hints of other processes are heard for the next while. */
  hear(): void;
  /** From now on; what was told before the change is not told again. */
  setTopics(connection: Connection, topics: readonly Topic[]): void;
  /** Ends all of them; readers come back to another process. */
  end(): void;
  readonly size: number;
}

const SWEEP_MS = 500;
/** So long after the last reader left, the log is read no more. */
const IDLE_MS = 10_000;
const CHECKS_AT_ONCE = 8;
/** More than these are not what comes due in passing: rights have changed, and they are looked at without a rest. */
const MOST_SPREAD = 200;
/** A credential that could not be looked at for so many turns (the database is away) is one that is not valid. */
const MOST_UNKNOWN = 4;

export const createRealtime = (plinth: Plinth<ModuleMap>, log: WorkServices['log'], options: RealtimeOptions = {}): Realtime => new Hub(plinth, log, options);

class Hub implements Realtime {
  readonly #plinth: Plinth<ModuleMap>;
  readonly #log: WorkServices['log'];
  readonly #options: Required<RealtimeOptions>;
  readonly #connections = new Set<Connection>();
  /** Places that are taken by a tenant, and the way to hear no more of its rights. */
  readonly #tenants = new Map<string, { places: number; deaf: () => void }>();
  readonly #channels = createChannels();
  readonly #past: Past;
  readonly #tail: Tail;
  #places = 0;
  #sweeping: NodeJS.Timeout | undefined;
  #deaf: (() => void) | undefined;
  #idleMs = 0;
  #checking = false;

  constructor(plinth: Plinth<ModuleMap>, log: WorkServices['log'], options: RealtimeOptions) {
    this.#plinth = plinth;
    this.#log = log;
    this.#options = { most: 20_000, mostPerTenant: 5_000, heartbeatMs: 15_000, checkMs: 30_000, bufferBytes: 1_048_576, backplane: false, ...options };
    this.#past = createPast(plinth, () => this.#tail.nowMs());
    this.#tail = createTail(plinth, log, {
      onBatch: (batch) => this.#channels.tell(framesOf(batch, this.#tail.log)),
      onBreak: () => this.#break(),
    });
    plinth.wake.on(accessSignal(undefined), () => this.#recheck());
  }

  get size(): number {
    return this.#connections.size;
  }

  async take(ask: Ask): Promise<Place> {
    const { tenantId } = ask;
    this.#reserve(tenantId);
    let connection: Connection | undefined;
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      this.#release(tenantId);
      if (connection) this.#remove(connection);
    };
    try {
      await this.#wakeUp();
    } catch (error) {
      leave();
      throw error;
    }
    return {
      attach: (format, sink) => {
        connection = this.#open(ask, format, sink, leave);
        return connection;
      },
      leave,
    };
  }

  async offsetOf(snapshot: string): Promise<string> {
    await this.#wakeUp();
    return writeOffset({ ...this.#tail.log, atMs: this.#tail.nowMs(), window: { s1: snapshot, last: '0' } });
  }

  /** Looks at the credentials of all connections, or of those of a tenant, soon: rights have changed. */
  #recheck(tenantId?: string): void {
    for (const one of this.#connections) if (tenantId === undefined || one.tenantId === tenantId) one.checkedMs = Number.NEGATIVE_INFINITY;
  }

  setTopics(connection: Connection, topics: readonly Topic[]): void {
    this.#channels.move(connection, topics);
    connection.subscribed(connection.held ? undefined : this.#offsetNow());
  }

  end(): void {
    for (const one of this.#connections) one.end();
    this.#rest();
  }

  #offsetNow(): string {
    return writeOffset({ ...this.#tail.log, atMs: this.#tail.atMs, window: this.#tail.at });
  }

  #reserve(tenantId: string): void {
    const { most, mostPerTenant } = this.#options;
    if (this.#places >= most) throw fail('streams_full', { detail: { most } });
    const tenant = this.#tenants.get(tenantId);
    if ((tenant?.places ?? 0) >= mostPerTenant) throw fail('streams_of_tenant', { detail: { most: mostPerTenant, retry_after: 5 } });
    this.#places++;
    if (tenant) tenant.places++;
    else this.#tenants.set(tenantId, { places: 1, deaf: this.#plinth.wake.on(accessSignal(tenantId), () => this.#recheck(tenantId)) });
  }

  #release(tenantId: string): void {
    this.#places--;
    const tenant = this.#tenants.get(tenantId);
    if (!tenant || --tenant.places > 0) return;
    tenant.deaf();
    this.#tenants.delete(tenantId);
  }

  #open(ask: Ask, format: Format, sink: Sink, leave: () => void): Connection {
    const { tenantId } = ask;
    const { bufferBytes, checkMs } = this.#options;
    const onSlow = (waiting: number): void => this.#log.info({ tenantId, waiting }, 'a realtime reader was too slow');
    const connection = new Connection({ ...ask, format, sink, bufferBytes, leave, onSlow });
    // Spread over the time between two checks, so that a thousand that came together are not looked at together.
    connection.checkedMs -= (this.#places * 997) % checkMs;
    this.#connections.add(connection);
    catchUp({ connection, tail: this.#tail, past: this.#past, channels: this.#channels, offset: ask.offset, bufferBytes }).catch((error: unknown) => {
      if (!connection.open) return;
      this.#log.warn({ err: error }, 'a realtime connection could not be begun');
      connection.refuse(toPlinthError(error));
    });
    return connection;
  }

  #remove(connection: Connection): void {
    connection.open = false;
    this.#connections.delete(connection);
    this.#channels.remove(connection);
  }

  /** One that is still told its past begins again, and hears of it then. */
  #break(): void {
    const offset = this.#offsetNow();
    for (const one of this.#connections) {
      if (one.held) one.end();
      else one.reset('log_changed', offset);
    }
  }

  async #wakeUp(): Promise<void> {
    this.hear();
    await runDetached(() => this.#tail.start());
  }

  hear(): void {
    const { backplane } = this.#options;
    this.#idleMs = 0;
    runDetached(() => {
      this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS).unref();
      if (backplane) this.#deaf ??= backplane.listen((name) => this.#plinth.wake.hear(name), this.#log);
    });
  }

  #rest(): void {
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
    this.#tail.stop();
    this.#deaf?.();
    this.#deaf = undefined;
  }

  #sweep(): void {
    this.#beat();
    if (!this.#checking) void this.#check();
    this.#idleMs = this.#places === 0 ? this.#idleMs + SWEEP_MS : 0;
    if (this.#idleMs >= IDLE_MS) this.#rest();
  }

  #beat(): void {
    const now = performance.now();
    const made: Partial<Record<Format, Buffer>> = {};
    for (const one of this.#connections) {
      if (one.told) one.toldMs = now;
      one.told = false;
      if (now - one.toldMs < this.#options.heartbeatMs) continue;
      one.toldMs = now;
      made[one.format] ??= frame(one.format, 'alive', this.#offsetNow(), undefined);
      one.beat(made[one.format] as Buffer);
    }
  }

  /** A few at a time, spread over the time until the next turn: whoever is told an event meanwhile should not wait for all of them. */
  async #check(): Promise<void> {
    const now = performance.now();
    const due = [...this.#connections].filter((one) => now - one.checkedMs >= this.#options.checkMs);
    this.#checking = true;
    const apartMs = due.length <= MOST_SPREAD ? (SWEEP_MS * CHECKS_AT_ONCE) / (due.length + CHECKS_AT_ONCE) : 0;
    try {
      while (due.length > 0) {
        const some = due.splice(0, CHECKS_AT_ONCE);
        for (const one of some) one.checkedMs = now;
        await Promise.all(some.map(checkOne));
        if (apartMs > 0 && due.length > 0) await new Promise((resolve) => setTimeout(resolve, apartMs));
      }
    } finally {
      this.#checking = false;
    }
  }
}

async function checkOne(one: Connection): Promise<void> {
  try {
    await one.check();
    one.unknown = 0;
  } catch (error) {
    const fault = toPlinthError(error);
    one.unknown++;
    // Not known is not refused, for a while: the database may be away.
    if (one.open && (fault.status < 500 || one.unknown >= MOST_UNKNOWN)) one.refuse(fault);
  }
}
