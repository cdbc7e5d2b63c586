import { createHash } from 'node:crypto';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { ReadQuery } from './durable-offset.ts';
import { cursorText, failStreams, offsetText } from './durable-offset.ts';
import { mediaType } from './durable-write.ts';
import type { StreamEvent } from './event-stream.ts';

/** Something that can be read by the Durable Streams protocol: a stream of its own, or the events of an aggregate. */
export interface Source {
  /** Looked at in one transaction, by somebody with these permissions. Errors: what says that there is no such stream. */
  look(tx: AnyTransaction, after: string | 'now' | undefined, scopes: readonly string[]): Promise<Look>;
  /** The same without messages. */
  head(tx: AnyTransaction): Promise<Omit<Look, 'messages'>>;
}

export interface Look {
  id: string;
  contentType: string;
  tail: string;
  closed: boolean;
  /** Hint that there is more. */
  signal: string;
  /** More headers of HEAD. */
  headers: Record<string, string>;
  messages: { position: string; data: Buffer }[];
}

/** Runs a look for the caller of a request; checks every time that the caller still may. */
export type Looker = <T>(body: (tx: AnyTransaction, scopes: readonly string[]) => Promise<T>) => Promise<T>;

export interface Reading {
  source: Source;
  query: ReadQuery;
  run: Looker;
  now: () => number;
  longPollMs: number;
  /** Waits for a hint, at most so long. */
  wait: (signal: string, ms: number, until: AbortSignal) => Promise<void>;
}

/** A hint may be lost. */
const POLL_MS = 1_000;

const isJson = (look: Look): boolean => mediaType(look.contentType) === 'application/json';
const COMMA = Buffer.from(',');

/** Messages as one body; JSON becomes one array. */
function bodyOf(look: Look): Buffer {
  const data = look.messages.map((message) => message.data);
  if (!isJson(look)) return Buffer.concat(data);
  return Buffer.concat([Buffer.from('['), ...data.flatMap((one, nth) => (nth === 0 ? [one] : [COMMA, one])), Buffer.from(']')]);
}

/** Position of a reader after a look. */
function nextOf(look: Look): string {
  return look.messages.at(-1)?.position ?? look.tail;
}

/**
 * Nobody has read more than there was. Who has is told, and does not wait until the stream has grown past what he would miss: it was made anew, or the database was
 * restored to an earlier time. Errors: streams_offset_gone.
 */
export function refuseAhead(after: ReadQuery['after'], tail: string): void {
  if (after !== undefined && after !== 'now' && BigInt(after) > BigInt(tail))
    throw failStreams('offset_gone', { message: `The stream ends at ${offsetText(tail)}, before the offset`, detail: { tail } });
}

/** Errors: streams_offset_gone. */
async function lookAt({ source, run }: Reading, after: ReadQuery['after']): Promise<Look> {
  const look = await run((tx, scopes) => source.look(tx, after, scopes));
  refuseAhead(after, look.tail);
  return look;
}

const atEnd = (look: Look, next: string): boolean => BigInt(next) >= BigInt(look.tail);

/** Looks again until there is something, the stream is closed, or the time is over. */
async function lookLong(reading: Reading, until: AbortSignal): Promise<{ look: Look; after: ReadQuery['after'] }> {
  const { wait, query } = reading;
  const end = performance.now() + reading.longPollMs;
  let { after } = query;
  for (;;) {
    const look = await lookAt(reading, after);
    if (after === 'now') after = look.tail;
    const left = end - performance.now();
    if (look.messages.length > 0 || look.closed || left <= 0 || until.aborted || !atEnd(look, nextOf(look))) return { look, after };
    await wait(look.signal, Math.min(left, POLL_MS), until);
  }
}

/** A browser may keep what it read, but for the same caller in the same tenant. */
const VARY = 'Authorization, Cookie, X-Plinth-Tenant, X-Plinth-Portal';
/**
 * What the tag of a kept body holds beside its offsets: two tenants have aggregates of one name, and the same messages are another body for who may not reveal personal
 * fields, and for everybody once they were erased.
 */
const digestOf = (body: Buffer): string => createHash('sha256').update(body).digest('base64url').slice(0, 22);

/** Answers a GET without live=sse. */
export async function readOnce(reading: Reading, request: Request, until: AbortSignal): Promise<Response> {
  const { query } = reading;
  const long = query.live === 'long-poll';
  const { look, after } = long ? await lookLong(reading, until) : { look: await lookAt(reading, query.after), after: query.after };
  const next = nextOf(look);
  const whole = atEnd(look, next);
  const headers: Record<string, string> = {
    'content-type': look.contentType,
    'stream-next-offset': offsetText(next),
    ...(whole ? { 'stream-up-to-date': 'true' } : {}),
    ...(whole && look.closed ? { 'stream-closed': 'true' } : {}),
    ...(long ? { 'stream-cursor': cursorText(reading.now(), query.cursor) } : {}),
  };
  if (long && look.messages.length === 0 && after !== undefined) {
    const { 'content-type': _type, ...rest } = headers;
    return new Response(null, { status: 204, headers: rest });
  }
  const body = bodyOf(look);
  if (query.after === 'now') return new Response(new Uint8Array(body), { headers: { ...headers, 'cache-control': 'no-store' } });
  const etag = `"${look.id}:${query.asked}:${next}${whole && look.closed ? ':c' : ''}:${digestOf(body)}"`;
  if (request.headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag, vary: VARY } });
  return new Response(new Uint8Array(body), { headers: { ...headers, etag, vary: VARY, 'cache-control': 'private, no-cache' } });
}

/** How messages are written into lines of Server-Sent Events: text as it is, everything else in base64. */
export const needsBase64 = (contentType: string): boolean => !mediaType(contentType).startsWith('text/') && mediaType(contentType) !== 'application/json';

const lineOf = (look: Look, data: Buffer): string =>
  needsBase64(look.contentType) ? data.toString('base64') : isJson(look) ? `[${data.toString('utf8')}]` : data.toString('utf8');

/** Where the reader stands after what it was told. */
function control(reading: Reading, look: Look, position: string): StreamEvent {
  const whole = atEnd(look, position);
  const more =
    look.closed && whole ? { streamClosed: true } : { streamCursor: cursorText(reading.now(), reading.query.cursor), ...(whole ? { upToDate: true } : {}) };
  return { event: 'control', text: JSON.stringify({ streamNextOffset: offsetText(position), ...more }) };
}

/** What a reader with live=sse is told; ends when the stream is closed. */
export async function* told(reading: Reading, signal: AbortSignal): AsyncGenerator<StreamEvent, void> {
  const { wait } = reading;
  let { after } = reading.query;
  let last: string | undefined;
  let saidMs = 0;
  while (!signal.aborted) {
    const look = await lookAt(reading, after);
    // A control event follows every data event, so that a reader may stop anywhere.
    for (const message of look.messages) {
      yield { event: 'data', text: lineOf(look, message.data) };
      yield control(reading, look, message.position);
    }
    const next = nextOf(look);
    const whole = atEnd(look, next);
    const over = whole && look.closed;
    if (look.messages.length === 0 && (next !== last || over || performance.now() - saidMs > reading.longPollMs)) yield control(reading, look, next);
    if (look.messages.length > 0 || next !== last || performance.now() - saidMs > reading.longPollMs) saidMs = performance.now();
    last = next;
    if (over) return;
    after = next;
    if (whole) await wait(look.signal, POLL_MS, signal);
  }
}
