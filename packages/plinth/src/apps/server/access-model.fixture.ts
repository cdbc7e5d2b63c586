/** Who may do what, worked out again from the README of access: tenants, members, roles, keys, tokens, and what each of them may do now. */

/** What the built-in roles are said to hold. */
const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  owner: ['*'],
  admin: ['*.read', '*.write', '*.retry', '*.admin'],
  member: ['*.read', '*.write', '*.retry'],
  viewer: ['*.read'],
  support: ['*.read', '*.retry'],
};
export const BUILT_IN_NAMES = Object.keys(BUILT_IN);
export const NO_TENANT = '00000000-0000-0000-0000-000000000000';
/** Of the clock of a token, ms. */
const TOLERANCE_MS = 60_000;

export class Refusal extends Error {}
const refuse = (code: string): never => {
  throw new Refusal(code);
};

export interface Key {
  id: string;
  /** Undefined: of an operator. */
  tenantId: string | undefined;
  scopes: readonly string[];
  revoked: boolean;
  expiresAt: number | undefined;
  lifeMs: number | undefined;
}
export interface Member {
  roles: readonly string[];
  status: 'active' | 'invited' | 'suspended';
}
export interface Tenant {
  status: 'active' | 'suspended' | 'closed';
  members: Map<string, Member>;
  roles: Map<string, readonly string[]>;
}
export type Credential =
  | { kind: 'key'; id: string; cookie: string | undefined; secret: string }
  | { kind: 'token'; jwt: string; tenantId: string; userId: string; roles: readonly string[] | undefined; expiresAtS: number };
export interface Caller {
  actor: string;
  tenantId: string | undefined;
  scopes: readonly string[];
  operator: boolean;
}

const covers = (scope: string, permission: string): boolean => {
  if (scope === '*' || scope === permission) return true;
  const [module = '', what = ''] = scope.split('.');
  return what === '*' ? permission.startsWith(`${module}.`) : module === '*' && permission.endsWith(`.${what}`);
};
export const mayDo = (scopes: readonly string[], permission: string): boolean => scopes.some((scope) => covers(scope, permission));
const exceeds = (wanted: readonly string[], scopes: readonly string[]): boolean => wanted.some((permission) => !mayDo(scopes, permission));

/** What an action does: an entry of the audit log for each change, `tenant action entity`. */
export interface Done {
  entries: string[];
}

export class Access {
  tenants = new Map<string, Tenant>();
  keys = new Map<string, Key>();

  copy(): Access {
    return Object.assign(new Access(), structuredClone({ tenants: this.tenants, keys: this.keys }));
  }

  #tenant = (id: string): Tenant => this.tenants.get(id) ?? refuse('access_tenant_unknown');
  #granted = (tenant: Tenant, role: string): readonly string[] => BUILT_IN[role] ?? tenant.roles.get(role) ?? [];

  /** Whom a credential stands for at that moment. */
  caller(credential: Credential, nowMs: number): Caller {
    if (credential.kind === 'token') {
      if (credential.expiresAtS * 1000 + TOLERANCE_MS <= Math.floor(nowMs / 1000) * 1000) refuse('access_token_invalid');
      const tenant = this.#tenant(credential.tenantId);
      if (tenant.status !== 'active') refuse('access_tenant_suspended');
      const member = tenant.members.get(credential.userId);
      if (member?.status === 'suspended') refuse('access_user_suspended');
      const roles = credential.roles ?? member?.roles ?? [];
      const scopes = roles.flatMap((role) => this.#granted(tenant, role));
      return { actor: `user:${credential.userId}`, tenantId: credential.tenantId, scopes, operator: false };
    }
    const key = this.keys.get(credential.id) ?? refuse('access_key_unknown');
    if (key.revoked) refuse('access_key_revoked');
    if (key.expiresAt !== undefined && key.expiresAt <= nowMs) refuse('access_key_expired');
    if (key.tenantId !== undefined && this.#tenant(key.tenantId).status !== 'active') refuse('access_tenant_suspended');
    const operator = key.tenantId === undefined;
    return { actor: `${operator ? 'operator' : 'api_key'}:${key.id}`, tenantId: key.tenantId, scopes: key.scopes, operator };
  }

  #key(id: string, tenantId: string | undefined): Key {
    const key = this.keys.get(id);
    return key && key.tenantId === tenantId ? key : refuse('access_key_not_found');
  }

  makeKey(caller: Caller, id: string, tenantId: string | undefined, scopes: readonly string[], lifeMs: number | undefined, nowMs: number): Done {
    if (exceeds(scopes, caller.scopes)) refuse('access_escalation');
    this.keys.set(id, { id, tenantId, scopes, revoked: false, expiresAt: lifeMs === undefined ? undefined : nowMs + lifeMs, lifeMs });
    return { entries: [`${tenantId ?? NO_TENANT} ${tenantId ? 'api_key' : 'operator_key'}.created ${id}`] };
  }

  rotate(caller: Caller, id: string, successor: string, tenantId: string, overlapMs: number, nowMs: number): Done {
    const key = this.#key(id, tenantId);
    if (key.revoked || (key.expiresAt !== undefined && key.expiresAt <= nowMs)) refuse('access_key_inactive');
    if (exceeds(key.scopes, caller.scopes)) refuse('access_escalation');
    this.makeKey({ ...caller, scopes: ['*'] }, successor, tenantId, key.scopes, key.lifeMs, nowMs);
    // One that ends now has ended whenever it is looked at.
    key.expiresAt = Math.min(key.expiresAt ?? Number.POSITIVE_INFINITY, overlapMs === 0 ? 0 : nowMs + overlapMs);
    return { entries: [`${tenantId} api_key.rotated ${id}`] };
  }

  revoke(id: string, tenantId: string | undefined): Done {
    const key = this.#key(id, tenantId);
    const entries = key.revoked ? [] : [`${tenantId ?? NO_TENANT} ${tenantId ? 'api_key' : 'operator_key'}.revoked ${id}`];
    key.revoked = true;
    return { entries };
  }

  #checkRoles(caller: Caller, tenant: Tenant, granted: readonly string[], held: readonly string[]): void {
    if (granted.some((role) => this.#granted(tenant, role).length === 0)) refuse('access_role_not_found');
    if ([...granted, ...held].some((role) => exceeds(this.#granted(tenant, role), caller.scopes))) refuse('access_escalation');
  }

  putMember(caller: Caller, tenantId: string, id: string, member: Member, how: 'create' | 'update'): Done {
    const tenant = this.#tenant(tenantId);
    const before = tenant.members.get(id);
    if (how === 'update' && !before) refuse('access_user_not_found');
    this.#checkRoles(caller, tenant, member.roles, how === 'update' ? (before?.roles ?? []) : []);
    if (how === 'create' && before) refuse('access_user_exists');
    tenant.members.set(id, member);
    return { entries: [`${tenantId} user.${how}d ${id}`] };
  }

  removeMember(caller: Caller, tenantId: string, id: string): Done {
    const tenant = this.#tenant(tenantId);
    const before = tenant.members.get(id) ?? refuse('access_user_not_found');
    this.#checkRoles(caller, tenant, [], before.roles);
    tenant.members.delete(id);
    return { entries: [`${tenantId} user.deleted ${id}`] };
  }

  putRole(caller: Caller, tenantId: string, name: string, permissions: readonly string[]): Done {
    const tenant = this.#tenant(tenantId);
    if (name in BUILT_IN) refuse('access_role_built_in');
    const before = tenant.roles.get(name);
    if (exceeds([...permissions, ...(before ?? [])], caller.scopes)) refuse('access_escalation');
    tenant.roles.set(name, permissions);
    return { entries: [`${tenantId} role.${before ? 'updated' : 'created'} ${name}`] };
  }

  removeRole(caller: Caller, tenantId: string, name: string): Done {
    const tenant = this.#tenant(tenantId);
    if (name in BUILT_IN) refuse('access_role_built_in');
    const before = tenant.roles.get(name) ?? refuse('access_role_not_found');
    if (exceeds(before, caller.scopes)) refuse('access_escalation');
    if ([...tenant.members.values()].some(({ roles }) => roles.includes(name))) refuse('access_role_in_use');
    tenant.roles.delete(name);
    return { entries: [`${tenantId} role.deleted ${name}`] };
  }

  setStatus(tenantId: string, status: Tenant['status']): Done {
    this.#tenant(tenantId).status = status;
    return { entries: [`${tenantId} tenant.updated ${tenantId}`] };
  }
}
