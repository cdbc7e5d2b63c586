import type { Egress } from '#adapters/http/egress.ts';

/** The guarded way out in the form of fetch, as far as fetching a key set needs it: GET, status, headers, JSON. */
export const guardedFetch =
  (egress: Egress): typeof fetch =>
  async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = Object.fromEntries(new Headers(init?.headers));
    const {
      status,
      headers: answered,
      body,
    } = await egress.send({ url, headers, timeoutMs: 5_000, maxBodyBytes: 262_144, ...(init?.signal ? { signal: init.signal } : {}) });
    return new Response(new Uint8Array(body), { status, headers: answered });
  };

/** The egress guard among the adapters of the process, if there is one. */
export const egressOf = (adapters: Record<string, unknown>): Egress | undefined => {
  const { egress } = adapters;
  return egress !== null && typeof egress === 'object' && 'send' in egress ? (egress as Egress) : undefined;
};
