import { raiser } from '#kernel/errors.ts';
import { streamsErrors } from '#modules/streams';

/** Offsets, headers and cursors of the Durable Streams protocol. */
export const failStreams = raiser('streams', streamsErrors);

const DIGITS = 16;
const GENERATION = '0'.repeat(DIGITS);

/** Sorts as text. The first half is kept for the day when a stream is written anew. */
export const offsetText = (position: string): string => `${GENERATION}_${position.padStart(DIGITS, '0')}`;

export const refuse = (name: string, message: string) => failStreams('request_invalid', { message, detail: { field: name } });

/** Position of an offset. Errors: streams_request_invalid. */
export function positionOf(text: string, name: string): string {
  const [, position] = /^\d{1,16}_(\d{1,18})$/.exec(text) ?? [];
  if (position === undefined) throw refuse(name, `${name} is not an offset`);
  return String(BigInt(position));
}

export interface ReadQuery {
  /** Position; `now` for the end of the stream; undefined for its beginning. */
  after: string | 'now' | undefined;
  /** As it was asked for, for the ETag. */
  asked: string;
  live: 'long-poll' | 'sse' | undefined;
  cursor: string | undefined;
}

/** Errors: streams_request_invalid. */
export function readQueryOf(query: URLSearchParams): ReadQuery {
  const offsets = query.getAll('offset');
  const [offset] = offsets;
  if (offsets.length > 1) throw refuse('offset', 'The offset was given more than once');
  const asked = query.get('live');
  const live = asked === 'long-poll' || asked === 'sse' ? asked : undefined;
  if (live && offset === undefined) throw refuse('offset', 'Reading live needs an offset');
  const after = offset === undefined || offset === '-1' ? undefined : offset === 'now' ? 'now' : positionOf(offset, 'offset');
  return { after, asked: offset ?? '-1', live, cursor: query.get('cursor') ?? undefined };
}

const CURSOR_MS = 20_000;
const CURSOR_ZERO_MS = Date.UTC(2024, 9, 9);
const MOST_AHEAD = 180;

/** A number that changes with time and never repeats what the reader sent, so that a cache between does not answer for ever with the same. */
export function cursorText(nowMs: number, given: string | undefined): string {
  const now = Math.floor((nowMs - CURSOR_ZERO_MS) / CURSOR_MS);
  const known = /^\d{1,15}$/.test(given ?? '') ? Number(given) : -1;
  return String(known < now ? now : known + 1 + Math.floor(Math.random() * MOST_AHEAD));
}
