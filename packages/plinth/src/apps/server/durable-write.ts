import type { AppendStream, CreateStream } from '#modules/streams';
import { failStreams, positionOf, refuse } from './durable-offset.ts';

/** What requests that write to a durable stream say, in headers and body. */

export const mediaType = (contentType: string): string => (contentType.split(';')[0] ?? '').trim().toLowerCase();

/** JSON values joined by commas: the elements of an array, or the one value. Errors: streams_json_invalid. */
function jsonValues(body: Buffer, mayBeEmpty: boolean): Buffer {
  const text = body.toString('utf8').trim();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw failStreams('json_invalid', { cause: error });
  }
  if (!Array.isArray(value)) return Buffer.from(text);
  if (value.length === 0 && !mayBeEmpty) throw failStreams('json_invalid', { message: 'The array is empty: there is nothing to append' });
  // What stands between the brackets: numbers and text stay as they were written.
  return Buffer.from(text.slice(1, -1).trim());
}

const bodyOf = (body: Buffer, contentType: string, creates: boolean): Buffer | undefined =>
  body.length === 0 ? undefined : mediaType(contentType) === 'application/json' ? jsonValues(body, creates) : body;

const NUMBER = /^(0|[1-9]\d{0,14})$/;

const isTrue = (headers: Headers, name: string): boolean => headers.get(name) === 'true';

function forkOf(headers: Headers, prefix: string): CreateStream['fork'] {
  const from = headers.get('stream-forked-from');
  const [at, part] = [headers.get('stream-fork-offset'), headers.get('stream-fork-sub-offset')];
  if (from === null) {
    if (part !== null) throw refuse('Stream-Fork-Sub-Offset', 'Stream-Fork-Sub-Offset needs Stream-Forked-From');
    return undefined;
  }
  if (part !== null && !NUMBER.test(part)) throw refuse('Stream-Fork-Sub-Offset', 'Stream-Fork-Sub-Offset is not a number');
  const path = from.startsWith(prefix) ? from.slice(prefix.length) : from.replace(/^\//, '');
  return { path, at: at ? positionOf(at, 'Stream-Fork-Offset') : undefined, part: part === null ? undefined : Number(part) };
}

/** What a PUT asks for. `prefix`: of the addresses of streams. Errors: streams_request_invalid, streams_json_invalid. */
export function createOf(headers: Headers, body: Buffer, prefix: string): CreateStream {
  const [ttl, expiresAt] = [headers.get('stream-ttl'), headers.get('stream-expires-at')];
  if (ttl && expiresAt) throw refuse('Stream-TTL', 'Stream-TTL and Stream-Expires-At exclude each other');
  if (ttl && (!NUMBER.test(ttl) || Number(ttl) > 3_153_600_000)) throw refuse('Stream-TTL', 'Stream-TTL is not a number of seconds');
  if (expiresAt && (Number.isNaN(Date.parse(expiresAt)) || !/^\d{4}-/.test(expiresAt)))
    throw refuse('Stream-Expires-At', 'Stream-Expires-At is not a time as RFC 3339 writes it');
  const fork = forkOf(headers, prefix);
  const given = headers.get('content-type') ?? '';
  const contentType = /^[\w-]+\/[\w.+-]+/.test(given) && given.length <= 200 ? given : undefined;
  return {
    contentType: contentType ?? (fork ? undefined : 'application/octet-stream'),
    data: bodyOf(body, contentType ?? '', true),
    closed: isTrue(headers, 'stream-closed'),
    ttlS: ttl ? Number(ttl) : undefined,
    expiresAt: expiresAt || undefined,
    fork,
  };
}

function producerOf(headers: Headers): AppendStream['producer'] {
  const [id, epoch, seq] = [headers.get('producer-id'), headers.get('producer-epoch'), headers.get('producer-seq')];
  if (id === null && epoch === null && seq === null) return undefined;
  if (id === null || epoch === null || seq === null) throw refuse('Producer-Id', 'Producer-Id, Producer-Epoch and Producer-Seq go together');
  if (id === '' || id.length > 500) throw refuse('Producer-Id', 'Producer-Id has 1 to 500 characters');
  const number = (name: string, text: string): number => {
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text))) throw refuse(name, `${name} is not a whole number from 0 on`);
    return Number(text);
  };
  return { id, epoch: number('Producer-Epoch', epoch), seq: number('Producer-Seq', seq) };
}

/** What a POST appends. Errors: streams_request_invalid, streams_body_empty, streams_json_invalid. */
export function appendOf(headers: Headers, body: Buffer): AppendStream {
  const producer = producerOf(headers);
  const close = isTrue(headers, 'stream-closed');
  const seq = headers.get('stream-seq') ?? undefined;
  if (body.length === 0 && !close) throw failStreams('body_empty');
  const contentType = headers.get('content-type') ?? '';
  if (body.length > 0 && contentType === '') throw refuse('Content-Type', 'The body has no content type');
  if (seq !== undefined && seq.length > 500) throw refuse('Stream-Seq', 'Stream-Seq has at most 500 characters');
  return { data: bodyOf(body, contentType, false), contentType: contentType || undefined, seq, close, producer };
}
