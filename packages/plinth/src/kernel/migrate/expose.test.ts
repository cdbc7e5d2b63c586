/** Functions and views in schema public, beside what an application has there. */
import { afterAll, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase } from '#testing/database.ts';
import { migratePlan, migrateUp } from './index.ts';
import { scratchModule, THINGS } from './scratch.fixture.ts';

const databases: EmptyDatabase[] = [];
const empty = async (name: string): Promise<EmptyDatabase> => {
  const database = await emptyDatabase(name);
  databases.push(database);
  return database;
};
afterAll(() => Promise.all(databases.map((database) => database.drop())));

const view = (columns: string): string =>
  `create or replace view plinth.things with (security_invoker = true) as select ${columns} from plinth_scratch.things;`;
const scratch = () =>
  scratchModule({
    'migrations/0001_create_things.sql': THINGS,
    'functions/count_things.sql':
      'create or replace function plinth.count_things(p_most integer default 10) returns bigint language sql stable as $$ select count(*) from plinth.things limit p_most $$;',
    'views/things.sql': view('id, name'),
  });

const exposed = async ({ admin }: EmptyDatabase): Promise<string[]> =>
  (
    await admin.query<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'public'::regnamespace and obj_description(oid, 'pg_class') like 'Plinth:%'
       union select proname from pg_proc where pronamespace = 'public'::regnamespace and obj_description(oid, 'pg_proc') like 'Plinth:%' order by 1`,
    )
  ).rows.map((row) => row.name);

test('names that the application has are listed, all of them, before anything is done', async () => {
  const database = await empty('taken');
  const { url, admin } = database;
  const { modules } = scratch();
  await admin.query(`create table public.things (id int); create function public.count_things() returns int language sql return 1`);
  await expect(migrateUp({ url, modules, exposePublic: true })).rejects.toMatchObject({
    code: 'kernel_expose_taken',
    message: 'Schema public has these names already: count_things (function), things (table)',
    wayOut: expect.stringContaining('--expose-except count_things,things'),
  });
  expect((await admin.query(`select to_regnamespace('plinth') as found`)).rows).toEqual([{ found: null }]);
  await expect(migrateUp({ url, modules, exposePublic: { except: ['thongs'] } })).rejects.toMatchObject({ code: 'kernel_invalid_input' });
});

test('names that were left out stay out in later runs, which do not take their own views for those of others', async () => {
  const database = await empty('left out');
  const { url, admin } = database;
  const { modules } = scratch();
  expect(await migrateUp({ url, modules, exposePublic: { except: ['things'] } })).toMatchObject({ repeatables: true, leftOut: ['things'] });
  expect(await exposed(database)).toEqual(['count_things', 'trace']);
  await admin.query(`update plinth_kernel.repeatables set checksum = ''; create table public.trace (id int)`);
  await migrateUp({ url, modules });
  expect(await exposed(database)).toEqual(['count_things', 'trace']);
  expect(await migrateUp({ url, modules, exposePublic: { except: ['things'] } })).toEqual({ applied: [], repeatables: false });
  await migrateUp({ url, modules, exposePublic: true });
  expect(await exposed(database)).toEqual(['count_things', 'things', 'trace']);
});

test('what was built on an exposed view, and its privileges, survive an upgrade', async () => {
  const { url, admin } = await empty('exposed and used');
  const { modules, write } = scratch();
  await migrateUp({ url, modules, exposePublic: true });
  await admin.query(`create schema report; create view report.daily as select count(*) as n from public.things; grant select on public.things to public`);
  write('views/things.sql', view('id, name, tenant_id'));
  await migrateUp({ url, modules });
  await admin.query('select n from report.daily');
  expect((await admin.query('select tenant_id from public.things')).rows).toEqual([]);
  write('views/things.sql', view('name'));
  expect((await migratePlan({ url, modules })).views).toMatchObject([
    { name: 'plinth.things', fate: 'drop', builtOn: [expect.stringContaining('report.daily')] },
    { name: 'public.things', fate: 'drop', builtOn: [expect.stringContaining('report.daily')] },
  ]);
  await expect(migrateUp({ url, modules })).rejects.toMatchObject({ code: 'kernel_object_in_use' });
  await admin.query('drop view report.daily');
  await migrateUp({ url, modules });
  const { rows } = await admin.query(
    `select has_table_privilege('public', 'public.things', 'select') as everybody, array(select attname::text from pg_attribute where attrelid = 'public.things'::regclass and attnum > 0) as columns`,
  );
  expect(rows).toEqual([{ everybody: true, columns: ['name'] }]);
});

test('row security and functions are there when exposing fails, and the next run tries again', async () => {
  const { url, admin } = await empty('not exposed');
  const { modules, write } = scratch();
  await migrateUp({ url, modules, exposePublic: true });
  await admin.query(`create schema report; create view report.n as select public.count_things() as n`);
  const changed = `create or replace function plinth.count_all_things() returns bigint language sql stable as $$ select count(*) from plinth.things $$;`;
  write('functions/count_all_things.sql', changed);
  await expect(migrateUp({ url, modules, exposePublic: { except: ['count_things'] } })).rejects.toMatchObject({ code: 'kernel_object_in_use' });
  await admin.query('select plinth.count_all_things()');
  expect((await admin.query(`select relforcerowsecurity as forced from pg_class where oid = 'plinth_scratch.things'::regclass`)).rows).toEqual([
    { forced: true },
  ]);
  await admin.query('drop view report.n');
  expect(await migrateUp({ url, modules })).toMatchObject({ repeatables: true });
  expect((await admin.query('select public.count_all_things() as n')).rows).toEqual([{ n: '0' }]);
});
