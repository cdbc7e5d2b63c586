import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { premakePartitions } from './premake.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('partitions');
});
afterAll(() => database.drop());

const asOwner = async (text: string): Promise<void> => {
  await database.admin.query(`begin; set local role plinth_owner; ${text}; commit`);
};
const rowsOf = async (text: string): Promise<Record<string, unknown>[]> => (await database.admin.query(text)).rows;

test('a partition has what its table has: defaults, identity, generated columns, checks, indexes, row triggers', async () => {
  await asOwner(`
    create table plinth_audit.rich (
      tenant_id uuid not null, id uuid not null default plinth_kernel.uuid_v7(), number bigint generated always as identity, name text not null default 'nobody' check (length(name) < 20),
      shout text generated always as (upper(name)) stored, primary key (tenant_id, id)
    ) partition by range (id);
    create index rich_by_name on plinth_audit.rich (tenant_id, name);
    create function plinth_audit.mark() returns trigger language plpgsql as 'begin new.name := new.name || ''!''; return new; end';
    create trigger mark before insert on plinth_audit.rich for each row execute function plinth_audit.mark();
    select plinth_kernel.ensure_partitions('plinth_audit.rich', 'day', 3)`);
  expect(await rowsOf(`insert into plinth_audit.rich (tenant_id) values (gen_random_uuid()), (gen_random_uuid()) returning number, name, shout`)).toEqual([
    { number: '1', name: 'nobody!', shout: 'NOBODY!' },
    { number: '2', name: 'nobody!', shout: 'NOBODY!' },
  ]);
  await expect(database.admin.query(`insert into plinth_audit.rich (tenant_id, name) values (gen_random_uuid(), repeat('x', 30))`)).rejects.toMatchObject({
    code: '23514',
  });
  const children =
    await rowsOf(`select c.relrowsecurity, c.relforcerowsecurity, array(select distinct a.grantee from aclexplode(c.relacl) a where a.grantee <> c.relowner) as grantees,
      pg_get_userbyid(c.relowner) as owner, (select count(*)::int from pg_index i where i.indrelid = c.oid) as indexes,
      (select array_agg(polname || ' ' || (select string_agg(pg_get_userbyid(r), ',') from unnest(polroles) r)) from pg_policy where polrelid = c.oid) as policies
    from pg_inherits h join pg_class c on c.oid = h.inhrelid where h.inhparent = 'plinth_audit.rich'::regclass`);
  expect(children).toHaveLength(5);
  for (const child of children) {
    expect(child).toEqual({
      relrowsecurity: true,
      relforcerowsecurity: true,
      grantees: [],
      owner: 'plinth_owner',
      indexes: 2,
      policies: ['owner plinth_owner'],
    });
  }
});

test('making partitions again makes none, from many sessions at once too', async () => {
  await asOwner(`create table plinth_audit.busy (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id)) partition by range (id)`);
  const made = await Promise.all(
    Array.from(
      { length: 5 },
      async () => (await database.admin.query<{ n: number }>(`select plinth_kernel.ensure_partitions('plinth_audit.busy', 'month') as n`)).rows[0]?.n,
    ),
  );
  expect(made.sort()).toEqual([0, 0, 0, 0, 5]);
  await expect(database.admin.query(`select plinth_kernel.partition_make('plinth_audit.busy', 'week', now())`)).rejects.toMatchObject({ code: 'PL400' });
});

test('a writer is not held up while partitions are made', async () => {
  await asOwner(
    `create table plinth_audit.hot (tenant_id uuid not null, id uuid not null default plinth_kernel.uuid_v7(), primary key (tenant_id, id)) partition by range (id); select plinth_kernel.ensure_partitions('plinth_audit.hot', 'month', 1)`,
  );
  const writer = await database.admin.connect();
  await writer.query('begin; insert into plinth_audit.hot (tenant_id) values (gen_random_uuid())');
  await asOwner(`set local lock_timeout = '1s'; select plinth_kernel.ensure_partitions('plinth_audit.hot', 'month', 4)`);
  await writer.query('commit');
  writer.release();
  expect(await rowsOf(`select count(*)::int as n from plinth_kernel.partition_list('plinth_audit.hot')`)).toEqual([{ n: 6 }]);
});

test('bounds join without a gap, over months of every length', async () => {
  await asOwner(`create table plinth_audit.long (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id)) partition by range (id);
    select count(plinth_kernel.partition_make('plinth_audit.long', 'month', m)) from generate_series('2027-01-31 23:30+00'::timestamptz, '2029-12-31', '27 days') m`);
  const parts = await rowsOf(
    `select lower_id, upper_id, lag(upper_id) over (order by lower_id) as before from plinth_kernel.partition_list('plinth_audit.long')`,
  );
  expect(parts).toHaveLength(36);
  for (const part of parts.slice(1)) expect(part.lower_id).toBe(part.before);
});

test('the worker makes partitions ahead for every kind, and no more than 40 periods', async () => {
  const { plinth } = database;
  const premake = (periods: number) =>
    plinth.asWorker({}, (tx) => tx.query<{ kind: string; made: number }>('select * from plinth_kernel.partition_premake($1)', [periods]));
  // The database was made from a template that may be of yesterday.
  await premake(3);
  const ahead = await premake(4);
  expect(ahead.length).toBeGreaterThan(2);
  expect(ahead.every((kind) => kind.made === 1)).toBe(true);
  await expect(premake(1000)).rejects.toMatchObject({ code: 'kernel_invalid_input' });
});

test('a table that somebody has locked keeps no other from its partitions, and the error names it', async () => {
  const { plinth, admin } = database;
  const asWorker: Parameters<typeof premakePartitions>[0] = (body) => plinth.asWorker({}, body);
  await premakePartitions(asWorker, 5);
  const locker = await admin.connect();
  await locker.query('begin; lock table plinth_audit.entries in access exclusive mode');
  await expect(premakePartitions(asWorker, 6)).rejects.toThrow(/^no partitions could be made for audit\.entries: /);
  const health = () => plinth.asWorker({}, (tx) => tx.query<{ kind: string; ahead: number }>('select kind, ahead from plinth_kernel.partition_health()'));
  await locker.query('rollback');
  locker.release();
  const behind = (await health()).filter(({ ahead }) => ahead < 6).map(({ kind }) => kind);
  expect(behind).toEqual(['audit.entries']);
  expect(await premakePartitions(asWorker, 6)).toBe(1);
});
