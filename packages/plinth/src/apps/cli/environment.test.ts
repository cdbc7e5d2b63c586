/** What the environment may say, and what is refused with the way out. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readEnvironment, SettingFault } from './environment.ts';

const SECRET = 'a secret of a test that is longer than 32 bytes';
const JWKS = 'https://id.test/keys';

describe('PLINTH_REALTIME_BACKPLANE', () => {
  test.each([
    [{}, undefined],
    [{ PLINTH_REALTIME_BACKPLANE: 'postgres' }, undefined],
    [{ PLINTH_REALTIME_BACKPLANE: 'none' }, false],
    [{ PLINTH_REALTIME_BACKPLANE: 'nats://a:4222,nats://b:4222' }, 'nats://a:4222,nats://b:4222'],
    [{ PLINTH_REALTIME_BACKPLANE: 'rediss://:secret@cache:6380/1' }, 'rediss://:secret@cache:6380/1'],
    [{ PLINTH_REALTIME_BACKPLANE: 'redis', PLINTH_REDIS_URL: 'redis://cache:6379' }, 'redis://cache:6379'],
  ])('%j is %s', (env, expected) => expect(readEnvironment(env).realtimeBackplane).toBe(expected));

  test.each([
    [{ PLINTH_REALTIME_BACKPLANE: 'kafka' }, /is "kafka": give postgres, none, or a URL/],
    [{ PLINTH_REALTIME_BACKPLANE: 'http://cache:6379' }, /is "http:\/\/cache:6379"/],
    [{ PLINTH_REALTIME_BACKPLANE: 'nats' }, /names nats, and PLINTH_NATS_URL is not set/],
  ])('%j is refused', (env, sentence) => {
    const read = () => readEnvironment(env);
    expect(read).toThrow(SettingFault);
    expect(read).toThrow(sentence);
  });

  test('a password is not repeated in the refusal', () => {
    expect(() => readEnvironment({ PLINTH_REALTIME_BACKPLANE: 'amqp://user:secret@bus' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('secret') }),
    );
  });
});

describe.each(['PLINTH_DATABASE_URL', 'PLINTH_MAINTENANCE_URL'])('%s', (name) => {
  test.each(['postgres://u:p@localhost:5432/app', 'postgresql://localhost/app?sslmode=require', 'postgres:///app?host=/run/postgresql'])('may be %s', (url) => {
    const { databaseUrl, maintenanceUrl } = readEnvironment({ [name]: url });
    expect(databaseUrl ?? maintenanceUrl).toBe(url);
  });

  test.each(['postgres://u:secret@one,two/app', 'postgres://u:secret@127.0.0.1:1,127.0.0.1:2/app'])('is refused with a list of hosts, as %s', (url) => {
    expect(() => readEnvironment({ [name]: url })).toThrow(`${name} names several hosts`);
    expect(readEnvironment({ [name]: 'postgres://u:a,b@localhost/app' })).toBeDefined();
  });

  test.each(['localhost', 'localhost:5432/app', 'mysql://u:secret@localhost/app', 'postgres://u:secret@[bad/app'])(
    'is refused as %s, in a sentence that names it',
    (url) => {
      const read = () => readEnvironment({ [name]: url });
      expect(read).toThrow(SettingFault);
      expect(read).toThrow(`${name} is no URL of a PostgreSQL`);
      expect(read).toThrow(expect.not.objectContaining({ message: expect.stringContaining('secret') }));
    },
  );
});

describe('PLINTH_JWT_*', () => {
  test('without a secret and a key set no token is taken, whatever else is set', () => {
    expect(readEnvironment({ PLINTH_JWT_ISSUER: 'https://id.test', PLINTH_JWT_AUDIENCE: 'plinth' }).jwt).toBeUndefined();
  });

  test('issuer, audience and claims go to the verifier', () => {
    const claims = {
      PLINTH_JWT_CLAIM_TENANT: 'https://app.test/tenant, app.tenant',
      PLINTH_JWT_CLAIM_USER: 'email',
      PLINTH_JWT_CLAIM_ROLES: 'realm_access.roles',
    };
    expect(readEnvironment({ PLINTH_JWKS_URL: JWKS, PLINTH_JWT_ISSUER: 'https://id.test', PLINTH_JWT_AUDIENCE: 'plinth', ...claims }).jwt).toEqual({
      jwksUrl: JWKS,
      issuer: 'https://id.test',
      audience: 'plinth',
      claims: { tenant: ['https://app.test/tenant', 'app.tenant'], user: ['email'], roles: ['realm_access.roles'] },
    });
    expect(readEnvironment({ PLINTH_JWT_SECRET: SECRET }).jwt).toEqual({ secret: SECRET, claims: {} });
  });

  test('a secret beside a key set, and a key set without an address, are refused; the secret is not repeated', () => {
    const both = () => readEnvironment({ PLINTH_JWT_SECRET: SECRET, PLINTH_JWKS_URL: JWKS });
    expect(both).toThrow(SettingFault);
    expect(both).toThrow(expect.not.objectContaining({ message: expect.stringContaining(SECRET) }));
    expect(() => readEnvironment({ PLINTH_JWKS_URL: 'id.test' })).toThrow(/PLINTH_JWKS_URL is no URL/);
  });
});

describe('PLINTH_WORKER_CONCURRENCY and PLINTH_WORKER_QUEUES', () => {
  test.each([
    [{}, { concurrency: 10 }],
    [
      { PLINTH_WORKER_CONCURRENCY: '40', PLINTH_WORKER_QUEUES: 'mail, sms' },
      { concurrency: 40, queues: ['mail', 'sms'] },
    ],
    [{ PLINTH_WORKER_CONCURRENCY: '5-50', PLINTH_WORKER_QUEUES: ',' }, { concurrency: { min: 5, max: 50 } }],
    [{ PLINTH_WORKER_CONCURRENCY: '7-7' }, { concurrency: 7 }],
  ])('%j is %j', (env, expected) => expect(readEnvironment(env).work).toEqual(expected));

  test.each(['0', '50-5', '5-', '1.5', '10001', 'many'])('a concurrency of %j is refused', (PLINTH_WORKER_CONCURRENCY) => {
    const read = () => readEnvironment({ PLINTH_WORKER_CONCURRENCY });
    expect(read).toThrow(SettingFault);
    expect(read).toThrow(/^PLINTH_WORKER_CONCURRENCY is ".*": give a number from 1 to 10000/);
  });

  test('a name that no queue can have is refused', () => {
    expect(() => readEnvironment({ PLINTH_WORKER_QUEUES: `mail,${'q'.repeat(101)}` })).toThrow(/a queue has 1 to 100 characters/);
  });
});

describe('PLINTH_TRUST_PROXY', () => {
  test.each([
    [undefined, false],
    ['', false],
    ['false', false],
    ['0', false],
    ['true', true],
    ['1', true],
  ])('%j is %s', (PLINTH_TRUST_PROXY, expected) => expect(readEnvironment({ PLINTH_TRUST_PROXY }).trustProxy).toBe(expected));

  test('anything else is refused: nobody believes a header by a slip', () => {
    expect(() => readEnvironment({ PLINTH_TRUST_PROXY: '10.0.0.0/8' })).toThrow(/is "10.0.0.0\/8": give true or false/);
  });
});

test('a session secret that is too short is refused and not repeated', () => {
  const read = () => readEnvironment({ PLINTH_SESSION_SECRET: 'hunter2' });
  expect(read).toThrow(SettingFault);
  expect(read).toThrow(/^PLINTH_SESSION_SECRET is shorter than 32 bytes/);
  expect(read).toThrow(expect.not.objectContaining({ message: expect.stringContaining('hunter2') }));
  expect(readEnvironment({ PLINTH_SESSION_SECRET: SECRET }).sessionSecret).toBe(SECRET);
});

test('docs/environment.md tells of every variable that is read, and of no other', async () => {
  const files = ['../../../../../docs/environment.md', 'environment.ts', 'environment-egress.ts'];
  const [docs, ...code] = await Promise.all(files.map((file) => readFile(new URL(file, import.meta.url), 'utf8')));
  const read = code.join('\n').matchAll(/'(PLINTH_[A-Z_]+)'/g);
  const rows = (docs ?? '').split('\n').filter((line) => line.startsWith('| `PLINTH_'));
  const told = rows.flatMap((row) => [...(row.split(' | ')[0] ?? '').matchAll(/`(PLINTH_[A-Z_]+)`/g)]);
  const names = (found: Iterable<RegExpMatchArray>) => [...new Set([...found].map(([, name]) => name))].sort();
  expect(names(told).length).toBeGreaterThan(20);
  expect(names(told)).toEqual(names(read));
});
