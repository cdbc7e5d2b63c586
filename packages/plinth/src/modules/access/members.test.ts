/** Members, roles and keys of a tenant: who may grant what, what is written down, and that other tenants are none of its business. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CallContext, createCaller, router } from '#kernel/rpc.ts';
import { type TestDatabase, testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';
import { beyond, permissionsOf } from './permissions.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('access_members');
});
afterAll(() => database.drop());
beforeEach(() => database.admin.query('delete from plinth_access.users; delete from plinth_access.roles; delete from plinth_access.api_keys'));

const caller = (tenantId: string, scopes: readonly string[] = ['*']) => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator: false },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context);
};
const actions = async (tenantId: string): Promise<string[]> =>
  (await database.admin.query<{ action: string }>('select action from plinth_audit.entries where tenant_id = $1 order by id', [tenantId])).rows.map(
    (row) => row.action,
  );

describe('permissions', () => {
  test.each([
    [['audit.read'], ['audit.*'], []],
    [['audit.read'], ['*.read'], []],
    [['audit.*'], ['audit.read', 'audit.write'], ['audit.*']],
    [['*.read'], ['audit.*', 'jobs.*'], ['*.read']],
    [['*'], ['*.read', '*.write', '*.admin'], ['*']],
    [['auditor.read'], ['audit.*'], ['auditor.read']],
  ])('of %j under %j, %j goes beyond', (wanted, own, expected) => {
    expect(beyond(wanted, own)).toEqual(expected);
  });

  test('are those of the roles; a role of the tenant cannot take the name of a built-in one, and an unknown one gives nothing', () => {
    const custom = new Map([
      ['clerk', ['audit.read']],
      ['viewer', ['*']],
    ]);
    expect(permissionsOf(['clerk', 'viewer', 'nobody'], custom)).toEqual(['audit.read', '*.read']);
  });
});

describe('members', () => {
  test('are added, changed and removed, each with its audit entry', async () => {
    const { users } = caller(database.tenantA);
    const before = (await actions(database.tenantA)).length;
    await users.create({ id: 'auth0|42', email: 'ada@example.org', roles: ['member'], locale: 'de-CH', time_zone: 'Europe/Zurich', attributes: { team: 'a' } });
    expect(await users.update({ id: 'auth0|42', status: 'suspended' })).toMatchObject({
      status: 'suspended',
      email: 'ada@example.org',
      attributes: { team: 'a' },
    });
    expect(await users.remove({ id: 'auth0|42' })).toEqual({ id: 'auth0|42' });
    expect((await actions(database.tenantA)).slice(before)).toEqual(['user.created', 'user.updated', 'user.deleted']);
  });

  test('of another tenant are missing, and may have the same id', async () => {
    await caller(database.tenantA).users.create({ id: 'one', email: 'one@example.org' });
    const { users } = caller(database.tenantB);
    expect(await errorCode(users.get({ id: 'one' }))).toBe('access_user_not_found');
    expect(await errorCode(users.update({ id: 'one', name: 'taken' }))).toBe('access_user_not_found');
    expect(await errorCode(users.remove({ id: 'one' }))).toBe('access_user_not_found');
    expect((await users.list({})).users).toEqual([]);
    expect(await users.create({ id: 'one', email: 'one@example.org' })).toMatchObject({ id: 'one' });
  });

  test.each([
    [{ time_zone: 'Not/AZone' }, 'IANA time zone'],
    [{ time_zone: 'x'.repeat(65) }, '64'],
    [{ locale: 'de_CH' }, 'BCP 47'],
    [{ locale: 'x' }, 'BCP 47'],
  ])('take zones and languages that exist: not %j', async (given, words) => {
    const refused = await caller(database.tenantA)
      .users.create({ id: 'zoned', ...given })
      .catch(String);
    expect(refused).toContain(words);
    expect(await caller(database.tenantA).users.create({ id: database.plinth.newId(), time_zone: 'UTC', locale: 'sr-Latn-RS' })).toMatchObject({
      time_zone: 'UTC',
    });
  });

  test('have an id and an address of their own', async () => {
    const { users } = caller(database.tenantA);
    await users.create({ id: 'one', email: 'one@example.org' });
    expect(await errorCode(users.create({ id: 'one' }))).toBe('access_user_exists');
    expect(await errorCode(users.create({ id: 'two', email: 'one@example.org' }))).toBe('access_user_exists');
  });

  test('cannot be given, nor be changed by, who has less than their roles', async () => {
    await caller(database.tenantA).users.create({ id: 'boss', roles: ['owner'] });
    const { users } = caller(database.tenantA, ['*.read', '*.write', '*.admin']);
    expect(await errorCode(users.create({ id: 'friend', roles: ['owner'] }))).toBe('access_escalation');
    expect(await errorCode(users.update({ id: 'boss', status: 'suspended' }))).toBe('access_escalation');
    expect(await errorCode(users.remove({ id: 'boss' }))).toBe('access_escalation');
    expect(await errorCode(users.create({ id: 'friend', roles: ['no-such'] }))).toBe('access_role_not_found');
    expect(await errorCode(caller(database.tenantA, ['*.read']).users.create({ id: 'friend' }))).toBe('kernel_forbidden');
    expect((await users.list({})).users.map(({ id }) => id)).toEqual(['boss']);
  });
});

describe('roles', () => {
  test('are defined by the tenant for itself, and stay while somebody has them', async () => {
    const { roles, users } = caller(database.tenantA);
    await roles.put({ name: 'clerk', permissions: ['audit.read'] });
    await users.create({ id: 'one', roles: ['clerk'] });
    expect(await errorCode(roles.remove({ name: 'clerk' }))).toBe('access_role_in_use');
    expect(await errorCode(caller(database.tenantB).users.create({ id: 'one', roles: ['clerk'] }))).toBe('access_role_not_found');
    await users.remove({ id: 'one' });
    expect(await roles.remove({ name: 'clerk' })).toEqual({ name: 'clerk' });
  });

  test('that are built in cannot be changed, and none grants more than its maker has', async () => {
    const { roles } = caller(database.tenantA, ['audit.*', 'access.admin']);
    expect(await errorCode(roles.put({ name: 'owner', permissions: ['audit.read'] }))).toBe('access_role_built_in');
    expect(await errorCode(roles.put({ name: 'clerk', permissions: ['jobs.read'] }))).toBe('access_escalation');
  });
});

describe('keys', () => {
  test('are told once, stored as a hash, and belong to their tenant', async () => {
    const made = await caller(database.tenantA).keys.create({ name: 'ci', scopes: ['audit.read'] });
    expect(made.secret).toMatch(/^plk_tenant_/);
    const { rows } = await database.admin.query<{ row: string }>('select to_jsonb(k)::text as row from plinth_access.api_keys k');
    expect(rows).toHaveLength(1);
    expect(rows[0]?.row).not.toContain(made.secret ?? '');
    expect(await errorCode(caller(database.tenantB).keys.revoke({ id: made.id }))).toBe('access_key_not_found');
    expect(await errorCode(caller(database.tenantB).keys.rotate({ id: made.id }))).toBe('access_key_not_found');
    expect(await caller(database.tenantA).keys.revoke({ id: made.id })).toMatchObject({ status: 'revoked' });
    expect(await errorCode(caller(database.tenantA).keys.rotate({ id: made.id }))).toBe('access_key_inactive');
  });

  test('grant no more than their maker has, and nothing is written when they would', async () => {
    expect(await errorCode(caller(database.tenantA, ['access.admin']).keys.create({ name: 'ci', scopes: ['audit.read'] }))).toBe('access_escalation');
    expect((await database.admin.query('select from plinth_access.api_keys')).rowCount).toBe(0);
  });
});

describe('two at once', () => {
  /** Both wait for what is held, and go on one after the other. */
  const both = async (hold: string, values: unknown[], calls: () => Promise<unknown>[]): Promise<unknown[]> => {
    const holder = await database.admin.connect();
    await holder.query('begin');
    await holder.query(hold, values);
    const asked = Promise.all(calls());
    const waiting = `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await expect.poll(async () => (await database.admin.query<{ n: number }>(waiting)).rows[0]?.n, { timeout: 10_000 }).toBe(2);
    await holder.query('rollback');
    holder.release();
    return asked;
  };
  const since = async (already: number): Promise<string[]> => (await actions(database.tenantA)).slice(already);

  test('revoke a key: it was revoked once', async () => {
    const a = caller(database.tenantA);
    const { id } = await a.keys.create({ name: 'k', scopes: ['audit.read'] });
    const already = (await actions(database.tenantA)).length;
    const answers = await both('select from plinth_access.api_keys where id = $1 for update', [id], () => [a.keys.revoke({ id }), a.keys.revoke({ id })]);
    expect(answers).toMatchObject([{ status: 'revoked' }, { status: 'revoked' }]);
    expect(await since(already)).toEqual(['api_key.revoked']);
  });

  test('define a role: one makes it, the other changes it', async () => {
    const a = caller(database.tenantA);
    const already = (await actions(database.tenantA)).length;
    const held = `insert into plinth_access.roles (tenant_id, name, permissions) values ($1, 'auditor', '{audit.read}')`;
    await both(held, [database.tenantA], () => ['audit.read', 'audit.write'].map((permission) => a.roles.put({ name: 'auditor', permissions: [permission] })));
    expect(await since(already)).toEqual(['role.created', 'role.updated']);
  });
});
