import type { PlinthError } from '#kernel/errors.ts';
import type { LiveEvent } from '#modules/events';
import type { Format } from './realtime-frames.ts';
import { frame } from './realtime-frames.ts';
import type { Ask } from './realtime-hub.ts';
import type { Sink } from './realtime-sinks.ts';
import type { Topic } from './realtime-topics.ts';
import { topicsMatcher } from './realtime-topics.ts';

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

/**
 * One reader. An event is told to thousands in one go, and what each of them touches in memory is most of what is spent here beside the system call: a class,
 * because objects with closures of their own cost twice as much, and nothing is asked or noted on the way that can be asked later.
 */
export class Connection {
  // What every message touches comes first: it lies together.
  readonly sink: Sink;
  open = true;
  /** What came while the past is still being told; undefined once it is live. */
  held: Held | undefined = undefined;
  /** Since the last look at who needs a sign of life: one that is told events needs no other. */
  told = true;
  /** What the reader had not taken when it was sent something last; it may have taken it since. */
  #waiting = 0;
  readonly #bufferBytes: number;
  readonly format: Format;
  readonly tenantId: string;
  readonly check: () => Promise<unknown>;
  topics: readonly Topic[];
  matches: ReturnType<typeof topicsMatcher>;
  /** When it was last seen to have been told something. */
  toldMs = performance.now();
  checkedMs = performance.now();
  /** How often in a row the credential could not be looked at. */
  unknown = 0;
  readonly #leave: () => void;
  readonly #onSlow: (bytes: number) => void;

  constructor({ tenantId, topics, check, format, sink, bufferBytes, leave, onSlow }: Given) {
    this.tenantId = tenantId;
    this.format = format;
    this.sink = sink;
    this.check = check;
    this.topics = topics;
    this.matches = topicsMatcher(topics);
    this.#bufferBytes = bufferBytes;
    this.#leave = leave;
    this.#onSlow = onSlow;
  }

  /** Frames, or the end of a reader that does not take them: never a gap. */
  send(bytes: Buffer): void {
    if (!this.open) return;
    if (this.#waiting > this.#bufferBytes && this.sink.waiting > this.#bufferBytes) this.#drop();
    else {
      this.told = true;
      this.#waiting = this.sink.write(bytes);
    }
  }

  beat(bytes: Buffer): void {
    // A reader that takes nothing gets no heartbeats either: nothing piles up. One that hears of its past is not told where the log stands.
    if (this.held === undefined && this.sink.waiting === 0) this.send(bytes);
  }

  ready(offset: string, resumed: boolean): void {
    this.#tell('ready', offset, { offset, resumed, topics: this.#names() });
  }

  /** Continuity cannot be given; what was missed has to be read elsewhere. */
  reset(reason: string, offset: string): void {
    this.#tell('reset', offset, { reason, offset });
  }

  subscribed(offset: string | undefined): void {
    this.#tell('subscribed', offset, { offset, topics: this.#names() });
  }

  refuse({ code, status, message, wayOut }: PlinthError): void {
    this.#tell('failure', undefined, { code, status, message, way_out: wayOut });
    this.end();
  }

  end(): void {
    this.#leave();
    this.sink.end();
  }

  #drop(): void {
    this.#onSlow(this.sink.waiting);
    this.#leave();
    this.sink.destroy();
  }

  #names(): string[] {
    return this.topics.map(({ text }) => text);
  }

  #tell(event: string, id: string | undefined, data: unknown): void {
    this.send(frame(this.format, event, id, JSON.stringify(data)));
  }
}
