import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json } from './command.ts';

interface Plan {
  migrations: { module: string; name: string; state: string }[];
  repeatablesStale: boolean;
  unknown: unknown[];
}

let database: EmptyDatabase;
const env = (): Record<string, string> => ({ PLINTH_DATABASE_URL: database.url });
const SERVER_ROLE = 'plinth_cli_test_server';
beforeAll(async () => {
  database = await emptyDatabase('cli migrate');
});
afterAll(async () => {
  await database.admin.query(`drop owned by ${SERVER_ROLE}; drop role ${SERVER_ROLE}`).catch(() => undefined);
  await database.drop();
});

describe('plinth migrate, from an empty database on', { timeout: 120_000 }, () => {
  test('plan shows every migration as pending and changes nothing', async () => {
    const [text, data] = await Promise.all([command(['migrate', 'plan'], env()), command(['migrate', 'plan', '--json'], env())]);
    expect(text).toMatchObject({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/^ {2}pending {2}audit\/0001_create_entries/m);
    const plan = json<Plan>(data);
    expect(plan.migrations.length).toBeGreaterThanOrEqual(7);
    expect(plan.migrations.every(({ state }) => state === 'pending')).toBe(true);
    expect((await database.admin.query(`select to_regnamespace('plinth') as schema`)).rows).toEqual([{ schema: null }]);
  });

  test('without a URL it looks at the database of the running plinth dev, as the other commands do', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'plinth-cli-migrate-'));
    await writeFile(join(folder, 'dev.json'), JSON.stringify({ adminUrl: database.url }));
    const found = await command(['migrate', 'status', '--json'], { PLINTH_DATA_DIR: folder });
    await rm(folder, { recursive: true, force: true });
    const nowhere = await command(['migrate', 'status'], { PLINTH_DATA_DIR: folder });
    expect(json<Plan>(found).migrations.every(({ state }) => state === 'pending')).toBe(true);
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('start plinth dev in this folder') });
  });

  test('a role without its password is refused before anything is done', async () => {
    const refused = await command(['migrate', 'up', '--server-role', SERVER_ROLE], env());
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('PLINTH_SERVER_PASSWORD is not set');
    expect((await database.admin.query(`select to_regnamespace('plinth') as schema`)).rows).toEqual([{ schema: null }]);
  });

  test('a server that takes no writes is told with the way out', async () => {
    await database.admin.query(`alter database ${database.name} set default_transaction_read_only = on`);
    const refused = await command(['migrate', 'up'], env());
    await database.admin.query(`begin read write; alter database ${database.name} reset default_transaction_read_only; commit`);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/read-only transaction\n.*reset default_transaction_read_only/);
    expect((await database.admin.query(`select to_regnamespace('plinth') as schema`)).rows).toEqual([{ schema: null }]);
  });

  test('up applies everything, prints each step, and makes the serving role', async () => {
    const done = await command(['migrate', 'up', '--server-role', SERVER_ROLE], { ...env(), PLINTH_SERVER_PASSWORD: 'secret of a test' });
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toMatch(/✔ .*audit.*\(\d+ ms\)/);
    expect(done.stdout).not.toContain('secret of a test');
    const { rows } = await database.admin.query(`select rolsuper, rolbypassrls, rolinherit, rolcanlogin from pg_roles where rolname = $1`, [SERVER_ROLE]);
    expect(rows).toEqual([{ rolsuper: false, rolbypassrls: false, rolinherit: false, rolcanlogin: true }]);
  });

  test('up again finds nothing to do; plan and status say so', async () => {
    const [again, data, plan, status] = await Promise.all([
      command(['migrate', 'up'], env()),
      command(['migrate', 'up', '--json'], env()),
      command(['migrate', 'plan'], env()),
      command(['migrate', 'status', '--json'], env()),
    ]);
    expect(again).toMatchObject({ code: 0, stdout: '  Everything is up to date.\n' });
    expect(json(data)).toEqual({ applied: [], repeatables: false });
    expect(plan.stdout).toContain('No migration is pending.');
    const { migrations, repeatablesStale } = json<Plan>(status);
    expect(migrations.length).toBeGreaterThanOrEqual(7);
    expect(migrations.every(({ state }) => state === 'applied')).toBe(true);
    expect(repeatablesStale).toBe(false);
  });

  test('--expose public adds the functions and views to public', async () => {
    expect(await command(['migrate', 'up', '--expose', 'public', '--json'], env())).toMatchObject({ code: 0 });
    const { rows } = await database.admin.query(`select to_regclass('public.audit_logs')::text as view, to_regproc('public.append_event')::text as function`);
    expect(rows).toEqual([{ view: 'audit_logs', function: 'append_event' }]);
  });

  test('names that the application has in public are told, with the way out', async () => {
    const clash = await emptyDatabase('cli migrate clash');
    try {
      await clash.admin.query('create table public.users (id int)');
      const up = (...more: string[]) => command(['migrate', 'up', '--expose', 'public', ...more], { PLINTH_DATABASE_URL: clash.url });
      const refused = await up();
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('Schema public has these names already: users (table)');
      expect(refused.stderr).toContain('--expose-except users');
      const done = await up('--expose-except', 'users');
      expect(done).toMatchObject({ code: 0, stderr: '' });
      expect(done.stdout).toContain('Left out of schema public: users');
    } finally {
      await clash.drop();
    }
  });

  test('sql prints everything without a database', async () => {
    const { code, stdout } = await command(['migrate', 'sql']);
    expect(code).toBe(0);
    expect(stdout).toContain('create table plinth_audit.entries');
    expect(stdout).toContain('create or replace function plinth.log_audit_event(');
  });
});

describe('plinth migrate, called wrongly', { timeout: 120_000 }, () => {
  test.each([
    ['an action that does not exist', ['migrate', 'sideways'], 2, 'There is no migrate sideways: choose plan, up, status, sql.'],
    ['no action', ['migrate'], 2, 'plinth migrate wants <action>'],
    ['no database', ['migrate', 'up'], 2, 'No database is named.'],
    ['a schema that is not public', ['migrate', 'up', '--url', 'postgres://u@127.0.0.1:1/x', '--expose', 'elsewhere'], 2, 'only public can be exposed to'],
    ['names to leave out of nothing', ['migrate', 'up', '--url', 'postgres://u@127.0.0.1:1/x', '--expose-except', 'users'], 2, 'give both'],
    ['a database that does not answer', ['migrate', 'status', '--url', 'postgres://u@127.0.0.1:1/x'], 1, 'ECONNREFUSED'],
  ])('%s', async (_, args, code, sentence) => {
    const ended = await command(args);
    expect(ended.stderr).toContain(sentence);
    expect(ended.code).toBe(code);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  });

  test('a command that does not exist', async () => {
    const ended = await command(['levitate']);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('levitate');
  });
});
