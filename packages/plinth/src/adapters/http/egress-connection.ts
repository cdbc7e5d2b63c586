import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { Client, errors } from 'undici';
import type { EgressErrorName } from './egress-errors.ts';

/** The connection was kept alive by us and given up by the other side at the same moment: the request was very likely never read. */
export class StaleConnection extends Error {}

/** What an answer did wrong: the name of the error and what the operator may read. */
export class AnswerFault extends Error {
  readonly fault: EgressErrorName;
  constructor(fault: EgressErrorName, cause: Error) {
    super(cause.message, { cause });
    this.fault = fault;
  }
}

export interface Message {
  method: string;
  /** Path and query. */
  path: string;
  headers: Record<string, string>;
  body: Uint8Array | string | undefined;
}

export interface Answer {
  status: number;
  /** Names in lower case; repeated headers joined with `, `, but of those that mean something only once the first. */
  headers: Record<string, string>;
  body: Uint8Array;
  /** The body is longer than it may be, and ends at the limit here. The connection is not used again. */
  bodyTruncated: boolean;
}

/** Below the 5 s after which Node's own servers hang up. */
const KEEP_MS = 4_000;
const MAX_HEAD_BYTES = 16_384;
const ONCE = new Set(['location', 'retry-after', 'content-type', 'date', 'etag']);

const flat = (headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value = '']) => [name, typeof value === 'string' ? value : ONCE.has(name) ? (value[0] ?? '') : value.join(', ')]),
  );

interface Settle {
  resolve: (answer: Answer) => void;
  reject: (error: Error) => void;
}

/** Reads one answer, at most `mostBytes` of its body. */
class Reader implements Dispatcher.DispatchHandler {
  begun = false;
  readonly #answer: Answer = { status: 0, headers: {}, body: new Uint8Array(), bodyTruncated: false };
  readonly #mostBytes: number;
  readonly #onHead: (status: number) => void;
  readonly #settle: Settle;
  readonly #parts: Uint8Array[] = [];
  #size = 0;

  constructor(mostBytes: number, onHead: (status: number) => void, settle: Settle) {
    this.#mostBytes = mostBytes;
    this.#onHead = onHead;
    this.#settle = settle;
  }

  onRequestStart(): void {}

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.begun = true;
    // Interim answers are no answers.
    if (status < 200) return;
    this.#answer.status = status;
    this.#answer.headers = flat(headers);
    this.#onHead(status);
  }

  onResponseData(controller: Dispatcher.DispatchController, part: Uint8Array): void {
    const room = this.#mostBytes - this.#size;
    this.#size += part.length;
    // A copy: the connection's buffer is 64 KiB, which a short answer would hold on to.
    if (room > 0) this.#parts.push(Uint8Array.prototype.slice.call(part, 0, room));
    if (part.length <= room) return;
    this.#answer.bodyTruncated = true;
    this.onResponseEnd();
    controller.abort(new Error('the body is too long'));
  }

  onResponseEnd(): void {
    this.#answer.body = this.#parts.length === 1 && this.#parts[0] ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#settle.resolve(this.#answer);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle.reject(error);
  }
}

function faultOf(error: Error): Error {
  if (error instanceof errors.HeadersOverflowError) return new AnswerFault('headers_too_large', error);
  const unclear = error instanceof errors.HTTPParserError || error instanceof errors.ResponseContentLengthMismatchError;
  // Or an answer that is none: 100 and 101 to a request that asked for neither.
  return unclear || /^bad (response|upgrade)$/.test(error.message) ? new AnswerFault('protocol', error) : error;
}

/** One vetted socket that speaks HTTP/1.1, one request at a time. It is never replaced by another behind our back. */
export class Connection {
  readonly #client: Client;
  #reused = false;

  constructor(origin: string, socket: Socket, onGone: (connection: Connection) => void) {
    let given = false;
    this.#client = new Client(origin, {
      connect: (_options, done) => {
        // Not before this returns: the client is not ready for it.
        if (given) process.nextTick(done, new StaleConnection('the other side has hung up'), null);
        else process.nextTick(done, null, socket);
        given = true;
      },
      allowH2: false,
      keepAliveTimeout: KEEP_MS,
      keepAliveMaxTimeout: KEEP_MS,
      maxHeaderSize: MAX_HEAD_BYTES,
      // The call has a deadline of its own for everything.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
    this.#client.on('disconnect', () => {
      onGone(this);
      this.destroy();
    });
  }

  /** Resolves with the answer. Errors: AnswerFault, StaleConnection, those of the socket. */
  async exchange(message: Message, mostBytes: number, onHead: (status: number) => void): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const reader = new Reader(mostBytes, onHead, { resolve, reject });
    const reused = this.#reused;
    this.#reused = true;
    this.#client.dispatch({ ...message, body: message.body ?? null }, reader);
    try {
      return await promise;
    } catch (error) {
      this.destroy();
      throw reused && !reader.begun && !(error instanceof AnswerFault) ? new StaleConnection(String(error), { cause: error }) : faultOf(error as Error);
    }
  }

  /** Hangs up; an exchange that is under way fails with the reason. */
  destroy(reason?: Error): void {
    if (!this.#client.destroyed) void this.#client.destroy(reason ?? new Error('the connection was closed'));
  }
}

const MOST_KEPT = 64;

/** Connections that are kept alive, by origin, the one that was used last first. */
export class Connections {
  readonly #waiting = new Map<string, Connection[]>();
  readonly #open = new Set<Connection>();
  #closed = false;

  /** Looks after a socket until its end. */
  add(origin: string, socket: Socket): Connection {
    const connection = new Connection(origin, socket, (gone) => this.#forget(origin, gone));
    this.#open.add(connection);
    return connection;
  }

  /** One that waits, or undefined. */
  take(origin: string): Connection | undefined {
    return this.#waiting.get(origin)?.pop();
  }

  /** Keeps a connection whose answer is complete. */
  give(origin: string, connection: Connection): void {
    // It is gone already when the answer said so.
    if (!this.#open.has(connection)) return;
    const waiting = this.#waiting.get(origin);
    if (this.#closed || (waiting && waiting.length >= MOST_KEPT)) connection.destroy();
    else if (waiting) waiting.push(connection);
    else this.#waiting.set(origin, [connection]);
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#open) connection.destroy();
  }

  #forget(origin: string, gone: Connection): void {
    this.#open.delete(gone);
    const waiting = this.#waiting.get(origin)?.filter((one) => one !== gone) ?? [];
    if (waiting.length > 0) this.#waiting.set(origin, waiting);
    else this.#waiting.delete(origin);
  }
}
