import { fail, toPlinthError } from '#kernel/errors.ts';

/** One Server-Sent Event. `id` is what the reader shows as Last-Event-ID when it comes back. */
export interface StreamEvent {
  event: string;
  id?: string | undefined;
  /** Sent as JSON. */
  data?: unknown;
  /** Sent as it is, instead of data. */
  text?: string | undefined;
}

export interface EventStreams {
  /**
   * A response that sends what `source` yields, as fast as the reader takes it; `signal` is aborted when the reader has gone, the stream has
   * lived for its longest time or the process stops. Errors: kernel_streams_full, kernel_streams_of_tenant.
   */
  open(tenantId: string, source: (signal: AbortSignal) => AsyncIterable<StreamEvent>, headers?: Record<string, string>): Response;
  /** Ends all of them; readers come back to another process. */
  end(): void;
  readonly size: number;
}

export interface EventStreamOptions {
  /** Streams at a time in this process. Default 1,000. */
  most?: number;
  /** Of them of one tenant, so that none keeps the others out. Default: half of them. */
  mostPerTenant?: number;
  /** A comment is sent so often, so that nobody in between takes the connection for dead, ms. Default 15,000. */
  heartbeatMs?: number;
  /** A stream ends after so long and its reader comes back, ms. Default 600,000. */
  longestMs?: number;
  /** A source failed. */
  onFailure?: (error: unknown) => void;
}

/** `no-transform`: middleware that compresses would keep what is told until there is enough of it. */
export const EVENT_STREAM = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' };

/** How long a reader waits before it comes back, ms. */
const RETRY_MS = 2_000;
const encoder = new TextEncoder();

/** Text with line breaks becomes several lines of data, which the reader joins again. Without a space, which a reader would take off a line that begins with one. */
const dataLines = (text: string): string =>
  text
    .split(/\r\n|\r|\n/)
    .map((line) => `data:${line.startsWith(' ') ? ' ' : ''}${line}\n`)
    .join('');

const textOf = ({ event, id, data, text }: StreamEvent): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\n${text === undefined ? `data: ${JSON.stringify(data)}\n` : dataLines(text)}\n`;

/** Server-Sent Events (HTML Standard, 9.2) over a fetch Response, bounded in number and time. */
export function createEventStreams(options: EventStreamOptions = {}): EventStreams {
  const { most = 1_000, mostPerTenant = Math.ceil(most / 2), heartbeatMs = 15_000, longestMs = 600_000 } = options;
  /** With the tenant of each. */
  const open = new Map<AbortController, string>();

  const bodyOf = (tenantId: string, source: (signal: AbortSignal) => AsyncIterable<StreamEvent>): ReadableStream<Uint8Array> => {
    const gone = new AbortController();
    open.set(gone, tenantId);
    const events = source(gone.signal)[Symbol.asyncIterator]();
    const timers: NodeJS.Timeout[] = [];
    const close = (): void => {
      for (const timer of timers) clearTimeout(timer);
      open.delete(gone);
      gone.abort();
    };
    return new ReadableStream<Uint8Array>({
      start(controller) {
        const send = (text: string): void => controller.enqueue(encoder.encode(text));
        send(`retry: ${RETRY_MS}\n\n`);
        // A reader that takes nothing gets no heartbeats either: nothing piles up.
        timers.push(setInterval(() => (controller.desiredSize ?? 0) > 0 && send(': alive\n\n'), heartbeatMs).unref());
        timers.push(setTimeout(() => gone.abort(), longestMs).unref());
      },
      async pull(controller) {
        try {
          const { done, value } = await events.next();
          if (!done) return controller.enqueue(encoder.encode(textOf(value)));
        } catch (error) {
          if (!gone.signal.aborted) {
            options.onFailure?.(error);
            const { code, message, status } = toPlinthError(error);
            controller.enqueue(encoder.encode(textOf({ event: 'failure', data: { code, status, message } })));
          }
        }
        close();
        controller.close();
        return undefined;
      },
      async cancel() {
        close();
        await events.return?.();
      },
    });
  };

  return {
    open(tenantId, source, headers = {}) {
      if (open.size >= most) throw fail('streams_full', { detail: { most } });
      if ([...open.values()].filter((one) => one === tenantId).length >= mostPerTenant)
        throw fail('streams_of_tenant', { detail: { most: mostPerTenant, retry_after: 5 } });
      return new Response(bodyOf(tenantId, source), { headers: { ...EVENT_STREAM, ...headers } });
    },
    end() {
      for (const one of open.keys()) one.abort();
    },
    get size() {
      return open.size;
    },
  };
}
