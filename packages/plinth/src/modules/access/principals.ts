import type { Queryable } from '#kernel/database.ts';
import { raiser } from '#kernel/errors.ts';
import { secretHash, secretKind } from '#kernel/secret-text.ts';
import { errors } from './errors.ts';

const fail = raiser('access', errors);

/** A key as it is found by its hash. */
export interface FoundKey {
  kind: 'tenant' | 'operator';
  id: string;
  tenant_id: string | null;
  name: string;
  scopes: string[];
  /** How long it still lives, by the clock of the database; null for ever. */
  expires_in_ms: number | null;
  revoked_at: Date | null;
  tenant_status: string | null;
}

/** Refuses a text that cannot be a key without asking the database. Errors: access_key_unknown. */
export function keyHash(secret: string): Buffer {
  if (!['tenant', 'operator'].includes(secretKind(secret) ?? '')) throw fail('key_unknown');
  return secretHash(secret);
}

const EXPIRES_IN = 'extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as expires_in_ms';

/** The key with this hash, or undefined. `tx` runs as plinth_worker. */
export const findKey = async (tx: Queryable, hash: Buffer): Promise<FoundKey | undefined> =>
  (
    await tx.query<FoundKey>(`select kind, id, tenant_id, name, scopes, ${EXPIRES_IN}, revoked_at, tenant_status from plinth_access.key_by_hash($1)`, [hash])
  )[0];

/** The key with this id, of a tenant or (without one) of an operator; undefined when there is none. `tx` runs as plinth_worker. */
export const findKeyById = async (tx: Queryable, id: string, tenantId: string | undefined): Promise<FoundKey | undefined> =>
  (
    await (tenantId === undefined
      ? tx.query<FoundKey>(
          `select 'operator' as kind, id, null as tenant_id, name, scopes, ${EXPIRES_IN}, revoked_at, null as tenant_status from plinth_access.operator_keys where id = $1`,
          [id],
        )
      : tx.query<FoundKey>(
          `select 'tenant' as kind, k.id, k.tenant_id, k.name, k.scopes, ${EXPIRES_IN}, k.revoked_at, t.status as tenant_status
           from plinth_access.api_keys as k join plinth_kernel.tenants as t on t.id = k.tenant_id where k.tenant_id = $2 and k.id = $1`,
          [id, tenantId],
        ))
  )[0];

/**
 * Refuses a key that may not be used, `sinceMs` after it was looked up: the clock of this process tells only how much time went by. Errors: access_key_unknown,
 * access_key_revoked, access_key_expired, access_tenant_suspended.
 */
export function checkKey(key: FoundKey | undefined, sinceMs: number): FoundKey {
  if (!key) throw fail('key_unknown');
  if (key.revoked_at) throw fail('key_revoked');
  if (key.expires_in_ms !== null && key.expires_in_ms <= sinceMs) throw fail('key_expired');
  if (key.kind === 'tenant' && key.tenant_status !== 'active') throw fail('tenant_suspended');
  return key;
}

/** Notes that a key was used; the database keeps at most one note a minute. `tx` runs as plinth_worker. */
export const touchKey = async (tx: Queryable, { id, tenant_id }: Pick<FoundKey, 'id' | 'tenant_id'>): Promise<void> => {
  await tx.query('select plinth_access.touch_key($1, $2)', [tenant_id, id]);
};

/** A tenant that may be worked in. `tx` runs as plinth_worker. Errors: access_tenant_unknown, access_tenant_suspended. */
export async function checkTenant(tx: Queryable, tenantId: string, allowInactive: boolean): Promise<void> {
  const [tenant] = await tx.query<{ status: string }>('select status from plinth_kernel.tenants where id = $1', [tenantId]);
  if (!tenant) throw fail('tenant_unknown', { detail: { tenant_id: tenantId } });
  if (tenant.status !== 'active' && !allowInactive) throw fail('tenant_suspended', { detail: { status: tenant.status } });
}

/** Writes down that an operator entered a tenant, at most once in ten minutes for the same reason. True when it was written. */
export const noteOperatorAccess = async (tx: Queryable, tenantId: string, operatorId: string, reason: string): Promise<boolean> =>
  (await tx.query<{ noted: boolean }>('select plinth_access.note_operator_access($1, $2, $3) as noted', [tenantId, operatorId, reason]))[0]?.noted ?? false;

/** What is stored about a user, as far as a token does not say it. */
export const findMember = async (tx: Queryable, tenantId: string, userId: string): Promise<{ roles: string[]; status: string } | undefined> =>
  (
    await tx.query<{ roles: string[]; status: string }>('select roles, status from plinth_access.users where tenant_id = $1 and id = $2', [tenantId, userId])
  )[0];
