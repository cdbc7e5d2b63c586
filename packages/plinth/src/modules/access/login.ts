import type { Queryable } from '#kernel/database.ts';
import { raiser } from '#kernel/errors.ts';
import { newSecret, secretHash, secretKind } from '#kernel/secret-text.ts';
import { errors } from './errors.ts';

const fail = raiser('access', errors);

/** Makes a one-time token for the console in the name of an operator key. `tx` runs as plinth_worker. Lives 15 minutes unless told otherwise. */
export async function makeLoginLink(tx: Queryable, operatorKeyId: string, lifeMs = 15 * 60_000): Promise<string> {
  const token = newSecret('login');
  await tx.query(`insert into plinth_access.login_links (hash, operator_key_id, expires_at) values ($1, $2, clock_timestamp() + make_interval(secs => $3))`, [
    secretHash(token),
    operatorKeyId,
    lifeMs / 1000,
  ]);
  return token;
}

/** Spends a one-time token and returns the operator key it stands for. `tx` runs as plinth_worker. Errors: access_link_invalid. */
export async function spendLoginLink(tx: Queryable, token: string): Promise<string> {
  if (secretKind(token) !== 'login') throw fail('link_invalid');
  const [row] = await tx.query<{ id: string | null }>('select plinth_access.use_login_link($1) as id', [secretHash(token)]);
  if (!row?.id) throw fail('link_invalid');
  return row.id;
}
