import { fail } from '#kernel/errors.ts';
import { parseExactJson } from '#kernel/exact-json.ts';

export const DEEPEST_JSON = 64;

/**
 * Refuses what no caller may store: NUL bytes, which Postgres cannot hold, halves of surrogate pairs, the key __proto__, and more than 64 levels. Walks without
 * recursion, so that no nesting exhausts the stack. Errors: kernel_forbidden_text, kernel_too_deep.
 */
export function checkJson(value: unknown): void {
  const waiting: { value: unknown; depth: number }[] = [{ value, depth: 1 }];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { value: one, depth } = next;
    if (typeof one === 'string') checkText(one);
    if (one === null || typeof one !== 'object') continue;
    if (depth > DEEPEST_JSON) throw fail('too_deep', { detail: { levels: DEEPEST_JSON } });
    for (const [name, inner] of Object.entries(one)) {
      if (name === '__proto__') throw fail('forbidden_text', { message: 'The JSON holds the key __proto__' });
      checkText(name);
      if (inner !== null && (typeof inner === 'object' || typeof inner === 'string')) waiting.push({ value: inner, depth: depth + 1 });
    }
  }
}

/** Errors: kernel_forbidden_text. */
export function checkText(text: string): void {
  if (text.includes('\0')) throw fail('forbidden_text', { message: 'The request holds a NUL byte' });
  // Half a surrogate pair is no character: as UTF-8 it would be stored as another one.
  if (!text.isWellFormed()) throw fail('forbidden_text', { message: 'The request holds half a surrogate pair' });
}

/** JSON that may be worked with; numbers that JavaScript would round are raw JSON (kernel/exact-json.ts). Errors: kernel_malformed_body, and those of checkJson. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail('malformed_body', { cause: error });
  }
  checkJson(value);
  // Looked at first: reading exactly takes the stack as deep as the text is nested.
  return parseExactJson(text);
}

/**
 * The body as text, read as it comes and given up as soon as it is longer than `mostBytes`, whatever Content-Length says.
 * Errors: kernel_body_too_large, kernel_malformed_body (not UTF-8).
 */
export async function readText(request: Request, mostBytes: number): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  try {
    for await (const chunk of chunks(request, mostBytes)) text += decoder.decode(chunk, { stream: true });
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof TypeError) throw fail('malformed_body', { message: 'The body is not UTF-8 text, or ended early', cause: error });
    throw error;
  }
}

/** The body byte for byte, as signatures need it. Errors: kernel_body_too_large, kernel_malformed_body (ended early). */
export async function readBytes(request: Request, mostBytes: number): Promise<Buffer> {
  try {
    return Buffer.concat(await Array.fromAsync(chunks(request, mostBytes)));
  } catch (error) {
    if (error instanceof TypeError) throw fail('malformed_body', { message: 'The body ended early', cause: error });
    throw error;
  }
}

async function* chunks(request: Request, mostBytes: number): AsyncGenerator<Uint8Array, void> {
  const tooLarge = () => fail('body_too_large', { detail: { limit_bytes: mostBytes } });
  const length = Number(request.headers.get('content-length') ?? 0);
  if (length > mostBytes) throw tooLarge();
  let size = 0;
  if (request.bodyUsed) throw takenBefore();
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > mostBytes) throw tooLarge();
    yield chunk;
  }
  if (size === 0 && length > 0) throw takenBefore();
}

/** Not the caller's fault, who sent all of it. */
const takenBefore = () =>
  fail('malformed_body', {
    message: 'The body was read before it came to Plinth',
    wayOut: 'Mount Plinth before whatever reads bodies, such as express.json(): docs/your-application.md.',
  });

const JSON_TYPE = /^application\/(json|[\w.+-]+\+json)\s*(;|$)/i;

/** The JSON body of a mutating call; undefined when there is none. Errors: kernel_unsupported_media_type and those above. */
export async function readJsonBody(request: Request, mostBytes: number): Promise<unknown> {
  const type = request.headers.get('content-type');
  if (type !== null && !JSON_TYPE.test(type)) throw fail('unsupported_media_type', { detail: { content_type: type.slice(0, 100) } });
  const text = await readText(request, mostBytes);
  if (text.trim() === '') return undefined;
  if (type === null) throw fail('unsupported_media_type', { message: 'The body has no content type' });
  return parseJson(text);
}
