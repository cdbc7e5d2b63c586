import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { modules } from '#registry';
import { emptyDatabase } from '#testing/database.ts';
import { defineModule, inOrder } from '../module.ts';
import { assertMigrated, createServerRole, migratePlan, migrateSql, migrateUp } from './index.ts';
import { scratchModule, THINGS } from './scratch.fixture.ts';

const databases: Awaited<ReturnType<typeof emptyDatabase>>[] = [];
const empty = async (name: string) => {
  const database = await emptyDatabase(name);
  databases.push(database);
  return database;
};
afterAll(() => Promise.all(databases.map((database) => database.drop())));

describe('migrateUp', () => {
  test('20 installers at once: one migrates, the others wait and find nothing to do', async () => {
    const { url } = await empty('installers');
    const results = await Promise.all(Array.from({ length: 20 }, () => migrateUp({ url, modules })));
    expect(results.filter((result) => result.applied.length > 0)).toHaveLength(1);
    expect(results.flatMap((result) => result.applied)).toEqual([...new Set(results.flatMap((result) => result.applied))]);
    expect((await migratePlan({ url, modules })).migrations.every((migration) => migration.state === 'applied')).toBe(true);
  });

  test('a second run changes nothing', async () => {
    const { url } = await empty('again');
    await migrateUp({ url, modules });
    expect(await migrateUp({ url, modules })).toEqual({ applied: [], repeatables: false });
  });

  test('a changed function is applied again; a changed view may lose a column', async () => {
    const database = await empty('repeatable');
    const scratch = scratchModule({
      'migrations/0001_create_things.sql': THINGS,
      'functions/a_first.sql':
        'create or replace function plinth_scratch.a_first() returns int language sql begin atomic select plinth_scratch.b_second(); end;',
      'functions/b_second.sql': 'create or replace function plinth_scratch.b_second() returns int language sql return 1;',
      'views/things.sql': 'create or replace view plinth.things with (security_invoker = true) as select id, name from plinth_scratch.things;',
    });
    await migrateUp({ url: database.url, modules: scratch.modules });
    scratch.write('functions/b_second.sql', 'create or replace function plinth_scratch.b_second() returns int language sql return 2;');
    scratch.write('views/things.sql', 'create or replace view plinth.things with (security_invoker = true) as select id from plinth_scratch.things;');
    expect(await migrateUp({ url: database.url, modules: scratch.modules })).toEqual({ applied: [], repeatables: true });
    expect((await database.admin.query('select plinth_scratch.a_first() as n')).rows).toEqual([{ n: 2 }]);
  });

  test('a failing migration leaves nothing behind and says which it was', async () => {
    const { url, admin } = await empty('failing');
    const scratch = scratchModule({ 'migrations/0001_create_things.sql': `${THINGS}\nselect 1 / 0;` });
    await expect(migrateUp({ url, modules: scratch.modules })).rejects.toThrow('scratch/0001_create_things: division by zero');
    expect((await admin.query(`select to_regclass('plinth_scratch.things') as found`)).rows).toEqual([{ found: null }]);
    scratch.write('migrations/0001_create_things.sql', THINGS);
    expect((await migrateUp({ url, modules: scratch.modules })).applied).toEqual(['scratch/0001_create_things']);
  });

  test('an applied migration that was edited is refused', async () => {
    const { url } = await empty('edited');
    const scratch = scratchModule({ 'migrations/0001_create_things.sql': THINGS });
    await migrateUp({ url, modules: scratch.modules });
    scratch.write('migrations/0001_create_things.sql', `${THINGS}\n-- edited`);
    await expect(migrateUp({ url, modules: scratch.modules })).rejects.toMatchObject({ code: 'kernel_migration_changed' });
  });

  test('a schema of a newer Plinth: breaking is refused, harmless is served', async () => {
    const { url, admin } = await empty('newer');
    await migrateUp({ url, modules });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const add = (breaking: boolean): Promise<unknown> =>
      admin.query(
        `insert into plinth_kernel.migrations (module, number, name, checksum, breaking, took_ms) values ('audit', 9000, '9000_from_the_future', 'x', $1, 1) on conflict (module, number) do update set breaking = excluded.breaking`,
        [breaking],
      );
    await add(false);
    await expect(assertMigrated(client, modules)).resolves.toBeUndefined();
    await add(true);
    await expect(assertMigrated(client, modules)).rejects.toMatchObject({ code: 'kernel_schema_newer' });
    await expect(migrateUp({ url, modules })).rejects.toMatchObject({ code: 'kernel_schema_newer' });
    await client.end();
  });

  test('a database that was never migrated is refused with the way out', async () => {
    const { url } = await empty('never');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await expect(assertMigrated(client, modules)).rejects.toMatchObject({
      code: 'kernel_schema_older',
      wayOut: 'Run plinth migrate up as the role that owns the database.',
    });
    await client.end();
  });

  test('exposes the public names in schema public, and replaces only its own', async () => {
    const { url, admin } = await empty('expose');
    await migrateUp({ url, modules, exposePublic: true });
    await migrateUp({ url, modules, exposePublic: true });
    const { rows } = await admin.query(`select count(*)::int as n from pg_proc where pronamespace = 'public'::regnamespace and proname = 'log_audit_event'`);
    expect(rows).toEqual([{ n: 1 }]);
  });

  test('a role that is no superuser can install and own everything through plinth_owner', async () => {
    const database = await empty('plainowner');
    const role = `installer_${process.pid}`;
    await database.admin.query(`create role ${role} login createrole password 'x'; grant create on database "${database.name}" to ${role} with grant option`);
    await database.admin.query(`grant plinth_owner, plinth_app, plinth_worker, plinth_reader to ${role} with admin option`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    const result = await migrateUp({ url: url.href, modules });
    expect(result.applied.length).toBeGreaterThan(1);
  });

  test('a role that made the roles, as administrators of managed servers do, and that inherits nothing', async () => {
    const database = await empty('managed');
    const role = `managed_${process.pid}`;
    await database.admin.query(`create role ${role} login createrole noinherit password 'x'; grant create on database "${database.name}" to ${role}`);
    // From 16 on this is what who creates a role is of it: someone who may grant it and not become it.
    const { rows } = await database.admin.query<{ options: string }>(
      `select case when current_setting('server_version_num')::int >= 160000 then 'with admin true, inherit false, set false' else 'with admin option' end as options`,
    );
    await database.admin.query(`grant plinth_owner, plinth_app, plinth_worker, plinth_reader to ${role} ${rows[0]?.options}`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    await database.admin.query(`grant create on schema public to ${role}`);
    const exposes = rows[0]?.options !== 'with admin option';
    expect((await migrateUp({ url: url.href, modules, exposePublic: exposes })).applied.length).toBeGreaterThan(1);
    expect(await migrateUp({ url: url.href, modules })).toEqual({ applied: [], repeatables: false });
    expect((await migratePlan({ url: url.href, modules })).migrations.every((migration) => migration.state === 'applied')).toBe(true);
  });

  test('a role that may not is told what to grant', async () => {
    const database = await empty('may not');
    const role = `may_not_${process.pid}`;
    await database.admin.query(`create role ${role} login password 'x'; grant create on database "${database.name}" to ${role}`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'x';
    const refused = { code: 'kernel_forbidden', message: expect.stringContaining(role), wayOut: expect.stringContaining(`grant plinth_owner to "${role}"`) };
    await expect(migrateUp({ url: url.href, modules })).rejects.toMatchObject(refused);
    await database.admin.query(`grant plinth_owner to ${role}`);
    expect((await migrateUp({ url: url.href, modules })).applied.length).toBeGreaterThan(1);
  });

  test('waits for another installer however short the time limits of the database are', async () => {
    const database = await empty('impatient');
    await database.admin.query(`alter database "${database.name}" set statement_timeout = '50ms'; alter database "${database.name}" set lock_timeout = '50ms'`);
    const holder = new pg.Client({ connectionString: database.url, options: '-c statement_timeout=0' });
    await holder.connect();
    await holder.query('select pg_advisory_lock(7217046533310005)');
    const migrated = migrateUp({ url: database.url, modules: scratchModule({ 'migrations/0001_create_things.sql': THINGS }).modules });
    migrated.catch(() => {});
    const waited = `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory' and clock_timestamp() - query_start > interval '150 milliseconds'`;
    await expect.poll(async () => (await holder.query(waited)).rowCount, { timeout: 20_000 }).toBe(1);
    await holder.end();
    expect((await migrated).applied).toContain('scratch/0001_create_things');
    await database.admin.query(`alter database "${database.name}" reset all`);
  });

  test('a database of another encoding than UTF8 is refused before anything is made', async () => {
    const { admin, url } = await empty('latin');
    const name = `latin_${process.pid}`;
    await admin.query(`create database ${name} encoding 'LATIN1' locale 'C' template template0`);
    try {
      const latin = new URL(url);
      latin.pathname = `/${name}`;
      await expect(migrateUp({ url: latin.href, modules })).rejects.toMatchObject({
        code: 'kernel_database_unfit',
        message: expect.stringContaining('LATIN1'),
      });
    } finally {
      await admin.query(`drop database ${name} with (force)`);
    }
  });

  test('after a dump was restored without privileges they are given again; without owners or data it is refused with the way out', async () => {
    const { url, admin } = await empty('restored');
    const { modules: one } = scratchModule({ 'migrations/0001_create_things.sql': THINGS });
    await migrateUp({ url, modules: one });
    await admin.query(`revoke all on schema plinth, plinth_kernel, plinth_scratch from plinth_app, plinth_worker, plinth_reader;
      revoke all on all tables in schema plinth_kernel, plinth_scratch from plinth_app, plinth_worker, plinth_reader`);
    expect(await migrateUp({ url, modules: one })).toEqual({ applied: [], repeatables: true });
    const may = `select has_schema_privilege('plinth_app', 'plinth_scratch', 'usage') and has_table_privilege('plinth_app', 'plinth_scratch.things', 'insert') as may`;
    expect((await admin.query(may)).rows).toEqual([{ may: true }]);
    await admin.query('create table kept as select * from plinth_kernel.migrations; delete from plinth_kernel.migrations');
    const schemaOnly = { code: 'kernel_database_unfit', message: expect.stringContaining('without its data'), wayOut: expect.stringContaining('Drop schema') };
    await expect(migrateUp({ url, modules: one })).rejects.toMatchObject(schemaOnly);
    await admin.query('insert into plinth_kernel.migrations select * from kept');
    await admin.query('alter schema plinth_kernel owner to current_user');
    await expect(migrateUp({ url, modules: one })).rejects.toMatchObject({
      code: 'kernel_database_unfit',
      message: expect.stringContaining('plinth_kernel'),
      wayOut: expect.stringContaining('--no-owner'),
    });
  });
});

test('20 processes at once make the role of the server', async () => {
  const { url, admin } = await empty('serverrole');
  await migrateUp({ url, modules });
  const name = `server_${process.pid}`;
  await Promise.all(Array.from({ length: 20 }, () => createServerRole({ url, name, password: 'x' })));
  const { rows } = await admin.query(`select rolinherit, pg_has_role(oid, 'plinth_worker', 'member') as worker from pg_roles where rolname = $1`, [name]);
  expect(rows).toEqual([{ rolinherit: false, worker: true }]);
  await admin.query(`drop role ${name}`);
});

test('a role that was there before, and inherited what workers see, does not as the role of the server', async () => {
  const { url, admin } = await empty('inherited');
  await migrateUp({ url, modules: {} });
  const name = `inherited_${process.pid}`;
  await admin.query(`create role ${name} login; grant plinth_app, plinth_worker, plinth_reader to ${name}`);
  const inherits = async () =>
    (await admin.query<{ inherits: boolean }>(`select pg_has_role('${name}', 'plinth_worker', 'usage') as inherits`)).rows[0]?.inherits;
  expect(await inherits()).toBe(true);
  await createServerRole({ url, name, password: 'x' });
  expect(await inherits()).toBe(false);
  await admin.query(`drop role ${name}`);
});

test('every statement of an installation can be printed for a DBA', () => {
  expect(migrateSql(modules)).toContain('create table plinth_audit.entries');
});

test('modules come after those they use, and a circle is refused', () => {
  const card = (name: string, uses: string[] = []) => defineModule({ name, summary: name, tables: {}, uses });
  expect(inOrder({ a: card('a', ['b']), b: card('b', ['c']), c: card('c') }).map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  expect(() => inOrder({ a: card('a', ['b']), b: card('b', ['a']) })).toThrow(/uses itself/);
  expect(() => inOrder({ a: card('a', ['nobody']) })).toThrow(/no such module/);
});
