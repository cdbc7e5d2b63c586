import { LRUCache } from 'lru-cache';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { FoundKey } from '#modules/access';
import { checkKey, findKey, findKeyById, keyHash, touchKey } from '#modules/access';
import type { SessionKey } from './session.ts';

/** Looks keys up, believes what it found for a while, and notes that they were used. */
export interface Keyring {
  /** Errors: access_key_unknown, access_key_revoked, access_key_expired, access_tenant_suspended. */
  bySecret(secret: string): Promise<FoundKey>;
  /** The same, for a key that a session stands for. */
  byId(key: SessionKey): Promise<FoundKey>;
  forget(): void;
  /** Resolves when notes of use that are under way are written. */
  settle(): Promise<void>;
}

const TOUCH_EVERY_MS = 60_000;
const MOST_KEPT = 10_000;

export function createKeyring(plinth: Plinth<ModuleMap>, cacheMs: number): Keyring {
  const keys = new LRUCache<string, { key: FoundKey; foundMs: number }>({ max: MOST_KEPT, ttl: Math.max(cacheMs, 1) });
  const touched = new LRUCache<string, true>({ max: MOST_KEPT, ttl: TOUCH_EVERY_MS });
  const looks = new Map<string, Promise<FoundKey>>();
  const pending = new Set<Promise<unknown>>();

  /** Not waited for: a request need not be slower for a note about it. */
  const touch = (key: FoundKey): void => {
    if (touched.has(key.id)) return;
    touched.set(key.id, true);
    const noted = plinth.asWorker({}, (tx) => touchKey(tx, key)).catch(() => {});
    pending.add(noted);
    void noted.then(() => pending.delete(noted));
  };

  /** Those that ask while a key is looked up share the answer: readers of a server that died come to another one all at once. */
  const shared = (cacheKey: string, look: () => Promise<FoundKey | undefined>): Promise<FoundKey> => {
    const before = looks.get(cacheKey);
    if (before && cacheMs > 0) return before;
    const mine = look()
      .then((row) => {
        const key = checkKey(row, 0);
        // Only what was looked up starts a new time: else a key in constant use would be believed for ever.
        if (cacheMs > 0 && looks.get(cacheKey) === mine) keys.set(cacheKey, { key, foundMs: plinth.clock.now() });
        return key;
      })
      .finally(() => {
        if (looks.get(cacheKey) === mine) looks.delete(cacheKey);
      });
    looks.set(cacheKey, mine);
    return mine;
  };

  const found = async (cacheKey: string, look: () => Promise<FoundKey | undefined>): Promise<FoundKey> => {
    const kept = keys.get(cacheKey);
    // What was found once may have expired since; what was revoked is known when it is looked up again.
    const key = kept ? checkKey(kept.key, plinth.clock.now() - kept.foundMs) : await shared(cacheKey, look);
    touch(key);
    return key;
  };

  return {
    bySecret: async (secret) => {
      const hash = keyHash(secret);
      return found(hash.toString('base64'), () => plinth.asWorker({ readOnly: true }, (tx) => findKey(tx, hash)));
    },
    // With the tenant: an id is unique below it, and that of an operator's key is known to tenants.
    byId: ({ id, tenantId }) => found(`id:${tenantId ?? ''}:${id}`, () => plinth.asWorker({ readOnly: true }, (tx) => findKeyById(tx, id, tenantId))),
    forget: () => {
      keys.clear();
      // What is being looked up may have been read before the change.
      looks.clear();
    },
    settle: async () => void (await Promise.allSettled(pending)),
  };
}
