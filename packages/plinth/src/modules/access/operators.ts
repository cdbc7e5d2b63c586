import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { newSecret, secretHash, secretKind, secretLabel } from '#kernel/secret-text.ts';
import type { AuditEntry } from '#modules/audit';
import { errors } from './errors.ts';
import { apiKey, scopes } from './keys.ts';
import { beyond, refuseUnknown } from './permissions.ts';
import type { AccessTransaction } from './transaction.ts';
import { NO_TENANT, recordIn } from './transaction.ts';

const fail = raiser('access', errors);

const operatorKey = apiKey.omit({ rotated_from: true });
type OperatorKey = z.infer<typeof operatorKey>;
const withSecret = operatorKey.extend({ secret: z.string().nullable().meta({ description: 'The key itself: told now and never again' }) });

const COLUMNS = `id, name, prefix, last4, scopes,
  case when revoked_at is not null then 'revoked' when expires_at <= clock_timestamp() then 'expired' else 'active' end as status,
  expires_at, revoked_at, last_used_at, created_by, created_at`;

/** Name of the key that `plinth dev`, `plinth start` and PLINTH_ADMIN_KEY stand for. */
export const ADMIN_KEY_NAME = 'admin';

/** Operators belong to no tenant, and neither do the entries about their keys: those who look across all tenants see them. */
const record = (tx: AccessTransaction, action: string, key: OperatorKey, change: Pick<AuditEntry, 'before' | 'after'>): Promise<void> =>
  recordIn(tx, NO_TENANT, { action, entityType: 'operator_key', entityId: key.id, severity: 'warning', ...change });

async function make(tx: AccessTransaction, secret: string, key: { name: string; scopes: readonly string[]; expiresAt: string | null }): Promise<OperatorKey> {
  const { prefix, last4 } = secretLabel(secret);
  const [made] = await tx.query<OperatorKey>(
    `insert into plinth_access.operator_keys (id, name, prefix, last4, hash, scopes, expires_at) values ($1, $2, $3, $4, $5, $6, $7) returning ${COLUMNS}`,
    [tx.newId(), key.name, prefix, last4, secretHash(secret), key.scopes, key.expiresAt],
  );
  if (!made) throw fail('key_unknown');
  await record(tx, 'operator_key.created', made, { after: { name: made.name, scopes: made.scopes, expires_at: made.expires_at } });
  return made;
}

/**
 * The first operator key. With `given` (PLINTH_ADMIN_KEY) that key is made unless it is there; without one a key is made unless some active
 * one exists. What was revoked stays revoked. `tx` runs as plinth_worker. Returns the secret only when it was given or made now.
 * Errors: access_admin_key_malformed, access_admin_key_revoked, access_admin_key_expired.
 */
export async function ensureAdminKey(tx: AccessTransaction, given?: string): Promise<{ id: string; secret: string | undefined; created: boolean }> {
  if (given !== undefined && secretKind(given) !== 'operator') throw fail('admin_key_malformed');
  // Two processes that start together make one key.
  await tx.query(`select pg_advisory_xact_lock(hashtextextended('plinth admin key', 0))`);
  const [known] = await tx.query<OperatorKey>(
    `select ${COLUMNS} from plinth_access.operator_keys
     where case when $1::bytea is null then revoked_at is null and (expires_at is null or expires_at > clock_timestamp()) else hash = $1 end order by id limit 1`,
    [given === undefined ? null : secretHash(given)],
  );
  if (known?.status === 'revoked') throw fail('admin_key_revoked', { detail: { id: known.id } });
  if (known?.status === 'expired') throw fail('admin_key_expired', { detail: { id: known.id } });
  if (known) return { id: known.id, secret: given, created: false };
  const secret = given ?? newSecret('operator');
  const made = await make(tx, secret, { name: ADMIN_KEY_NAME, scopes: ['*'], expiresAt: null });
  return { id: made.id, secret, created: true };
}

const list = procedure({ rest: 'GET /operators/keys', permission: 'operators.read', operator: true, summary: 'Operator keys, newest first' })
  .output(z.object({ keys: z.array(operatorKey) }))
  .query(async ({ ctx }) => ({ keys: await ctx.tx.query<OperatorKey>(`select ${COLUMNS} from plinth_access.operator_keys order by id desc limit 1000`) }));

const create = procedure({
  rest: 'POST /operators/keys',
  permission: 'operators.admin',
  operator: true,
  summary: 'Makes an operator key',
  secretFields: ['secret'],
})
  .input(z.object({ name: z.string().min(1).max(200), scopes, expires_at: z.iso.datetime({ offset: true }).optional() }))
  .output(withSecret)
  .mutation(async ({ ctx, input }) => {
    refuseUnknown(input.scopes, ctx.permissions);
    const more = beyond(input.scopes, ctx.principal.scopes);
    if (more.length > 0) throw fail('escalation', { detail: { permissions: more } });
    const secret = newSecret('operator');
    const made = await make(ctx.tx as AccessTransaction, secret, { name: input.name, scopes: input.scopes, expiresAt: input.expires_at ?? null });
    return { ...made, secret };
  });

const revoke = procedure({ rest: 'DELETE /operators/keys/{id}', permission: 'operators.admin', operator: true, summary: 'Revokes an operator key for good' })
  .input(z.object({ id: z.guid() }))
  .output(operatorKey)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const [gone] = await tx.query<OperatorKey>(
      `update plinth_access.operator_keys set revoked_at = clock_timestamp() where id = $1 and revoked_at is null returning ${COLUMNS}`,
      [input.id],
    );
    if (gone) await record(tx, 'operator_key.revoked', gone, { before: { name: gone.name, scopes: gone.scopes } });
    const [before] = gone ? [gone] : await tx.query<OperatorKey>(`select ${COLUMNS} from plinth_access.operator_keys where id = $1`, [input.id]);
    if (!before) throw fail('key_not_found', { detail: { id: input.id } });
    return before;
  });

export const operators = { keys: { list, create, revoke } };
