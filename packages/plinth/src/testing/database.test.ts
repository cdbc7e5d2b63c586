import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test, vi } from 'vitest';
import { emptyDatabase, testDatabase, testServerUrl } from './database.ts';

const database = await testDatabase('harness');
afterAll(() => database.drop());

test('a test database has two tenants, and the server role sees neither before it has chosen one', async () => {
  expect(database.tenantA).not.toBe(database.tenantB);
  const server = new pg.Client({ connectionString: database.serverUrl });
  await server.connect();
  try {
    await expect(server.query('select * from plinth_kernel.tenants')).rejects.toThrow(/permission denied/);
    const { rows } = await server.query('select current_user as name, rolsuper, rolbypassrls from pg_roles where rolname = current_user');
    expect(rows).toEqual([{ name: 'plinth_test_server', rolsuper: false, rolbypassrls: false }]);
  } finally {
    await server.end();
  }
});

test('two databases of one run know nothing of each other', async () => {
  await using other = await testDatabase('harness');
  await database.admin.query('create table only_here (n int)');
  await expect(other.admin.query('select * from only_here')).rejects.toThrow(/does not exist/);
});

test('an empty database has nothing of Plinth', async () => {
  await using empty = await emptyDatabase();
  const { rows } = await empty.admin.query("select nspname from pg_namespace where nspname like 'plinth%'");
  expect(rows).toEqual([]);
});

test('a dropped database is gone, and its calls of plpgsql functions are written down', async () => {
  const file = join(tmpdir(), `plinth-calls-${process.pid}.jsonl`);
  vi.stubEnv('PLINTH_FUNCTION_CALLS_FILE', file);
  try {
    const other = await testDatabase('calls');
    await other.admin.query(`create function plinth.harness_probe() returns int language plpgsql as 'begin return 1; end'`);
    await other.admin.query('select plinth.harness_probe()');
    await other.drop();
    await other.drop();
    const left = new pg.Client({ connectionString: testServerUrl() });
    await left.connect();
    expect((await left.query('select 1 from pg_database where datname = $1', [other.name])).rowCount).toBe(0);
    await left.end();
    expect(await readFile(file, 'utf8')).toContain('plinth.harness_probe');
  } finally {
    vi.unstubAllEnvs();
    await rm(file, { force: true });
  }
});
