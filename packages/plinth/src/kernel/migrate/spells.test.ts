/** Upgrades of a database that is in use. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmptyDatabase } from '#testing/database.ts';
import { emptyDatabase } from '#testing/database.ts';
import { migrateUp } from './index.ts';
import { scratchModule, THINGS } from './scratch.fixture.ts';

let database: EmptyDatabase;
const { modules, write } = scratchModule({ 'migrations/0001_create_things.sql': THINGS });
const up = (more: Partial<Parameters<typeof migrateUp>[0]> = {}) => migrateUp({ url: database.url, modules, ...more });
const touch = () => database.admin.query(`update plinth_kernel.repeatables set checksum = ''`);

beforeAll(async () => {
  database = await emptyDatabase('spells');
  await up();
});
afterAll(() => database.drop());

/** A backup or a report: it has read the table and its transaction stays open. */
async function reader() {
  const client = await database.admin.connect();
  await client.query(`begin; set local application_name = 'a report'; select from plinth_scratch.things`);
  return {
    async end() {
      await client.query('commit');
      client.release();
    },
  };
}

const insert = `insert into plinth_scratch.things (tenant_id, name) values (gen_random_uuid(), 'x')`;

test('an upgrade behind a long reader holds up nobody: in between its tries others read and write, and when the reader has ended it is done', async () => {
  await touch();
  const report = await reader();
  const waits: string[] = [];
  let tried = Promise.withResolvers<void>();
  const upgrade = up({
    onWait: (holder) => {
      waits.push(holder);
      tried.resolve();
    },
  });
  for (let turn = 0; turn < 2; turn++) {
    await tried.promise;
    tried = Promise.withResolvers();
    // Between two tries: nothing of the upgrade is locked, so this waits for nobody.
    await database.admin.query(`begin; set local lock_timeout = '5s'; ${insert}; select from plinth_kernel.tenants; commit`);
  }
  await report.end();
  expect(await upgrade).toMatchObject({ applied: [], repeatables: true });
  expect(waits[0]).toMatch(/^a report \(pid \d+\) has used plinth_scratch\.things for \d+ s$/);
});

test('functions alone are upgraded beside whoever uses tables, whose row security stands as it was; where it does not it is told again', async () => {
  const answer = (n: number): void =>
    write('functions/answer.sql', `create or replace function plinth_scratch.answer() returns integer language sql immutable begin atomic select ${n}; end;`);
  const { admin } = database;
  answer(41);
  await up();
  const report = await reader();
  answer(42);
  await up({ patienceMs: 0 });
  expect((await admin.query('select plinth_scratch.answer()')).rows).toEqual([{ answer: 42 }]);
  await report.end();
  const policies = async () => (await admin.query(`select polname, polrelid::regclass::text as table from pg_policy order by 2, 1`)).rows;
  const before = await policies();
  for (const [n, damage] of [
    'drop policy tenant on plinth_scratch.things',
    'alter policy reader on plinth_kernel.tenants using (false)',
    'alter table plinth_scratch.things no force row level security',
    `create policy everybody on plinth_scratch.things using (true)`,
  ].entries()) {
    await admin.query(damage);
    answer(n);
    await up();
  }
  expect(await policies()).toEqual(
    [...before, { polname: 'everybody', table: 'plinth_scratch.things' }].toSorted(
      (a, b) => a.table.localeCompare(b.table) || a.polname.localeCompare(b.polname),
    ),
  );
  const { rows } = await admin.query(
    `select relforcerowsecurity as forced, (select pg_get_expr(polqual, polrelid) from pg_policy where polname = 'reader' and polrelid = 'plinth_kernel.tenants'::regclass) as readers from pg_class where oid = 'plinth_scratch.things'::regclass`,
  );
  expect(rows).toEqual([{ forced: true, readers: 'true' }]);
  await admin.query('drop policy everybody on plinth_scratch.things');
});

test('a migration does so too, and one that finds no moment says who is in the way and leaves nothing behind', async () => {
  write('migrations/0002_add_size.sql', '-- why: test\n-- locks: things\n-- breaking: no\nalter table plinth_scratch.things add column size integer;\n');
  const report = await reader();
  await expect(up({ patienceMs: 0 })).rejects.toMatchObject({
    code: 'kernel_timeout',
    message: expect.stringMatching(/others use them: a report \(pid \d+\)/),
  });
  await database.admin.query(insert);
  expect((await database.admin.query('select * from plinth_scratch.things limit 1')).fields.map(({ name }) => name)).not.toContain('size');
  await report.end();
  expect(await up()).toMatchObject({ applied: ['scratch/0002_add_size'] });
});

test('transactions that want what an upgrade has locked, and hold what it wants, are not ended for it', async () => {
  await touch();
  const client = await database.admin.connect();
  // plinth_kernel.tenants comes before plinth_scratch.things.
  await client.query(`begin; ${insert}`);
  const tried = Promise.withResolvers<void>();
  const upgrade = up({ onWait: () => tried.resolve() });
  await tried.promise;
  await client.query(`insert into plinth_kernel.tenants (slug, name) values ('b', 'B'); commit`);
  client.release();
  expect(await upgrade).toMatchObject({ repeatables: true });
});
