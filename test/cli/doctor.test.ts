import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase, type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json, startCommand } from './command.ts';

interface Report {
  ok: boolean;
  findings: { check: string; state: 'ok' | 'warning' | 'fault'; seen: string; wayOut?: string }[];
}

let database: TestDatabase;
let empty: EmptyDatabase;
beforeAll(async () => {
  database = await testDatabase('cli doctor');
  empty = await emptyDatabase('cli doctor');
  // The harness' server forgets durability for speed; doctor would be right to complain of that.
  for (const { name } of [database, empty]) await database.admin.query(`alter database ${name} set synchronous_commit = on`);
});
afterAll(() => Promise.all([database.drop(), empty.drop()]));

const timeout = 120_000;
/** Faults that are of the database and its role, not of a test server that runs without fsync. */
const faults = (report: Report): string[] =>
  report.findings.filter(({ state, check }) => state === 'fault' && check !== 'durability').map(({ check }) => check);
const key = { PLINTH_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') };
/** What it finds. The probe of a server waits 3 s for the database, which a slow machine may need once: then it looks again. */
async function inspected(url: string): Promise<Report> {
  let report: Report | undefined;
  for (let looks = 0; looks < 3 && (!report || faults(report).includes('oltp: database')); looks++)
    report = json<Report>(await command(['doctor', '--json'], { PLINTH_DATABASE_URL: url, ...key }));
  return report as Report;
}
const emptyServerUrl = (): string => {
  const url = new URL(database.serverUrl);
  url.pathname = `/${empty.name}`;
  return url.href;
};

test('a migrated database and a serving role are in order', { timeout }, async () => {
  const ended = await command(['doctor', '--json'], { PLINTH_DATABASE_URL: database.serverUrl, ...key });
  const report = json<Report>(ended);
  expect(faults(report)).toEqual([]);
  const checks = ['version', 'autovacuum', 'connections', 'clock', 'oltp: database', 'oltp: migrated', 'oltp: role', 'oltp: partitions', 'disk', 'master key'];
  expect(report.findings.map(({ check }) => check)).toEqual(expect.arrayContaining(checks));
  expect(ended.code).toBe(report.ok ? 0 : 1);
});

test('a data folder that cannot be made is told, with what goes there', { timeout }, async () => {
  const settings = { PLINTH_DATABASE_URL: database.serverUrl, ...key, PLINTH_DATA_DIR: `${import.meta.filename}/data` };
  const { findings } = json<Report>(await command(['doctor', '--json'], settings));
  const [disk] = findings.filter(({ check }) => check === 'disk');
  expect(disk).toMatchObject({ state: 'warning', seen: expect.stringContaining('ENOTDIR'), wayOut: expect.stringContaining('PLINTH_DATA_DIR') });
});

test('settings that change what SQL means, and functions of another owner, are named with the way out', { timeout }, async () => {
  await using found = await testDatabase('cli doctor found');
  await found.admin.query(`alter database ${found.name} set standard_conforming_strings = off; alter database ${found.name} set array_nulls = off;
    alter database ${found.name} set datestyle = 'German'; alter database ${found.name} set intervalstyle = 'iso_8601';
    alter function plinth_kernel.partition_premake(integer) owner to current_user`);
  const { findings } = await inspected(found.serverUrl);
  const named = findings.filter(({ check }) => check === 'settings' || check === 'owner').map(({ state, seen }) => [state, seen]);
  expect(named.sort()).toEqual([
    ['fault', 'array_nulls off'],
    ['fault', expect.stringContaining('functions that act for their owner act for')],
    ['fault', 'standard_conforming_strings off'],
    ['warning', expect.stringContaining('DateStyle German')],
    ['warning', 'IntervalStyle iso_8601'],
  ]);
});

test('a projection that was made by other code, or may hold what was erased, is a warning with the command that makes it anew', { timeout }, async () => {
  await database.admin.query(`insert into plinth_kernel.feed_projections (name, kind, revision, declared, opened, erasures)
    values ('doctor.old', 'async', '1', '2', false, 0), ('doctor.erased', 'async', '1', '1', true, 3), ('doctor.unaware', 'async', '1', '1', false, 3)`);
  const { findings } = await inspected(database.serverUrl);
  expect(findings.filter(({ check }) => check.startsWith('projection '))).toMatchObject([
    {
      check: 'projection doctor.erased',
      state: 'warning',
      seen: expect.stringContaining('3 erased'),
      wayOut: expect.stringContaining('plinth projections rebuild doctor.erased'),
    },
    { check: 'projection doctor.old', state: 'warning', seen: expect.stringContaining('another revision') },
  ]);
});

test('a consumer that is paused, or has put events aside, is a warning that says why and what to do', { timeout }, async () => {
  await database.plinth.asWorker({}, (tx) =>
    tx.query(
      `select plinth_kernel.feed_start('plinth_events.events', 'doctor.reader', 'now'), plinth.pause_consumer('doctor.reader', 'the mail server is down')`,
    ),
  );
  await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => void tx.events.publish('doctor.tested', {}));
  const { findings } = await inspected(database.serverUrl);
  expect(findings.filter(({ check }) => check === 'consumer doctor.reader')).toEqual([
    {
      check: 'consumer doctor.reader',
      state: 'warning',
      seen: expect.stringMatching(/^paused: the mail server is down; 1 events wait/),
      wayOut: expect.stringContaining('resume_consumer'),
    },
  ]);
});

test('a realtime backplane that does not answer is a warning that says what it costs', { timeout }, async () => {
  const env = { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_REALTIME_BACKPLANE: 'nats://127.0.0.1:9', ...key };
  const { findings } = json<Report>(await command(['doctor', '--json'], env));
  expect(findings.filter(({ check }) => check === 'realtime backplane')).toMatchObject([
    { state: 'warning', seen: expect.stringContaining('NATS does not answer'), wayOut: expect.stringContaining('PLINTH_REALTIME_BACKPLANE') },
  ]);
});

test('what may be called is shown, and ranges that hold a metadata service are a warning', { timeout }, async () => {
  const env = { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_EGRESS_ALLOW_CIDRS: '169.254.0.0/16', ...key };
  const { findings } = json<Report>(await command(['doctor', '--json'], env));
  expect(findings.filter(({ check }) => check === 'outgoing requests')).toEqual([
    {
      check: 'outgoing requests',
      state: 'warning',
      seen: 'the public internet by https; ports 443, 8443; also 169.254.0.0/16; that opens 169.254.169.254',
      wayOut: expect.stringContaining('PLINTH_EGRESS_ALLOW_CIDRS'),
    },
  ]);
});

test('a key set without an audience, and no session secret, are warnings', { timeout }, async () => {
  const env = { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_JWKS_URL: 'https://id.test/keys', ...key };
  const bound = { ...env, PLINTH_JWT_AUDIENCE: 'plinth', PLINTH_SESSION_SECRET: 'a secret of a test that is longer than 32 bytes' };
  const [open, set] = (await Promise.all([command(['doctor', '--json'], env), command(['doctor', '--json'], bound)])).map((ended) => json<Report>(ended));
  const found = (report: Report | undefined) => report?.findings.filter(({ check }) => ['JWT audience', 'session secret'].includes(check));
  expect(found(open)).toMatchObject([
    { check: 'JWT audience', state: 'warning', wayOut: expect.stringContaining('PLINTH_JWT_AUDIENCE') },
    { check: 'session secret', state: 'warning', wayOut: expect.stringContaining('PLINTH_SESSION_SECRET') },
  ]);
  expect(found(set)).toEqual([]);
});

test('a superuser is refused, with the way out, and the exit code is 1', { timeout }, async () => {
  const [ended, text] = await Promise.all([
    command(['doctor', '--json'], { PLINTH_DATABASE_URL: database.url, ...key }),
    command(['doctor'], { PLINTH_DATABASE_URL: database.url, ...key }),
  ]);
  const report = json<Report>(ended);
  expect(report.ok).toBe(false);
  expect(faults(report)).toEqual(['oltp: role']);
  expect(report.findings.find(({ check }) => check === 'oltp: role')?.seen).toContain('is a superuser');
  expect(ended.code).toBe(1);
  expect(text.code).toBe(1);
  expect(text.stdout).toMatch(/✘ oltp: role\s+role \w+ is a superuser/);
});

test('a database that was not migrated is a fault that names plinth migrate', { timeout }, async () => {
  const ended = await command(['doctor', '--json'], { PLINTH_DATABASE_URL: emptyServerUrl(), ...key });
  const report = json<Report>(ended);
  expect(faults(report)).toEqual(['oltp: migrated']);
  const { seen = '', wayOut = '' } = report.findings.find(({ check }) => check === 'oltp: migrated') ?? {};
  expect(`${seen} ${wayOut}`).toContain('plinth migrate');
  expect(ended.code).toBe(1);
});

test('an installation that broke off is one fault, which names the way out; the role is judged by itself', { timeout }, async () => {
  await using broken = await testDatabase('cli doctor broken');
  await broken.admin.query(`alter database ${broken.name} set synchronous_commit = on; revoke usage on schema plinth_kernel from plinth_app`);
  const report = await inspected(broken.serverUrl);
  expect(report.findings.filter(({ check }) => check.startsWith('oltp'))).toEqual([
    { check: 'oltp: database', state: 'ok', seen: 'as it should be' },
    {
      check: 'oltp: migrated',
      state: 'fault',
      seen: 'The list of applied migrations cannot be read: the installation did not reach its end',
      wayOut: 'Run plinth migrate up as the role that owns the database.',
    },
    { check: 'oltp: role', state: 'ok', seen: 'as it should be' },
  ]);
});

test('tables and partitions whose row security is not enabled or not forced are a fault that names them', { timeout }, async () => {
  await using open = await testDatabase('cli doctor open');
  const partition = (
    await open.admin.query<{ name: string }>(`select min(inhrelid::regclass::text) as name from pg_inherits where inhparent = 'plinth_audit.entries'::regclass`)
  ).rows[0]?.name;
  await open.admin.query(`alter table plinth_jobs.schedules disable row level security; alter table ${partition} no force row level security`);
  const report = await inspected(open.serverUrl);
  expect(faults(report)).toEqual(['row security']);
  const { seen, wayOut } = report.findings.find(({ check }) => check === 'row security') ?? {};
  expect(seen).toBe(`not enabled or not forced on ${partition}, plinth_jobs.schedules`);
  expect(wayOut).toContain('force row level security');
});

test('a database that takes no writes, and what cannot be looked at, are faults beside all others', { timeout }, async () => {
  await using broken = await testDatabase('cli doctor read-only');
  await broken.admin.query(`alter database ${broken.name} set default_transaction_read_only = on; alter view plinth.consumers rename to readers`);
  const report = await inspected(broken.serverUrl);
  expect(faults(report)).toEqual(['writable', 'consumers']);
  expect(report.findings.find(({ check }) => check === 'writable')).toMatchObject({
    seen: 'read-only',
    wayOut: expect.stringContaining('default_transaction_read_only'),
  });
  expect(report.findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['row security', 'oltp: partitions', 'functions and views', 'disk']));
});

test('a server that ends its sessions while it looks is told, and what can still be looked at beside it', { timeout }, async () => {
  await using falling = await testDatabase('cli doctor falling');
  const holder = await falling.admin.connect();
  await holder.query('begin; lock table plinth_kernel.migrations in access exclusive mode');
  const looking = command(['doctor', '--json'], { PLINTH_DATABASE_URL: falling.serverUrl, ...key });
  const sessions = (which: string): Promise<number | null> =>
    falling.admin
      .query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'plinth doctor' and ${which}`)
      .then(({ rowCount }) => rowCount);
  await expect
    .poll(async () => sessions(`state = 'idle' and exists (select from pg_locks where not granted and relation = 'plinth_kernel.migrations'::regclass)`))
    .toBe(1);
  await holder.query('rollback');
  holder.release();
  const ended = await looking;
  expect(ended.stderr).toBe('');
  expect(json<Report>(ended).findings.map(({ check }) => check)).toEqual(expect.arrayContaining(['version', 'oltp: database', 'disk']));
});

test('functions of another version are a warning', { timeout }, async () => {
  await using other = await testDatabase('cli doctor version');
  await other.admin.query(`update plinth_kernel.repeatables set checksum = 'of another version' where module in ('audit', 'jobs')`);
  const report = await inspected(other.serverUrl);
  expect(report.findings.find(({ check }) => check === 'functions and views')).toEqual({
    check: 'functions and views',
    state: 'warning',
    seen: 'of another version than here: audit, jobs',
    wayOut: 'Run plinth migrate up with the version that is to serve.',
  });
  expect(faults(report)).toEqual([]);
});

test('a reader that has seen enough ends it without a word, with the code that it has anyway', { timeout }, async () => {
  const left = startCommand(['doctor'], { PLINTH_DATABASE_URL: database.url, ...key });
  left.hangUp();
  expect(await left.ended).toEqual({ code: 1, stdout: '', stderr: '' });
});

test('the master key of plinth dev is found in its folder', { timeout }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'plinth-doctor-'));
  try {
    const seen = async (): Promise<string | undefined> =>
      json<Report>(await command(['doctor', '--json'], { PLINTH_DATA_DIR: folder })).findings.find(({ check }) => check === 'master key')?.seen;
    await writeFile(join(folder, 'dev.json'), '{"pid":');
    expect((await command(['doctor'], { PLINTH_DATA_DIR: folder })).stderr).toContain('start plinth dev in this folder');
    await writeFile(join(folder, 'dev.json'), JSON.stringify({ pid: 1, origin: '', adminKey: '', adminUrl: database.url }));
    expect(await seen()).toContain('not set');
    await writeFile(join(folder, 'secrets.json'), JSON.stringify({ masterKey: key.PLINTH_MASTER_KEY }));
    expect(await seen()).toBe('that of plinth dev, in secrets.json of the data folder');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('a database that does not answer, and keys that are too short', { timeout }, async () => {
  const env = { PLINTH_DATABASE_URL: 'postgres://u@127.0.0.1:1/x', PLINTH_MASTER_KEY: 'c2hvcnQ=', PLINTH_JWT_SECRET: 'short' };
  const ended = await command(['doctor', '--json'], env);
  expect(faults(json<Report>(ended))).toEqual(['database', 'master key', 'JWT secret']);
  expect(ended.code).toBe(1);
});

test('without a database it says which setting is missing', { timeout }, async () => {
  const ended = await command(['doctor'], { PLINTH_DATA_DIR: 'node_modules/.cache/no-such-folder' });
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('set PLINTH_DATABASE_URL');
});
