import { parseJson } from '../../../../packages/plinth/src/react/portal/json.ts';
import { withRepeatKey } from '../../../../packages/plinth/src/react/portal/repeat-key.ts';
import { Problem, problemOf } from './problem.ts';

/** Under which tenant, and why, a call is made. */
export interface Access {
  tenant: string | undefined;
  reason: string | undefined;
}

export interface Call {
  method?: 'GET' | 'POST';
  body?: unknown;
  /** Makes it safe to send again. */
  idempotencyKey?: string;
  signal?: AbortSignal | undefined;
}

const timeLimitMs = 15_000;

const headersOf = (access: Access, call: Call): Headers => {
  const headers = new Headers({ accept: 'application/json' });
  if (call.body !== undefined) headers.set('content-type', 'application/json');
  if (call.idempotencyKey) headers.set('idempotency-key', call.idempotencyKey);
  if (access.tenant) headers.set('x-plinth-tenant', access.tenant);
  // Header values are Latin-1; a reason may be in any script.
  if (access.reason) headers.set('x-plinth-reason', encodeURIComponent(access.reason).replaceAll('%20', ' '));
  return headers;
};

const send = (access: Access, path: string, call: Call, limit = AbortSignal.timeout(timeLimitMs)): Promise<Response> =>
  fetch(path, {
    method: call.method ?? 'GET',
    headers: headersOf(access, call),
    credentials: 'same-origin',
    signal: call.signal ? AbortSignal.any([call.signal, limit]) : limit,
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  });

/** The answer when it is 2xx; else throws the Problem that it tells. */
async function answered(response: Response, isRead = true): Promise<Response> {
  if (response.ok) return response;
  const told = await response.text();
  let body: unknown;
  try {
    body = parseJson(told);
  } catch {
    body = undefined;
  }
  throw problemOf(response.status, body, response.headers.get('x-correlation-id'), isRead);
}

/** Calls the REST API. Throws a Problem for every answer that is not 2xx. */
export async function api<T>(access: Access, path: string, call: Call = {}): Promise<T> {
  const response = await answered(await send(access, `/api/v1${path}`, call), call.method !== 'POST');
  const text = await response.text();
  return (text === '' ? undefined : parseJson(text)) as T;
}

/** Asks a query of a module's api by its tRPC name. */
export async function ask<T>(access: Access, path: string, input: unknown, signal: AbortSignal): Promise<T> {
  const response = await send(access, `/api/trpc/system.${path}?input=${encodeURIComponent(JSON.stringify(input))}`, { signal }).then(answered);
  const answer = parseJson(await response.text()) as { result?: { data?: unknown } };
  return answer.result?.data as T;
}

/** Runs a mutation of a module's api by its tRPC name. Sent again because its answer got lost, it is done once. */
export async function act(access: Access, path: string, input: unknown): Promise<unknown> {
  const response = await withRepeatKey(JSON.stringify([access.tenant, path, input]), (idempotencyKey) =>
    send(access, `/api/trpc/system.${path}`, { method: 'POST', body: input, idempotencyKey }),
  ).then((response) => answered(response, false));
  const answer = parseJson(await response.text()) as { result?: { data?: unknown } };
  return answer.result?.data;
}

/**
 * Fetches a file with the headers of the session (a plain link could not name the tenant) and hands it to the browser to save. The limit of time is
 * for the beginning: a year of the audit log takes as long as it takes.
 */
export async function download(access: Access, path: string, fileName: string): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new DOMException('', 'TimeoutError')), timeLimitMs);
  const response = await send(access, `/api/v1${path}`, {}, late.signal)
    .then((answer) => answered(answer))
    .finally(() => clearTimeout(timer));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = url;
  link.download = fileName;
  link.click();
  URL.revokeObjectURL(url);
}

export const isSignedOut = (error: unknown): boolean => error instanceof Problem && error.status === 401;
