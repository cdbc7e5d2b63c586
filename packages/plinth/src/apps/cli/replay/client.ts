import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from './stack.ts';

/** A call that was answered with a problem. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** A server that was killed hangs up at once; a long silence is a busy machine. */
const CALL_MS = 30_000;

/** One REST call. Errors: Refused for an answer that is none, whatever fetch throws when there is no answer. */
export async function call<T>(
  stack: Stack,
  method: string,
  path: string,
  options: { key?: string; tenant?: string; idempotencyKey?: string; body?: unknown } = {},
): Promise<T> {
  const response = await fetch(`${stack.origin}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${options.key ?? stack.adminKey}`,
      ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(options.tenant ? { 'x-plinth-tenant': options.tenant, 'x-plinth-reason': 'plinth replay' } : {}),
      ...(options.idempotencyKey ? { 'idempotency-key': options.idempotencyKey } : {}),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Refused(response.status, `${method} ${path}: ${response.status} ${text.slice(0, 300)}`);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Worth trying again: no answer at all, or one that says so. */
const passing = (error: unknown): boolean => !(error instanceof Refused) || error.status >= 500 || error.status === 409 || error.status === 429;

/** Repeats a call under the same idempotency key until it is acknowledged, for at most `limitMs`. Returns how many tries it took. */
export async function untilAcknowledged<T>(send: () => Promise<T>, limitMs = 240_000): Promise<{ result: T; tries: number }> {
  const end = performance.now() + limitMs;
  for (let tries = 1; ; tries++) {
    try {
      return { result: await send(), tries };
    } catch (error) {
      if (!passing(error) || performance.now() > end) throw error;
      await pause(Math.min(50 * tries, 500));
    }
  }
}
