import { Resolver } from 'node:dns/promises';
import { LRUCache } from 'lru-cache';

export interface ResolvedAddress {
  address: string;
  ttlSeconds: number;
}

/** Answers for A and AAAA together. Rejects when either question could not be answered; an empty list means the name has no address. */
export type Resolve = (host: string, signal: AbortSignal) => Promise<ResolvedAddress[]>;

const NO_ADDRESS = new Set(['ENODATA', 'ENOTFOUND']);
const LOOPBACK: ResolvedAddress[] = ['127.0.0.1', '::1'].map((address) => ({ address, ttlSeconds: 0 }));

const none = (error: NodeJS.ErrnoException): ResolvedAddress[] => {
  if (NO_ADDRESS.has(error.code ?? '')) return [];
  throw error;
};
const rows = (records: { address: string; ttl: number }[]): ResolvedAddress[] => records.map(({ address, ttl }) => ({ address, ttlSeconds: ttl }));

/**
 * Asks DNS itself, through c-ares: no search domains, no hosts file, both families. `servers` (`127.0.0.1:5353`) replaces
 * those of the machine. `localhost` names are loopback by definition (RFC 6761) and are never asked for.
 */
export const dnsResolve =
  (servers?: readonly string[]): Resolve =>
  async (host, signal) => {
    if (host === 'localhost' || host.endsWith('.localhost')) return LOOPBACK;
    const resolver = new Resolver({ timeout: 900, tries: 2 });
    if (servers) resolver.setServers(servers);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      signal.throwIfAborted();
      const answers = await Promise.all([resolver.resolve4(host, { ttl: true }).then(rows, none), resolver.resolve6(host, { ttl: true }).then(rows, none)]);
      return answers.flat();
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  };

/** Longest time an answer is kept, seconds: a name that moves is followed soon, one that is called often costs one question. */
const LONGEST_TTL = 30;

export interface CachedResolve {
  /** What is still known of a name, without a wait. */
  known(host: string): readonly ResolvedAddress[] | undefined;
  ask: Resolve;
}

/** Keeps answers for their TTL, at most 30 s, at most 1,000 names. Empty answers and answers with TTL 0 are not kept. */
export function cachedResolve(resolve: Resolve): CachedResolve {
  const cache = new LRUCache<string, ResolvedAddress[]>({ max: 1000, ttl: LONGEST_TTL * 1000 });
  return {
    known: (host) => cache.get(host),
    async ask(host, signal) {
      const answers = await resolve(host, signal);
      const ttlSeconds = Math.min(LONGEST_TTL, ...answers.map((answer) => answer.ttlSeconds));
      if (answers.length > 0 && ttlSeconds > 0) cache.set(host, answers, { ttl: ttlSeconds * 1000 });
      return answers;
    },
  };
}
