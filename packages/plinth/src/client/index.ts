import { createTRPCClient, httpBatchLink, type TRPCClient } from '@trpc/client';
import type { router } from '#kernel/rpc.ts';
import type { Modules } from '#registry';

type ApiOf<Card> = Card extends { api?: infer Api } ? Exclude<Api, undefined> : never;
/** The procedures of the modules, as `system.<module>.<procedure>`. */
type Apis = { readonly [Name in keyof Modules as [ApiOf<Modules[Name]>] extends [never] ? never : Name]: ApiOf<Modules[Name]> };
export type PlinthRouter = ReturnType<typeof router<{ system: Apis }>>;

export interface ClientOptions {
  /** Where the server answers tRPC: `http://127.0.0.1:4400/api/trpc`. */
  url: string;
  /** API key or JWT. In the browser leave it out: the console's session is a cookie. */
  token?: string | undefined;
  /** Tenant to work on, for keys that belong to none. */
  tenantId?: string | undefined;
  /** Why an operator looks into a tenant; it is recorded there. */
  reason?: string | undefined;
  /** UUID under which everything that these calls cause is found again. Default: a new one for each request, made by the server. */
  correlationId?: string | undefined;
  fetch?: typeof fetch | undefined;
  /**
   * Told with each answer to queries: where `realtime({ offset })` has to begin to leave no gap behind what they brought. Queries of one batch (made in one tick) have
   * one offset. Of queries made one after the other, keep the first.
   */
  onOffset?: ((offset: string) => void) | undefined;
}

/** Asks for offsets, and hands them over before the answer is read. */
function noting(inner: typeof fetch, onOffset: (offset: string) => void): typeof fetch {
  return async (input, init) => {
    const response = await inner(input, init);
    const offset = response.headers.get('plinth-offset');
    if (offset !== null) onOffset(offset);
    return response;
  };
}

/**
 * A typed client of a Plinth server, for browsers and Node. Errors: TRPCClientError whose `data.problem` is the problem document,
 * with the code and the way out.
 *
 * @example
 * const plinth = createPlinthClient({ url: 'http://127.0.0.1:4400/api/trpc', token: process.env.PLINTH_KEY });
 * const { id } = await plinth.system.jobs.enqueue.mutate({ kind: 'order.receipt' });
 */
export function createPlinthClient(options: ClientOptions): TRPCClient<PlinthRouter> {
  const headers: Record<string, string> = {
    ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
    ...(options.tenantId ? { 'x-plinth-tenant': options.tenantId } : {}),
    ...(options.reason ? { 'x-plinth-reason': options.reason } : {}),
    ...(options.correlationId ? { 'x-correlation-id': options.correlationId } : {}),
    ...(options.onOffset ? { 'plinth-offset': '?1' } : {}),
  };
  const fetches = options.onOffset ? noting(options.fetch ?? fetch, options.onOffset) : options.fetch;
  return createTRPCClient<PlinthRouter>({ links: [httpBatchLink({ url: options.url, headers, ...(fetches ? { fetch: fetches } : {}) })] });
}

export type { RealtimeClient, RealtimeClientOptions, RealtimeEvent, RealtimeListener, RealtimeReset, RealtimeState } from './realtime.ts';
export { realtime } from './realtime.ts';
