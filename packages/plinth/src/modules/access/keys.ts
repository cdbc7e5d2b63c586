import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { newSecret, secretHash, secretLabel } from '#kernel/secret-text.ts';
import { errors } from './errors.ts';
import { beyond, PERMISSION, refuseUnknown } from './permissions.ts';
import type { AccessTransaction } from './transaction.ts';

const fail = raiser('access', errors);

export const apiKey = z
  .object({
    id: z.guid(),
    name: z.string(),
    prefix: z.string(),
    last4: z.string(),
    scopes: z.array(z.string()),
    status: z.enum(['active', 'expired', 'revoked']),
    expires_at: z.date().nullable(),
    rotated_from: z.guid().nullable(),
    revoked_at: z.date().nullable(),
    last_used_at: z.date().nullable(),
    created_by: z.string(),
    created_at: z.date(),
  })
  .meta({ title: 'ApiKey' });
type ApiKey = z.infer<typeof apiKey>;

export const scopes = z.array(z.string().max(100).regex(PERMISSION, 'a permission such as audit.read, audit.*, *.read or *')).min(1).max(200);
const withSecret = apiKey.extend({ secret: z.string().nullable().meta({ description: 'The key itself: told now and never again' }) });
const id = z.object({ id: z.guid() });
const COLUMNS = 'id, name, prefix, last4, scopes, status, expires_at, rotated_from, revoked_at, last_used_at, created_by, created_at';
const LONGEST_OVERLAP_S = 30 * 86_400;

async function one(tx: AccessTransaction, keyId: string): Promise<ApiKey> {
  const [found] = await tx.query<ApiKey>(`select ${COLUMNS} from plinth.api_keys where tenant_id = $1 and id = $2`, [tx.context.tenantId, keyId]);
  if (!found) throw fail('key_not_found', { detail: { id: keyId } });
  return found;
}

interface NewKey {
  name: string;
  scopes: readonly string[];
  expiresAt: string | null;
  /** Interval of SQL, counted from now; null where expiresAt says it, and for ever where neither does. */
  life: string | null;
  rotatedFrom: string | null;
}

async function insert(tx: AccessTransaction, key: NewKey): Promise<ApiKey & { secret: string }> {
  const secret = newSecret('tenant');
  const { prefix, last4 } = secretLabel(secret);
  const keyId = tx.newId();
  await tx.query(
    `insert into plinth_access.api_keys (tenant_id, id, name, prefix, last4, hash, scopes, expires_at, life, rotated_from)
     values ($1, $2, $3, $4, $5, $6, $7, coalesce($8::timestamptz, clock_timestamp() + $9::interval), coalesce($9::interval, $8::timestamptz - clock_timestamp()), $10)`,
    [tx.context.tenantId, keyId, key.name, prefix, last4, secretHash(secret), key.scopes, key.expiresAt, key.life, key.rotatedFrom],
  );
  return { ...(await one(tx, keyId)), secret };
}

const list = procedure({ rest: 'GET /keys', permission: 'access.read', summary: 'API keys of the tenant, newest first' })
  .input(z.object({ cursor: z.guid().optional(), limit: z.number().int().min(1).max(200).default(50) }))
  .output(z.object({ keys: z.array(apiKey), next_cursor: z.guid().nullable() }))
  .query(async ({ ctx, input }) => {
    const keys = await ctx.tx.query<ApiKey>(
      `select ${COLUMNS} from plinth.api_keys where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3`,
      [ctx.tx.context.tenantId, input.cursor ?? null, input.limit + 1],
    );
    const page = keys.slice(0, input.limit);
    return { keys: page, next_cursor: keys.length > input.limit ? (page.at(-1)?.id ?? null) : null };
  });

const create = procedure({
  rest: 'POST /keys',
  permission: 'access.admin',
  summary: 'Makes an API key',
  secretFields: ['secret'],
  description: 'The secret is in this answer only. A replay under the same Idempotency-Key gives null in its place.',
})
  .input(z.object({ name: z.string().min(1).max(200), scopes, expires_at: z.iso.datetime({ offset: true }).optional() }))
  .output(withSecret)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    refuseUnknown(input.scopes, ctx.permissions);
    const more = beyond(input.scopes, ctx.principal.scopes);
    if (more.length > 0) throw fail('escalation', { detail: { permissions: more } });
    const made = await insert(tx, { name: input.name, scopes: input.scopes, expiresAt: input.expires_at ?? null, life: null, rotatedFrom: null });
    tx.audit.record({
      action: 'api_key.created',
      entityType: 'api_key',
      entityId: made.id,
      after: { name: made.name, scopes: made.scopes, expires_at: made.expires_at },
    });
    return made;
  });

const rotate = procedure({
  rest: 'POST /keys/{id}/rotate',
  permission: 'access.admin',
  summary: 'Makes the successor of a key; both work for the time of the overlap',
  secretFields: ['secret'],
})
  .input(z.object({ id: z.guid(), overlap_seconds: z.number().int().min(0).max(LONGEST_OVERLAP_S).default(86_400) }))
  .output(withSecret)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const [locked] = await tx.query<{ life: string | null }>(
      'select life::text as life from plinth_access.api_keys where tenant_id = $1 and id = $2 for update',
      [tx.context.tenantId, input.id],
    );
    const old = await one(tx, input.id);
    if (old.status !== 'active') throw fail('key_inactive', { detail: { id: old.id, status: old.status } });
    const more = beyond(old.scopes, ctx.principal.scopes);
    if (more.length > 0) throw fail('escalation', { detail: { permissions: more } });
    const made = await insert(tx, { name: old.name, scopes: old.scopes, expiresAt: null, life: locked?.life ?? null, rotatedFrom: old.id });
    await tx.query(
      `update plinth_access.api_keys set expires_at = least(expires_at, clock_timestamp() + make_interval(secs => $3)) where tenant_id = $1 and id = $2`,
      [tx.context.tenantId, old.id, input.overlap_seconds],
    );
    tx.audit.record({
      action: 'api_key.rotated',
      entityType: 'api_key',
      entityId: old.id,
      after: { successor: made.id, overlap_seconds: input.overlap_seconds },
    });
    return made;
  });

const revoke = procedure({
  rest: 'DELETE /keys/{id}',
  permission: 'access.admin',
  summary: 'Revokes a key for good',
  description: 'Requests with it are refused at once by the process that revoked it, by other processes after their look-up cache, at most 30 s later.',
})
  .input(id)
  .output(apiKey)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const [gone] = await tx.query<{ name: string; scopes: string[] }>(
      'update plinth_access.api_keys set revoked_at = clock_timestamp() where tenant_id = $1 and id = $2 and revoked_at is null returning name, scopes',
      [tx.context.tenantId, input.id],
    );
    if (gone) tx.audit.record({ action: 'api_key.revoked', entityType: 'api_key', entityId: input.id, before: { name: gone.name, scopes: gone.scopes } });
    return one(tx, input.id);
  });

export const keys = { list, create, rotate, revoke };
