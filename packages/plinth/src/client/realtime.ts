/** A reader of /realtime for browsers and Node: it comes back by itself, from where it was. */

export interface RealtimeEvent<Payload = Record<string, unknown>> {
  id: string;
  event_type: string;
  aggregate_type: string | null;
  aggregate_id: string | null;
  version: number | null;
  actor_type: string;
  actor_id: string;
  correlation_id: string | null;
  causation_id: string | null;
  occurred_at: string;
  created_at: string;
  payload: Payload;
  metadata: Record<string, unknown>;
}

/** What the server leaves out of a frame where it is null. */
const ABSENT = { aggregate_type: null, aggregate_id: null, version: null, correlation_id: null, causation_id: null };

export interface RealtimeReset {
  /** `log_changed`, `retention` or `unknown_offset`. */
  reason: string;
  offset: string;
}

export type RealtimeState = 'connecting' | 'live' | 'waiting' | 'closed';

export interface RealtimeProblem {
  code: string;
  status: number;
  detail?: string;
  message?: string;
}

export interface RealtimeListener<Payload = Record<string, unknown>> {
  /** In the order of the log; of a stream in the order of versions. */
  onEvent(event: RealtimeEvent<Payload>): void;
  /** Something may have been missed: load the data anew. Events go on from here. */
  onReset?(reset: RealtimeReset): void;
  onState?(state: RealtimeState): void;
  /** The server refuses for good (not allowed, no such topic); the problem document. It is closed then. */
  onRefused?(problem: RealtimeProblem): void;
  /** A listener threw. The connection is given up, and what it threw on is told again after a wait. Default: console.error. */
  onError?(error: unknown): void;
}

export interface RealtimeClientOptions {
  /** Where the server is: `http://127.0.0.1:4400`. In the browser default: where the page came from. */
  url?: string | undefined;
  /**
   * API key or JWT, or what gives one: it is asked for each connection, and once more when the server refuses the one it gave, as it does when a JWT
   * has expired. In the browser of the console leave it out: its session is a cookie.
   */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Tenant to listen to, for keys that belong to none, and why. */
  tenantId?: string | undefined;
  reason?: string | undefined;
  /** `events/order.*`, `stream/order/4711` (halves escaped by encodeURIComponent). */
  topics: readonly string[];
  /** From header Plinth-Offset of the page that was loaded, or of another reader. Default: from now on. */
  offset?: string | undefined;
  fetch?: typeof fetch | undefined;
  /** First and longest wait before it comes back, ms. Default 500 and 15,000; each wait is somewhere between half of it and all of it. */
  backoffMs?: { first: number; longest: number } | undefined;
  /** A connection that says nothing for so long is given up, ms. Default 45,000; the server gives a sign of life every 15,000. */
  silenceMs?: number | undefined;
}

export interface RealtimeClient {
  /** Where it stands: begin another reader here. */
  readonly offset: string | undefined;
  readonly state: RealtimeState;
  close(): void;
}

interface Frame {
  event: string;
  id: string | undefined;
  data: string | undefined;
}

/** Frames of Server-Sent Events out of pieces of text; what is not whole yet is kept. */
export function frameReader(): (text: string) => Frame[] {
  let rest = '';
  return (text) => {
    const blocks = (rest + text).split(/\r\n\r\n|\n\n|\r\r/);
    rest = blocks.pop() ?? '';
    return blocks.map((block) => {
      const frame: Frame = { event: 'message', id: undefined, data: undefined };
      for (const line of block.split(/\r\n|\n|\r/)) {
        const [, name, value = ''] = /^(event|id|data): ?(.*)$/s.exec(line) ?? [];
        if (name === 'data') frame.data = frame.data === undefined ? value : `${frame.data}\n${value}`;
        else if (name === 'event') frame.event = value;
        else if (name === 'id') frame.id = value;
      }
      return frame;
    });
  };
}

/** What the server says about a request for good: trying again would not help. */
const isFinal = (status: number): boolean => status >= 400 && status < 500 && status !== 408 && status !== 429;

const pause = (ms: number, until: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    until.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });

/** What a listener threw, apart from what went wrong on the way. */
class ListenerError extends Error {}

class Listening<Payload> implements RealtimeClient {
  offset: string | undefined;
  state: RealtimeState = 'connecting';
  readonly #options: RealtimeClientOptions;
  readonly #listener: RealtimeListener<Payload>;
  readonly #closed = new AbortController();
  #failures = 0;
  /** How often in a row a token was refused. */
  #strange = 0;

  constructor(options: RealtimeClientOptions, listener: RealtimeListener<Payload>) {
    this.#options = options;
    this.#listener = listener;
    this.offset = options.offset;
    void this.#run();
  }

  close(): void {
    if (this.state === 'closed') return;
    this.#closed.abort();
    this.#become('closed');
  }

  #become(state: RealtimeState): void {
    if (this.state === state) return;
    this.state = state;
    this.#listener.onState?.(state);
  }

  async #run(): Promise<void> {
    const { first, longest } = this.#options.backoffMs ?? { first: 500, longest: 15_000 };
    while (!this.#closed.signal.aborted) {
      await this.#connect().catch((error: unknown) => {
        if (error instanceof ListenerError) this.#report(error.cause);
      });
      if (this.#closed.signal.aborted) return;
      this.#become('waiting');
      const most = Math.min(longest, first * 2 ** this.#failures++);
      await pause(most * (0.5 + Math.random() / 2), this.#closed.signal);
    }
  }

  #report(error: unknown): void {
    const { onError } = this.#listener;
    if (onError) onError(error);
    else console.error(error);
  }

  async #connect(): Promise<void> {
    const { tenantId, reason, topics, url = '', silenceMs = 45_000 } = this.#options;
    const query = new URLSearchParams(topics.map((topic): [string, string] => ['topic', topic]));
    const over = new AbortController();
    let timer = setTimeout(() => over.abort(), silenceMs);
    const heard = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => over.abort(), silenceMs);
    };
    try {
      const token = await this.#token();
      const response = await (this.#options.fetch ?? fetch)(`${url}/realtime?${query}`, {
        headers: {
          accept: 'text/event-stream',
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(tenantId ? { 'x-plinth-tenant': tenantId } : {}),
          ...(reason ? { 'x-plinth-reason': encodeURIComponent(reason) } : {}),
          ...(this.offset ? { 'last-event-id': this.offset } : {}),
        },
        signal: AbortSignal.any([this.#closed.signal, over.signal]),
      });
      if (!response.ok || !response.body) return await this.#refused(response);
      const decoder = new TextDecoder();
      const frames = frameReader();
      const reader = response.body.getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        heard();
        for (const frame of frames(decoder.decode(piece.value, { stream: true }))) this.#take(frame);
      }
    } finally {
      clearTimeout(timer);
      // Also when a listener threw: a browser has few connections for a host.
      over.abort();
    }
  }

  #token(): string | Promise<string> | undefined {
    const { token } = this.#options;
    return typeof token === 'function' ? token() : token;
  }

  async #refused(response: Response): Promise<void> {
    const problem = (await response.json().catch(() => ({}))) as { code?: string };
    this.#failed({ code: 'unknown', ...problem, status: response.status });
  }

  #take({ event, id, data }: Frame): void {
    if (this.#closed.signal.aborted) return;
    if (data !== undefined) this.#tell(event, JSON.parse(data) as unknown);
    // A connection is a good one when something after its beginning was taken: a listener that throws each time gets longer waits.
    if (event !== 'ready' && event !== 'reset' && event !== 'failure') this.#failures = 0;
    // After the listener: what it threw on is told again.
    if (id !== undefined) this.offset = id;
  }

  #tell(event: string, value: unknown): void {
    try {
      if (event === 'event') this.#listener.onEvent({ ...ABSENT, ...(value as RealtimeEvent<Payload>) });
      else if (event === 'reset') this.#listener.onReset?.(value as RealtimeReset);
    } catch (error) {
      throw new ListenerError('a listener threw', { cause: error });
    }
    if (event === 'failure') this.#failed(value as RealtimeProblem);
    if (event !== 'ready' && event !== 'reset') return;
    this.#strange = 0;
    this.#become('live');
  }

  #failed(problem: RealtimeProblem): void {
    if (!isFinal(problem.status)) return;
    // One that has expired: the next connection asks for another.
    if (problem.status === 401 && typeof this.#options.token === 'function' && this.#strange++ === 0) return;
    this.close();
    this.#listener.onRefused?.(problem);
  }
}

/**
 * Listens to events of a tenant as they are committed. It comes back by itself, from where it was, with growing waits; nothing is missed unless
 * `onReset` says so.
 *
 * @example
 * const orders = realtime({ url: 'http://127.0.0.1:4400', token, topics: ['events/order.*'] }, { onEvent: (event) => show(event) });
 * orders.close();
 */
export const realtime = <Payload = Record<string, unknown>>(options: RealtimeClientOptions, listener: RealtimeListener<Payload>): RealtimeClient =>
  new Listening(options, listener);
