import type { Socket } from 'node:net';
import type { AnswerReader } from './egress-answer.ts';

/** The connection was kept alive by us and given up by the other side at the same moment: the request was very likely never read. */
export class StaleConnection extends Error {}

interface Exchange {
  reader: AnswerReader;
  onHead: () => void;
  headTold: boolean;
  resolve: () => void;
  reject: (error: unknown) => void;
}

/** One connection, one request at a time. Its listeners are set once, because they cost more than the bytes of a short answer. */
export class Connection {
  /** Until when it may wait for another request, by performance.now(). */
  keptUntilMs = 0;
  readonly #socket: Socket;
  #exchange: Exchange | undefined;
  #reused = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#lost(error));
    socket.on('close', () => this.#lost(new Error('the other side hung up')));
  }

  get usable(): boolean {
    return !this.#socket.destroyed && this.#socket.writable;
  }

  /** A connection that waits does not keep the process alive. */
  rest(waits: boolean): void {
    if (waits) this.#socket.unref();
    else this.#socket.ref();
  }

  /** Resolves when `reader` has a complete answer, or one that is too long. Errors: AnswerFault, StaleConnection, those of the socket. */
  exchange(request: Buffer, reader: AnswerReader, onHead: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#exchange = { reader, onHead, headTold: false, resolve, reject };
      this.#socket.write(request);
    });
  }

  /** Hangs up; an exchange that is under way fails with the reason. */
  destroy(reason?: unknown): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    exchange?.reject(reason ?? new Error('the connection was closed'));
  }

  #take(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (!exchange) {
      // Nobody asked.
      this.destroy();
      return;
    }
    try {
      const complete = exchange.reader.take(bytes);
      if (exchange.reader.head && !exchange.headTold) {
        exchange.headTold = true;
        exchange.onHead();
      }
      if (complete) this.#done(exchange);
    } catch (error) {
      this.destroy(error);
    }
  }

  #ended(): void {
    const exchange = this.#exchange;
    if (exchange?.reader.end()) this.#done(exchange);
  }

  #done(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#reused = true;
    exchange.resolve();
  }

  #lost(error: Error): void {
    const stale = this.#reused && this.#exchange?.reader.begun === false;
    this.destroy(stale ? new StaleConnection(error.message, { cause: error }) : error);
  }
}

const MOST_KEPT = 64;
const SWEEP_MS = 1000;

/** Connections that are kept alive, by origin, the one that was used last first. */
export class Connections {
  readonly #kept = new Map<string, Connection[]>();
  readonly #open = new Set<Connection>();
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;

  /** Looks after a connection until its end. */
  add(socket: Socket): Connection {
    const connection = new Connection(socket);
    this.#open.add(connection);
    socket.once('close', () => this.#open.delete(connection));
    return connection;
  }

  /** One that waits, or undefined. */
  take(origin: string): Connection | undefined {
    const kept = this.#kept.get(origin);
    for (let connection = kept?.pop(); connection; connection = kept?.pop()) {
      if (connection.usable && connection.keptUntilMs > performance.now()) {
        connection.rest(false);
        return connection;
      }
      connection.destroy();
    }
    return undefined;
  }

  /** Keeps a connection whose answer is complete for `keepMs`. */
  give(origin: string, connection: Connection, keepMs: number): void {
    const kept = this.#kept.get(origin) ?? [];
    if (this.#closed || keepMs <= 0 || kept.length >= MOST_KEPT || !connection.usable) {
      connection.destroy();
      return;
    }
    this.#kept.set(origin, kept);
    kept.push(connection);
    connection.keptUntilMs = performance.now() + keepMs;
    connection.rest(true);
    this.#sweeper ??= setTimeout(() => this.#sweep(), SWEEP_MS).unref();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#sweeper);
    for (const connection of this.#open) connection.destroy();
  }

  #sweep(): void {
    const now = performance.now();
    for (const [origin, kept] of this.#kept) {
      const staying = kept.filter((connection) => connection.usable && connection.keptUntilMs > now);
      for (const connection of kept) if (!staying.includes(connection)) connection.destroy();
      if (staying.length > 0) this.#kept.set(origin, staying);
      else this.#kept.delete(origin);
    }
    this.#sweeper = this.#kept.size > 0 ? setTimeout(() => this.#sweep(), SWEEP_MS).unref() : undefined;
  }
}
