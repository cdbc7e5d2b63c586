import { z } from 'zod';
import type { Queryable } from '#kernel/database.ts';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { errors } from './errors.ts';
import { BUILT_IN_ROLES, beyond, PERMISSION, refuseUnknown } from './permissions.ts';
import type { AccessTransaction } from './transaction.ts';

const fail = raiser('access', errors);

const role = z.object({ name: z.string(), description: z.string(), permissions: z.array(z.string()), built_in: z.boolean() }).meta({ title: 'Role' });
const roleName = z.string().regex(/^[a-z][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, _ and -');

/**
 * What roles grant stays as it is until the transaction ends; with `change`, nobody else looks meanwhile. Else a role could be widened while it is granted, or be removed
 * while somebody gets it.
 */
export async function holdRoles(tx: AccessTransaction, change = false): Promise<void> {
  await tx.query(`select pg_advisory_xact_lock${change ? '' : '_shared'}(hashtextextended('plinth roles ' || $1, 0))`, [tx.context.tenantId]);
}

/** Roles that the tenant of the transaction defined itself: name -> permissions. At most 1,000. */
export async function customRoles(tx: Queryable & { context: { tenantId?: string | undefined } }): Promise<Map<string, string[]>> {
  const rows = await tx.query<{ name: string; permissions: string[] }>('select name, permissions from plinth_access.roles where tenant_id = $1 limit 1000', [
    tx.context.tenantId,
  ]);
  return new Map(rows.map((row) => [row.name, row.permissions]));
}

const list = procedure({ rest: 'GET /roles', permission: 'access.read', summary: 'Built-in roles and those of the tenant' })
  .output(z.object({ roles: z.array(role) }))
  .query(async ({ ctx }) => {
    const own = await ctx.tx.query<{ name: string; description: string; permissions: string[] }>(
      'select name, description, permissions from plinth_access.roles where tenant_id = $1 order by name limit 1000',
      [ctx.tx.context.tenantId],
    );
    const builtIn = Object.entries(BUILT_IN_ROLES).map(([name, { description, permissions }]) => ({
      name,
      description,
      permissions: [...permissions],
      built_in: true,
    }));
    return { roles: [...builtIn, ...own.map((row) => ({ ...row, built_in: false }))] };
  });

const put = procedure({ rest: 'PUT /roles/{name}', permission: 'access.admin', summary: 'Defines a role of the tenant, or defines it anew' })
  .input(z.object({ name: roleName, description: z.string().max(500).default(''), permissions: z.array(z.string().regex(PERMISSION)).min(1).max(200) }))
  .output(role)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    if (Object.hasOwn(BUILT_IN_ROLES, input.name)) throw fail('role_built_in', { message: `${input.name} is a built-in role` });
    refuseUnknown(input.permissions, ctx.permissions);
    await holdRoles(tx, true);
    const before = (await customRoles(tx)).get(input.name);
    const more = beyond([...input.permissions, ...(before ?? [])], ctx.principal.scopes);
    if (more.length > 0) throw fail('escalation', { detail: { permissions: more } });
    await tx.query(
      `insert into plinth_access.roles (tenant_id, name, description, permissions) values ($1, $2, $3, $4)
       on conflict (tenant_id, name) do update set description = excluded.description, permissions = excluded.permissions, updated_at = clock_timestamp()`,
      [tx.context.tenantId, input.name, input.description, input.permissions],
    );
    tx.audit.record({
      action: before ? 'role.updated' : 'role.created',
      entityType: 'role',
      entityId: input.name,
      before: before ? { permissions: before } : null,
      after: { permissions: input.permissions },
    });
    return { name: input.name, description: input.description, permissions: input.permissions, built_in: false };
  });

const remove = procedure({ rest: 'DELETE /roles/{name}', permission: 'access.admin', summary: 'Removes a role of the tenant that nobody has' })
  .input(z.object({ name: roleName }))
  .output(z.object({ name: z.string() }))
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    if (Object.hasOwn(BUILT_IN_ROLES, input.name)) throw fail('role_built_in', { message: `${input.name} is a built-in role` });
    await holdRoles(tx, true);
    const [gone] = await tx.query<{ permissions: string[] }>('delete from plinth_access.roles where tenant_id = $1 and name = $2 returning permissions', [
      tx.context.tenantId,
      input.name,
    ]);
    if (!gone) throw fail('role_not_found', { message: `There is no role ${input.name}`, detail: { role: input.name } });
    const more = beyond(gone.permissions, ctx.principal.scopes);
    if (more.length > 0) throw fail('escalation', { detail: { permissions: more } });
    const [holder] = await tx.query<{ id: string }>('select id from plinth_access.users where tenant_id = $1 and $2 = any (roles) limit 1', [
      tx.context.tenantId,
      input.name,
    ]);
    if (holder) throw fail('role_in_use', { detail: { user: holder.id } });
    tx.audit.record({ action: 'role.deleted', entityType: 'role', entityId: input.name, before: { permissions: gone.permissions } });
    return { name: input.name };
  });

export const roles = { list, put, remove };
