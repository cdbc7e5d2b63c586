import { LRUCache } from 'lru-cache';

/** What was found out about credentials, believed for a while. */
export interface Beliefs<Value> {
  /** What is known, or what `look` finds. What it throws is not kept. */
  about(key: string, look: () => Promise<Value>): Promise<Value>;
  forget(): void;
}

const MOST_KEPT = 10_000;

export function createBeliefs<Value extends object | true>(cacheMs: number): Beliefs<Value> {
  const kept = new LRUCache<string, Value>({ max: MOST_KEPT, ttl: Math.max(cacheMs, 1) });
  let forgotten = 0;
  return {
    async about(key, look) {
      const known = kept.get(key);
      if (known !== undefined) return known;
      const asked = forgotten;
      const found = await look();
      // What was being read when it was to be forgotten may be from before the change.
      if (cacheMs > 0 && asked === forgotten) kept.set(key, found);
      return found;
    },
    forget() {
      forgotten += 1;
      kept.clear();
    },
  };
}
