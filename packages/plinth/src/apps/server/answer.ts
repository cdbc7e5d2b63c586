import { directBodyOf, withDirectBody } from '#adapters/http/direct-body.ts';
import type { PlinthError } from '#kernel/errors.ts';
import { toProblem } from '#kernel/errors.ts';
import type { Traffic } from './traffic.ts';

/**
 * Nothing of an API answer may run, be framed or be guessed at; in a sandbox, because what callers stored comes from the origin of the console and may say that it is HTML: its forms and
 * refreshes do nothing.
 */
const SECURITY: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
  'cache-control': 'no-store',
};

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(body === undefined ? 'null' : JSON.stringify(body), { status, headers: { 'content-type': 'application/json; charset=utf-8', ...headers } });

/** RFC 9457 answer to a failure. */
export function problem(error: PlinthError, correlationId: string): Response {
  const headers: Record<string, string> = { 'content-type': 'application/problem+json; charset=utf-8' };
  if (error.status === 401) headers['www-authenticate'] = 'Bearer';
  const { allow, retry_after: retryAfter } = error.detail;
  if (typeof allow === 'string') headers.allow = allow;
  if (typeof retryAfter === 'number') headers['retry-after'] = String(Math.ceil(retryAfter));
  else if (error.status === 503) headers['retry-after'] = '5';
  return new Response(JSON.stringify(toProblem(error, correlationId)), { status: error.status, headers });
}

/** Completes an answer with what every answer carries. Headers that a route set itself stay. */
export function finish(response: Response, traffic: Traffic, secure: boolean): Response {
  // Answers of fetch() and of streams may have headers that cannot be changed.
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(SECURITY)) if (!headers.has(name)) headers.set(name, value);
  if (secure) headers.set('strict-transport-security', 'max-age=31536000');
  headers.set('x-correlation-id', traffic.correlationId);
  headers.set('x-request-id', traffic.requestId);
  if (traffic.replayed) headers.set('idempotency-replayed', 'true');
  if (traffic.offset) headers.set('plinth-offset', traffic.offset);
  const finished = new Response(response.body, { status: response.status, headers });
  const direct = directBodyOf(response);
  return direct ? withDirectBody(finished, direct) : finished;
}
