import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { ensureAdminKey as ensure, makeLoginLink } from '#modules/access';

/**
 * The operator key that the installation starts with. Give PLINTH_ADMIN_KEY to have that key made valid; without it a key is made when no
 * active one exists, and its secret is in the answer this once: the database keeps only its hash. Errors: access_admin_key_malformed.
 */
export const ensureAdminKey = <M extends ModuleMap>(plinth: Plinth<M>, given?: string): Promise<{ id: string; secret: string | undefined; created: boolean }> =>
  plinth.asWorker({}, (tx) => ensure(tx, given));

/** A link into the console that works once, for 15 minutes. The token stands behind the # so that no proxy or log ever sees it. */
export async function createLoginLink<M extends ModuleMap>(plinth: Plinth<M>, origin: string, operatorKeyId: string): Promise<string> {
  const token = await plinth.asWorker({}, (tx) => makeLoginLink(tx, operatorKeyId));
  return `${origin}/console#token=${token}`;
}
