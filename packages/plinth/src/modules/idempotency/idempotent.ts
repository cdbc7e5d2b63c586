import { createHash } from 'node:crypto';
import type { Queryable } from '#kernel/database.ts';

export interface IdempotentCall {
  /** What the key is unique in: procedure and caller. */
  scope: string;
  key: string;
  /** What was asked, to tell a repetition from another call under the same key. */
  request: unknown;
  /** Longest wait behind the same call that is still running, ms. Default 2,000. */
  waitMs?: number;
  /** Status stored beside the answer. Default 200. */
  status?: number;
  /** What of the answer may be stored; secrets are left out here. Default: all of it. */
  storable?: (answer: unknown) => unknown;
}

/** JSON with sorted keys: the same request in another order of fields is the same request. */
const canonical = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, canonical((value as Record<string, unknown>)[name])]),
  );
};

/** SHA-256 of a request, hex. */
export const requestHash = (request: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(canonical(request)) ?? 'null')
    .digest('hex');

/**
 * Does `work` once for a key, in the transaction of the work: claim, work and answer commit together, so a crash in between leaves nothing and a
 * repetition gets the stored answer. A failure rolls the claim back with the rest, so the call may be tried again under the same key.
 * Errors: idempotency_key_invalid, idempotency_key_reused, idempotency_in_progress, and whatever `work` throws.
 */
export async function once(tx: Queryable, call: IdempotentCall, work: () => Promise<unknown>): Promise<{ replayed: boolean; answer: unknown }> {
  const [begun] = await tx.query<{ replayed: boolean; response_body: unknown }>(
    'select replayed, response_body from plinth.begin_idempotent(p_scope => $1, p_key => $2, p_request_hash => $3, p_wait_ms => $4)',
    [call.scope, call.key, requestHash(call.request), call.waitMs ?? 2000],
  );
  if (begun?.replayed) return { replayed: true, answer: begun.response_body };
  const answer = await work();
  const stored = call.storable ? call.storable(answer) : answer;
  await tx.query('select plinth.finish_idempotent(p_scope => $1, p_key => $2, p_response_status => $3, p_response_body => $4)', [
    call.scope,
    call.key,
    call.status ?? 200,
    JSON.stringify(stored) ?? null,
  ]);
  return { replayed: false, answer };
}
