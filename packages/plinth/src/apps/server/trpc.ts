import type { AnyRouter } from '@trpc/server';
import { fetchRequestHandler } from '@trpc/server/adapters/fetch';
import { TRPC_ERROR_CODES_BY_KEY } from '@trpc/server/rpc';
import type { PlinthError } from '#kernel/errors.ts';
import { fail, raiser, toPlinthError, toProblem } from '#kernel/errors.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { rpcFailure, toRpcError } from '#kernel/rpc.ts';
import { idempotencyErrors } from '#modules/idempotency';
import { json } from './answer.ts';
import { parseJson, readText } from './body.ts';

export const TRPC_PATH = '/api/trpc';
const MOST_CALLS = 50;
const failIdempotency = raiser('idempotency', idempotencyErrors);

export interface TrpcCall {
  request: Request;
  /** Makes the context of the calls of this request. */
  context: () => Promise<CallContext>;
  correlationId: string;
  bodyBytes: number;
  idempotent: boolean;
  onFailure: (error: PlinthError) => void;
}

/** The form in which tRPC's clients expect a failure, for those that happen before tRPC is asked. */
function rpcProblem(error: PlinthError, correlationId: string): Response {
  const { code, message } = toRpcError(error);
  const data = { code, httpStatus: error.status, problem: toProblem(error, correlationId) };
  return json({ error: { message, code: TRPC_ERROR_CODES_BY_KEY[code], data } }, error.status);
}

/** tRPC decodes an address before it looks for commas. Errors: kernel_invalid_input. */
function callsIn(path: string): number {
  try {
    return decodeURIComponent(path).split(',').length;
  } catch {
    throw fail('invalid_input', { message: 'The address is not valid percent encoding' });
  }
}

/** Checks what tRPC does not: size, depth and content of the JSON, the number of calls in a batch. Returns the request to pass on. */
async function checked(call: TrpcCall): Promise<Request> {
  const { request } = call;
  const url = new URL(request.url);
  const calls = callsIn(url.pathname);
  if (calls > MOST_CALLS) throw fail('invalid_input', { message: `A batch holds at most ${MOST_CALLS} calls`, detail: { calls } });
  if (calls > 1 && call.idempotent) throw failIdempotency('batch_refused', { detail: { calls } });
  const input = url.searchParams.get('input');
  if (input !== null) parseJson(input);
  if (request.method === 'GET') return request;
  if (request.method !== 'POST') throw fail('method_not_allowed', { detail: { allow: 'GET, POST' } });
  const text = await readText(request, call.bodyBytes);
  if (text !== '' && !/^application\/json\s*(;|$)/i.test(request.headers.get('content-type') ?? '')) throw fail('unsupported_media_type');
  const passed = new Request(request.url, { method: 'POST', headers: request.headers, body: text });
  if (text === '') return passed;
  const value = parseJson(text);
  // tRPC takes the body by json(), which would round numbers that parseJson keeps.
  return Object.assign(passed, { json: () => Promise.resolve(value) });
}

export async function answerTrpc(router: AnyRouter, call: TrpcCall): Promise<Response> {
  try {
    const context = await call.context();
    // Before the body is read: nobody without a credential may make the server read a megabyte.
    if (!context.principal) throw fail('unauthenticated');
    const req = await checked(call);
    return await fetchRequestHandler({
      endpoint: TRPC_PATH,
      req,
      router,
      createContext: () => context,
      onError: ({ error }) => call.onFailure(rpcFailure(error)),
    });
  } catch (error) {
    const known = toPlinthError(error);
    call.onFailure(known);
    return rpcProblem(known, call.correlationId);
  }
}
