import { raiser } from '#kernel/errors.ts';
import { allows } from '#kernel/rpc.ts';
import { errors } from './errors.ts';

const fail = raiser('access', errors);

/** Built-in roles. Permissions are matched by name: `*.read` is every module's reading, `audit.*` all of one module, `*` everything. */
export const BUILT_IN_ROLES: Readonly<Record<string, { description: string; permissions: readonly string[] }>> = {
  owner: { description: 'Everything, including what later modules add', permissions: ['*'] },
  admin: { description: 'Reads and changes everything, manages users, roles and keys', permissions: ['*.read', '*.write', '*.retry', '*.admin'] },
  member: { description: 'Reads and changes everything except users, roles and keys', permissions: ['*.read', '*.write', '*.retry'] },
  viewer: { description: 'Reads everything', permissions: ['*.read'] },
  support: { description: 'Reads everything, runs jobs and deliveries again', permissions: ['*.read', '*.retry'] },
};

/** One permission or pattern: `audit.read`, `audit.*`, `*.read`, `*`. */
export const PERMISSION = /^(\*|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_.]*)|\*\.[a-z][a-z0-9_.]*)$/;

/**
 * Those of `wanted` that `own` does not cover. A pattern is covered by itself or by a wider one, never by the sum of narrow ones:
 * what modules will add later is not known now.
 */
export const beyond = (wanted: readonly string[], own: readonly string[]): string[] => wanted.filter((permission) => !allows(own, permission));

/** Refuses what would grant nothing: a word that is misspelt would be found out by whoever is refused later. Error: access_permission_unknown. */
export function refuseUnknown(wanted: readonly string[], known: readonly string[] | undefined): void {
  const unknown = wanted.filter((permission) => known?.some((one) => allows([permission], one)) === false);
  if (unknown.length === 0) return;
  const modules = unknown.map((permission) => permission.split('.')[0]);
  const near = known?.filter((permission) => modules.includes(permission.split('.')[0])) ?? [];
  throw fail('permission_unknown', {
    message: `Nothing here asks for the permission ${unknown.join(', ')}`,
    detail: { unknown, known: near.length > 0 ? near : known },
  });
}

/** Permissions of roles: built-in ones, then those the tenant defined. Unknown names give nothing. */
export const permissionsOf = (roles: readonly string[], custom: ReadonlyMap<string, readonly string[]>): string[] => [
  ...new Set(roles.flatMap((role) => (Object.hasOwn(BUILT_IN_ROLES, role) ? BUILT_IN_ROLES[role]?.permissions : custom.get(role)) ?? [])),
];
