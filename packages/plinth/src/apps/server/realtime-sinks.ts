import type { Socket } from 'node:net';

/** Where the bytes of one connection go. */
export interface Sink {
  write(bytes: Buffer): void;
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
export function socketSink(socket: Socket, close: { end(): void }): Sink {
  const sink: Sink = {
    write: (bytes) => void socket.write(bytes),
    get waiting() {
      return socket.writableLength;
    },
    drained: (bytes, timeoutMs) => untilDrained(sink, () => !socket.destroyed, bytes, timeoutMs),
    end: () => close.end(),
    destroy: () => void socket.destroy(),
  };
  return sink;
}

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
    write: (bytes) => open && controller.enqueue(bytes),
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
