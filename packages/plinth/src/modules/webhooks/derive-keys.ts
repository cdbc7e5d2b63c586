import { toPlinthError } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { WorkerPart } from '#kernel/work.ts';
import type { WebhookJwk } from './keys.ts';
import { jwkOf, PRIVATE, publicHalf } from './keys.ts';

/** Name of the hint that a key was made. */
export const KEY_MADE = 'webhooks.key_made';
const POLL_MS = 5_000;
/** A process that hangs or stands still must not keep what it has locked. */
const LIMITS = { timeoutMs: 10_000, idleMs: 5_000 };

/** Derives the public halves of keys that SQL made, in a transaction of the worker role. Returns how many. */
export async function deriveKeys(tx: AnyTransaction): Promise<number> {
  const keys = await tx.query<{ tenant_id: string; id: string; seed: string }>('select * from plinth_webhooks.keys_to_derive()');
  if (keys.length === 0) return 0;
  const rows = keys.map(({ tenant_id, id, seed }) => {
    const publicKey = publicHalf(PRIVATE + seed);
    return { tenant_id, id, public_key: publicKey, key_id: jwkOf(publicKey).kid };
  });
  const [saved] = await tx.query<{ count: number }>('select plinth_webhooks.save_public_keys($1) as count', [JSON.stringify(rows)]);
  return saved?.count ?? 0;
}

/** The JWK set of a tenant, or of one subscription of it, for a role that may read it; undefined when one of its keys is still to be derived. */
export async function readJwks(tx: AnyTransaction, tenantId: string, subscriptionId?: string): Promise<{ keys: WebhookJwk[] } | undefined> {
  const rows = await tx.query<{ public_key: string | null }>('select public_key from plinth_webhooks.published_keys($1, $2)', [
    tenantId,
    subscriptionId ?? null,
  ]);
  const known = rows.flatMap(({ public_key: publicKey }) => (publicKey === null ? [] : [jwkOf(publicKey)]));
  return known.length === rows.length ? { keys: known } : undefined;
}

/** The part of the worker that makes public keys known: at a hint, and every 5 s by one index probe. */
export const keyDeriver: WorkerPart = (runtime) => {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await runtime.plinth.asWorker(LIMITS, deriveKeys).catch((error: unknown) => {
        const { code, message } = toPlinthError(error);
        runtime.services.log.warn({ module: 'webhooks', code, error: message }, 'webhooks: could not derive public keys');
      });
      await runtime.wake.next([KEY_MADE], POLL_MS, stopping.signal);
    }
  };
  const loop = run();
  return {
    async stop() {
      stopping.abort();
      await loop;
    },
  };
};
