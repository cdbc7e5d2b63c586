import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { AccessTransaction } from '#modules/access';
import { ensureAdminKey as ensure, makeLoginLink } from '#modules/access';

/**
 * The operator key that the installation starts with. Give PLINTH_ADMIN_KEY to have that key made when it is not there; without it a key is
 * made when no active one exists, and its secret is in the answer this once: the database keeps only its hash. What was made is in the audit
 * log. Errors: access_admin_key_malformed, access_admin_key_revoked, access_admin_key_expired.
 */
export const ensureAdminKey = <M extends ModuleMap>(plinth: Plinth<M>, given?: string): Promise<{ id: string; secret: string | undefined; created: boolean }> =>
  plinth.asWorker({}, (tx) => ensure(tx as unknown as AccessTransaction, given));

/** A link into the console that works once, for 15 minutes. The token stands behind the # so that no proxy or log ever sees it. */
export async function createLoginLink<M extends ModuleMap>(plinth: Plinth<M>, origin: string, operatorKeyId: string): Promise<string> {
  const token = await plinth.asWorker({}, (tx) => makeLoginLink(tx, operatorKeyId));
  return `${origin}/console#token=${token}`;
}
