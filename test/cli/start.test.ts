import { createHmac, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newSecret } from '../../packages/plinth/src/kernel/secret-text.ts';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { swallowingProxy } from '../../packages/plinth/src/testing/swallowing-proxy.ts';
import { command, json, startCommand, stretched } from './command.ts';

const timeout = 120_000;
const ROLES = { bypassrls: 'plinth_cli_test_bypass', owner: 'plinth_cli_test_owner', inherits: 'plinth_cli_test_inherits' } as const;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('cli start');
  await dropRoles();
  await database.admin.query(`
    create role ${ROLES.bypassrls} login bypassrls noinherit password 'a';
    create role ${ROLES.owner} login noinherit password 'a';
    grant plinth_app, plinth_worker, plinth_reader to ${ROLES.bypassrls}, ${ROLES.owner};
    grant plinth_owner to ${ROLES.owner};
    create role ${ROLES.inherits} login password 'a';
    grant plinth_app, plinth_worker, plinth_reader to ${ROLES.inherits}`);
});
afterAll(async () => {
  await dropRoles();
  await database.drop();
});
const dropRoles = () =>
  database.admin.query(
    Object.values(ROLES)
      .map((role) => `drop role if exists ${role}`)
      .join(';'),
  );

const urlAs = (user: string): string => {
  const url = new URL(database.url);
  url.username = user;
  url.password = 'a';
  return url.href;
};

describe('plinth start refuses a role that row security does not bind, before it listens', () => {
  test.each([
    ['a superuser', () => database.url, 'is a superuser'],
    ['a role with BYPASSRLS', () => urlAs(ROLES.bypassrls), 'has BYPASSRLS'],
    ['the owner', () => urlAs(ROLES.owner), 'is a member of plinth_owner'],
    ['a role that inherits what workers see', () => urlAs(ROLES.inherits), 'inherits plinth_worker or plinth_reader'],
  ])('%s', { timeout }, async (_, url, sentence) => {
    const { code, stdout, stderr } = await command(['start'], { PLINTH_DATABASE_URL: url(), PLINTH_PORT: '0' });
    expect(stderr).toContain('Not ready to serve');
    expect(stderr).toContain(sentence);
    expect(stderr).toContain('plinth doctor');
    expect(stdout).not.toContain('Serving on');
    expect(code).toBe(1);
  });

  test('without a database it says which setting is missing', { timeout }, async () => {
    const { code, stderr } = await command(['start'], { PLINTH_PORT: '0' });
    expect(stderr).toContain('PLINTH_DATABASE_URL is not set');
    expect(code).toBe(2);
  });

  test('a port that is none', { timeout }, async () => {
    const { code, stderr } = await command(['start'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_PORT: '99999' });
    expect(stderr).toContain('PLINTH_PORT is "99999"');
    expect(code).toBe(2);
  });
});

describe('plinth start and plinth worker as a proper role', () => {
  test('start serves, works, and stops within 5 s of SIGTERM', { timeout }, async () => {
    const running = startCommand(['start'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_PORT: '0', PLINTH_LOG_LEVEL: 'warn' });
    const [, origin = ''] = await running.line(/Serving on (http:\/\/127\.0\.0\.1:\d+)/);
    const [live, ready, refused] = await Promise.all([fetch(`${origin}/livez`), fetch(`${origin}/readyz`), fetch(`${origin}/api/v1/me`)]);
    expect([live.status, ready.status, refused.status]).toEqual([200, 200, 401]);
    const { code, ms } = await running.stop('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(stretched(5_000));
    await expect(fetch(`${origin}/livez`)).rejects.toThrow();
  });

  test('start is ready after the installation stood still for days, and stops in time while a request waits for a lock', { timeout }, async () => {
    await database.admin.query(`do $$ declare _part text; begin
      for _part in select p.name from plinth_kernel.retention_kinds as k, plinth_kernel.partition_list(k.table_name::regclass) as p
        where k.every = 'day' and p.lower_id >= plinth_kernel.v7_floor(now() - interval '1 day') loop execute 'drop table ' || _part; end loop; end $$`);
    const key = newSecret('operator');
    const running = startCommand(['start'], {
      PLINTH_DATABASE_URL: database.serverUrl,
      PLINTH_PORT: '0',
      PLINTH_LOG_LEVEL: 'silent',
      PLINTH_ADMIN_KEY: key,
    });
    const [, origin = ''] = await running.line(/Serving on (http:\/\/127\.0\.0\.1:\d+)/);
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    const holder = await database.admin.connect();
    try {
      await holder.query('begin; select from plinth_kernel.tenants for update');
      const answer = fetch(`${origin}/api/v1/tenants/${database.tenantA}`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: '{"name":"waits"}',
      }).catch(() => 'cut off');
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
      await expect.poll(async () => (await database.admin.query(waiting)).rowCount, { timeout: 20_000 }).toBe(1);
      const { code, ms } = await running.stop('SIGTERM');
      expect(code).toBe(0);
      expect(ms).toBeLessThan(stretched(5_000));
      expect(await answer).toBe('cut off');
    } finally {
      await holder.query('rollback');
      holder.release();
    }
    expect((await database.admin.query(`select from plinth_kernel.tenants where name = 'waits'`)).rowCount).toBe(0);
  });

  test('start stops within 5 s of SIGTERM also while the database answers nothing', { timeout }, async () => {
    await using proxy = await swallowingProxy(database.serverUrl);
    const running = startCommand(['start'], { PLINTH_DATABASE_URL: proxy.url, PLINTH_PORT: '0' });
    const [, origin = ''] = await running.line(/Serving on (http:\/\/127\.0\.0\.1:\d+)/);
    proxy.swallow({ alsoNew: true });
    // By then whatever else asks waits as well.
    expect((await fetch(`${origin}/readyz`)).status).toBe(503);
    const { code, ms } = await running.stop('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(stretched(5_000));
  });

  test('a database that takes no writes is not served', { timeout }, async () => {
    await database.admin.query(`alter role plinth_test_server in database ${database.name} set default_transaction_read_only = on`);
    try {
      const { code, stderr } = await command(['start'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_PORT: '0' });
      expect(stderr).toContain('the database takes no writes');
      expect(code).toBe(1);
    } finally {
      await database.admin.query(`alter role plinth_test_server in database ${database.name} reset default_transaction_read_only`);
    }
  });

  test('worker says that it works, and stops within 5 s of SIGTERM', { timeout }, async () => {
    const running = startCommand(['worker'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_LOG_LEVEL: 'warn' });
    await running.line(/^Working$/);
    const { code, ms } = await running.stop('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(stretched(5_000));
  });

  test('worker answers whether it lives and is ready, and what it measured, and nothing else', { timeout }, async () => {
    const running = startCommand(['worker'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_WORKER_PORT: '0', PLINTH_LOG_LEVEL: 'warn' });
    const [, origin = ''] = await running.line(/^Working; .* at (http:\/\/127\.0\.0\.1:\d+)$/);
    const status = async (path: string) => (await fetch(`${origin}${path}`)).status;
    expect([await status('/livez'), await status('/readyz'), await status('/api/v1/me'), await status('/console')]).toEqual([200, 200, 404, 404]);
    const measured = async () => (await fetch(`${origin}/metrics`)).text();
    await expect.poll(measured, { timeout: 20_000 }).toMatch(/plinth_transactions_total\{[^}]*plinth_role="plinth_worker"/);
    expect(await measured()).toMatch(/^plinth_jobs_slots\{?.* 10/m);
    expect((await running.stop('SIGTERM')).code).toBe(0);
  });

  test('worker runs as many jobs at a time as it is told, of the queues that it is told', { timeout }, async () => {
    const running = startCommand(['worker'], {
      PLINTH_DATABASE_URL: database.serverUrl,
      PLINTH_WORKER_PORT: '0',
      PLINTH_WORKER_CONCURRENCY: '3-30',
      PLINTH_WORKER_QUEUES: 'mail,sms',
      PLINTH_LOG_LEVEL: 'warn',
    });
    const [, origin = ''] = await running.line(/^Working; .* at (http:\/\/127\.0\.0\.1:\d+)$/);
    expect(await (await fetch(`${origin}/metrics`)).text()).toMatch(/^plinth_jobs_slots\{[^}]*queues="mail,sms"[^}]*\} 3/m);
    expect((await running.stop('SIGTERM')).code).toBe(0);
  });

  test('worker logs the egress policy that is in force', { timeout }, async () => {
    const running = startCommand(['worker'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_EGRESS_ALLOW_CIDRS: '10.20.0.0/16' });
    const [line] = await running.line(/^.*egress policy in force.*$/);
    expect(JSON.parse(line)).toMatchObject({ egress: 'the public internet by https; ports 443, 8443; also 10.20.0.0/16' });
    expect((await running.stop('SIGTERM')).code).toBe(0);
  });
});

interface Login {
  link: string;
  operator_key_id: string;
  secret: string | null;
}

describe('plinth start in production', () => {
  let folder: string;
  const secrets = {
    PLINTH_ADMIN_KEY: newSecret('operator'),
    PLINTH_JWT_SECRET: randomBytes(32).toString('hex'),
    PLINTH_SESSION_SECRET: randomBytes(32).toString('hex'),
  };
  const settings = () => ({
    ...secrets,
    PLINTH_DATABASE_URL: database.serverUrl,
    PLINTH_PORT: '0',
    PLINTH_CONSOLE_DIR: folder,
    PLINTH_PUBLIC_URL: 'https://plinth.example.org',
    PLINTH_TRUST_PROXY: 'true',
    PLINTH_JWT_ISSUER: 'https://id.test',
    PLINTH_JWT_AUDIENCE: 'plinth',
    PLINTH_JWT_CLAIM_TENANT: 'org.id',
  });
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plinth-cli-start-'));
    await writeFile(join(folder, 'index.html'), '<!doctype html><title>console</title>');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const login = async (origin: string, link: string): Promise<Response> => {
    const token = new URLSearchParams(new URL(link).hash.slice(1)).get('token');
    const headers = { 'content-type': 'application/json', origin, 'x-forwarded-proto': 'https' };
    return fetch(`${origin}/api/v1/console/login`, { method: 'POST', headers, body: JSON.stringify({ token }) });
  };

  test('the console is served, plinth login signs in at every server process, tokens are bound to issuer and audience, the proxy is believed', {
    timeout,
  }, async () => {
    const both = [startCommand(['start'], settings()), startCommand(['start'], settings())];
    const [origin = '', other = ''] = await Promise.all(both.map(async (one) => (await one.line(/Serving on (\S+)/))[1] ?? ''));
    await Promise.all(both.map((one) => one.line(/Console at https:\/\/plinth\.example\.org\/console; plinth login prints a link that signs in\.$/)));
    expect(await (await fetch(`${origin}/console`)).text()).toContain('<title>console</title>');

    const { link } = json<Login>(await command(['login', '--json'], settings()));
    expect(link).toMatch(/^https:\/\/plinth\.example\.org\/console#token=plk_login_/);
    const signedIn = await login(origin, link);
    expect(signedIn.status).toBe(200);
    const cookie = signedIn.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/; Secure$/);
    const session = { cookie: cookie.split(';')[0] ?? '', 'sec-fetch-site': 'same-origin' };
    for (const server of [origin, other])
      expect(await (await fetch(`${server}/api/v1/me`, { headers: session })).json()).toMatchObject({ principal: { operator: true } });

    const proxied = { ...session, 'x-forwarded-for': '203.0.113.9', 'x-plinth-tenant': database.tenantA, 'x-plinth-reason': 'behind a proxy' };
    expect((await fetch(`${origin}/api/v1/users`, { headers: proxied })).status).toBe(200);
    expect((await database.admin.query(`select ip from plinth_access.operator_access where reason = 'behind a proxy'`)).rows).toEqual([{ ip: '203.0.113.9' }]);

    const ask = async (claims: object): Promise<number> => {
      const exp = Math.floor(Date.now() / 1000) + 300;
      const payload = { iss: 'https://id.test', aud: 'plinth', sub: 'ada', org: { id: database.tenantA }, exp, ...claims };
      const signed = [{ alg: 'HS256' }, payload].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
      const bearer = `${signed}.${createHmac('sha256', secrets.PLINTH_JWT_SECRET).update(signed).digest('base64url')}`;
      return (await fetch(`${origin}/api/v1/me`, { headers: { authorization: `Bearer ${bearer}` } })).status;
    };
    expect(await ask({})).toBe(200);
    for (const wrong of [{ aud: 'other' }, { iss: 'https://evil.test' }, { org: {}, tenant_id: database.tenantA }]) expect(await ask(wrong)).toBe(401);
    for (const running of both) {
      for (const secret of Object.values(secrets)) expect(running.printed()).not.toContain(secret);
      expect((await running.stop('SIGTERM')).code).toBe(0);
    }
  });

  test('a PLINTH_ADMIN_KEY that was revoked is refused before it listens, and plinth login does not bring it back', { timeout }, async () => {
    const env = { ...settings(), PLINTH_ADMIN_KEY: newSecret('operator') };
    const { operator_key_id: id } = json<Login>(await command(['login', '--json'], env));
    await database.admin.query('update plinth_access.operator_keys set revoked_at = now() where id = $1', [id]);
    const [started, link, byId] = await Promise.all([command(['start'], env), command(['login'], env), command(['login', '--key', id], env)]);
    for (const { code, stdout, stderr } of [started, link]) {
      expect(stderr).toContain('PLINTH_ADMIN_KEY was revoked');
      expect(stderr).toContain('Give another operator key');
      expect(stdout).toBe('');
      expect(stderr).not.toContain(env.PLINTH_ADMIN_KEY);
      expect(code).toBe(1);
    }
    expect(byId).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('The API key was revoked') });
  });

  test('without PLINTH_ADMIN_KEY, plinth login makes the first operator key and tells it once', { timeout }, async () => {
    await database.admin.query('update plinth_access.operator_keys set revoked_at = now() where revoked_at is null');
    const env = { PLINTH_DATABASE_URL: database.serverUrl };
    const first = await command(['login'], env);
    expect(first.stdout).toMatch(/^http:\/\/127\.0\.0\.1:4400\/console#token=plk_login_\S+$/m);
    expect(first.stdout).toMatch(/is not told again: plk_operator_\S+$/m);
    expect((await command(['login'], env)).stdout).not.toContain('plk_operator_');
    expect(await command(['login', '--key', 'mine'], env)).toMatchObject({ code: 2, stderr: expect.stringContaining('--key is not the id of a key') });
  });

  test('a folder without a console is refused', { timeout }, async () => {
    const { code, stderr } = await command(['start'], { ...settings(), PLINTH_CONSOLE_DIR: tmpdir() });
    expect(stderr).toContain('has no index.html: node apps/console/build.ts');
    expect(code).toBe(2);
  });
});
