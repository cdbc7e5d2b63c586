import type { Socket } from 'node:net';

/** Where the bytes of one connection go. */
export interface Sink {
  /** Returns what the reader has not taken yet, as `waiting`. */
  write(bytes: Buffer): number;
  /** Bytes that the reader has not taken yet. */
  readonly waiting: number;
  /** True once at most `bytes` are waiting; false when it takes longer than `timeoutMs` or the connection ended. */
  drained(bytes: number, timeoutMs: number): Promise<boolean>;
  /** After what is waiting was sent. */
  end(): void;
  /** At once. */
  destroy(): void;
}

const STEP_MS = 50;

async function untilDrained(sink: Pick<Sink, 'waiting'>, isOpen: () => boolean, bytes: number, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (isOpen() && sink.waiting > bytes) {
    if (performance.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
  return isOpen();
}

/** The connection itself. */
class SocketSink implements Sink {
  readonly #socket: Socket;
  readonly #close: { end(): void };

  constructor(socket: Socket, close: { end(): void }) {
    this.#socket = socket;
    this.#close = close;
  }

  write(bytes: Buffer): number {
    this.#socket.write(bytes);
    return this.#socket.writableLength;
  }

  get waiting(): number {
    return this.#socket.writableLength;
  }

  drained(bytes: number, timeoutMs: number): Promise<boolean> {
    return untilDrained(this, () => !this.#socket.destroyed, bytes, timeoutMs);
  }

  end(): void {
    this.#close.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

export const socketSink = (socket: Socket, close: { end(): void }): Sink => new SocketSink(socket, close);

/** A web stream, where the connection is out of reach. */
export function streamSink(controller: ReadableStreamDefaultController<Uint8Array>, onEnd: () => void): Sink {
  let open = true;
  const over = (finish: () => void): void => {
    if (!open) return;
    open = false;
    try {
      finish();
    } catch {
      // The reader has cancelled the stream before.
    }
    onEnd();
  };
  const sink: Sink = {
    write(bytes) {
      if (open) controller.enqueue(bytes);
      return sink.waiting;
    },
    get waiting() {
      return open ? -(controller.desiredSize ?? 0) : 0;
    },
    drained: (bytes, timeoutMs) => untilDrained(sink, () => open, bytes, timeoutMs),
    end: () => over(() => controller.close()),
    destroy: () => over(() => controller.error(new Error('the reader was too slow'))),
  };
  return sink;
}

/** Bytes count, not chunks, in what waits in a web stream. */
export const byBytes = { highWaterMark: 0, size: (chunk?: Uint8Array): number => chunk?.byteLength ?? 0 };
