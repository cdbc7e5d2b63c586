/**
 * Idempotency keys of calls that change something: a call that is repeated because its answer got lost has the key of the first and is done once. Sent again
 * on purpose, after an answer or much later, it has another.
 */
const FORGOTTEN_MS = 5 * 60_000;

const lost = new Map<string, { key: string; atMs: number }>();

/** Not randomUUID, which browsers have over TLS only. */
const newKey = (): string => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

/** A proxy that gave up does not know what became of the call behind it. */
const isAnswer = (status: number): boolean => ![502, 503, 504].includes(status);

/** Sends `call` with the key that belongs to it. `call` is what makes two calls the same: address, caller and body. */
export async function withRepeatKey(call: string, send: (key: string) => Promise<Response>): Promise<Response> {
  const before = lost.get(call);
  const key = before && Date.now() - before.atMs < FORGOTTEN_MS ? before.key : newKey();
  lost.set(call, { key, atMs: Date.now() });
  const response = await send(key);
  if (isAnswer(response.status)) lost.delete(call);
  return response;
}
