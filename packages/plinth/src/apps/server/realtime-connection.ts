import type { PlinthError } from '#kernel/errors.ts';
import type { LiveEvent } from '#modules/events';
import type { Format } from './realtime-frames.ts';
import { frame } from './realtime-frames.ts';
import type { Ask } from './realtime-hub.ts';
import type { Sink } from './realtime-sinks.ts';
import type { Topic } from './realtime-topics.ts';
import { topicsMatcher } from './realtime-topics.ts';

/** One reader. */
export interface Connection {
  readonly tenantId: string;
  readonly format: Format;
  readonly sink: Sink;
  readonly check: () => Promise<unknown>;
  topics: readonly Topic[];
  matches: ReturnType<typeof topicsMatcher>;
  open: boolean;
  /** What came while the past is still being told; undefined once it is live. */
  held: Held | undefined;
  /** When it was last sent something; one that is told events needs no other sign of life. */
  toldMs: number;
  checkedMs: number;
  /** How often in a row the credential could not be looked at. */
  unknown: number;
  /** Frames, or the end of a reader that does not take them: never a gap. */
  send(bytes: Buffer): void;
  beat(bytes: Buffer): void;
  ready(offset: string, resumed: boolean): void;
  /** Continuity cannot be given; what was missed has to be read elsewhere. */
  reset(reason: string, offset: string): void;
  subscribed(offset: string | undefined): void;
  refuse(fault: PlinthError): void;
  end(): void;
}

export interface Held {
  events: { event: LiveEvent; bytes: Buffer }[];
  bytes: number;
  /** There was more than is held: the log has to be read again from where the past was told to. */
  overflowed: boolean;
}

interface Given extends Ask {
  format: Format;
  sink: Sink;
  bufferBytes: number;
  leave: () => void;
  /** The reader is dropped because it did not take `bytes`. */
  onSlow: (bytes: number) => void;
}

export function createConnection({ tenantId, topics, check, format, sink, bufferBytes, leave, onSlow }: Given): Connection {
  const tell = (event: string, id: string | undefined, data: unknown): void => connection.send(frame(format, event, id, JSON.stringify(data)));
  const names = (): string[] => connection.topics.map(({ text }) => text);
  const connection: Connection = {
    tenantId,
    format,
    sink,
    check,
    topics,
    matches: topicsMatcher(topics),
    open: true,
    held: undefined,
    toldMs: performance.now(),
    checkedMs: performance.now(),
    unknown: 0,
    send(bytes) {
      if (!connection.open) return;
      if (sink.waiting > bufferBytes) {
        onSlow(sink.waiting);
        leave();
        sink.destroy();
        return;
      }
      connection.toldMs = performance.now();
      sink.write(bytes);
    },
    beat(bytes) {
      // A reader that takes nothing gets no heartbeats either: nothing piles up. One that hears of its past is not told where the log stands.
      if (connection.held === undefined && sink.waiting === 0) connection.send(bytes);
    },
    ready: (offset, resumed) => tell('ready', offset, { offset, resumed, topics: names() }),
    reset: (reason, offset) => tell('reset', offset, { reason, offset }),
    subscribed: (offset) => tell('subscribed', offset, { offset, topics: names() }),
    refuse({ code, status, message, wayOut }) {
      tell('failure', undefined, { code, status, message, way_out: wayOut });
      connection.end();
    },
    end() {
      leave();
      sink.end();
    },
  };
  return connection;
}
