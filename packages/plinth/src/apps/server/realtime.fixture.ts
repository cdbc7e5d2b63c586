import type { Serving } from './index.ts';
import { serve } from './index.ts';
import type { TestServer } from './server.fixture.ts';

/** One frame as a reader of Server-Sent Events takes it. */
export interface Told {
  event: string;
  id: string | undefined;
  data: Record<string, unknown>;
}

export interface Reader {
  readonly told: Told[];
  /** Id of the last frame, with those that only move it. */
  readonly lastId: string | undefined;
  /** How the connection ended; undefined while it is open. */
  readonly ended: string | undefined;
  /** Payload number `n` of each event. */
  readonly numbers: number[];
  /** Waits until what was told satisfies `ready`, at most 20 s. */
  until(ready: (reader: Reader) => boolean, what?: string): Promise<void>;
  close(): void;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for a condition, at most 20 s. */
export async function eventually(ready: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await ready())) {
    if (performance.now() > end) throw new Error(`in 20 s did not happen: ${what}`);
    await pause(10);
  }
}

function* framesIn(text: string): Iterable<Told> {
  for (const block of text.split('\n\n')) {
    const fields = block.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()] as const);
    const field = (name: string): string | undefined => fields.find(([key]) => key === name)?.[1];
    const data = field('data');
    if (data !== undefined || field('id') !== undefined)
      yield { event: field('event') ?? 'alive', id: field('id'), data: JSON.parse(data ?? '{}') as Told['data'] };
  }
}

/** Reads Server-Sent Events of an answer. */
export function read(response: Response, abort: AbortController): Reader {
  const told: Told[] = [];
  let ended: string | undefined;
  const run = async (): Promise<string> => {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const chunk of response.body ?? []) {
      rest += decoder.decode(chunk, { stream: true });
      const end = rest.lastIndexOf('\n\n') + 2;
      if (end < 2) continue;
      told.push(...framesIn(rest.slice(0, end)));
      rest = rest.slice(end);
    }
    return 'end';
  };
  void run().then(
    (how) => (ended = how),
    (error: unknown) => (ended = String(error)),
  );
  const reader: Reader = {
    told,
    get lastId() {
      return told.findLast(({ id }) => id !== undefined)?.id;
    },
    get ended() {
      return ended;
    },
    get numbers() {
      return told.filter(({ event }) => event === 'event').map(({ data }) => Number((data.payload as { n?: number }).n));
    },
    until: (ready, what = 'the reader was told') =>
      eventually(() => ready(reader), what).catch((error: unknown) => {
        throw new Error(`${String(error)}; told so far: ${JSON.stringify(told.slice(-5))}, ended: ${ended}`);
      }),
    close: () => abort.abort(),
  };
  return reader;
}

export interface AskOptions {
  key: string;
  topics?: readonly string[];
  offset?: string | undefined;
  headers?: Record<string, string>;
}

export const addressOf = ({ topics = ['events/#'], offset }: Pick<AskOptions, 'topics' | 'offset'>): string =>
  `/realtime?${new URLSearchParams([...topics.map((topic): [string, string] => ['topic', topic]), ...(offset === undefined ? [] : ([['offset', offset]] as [string, string][]))])}`;

export interface Listening extends Serving {
  /** Opens a stream and waits until it is ready. */
  listen(options: AskOptions): Promise<Reader>;
  get(options: AskOptions): Promise<Response>;
}

/** The handler of a test server, on a port. */
export async function listening(server: Pick<TestServer, 'handler'>): Promise<Listening> {
  const serving = await serve({ fetch: server.handler, upgrade: server.handler.upgrade, port: 0, graceMs: 200 });
  const open = (options: AskOptions, signal?: AbortSignal): Promise<Response> =>
    fetch(`${serving.origin}${addressOf(options)}`, {
      headers: { authorization: `Bearer ${options.key}`, ...options.headers },
      ...(signal ? { signal } : {}),
    });
  return {
    ...serving,
    get: open,
    async listen(options) {
      const abort = new AbortController();
      const response = await open(options, abort.signal);
      if (response.status !== 200) throw new Error(`the stream was refused: ${response.status} ${await response.text()}`);
      const reader = read(response, abort);
      const first = (...events: string[]): Told | undefined => reader.told.find(({ event }) => events.includes(event));
      await reader.until(({ ended }) => first('ready', 'reset', 'failure') !== undefined || ended !== undefined, 'the stream is ready');
      if (!first('ready', 'reset')) throw new Error(`the stream was refused: ${JSON.stringify(first('failure')?.data)}, ended: ${reader.ended}`);
      return reader;
    },
  };
}
