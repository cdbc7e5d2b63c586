import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import type { Principal } from '#kernel/rpc.ts';
import { procedure } from '#kernel/rpc.ts';
import { errors } from './errors.ts';
import { beyond, permissionsOf } from './permissions.ts';
import { customRoles, holdRoles } from './roles.ts';
import type { AccessTransaction } from './transaction.ts';

const fail = raiser('access', errors);

export const user = z
  .object({
    id: z.string(),
    email: z.string().nullable(),
    name: z.string().nullable(),
    roles: z.array(z.string()),
    locale: z.string().nullable(),
    time_zone: z.string().nullable(),
    attributes: z.record(z.string(), z.unknown()),
    status: z.enum(['active', 'invited', 'suspended']),
    created_at: z.date(),
    updated_at: z.date(),
  })
  .meta({ title: 'User' });
export type User = z.infer<typeof user>;

const understood = (ask: () => unknown): boolean => {
  try {
    ask();
    return true;
  } catch {
    return false;
  }
};
const isLocale = (tag: string): boolean => understood(() => Intl.getCanonicalLocales(tag));
const isTimeZone = (timeZone: string): boolean => understood(() => new Intl.DateTimeFormat('en', { timeZone }));

const userId = z.string().min(1).max(200);
const changes = z.object({
  email: z.email().max(320).nullable().optional(),
  name: z.string().min(1).max(200).nullable().optional(),
  roles: z.array(z.string().min(1).max(63)).max(50).optional(),
  locale: z.string().max(35).refine(isLocale, 'a BCP 47 language tag such as de-CH').nullable().optional(),
  time_zone: z.string().max(64).refine(isTimeZone, 'an IANA time zone such as Europe/Zurich').nullable().optional(),
  attributes: z.record(z.string(), z.unknown()).optional(),
  status: z.enum(['active', 'invited', 'suspended']).optional(),
});
type Changes = z.infer<typeof changes>;

const COLUMNS = 'id, email, name, roles, locale, time_zone, attributes, status, created_at, updated_at';
const FIELDS = ['email', 'name', 'roles', 'locale', 'time_zone', 'attributes', 'status'] as const;

/**
 * Roles to grant exist, and neither they nor those the user already holds go beyond what the caller has: who may not grant a role may not
 * change those who have it either, else an admin could lock out the owner. Errors: access_role_not_found, access_escalation.
 */
async function checkRoles(tx: AccessTransaction, principal: Principal, granted: readonly string[], held: readonly string[] = []): Promise<void> {
  await holdRoles(tx);
  const custom = await customRoles(tx);
  const unknown = granted.find((role) => permissionsOf([role], custom).length === 0);
  if (unknown !== undefined) throw fail('role_not_found', { message: `There is no role ${unknown}`, detail: { role: unknown } });
  for (const role of new Set([...granted, ...held])) {
    const more = beyond(permissionsOf([role], custom), principal.scopes);
    if (more.length > 0) throw fail('escalation', { message: `The role ${role} grants more than you have`, detail: { role, permissions: more } });
  }
}

async function one(tx: AccessTransaction, id: string, lock: boolean): Promise<User> {
  const [found] = await tx.query<User>(`select ${COLUMNS} from plinth_access.users where tenant_id = $1 and id = $2${lock ? ' for update' : ''}`, [
    tx.context.tenantId,
    id,
  ]);
  if (!found) throw fail('user_not_found', { detail: { id } });
  return found;
}

const exists = (error: unknown): unknown => ((error as { code?: unknown }).code === '23505' ? fail('user_exists') : error);

const list = procedure({ rest: 'GET /users', permission: 'access.read', exactJson: true, summary: 'Members of the tenant, by id' })
  .input(z.object({ cursor: z.string().max(200).optional(), limit: z.number().int().min(1).max(200).default(50) }))
  .output(z.object({ users: z.array(user), next_cursor: z.string().nullable() }))
  .query(async ({ ctx, input }) => {
    const users = await ctx.tx.query<User>(
      `select ${COLUMNS} from plinth_access.users where tenant_id = $1 and ($2::text is null or id > $2) order by id limit $3`,
      [ctx.tx.context.tenantId, input.cursor ?? null, input.limit + 1],
    );
    const page = users.slice(0, input.limit);
    return { users: page, next_cursor: users.length > input.limit ? (page.at(-1)?.id ?? null) : null };
  });

const get = procedure({ rest: 'GET /users/{id}', permission: 'access.read', exactJson: true, summary: 'One member' })
  .input(z.object({ id: userId }))
  .output(user)
  .query(({ ctx, input }) => one(ctx.tx as AccessTransaction, input.id, false));

const create = procedure({
  rest: 'POST /users',
  permission: 'access.admin',
  exactJson: true,
  summary: 'Adds a member',
  description: "Ids are the application's own; without one a uuid is made.",
})
  .input(changes.extend({ id: userId.optional() }))
  .output(user)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    await checkRoles(tx, ctx.principal, input.roles ?? []);
    const [made] = await tx
      .query<User>(
        `insert into plinth_access.users (tenant_id, id, email, name, roles, locale, time_zone, attributes, status)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning ${COLUMNS}`,
        [
          tx.context.tenantId,
          input.id ?? tx.newId(),
          input.email ?? null,
          input.name ?? null,
          input.roles ?? [],
          input.locale ?? null,
          input.time_zone ?? null,
          JSON.stringify(input.attributes ?? {}),
          input.status ?? 'active',
        ],
      )
      .catch((error: unknown) => Promise.reject(exists(error)));
    if (!made) throw fail('user_exists');
    tx.audit.record({ action: 'user.created', entityType: 'user', entityId: made.id, after: { email: made.email, roles: made.roles, status: made.status } });
    return made;
  });

const update = procedure({ rest: 'PATCH /users/{id}', permission: 'access.admin', exactJson: true, summary: 'Changes the fields of a member that are given' })
  .input(changes.extend({ id: userId }))
  .output(user)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const before = await one(tx, input.id, true);
    await checkRoles(tx, ctx.principal, input.roles ?? [], before.roles);
    const given = FIELDS.filter((field) => input[field] !== undefined);
    const sets = given.map((field, index) => `${field} = $${index + 3}`);
    const values = given.map((field) => (field === 'attributes' ? JSON.stringify(input.attributes) : input[field]));
    const [after] = await tx
      .query<User>(
        `update plinth_access.users set ${[...sets, 'updated_at = clock_timestamp()'].join(', ')} where tenant_id = $1 and id = $2 returning ${COLUMNS}`,
        [tx.context.tenantId, input.id, ...values],
      )
      .catch((error: unknown) => Promise.reject(exists(error)));
    if (!after) throw fail('user_not_found', { detail: { id: input.id } });
    const part = (row: User): Partial<Changes> => Object.fromEntries(given.map((field) => [field, row[field]]));
    tx.audit.record({ action: 'user.updated', entityType: 'user', entityId: input.id, before: part(before), after: part(after) });
    return after;
  });

const remove = procedure({ rest: 'DELETE /users/{id}', permission: 'access.admin', summary: 'Removes a member' })
  .input(z.object({ id: userId }))
  .output(z.object({ id: z.string() }))
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const before = await one(tx, input.id, true);
    await checkRoles(tx, ctx.principal, [], before.roles);
    await tx.query('delete from plinth_access.users where tenant_id = $1 and id = $2', [tx.context.tenantId, input.id]);
    tx.audit.record({
      action: 'user.deleted',
      entityType: 'user',
      entityId: input.id,
      before: { email: before.email, roles: before.roles, status: before.status },
    });
    return { id: input.id };
  });

export const users = { list, get, create, update, remove };
