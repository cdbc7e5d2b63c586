/** What an upgrade leaves as it is: what others built on the views, their privileges, and the modules that this process does not know. */
import { afterAll, describe, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase } from '#testing/database.ts';
import type { AnyModule } from '../module.ts';
import { migratePlan, migrateUp } from './index.ts';
import { scratchModule, THINGS } from './scratch.fixture.ts';

const databases: EmptyDatabase[] = [];
const empty = async (name: string): Promise<EmptyDatabase> => {
  const database = await emptyDatabase(name);
  databases.push(database);
  return database;
};
const bi = `plinth_test_bi_${process.pid}`;
afterAll(async () => {
  for (const { admin } of databases) await admin.query(`drop owned by ${bi}`).catch(() => undefined);
  await databases[0]?.admin.query(`drop role if exists ${bi}`);
  await Promise.all(databases.map((database) => database.drop()));
});

const view = (name: string, columns: string, from = 'plinth_scratch.things'): string =>
  `create or replace view plinth.${name} with (security_invoker = true) as select ${columns} from ${from};\ncomment on view plinth.${name} is 'Things.';`;

const scratch = () => scratchModule({ 'migrations/0001_create_things.sql': THINGS, 'views/things.sql': view('things', 'id, name') });

/** A view, a materialized view and privileges of somebody else, on views of ours. */
const built = async ({ admin }: EmptyDatabase): Promise<void> => {
  await admin.query(`do $$ begin create role ${bi}; exception when duplicate_object then null; end $$`);
  await admin.query(`create schema report;
    create view report.daily as select count(*) as n from plinth.things;
    create materialized view report.kept as select * from report.daily;
    grant select on plinth.things to ${bi} with grant option;
    grant select (name) on plinth.things to public`);
};

const outdated = ({ admin }: EmptyDatabase) => admin.query(`update plinth_kernel.repeatables set checksum = 'of an older version'`);

const foreignState = async ({ admin }: EmptyDatabase): Promise<unknown> =>
  (
    await admin.query(
      `select to_regclass('report.daily')::text as daily, to_regclass('report.kept')::text as kept, has_table_privilege($1, 'plinth.things', 'select with grant option') as bi,
         has_column_privilege('public', 'plinth.things', 'name', 'select') as everybody`,
      [bi],
    )
  ).rows[0];
const untouched = { daily: 'report.daily', kept: 'report.kept', bi: true, everybody: true };

describe('what others built on a view', () => {
  test('stays when the view is applied again, also with a column more at its end', async () => {
    const database = await empty('built on');
    const { modules, write } = scratch();
    await migrateUp({ url: database.url, modules });
    await built(database);
    await outdated(database);
    expect(await migrateUp({ url: database.url, modules })).toEqual({ applied: [], repeatables: true });
    expect(await foreignState(database)).toEqual(untouched);
    write('views/things.sql', view('things', 'id, name, tenant_id'));
    await migrateUp({ url: database.url, modules });
    expect(await foreignState(database)).toEqual(untouched);
  });

  test('stops an upgrade that would have to drop it, before anything is changed; plan says so', async () => {
    const database = await empty('in use');
    const { modules, write } = scratch();
    await migrateUp({ url: database.url, modules });
    await built(database);
    write('views/things.sql', view('things', 'name'));
    write('migrations/0002_add_size.sql', '-- why: test\n-- locks: none\n-- breaking: no\nalter table plinth_scratch.things add column size integer;');
    expect((await migratePlan({ url: database.url, modules })).views).toEqual([
      { name: 'plinth.things', fate: 'drop', builtOn: [expect.stringContaining('report.daily')] },
    ]);
    await expect(migrateUp({ url: database.url, modules })).rejects.toMatchObject({
      code: 'kernel_object_in_use',
      message: expect.stringMatching(/plinth\.things has to be dropped .*view report\.daily/),
      wayOut: expect.stringContaining('Drop the objects that are named'),
    });
    expect((await migratePlan({ url: database.url, modules })).migrations.at(-1)).toMatchObject({ name: '0002_add_size', state: 'pending' });
    expect(await foreignState(database)).toEqual(untouched);
  });

  test('stops it also where only the pending migration makes the new view possible', async () => {
    const database = await empty('rehearsed');
    const { modules, write } = scratch();
    await migrateUp({ url: database.url, modules });
    await built(database);
    write('views/things.sql', view('things', 'id, size, name'));
    write('migrations/0002_add_size.sql', '-- why: test\n-- locks: none\n-- breaking: no\nalter table plinth_scratch.things add column size integer;');
    expect((await migratePlan({ url: database.url, modules })).views).toMatchObject([{ name: 'plinth.things', fate: 'open' }]);
    await expect(migrateUp({ url: database.url, modules })).rejects.toMatchObject({ code: 'kernel_object_in_use' });
    expect((await migratePlan({ url: database.url, modules })).migrations.at(-1)).toMatchObject({ state: 'pending' });
    await database.admin.query('drop view report.daily cascade');
    expect(await migrateUp({ url: database.url, modules })).toEqual({ applied: ['scratch/0002_add_size'], repeatables: true });
    expect(await foreignState(database)).toMatchObject({ bi: true, everybody: true });
  });

  test('a trigger, a function over its rows and a policy that reads it count as well', async () => {
    const database = await empty('other kinds');
    const { modules, write } = scratch();
    await migrateUp({ url: database.url, modules });
    await database.admin.query(`create schema report;
      create function report.row_of() returns setof plinth.things language sql as 'select * from plinth.things';
      create function report.noted() returns trigger language plpgsql as 'begin return new; end';
      create trigger noted instead of insert on plinth.things for each row execute function report.noted();
      create table report.own (id uuid); create policy seen on report.own using (id in (select id from plinth.things))`);
    write('views/things.sql', view('things', 'name'));
    await expect(migrateUp({ url: database.url, modules })).rejects.toMatchObject({
      detail: { dependants: [expect.stringContaining('report.row_of'), expect.stringContaining('policy seen'), expect.stringContaining('trigger noted')] },
    });
  });
});

test('a view whose columns change is made again with the views of ours that stand on it, and the privileges that others gave stay', async () => {
  const database = await empty('made again');
  const { modules, write } = scratch();
  write('views/a_few.sql', view('a_few', 'id, name', 'plinth.things limit 3'));
  await migrateUp({ url: database.url, modules });
  await built(database);
  await database.admin.query(`drop view report.daily cascade; grant select on plinth.a_few to ${bi}`);
  write('views/things.sql', view('things', 'name, id'));
  expect((await migratePlan({ url: database.url, modules })).views).toEqual([
    { name: 'plinth.a_few', fate: 'drop', builtOn: [] },
    { name: 'plinth.things', fate: 'drop', builtOn: [] },
  ]);
  await migrateUp({ url: database.url, modules });
  expect(await foreignState(database)).toMatchObject({ bi: true, everybody: true });
  const { rows } = await database.admin.query(
    `select has_table_privilege($1, 'plinth.a_few', 'select') as bi, has_table_privilege('plinth_app', 'plinth.a_few', 'select') as app,
       (select attname from pg_attribute where attrelid = 'plinth.things'::regclass and attnum = 1) as first`,
    [bi],
  );
  expect(rows).toEqual([{ bi: true, app: true, first: 'name' }]);
});

test('a function with other parameters, or another result, takes the place of the one before, with those of ours that call it', async () => {
  const database = await empty('other parameters');
  const { modules, write } = scratch();
  const half = (parameters: string, type: string) =>
    write(
      'functions/half_of.sql',
      `create or replace function plinth_scratch.half_of(${parameters}) returns ${type} language sql begin atomic select p_of / 2; end;`,
    );
  const quarter = (type: string) =>
    write(
      'functions/a_quarter_of.sql',
      `create or replace function plinth.a_quarter_of(p_of ${type}) returns ${type} language sql begin atomic select plinth_scratch.half_of(plinth_scratch.half_of(p_of)); end;`,
    );
  const answers = async () => {
    await migrateUp({ url: database.url, modules });
    const { rows } = await database.admin.query(`select plinth.a_quarter_of(8)::text as quarter,
      (select string_agg(oid::regprocedure::text, ' ') from pg_proc where proname = 'half_of') as half`);
    return rows[0] as unknown;
  };
  half('p_of integer', 'integer');
  quarter('integer');
  expect(await answers()).toEqual({ quarter: '2', half: 'plinth_scratch.half_of(integer)' });
  half('p_of integer, p_why text default null', 'integer');
  expect(await answers()).toEqual({ quarter: '2', half: 'plinth_scratch.half_of(integer,text)' });
  half('p_of bigint', 'bigint');
  quarter('bigint');
  expect(await answers()).toEqual({ quarter: '2', half: 'plinth_scratch.half_of(bigint)' });
  await database.admin.query('create schema report; create view report.halves as select plinth_scratch.half_of(4)');
  half('p_of bigint, p_why text default null', 'bigint');
  await expect(answers()).rejects.toMatchObject({ code: 'kernel_object_in_use', message: expect.stringContaining('report.halves') });
  expect((await database.admin.query('select * from report.halves')).rows).toEqual([{ half_of: '2' }]);
});

describe('a module that is installed and unknown here', () => {
  const writer = (name: string) => {
    const table = THINGS.replaceAll('plinth_scratch', `plinth_${name}`).replace(
      'name text',
      'name text, correlation_id uuid, created_at timestamptz default now()',
    );
    return scratchModule(
      {
        'migrations/0001_create_things.sql': table.replace('breaking: no', name === 'theirs' ? 'breaking: yes' : 'breaking: no'),
        'functions/write_effects.sql': `create or replace function plinth_${name}.write_effects(p_rows jsonb) returns void language sql begin atomic
          insert into plinth_${name}.things (tenant_id, name, correlation_id) select plinth_kernel.uuid_v7(), r ->> 'name', (r ->> 'of')::uuid from jsonb_array_elements(p_rows) as r; end;`,
        [`views/${name}.sql`]: view(name, 'id, name', `plinth_${name}.things`),
      },
      name,
      {
        effects: () => ({}),
        tables: {
          things: { tenancy: 'tenant', keep: 'forever', trace: { kind: name, title: 'name', parent: 'null', xact: 'null' } },
        },
      } as Partial<AnyModule>,
    ).modules;
  };
  const story = '00000000-0000-7000-8000-0000000000aa';
  const write = ({ admin }: EmptyDatabase, module: string) =>
    admin.query('call plinth.write_effects($1)', [JSON.stringify({ [module]: [{ name: `of ${module}`, of: story }] })]);
  const told = async ({ admin }: EmptyDatabase): Promise<string[]> =>
    (await admin.query<{ title: string }>('select title from plinth.trace($1) order by 1', [story])).rows.map((row) => row.title);

  test('keeps its view, its effects and its part of the trace; each process finds its own up to date', async () => {
    const database = await empty('unknown module');
    const ours = writer('ours');
    const both = { ...ours, ...writer('theirs') };
    await migrateUp({ url: database.url, modules: both });
    expect(await migratePlan({ url: database.url, modules: ours })).toMatchObject({ stale: [], unknown: [], otherModules: ['theirs'] });
    await outdated(database);
    expect(await migrateUp({ url: database.url, modules: ours })).toEqual({ applied: [], repeatables: true });
    for (const module of ['ours', 'theirs']) await write(database, module);
    expect(await told(database)).toEqual(['of ours', 'of theirs']);
    const { rows } = await database.admin.query(
      `select to_regclass('plinth.theirs')::text as view, (select count(*)::int from plinth_kernel.retention_kinds where kind = 'theirs.things') as kinds`,
    );
    expect(rows).toEqual([{ view: 'plinth.theirs', kinds: 1 }]);
    expect((await migratePlan({ url: database.url, modules: both })).stale).toEqual(['theirs']);
  });

  test('is forgotten when its schema is gone', async () => {
    const database = await empty('gone module');
    const ours = writer('ours');
    await migrateUp({ url: database.url, modules: { ...ours, ...writer('theirs') } });
    await database.admin.query('drop schema plinth_theirs cascade');
    expect(await migrateUp({ url: database.url, modules: ours })).toMatchObject({ repeatables: true });
    await write(database, 'ours');
    expect(await told(database)).toEqual(['of ours']);
    expect((await database.admin.query(`select kind from plinth_kernel.retention_kinds order by 1`)).rows).toEqual([{ kind: 'ours.things' }]);
    await expect(write(database, 'theirs')).rejects.toMatchObject({ detail: expect.stringContaining('kernel_module_not_installed') });
  });
});

test('effects of no module are refused and name it', async () => {
  const database = await empty('no module');
  await migrateUp({ url: database.url, modules: scratch().modules });
  await expect(database.admin.query(`call plinth.write_effects('{"nosuchmodule":[{"id":1}]}')`)).rejects.toMatchObject({
    code: 'PL503',
    message: expect.stringContaining('nosuchmodule'),
    hint: expect.stringContaining('Migrate the database'),
  });
  await database.admin.query(`call plinth.write_effects('{}')`);
});

describe('an older version', () => {
  const second = '-- why: test\n-- locks: none\n-- breaking: no\nselect 1;';

  test('leaves functions and views of a newer one as they are', async () => {
    const database = await empty('older');
    const newer = scratch();
    newer.write('migrations/0002_do_nothing.sql', second);
    newer.write('views/things.sql', view('things', 'id, name, tenant_id'));
    await migrateUp({ url: database.url, modules: newer.modules });
    expect(await migrateUp({ url: database.url, modules: scratch().modules })).toEqual({ applied: [], repeatables: false, newer: ['scratch/0002_do_nothing'] });
    await database.admin.query('select tenant_id from plinth.things');
  });

  test('with a migration of its own is neither older nor newer, and refused', async () => {
    const database = await empty('diverged');
    const one = scratch();
    one.write('migrations/0002_do_nothing.sql', second);
    await migrateUp({ url: database.url, modules: one.modules });
    const other = scratch();
    other.write('migrations/0003_do_nothing.sql', second);
    await expect(migrateUp({ url: database.url, modules: other.modules })).rejects.toMatchObject({ code: 'kernel_schema_diverged' });
  });
});
