import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, startCommand, stretched } from './command.ts';

const timeout = 120_000;
const ROLES = { bypassrls: 'plinth_cli_test_bypass', owner: 'plinth_cli_test_owner' } as const;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('cli start');
  await dropRoles();
  await database.admin.query(`
    create role ${ROLES.bypassrls} login bypassrls noinherit password 'a';
    create role ${ROLES.owner} login noinherit password 'a';
    grant plinth_app, plinth_worker, plinth_reader to ${ROLES.bypassrls}, ${ROLES.owner};
    grant plinth_owner to ${ROLES.owner}`);
});
afterAll(async () => {
  await dropRoles();
  await database.drop();
});
const dropRoles = () => database.admin.query(`drop role if exists ${ROLES.bypassrls}; drop role if exists ${ROLES.owner}`);

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

  test('worker says that it works, and stops within 5 s of SIGTERM', { timeout }, async () => {
    const running = startCommand(['worker'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_LOG_LEVEL: 'warn' });
    await running.line(/^Working$/);
    const { code, ms } = await running.stop('SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(stretched(5_000));
  });
});
