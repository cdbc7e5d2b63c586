/** The contract tests catch what they are there to catch: a specimen module passes, and fails after each planted fault. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrateUp } from '#kernel/migrate/index.ts';
import { defineModule, type ModuleMap } from '#kernel/module.ts';
import { type EmptyDatabase, emptyDatabase } from './database.ts';
import { exerciseModule } from './exercise-module.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-specimen-'));

const migration = `-- why: a specimen
-- locks: none
-- breaking: no
create table plinth_specimen.owners (
  tenant_id uuid not null default plinth_kernel.tenant_id() references plinth_kernel.tenants,
  id uuid not null default plinth_kernel.uuid_v7(),
  kind text not null check (kind in ('person', 'team')),
  done_at timestamptz,
  primary key (tenant_id, id)
);
comment on table plinth_specimen.owners is 'Owners.';
create table plinth_specimen.notes (
  tenant_id uuid not null default plinth_kernel.tenant_id(),
  id uuid not null default plinth_kernel.uuid_v7(),
  owner_id uuid not null,
  size bigint not null,
  tags text[] not null,
  body jsonb not null,
  primary key (tenant_id, id),
  foreign key (tenant_id, owner_id) references plinth_specimen.owners on delete cascade
);
comment on table plinth_specimen.notes is 'Notes.';
create table plinth_specimen.history (
  tenant_id uuid not null default plinth_kernel.tenant_id(),
  id uuid not null default plinth_kernel.uuid_v7(),
  word text not null check (word ~ '^[A-Z]{3}$'),
  primary key (tenant_id, id)
) partition by range (id);
comment on table plinth_specimen.history is 'History.';`;
const view = `create or replace view plinth.specimen_notes with (security_invoker = true) as select n.tenant_id, n.id, n.size from plinth_specimen.notes as n;
comment on view plinth.specimen_notes is 'Notes.';`;

const specimen = defineModule({
  name: 'specimen',
  summary: 'A module for tests of the contract tests.',
  sql: pathToFileURL(`${folder}/`),
  tables: {
    owners: { tenancy: 'tenant', keep: { for: '30 days', by: 'delete', column: 'done_at', where: `kind = 'team'` } },
    notes: { tenancy: 'tenant', keep: 'forever' },
    history: { tenancy: 'tenant', keep: { for: '3 months', by: 'partition', archive: true }, grants: { app: ['select', 'insert'] }, sample: { word: `'ABC'` } },
  },
});
const modules: ModuleMap = { specimen };

let database: EmptyDatabase;
beforeAll(async () => {
  for (const [path, text] of [
    ['migrations/0001_create_specimen.sql', migration],
    ['views/specimen_notes.sql', view],
  ] as const) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  database = await emptyDatabase('specimen');
  await migrateUp({ url: database.url, modules });
});
afterAll(async () => {
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

const promises = exerciseModule(specimen, { url: () => database.url, modules });

describe('a sound module', () => {
  test('has at least one promise of each kind', () => {
    expect(promises.length).toBe(6 + 3 * 3 + 2);
  });
  test.each(promises)('keeps: $name', ({ run }) => run());
});

/** Runs the promise of this name and returns what it complained of. */
async function complaint(name: string): Promise<string> {
  const found = promises.find((promise) => promise.name.startsWith(name));
  if (!found) throw new Error(`no promise ${name}`);
  return found.run().then(
    () => 'nothing',
    (error: unknown) => String(error),
  );
}

describe('a planted fault is found', () => {
  const rls = 'row security is enabled';
  test.each([
    ['a table that is not on the card', 'create table plinth_specimen.extra ()', 'drop table plinth_specimen.extra', 'the tables on the card', 'extra'],
    [
      'a table without row security',
      'alter table plinth_specimen.notes disable row level security',
      'alter table plinth_specimen.notes enable row level security',
      rls,
      'plinth_specimen.notes',
    ],
    [
      'row security that spares the owner',
      'alter table plinth_specimen.notes no force row level security',
      'alter table plinth_specimen.notes force row level security',
      rls,
      'plinth_specimen.notes',
    ],
    [
      'a policy that lets everybody see',
      'create policy leak on plinth_specimen.notes using (true)',
      'drop policy leak on plinth_specimen.notes',
      "notes: a tenant sees its own rows and none of another's",
      "shows another tenant's rows",
    ],
    [
      'a policy that lets everybody write',
      'create policy leak on plinth_specimen.notes for insert with check (true)',
      'drop policy leak on plinth_specimen.notes',
      'notes: a tenant can neither write',
      'was not refused',
    ],
    [
      'a policy that shows rows when there is no tenant',
      `create policy leak on plinth_specimen.notes using (plinth_kernel.tenant_id() is null)`,
      'drop policy leak on plinth_specimen.notes',
      'notes: without a tenant',
      'without a tenant',
    ],
    [
      "a view with its owner's rights",
      'alter view plinth.specimen_notes reset (security_invoker)',
      'alter view plinth.specimen_notes set (security_invoker = true)',
      "notes: a tenant sees its own rows and none of another's",
      "plinth.specimen_notes shows another tenant's rows",
    ],
    [
      'a unique key across tenants',
      'create unique index leak on plinth_specimen.notes (size)',
      'drop index plinth_specimen.leak',
      'primary and unique keys',
      'notes.leak',
    ],
    [
      'a table without a comment',
      'comment on table plinth_specimen.notes is null',
      `comment on table plinth_specimen.notes is 'Notes.'`,
      'tables, public views',
      'plinth_specimen.notes',
    ],
    [
      'a public function without a comment',
      'create function plinth.bare() returns int language sql return 1',
      'drop function plinth.bare()',
      'tables, public views',
      'bare()',
    ],
    [
      'retention that spares old rows',
      `update plinth_kernel.retention_kinds set condition = 'false' where kind = 'specimen.owners'`,
      `update plinth_kernel.retention_kinds set condition = 'kind = ''team''' where kind = 'specimen.owners'`,
      'owners: retention',
      'nothing was swept',
    ],
    [
      'a grant on a partition',
      partitionGrant('grant select on %s to plinth_app'),
      partitionGrant('revoke select on %s from plinth_app'),
      rls,
      'is a partition and granted to plinth_app',
    ],
    [
      'a schema that a migration would change back',
      'drop policy tenant on plinth_specimen.notes',
      'create policy tenant on plinth_specimen.notes using (tenant_id = plinth_kernel.tenant_id())',
      'migrating again changes nothing',
      'policy plinth_specimen.notes tenant',
    ],
  ])('%s', async (_name, plant, mend, promise, message) => {
    await database.admin.query(plant);
    try {
      expect(await complaint(promise)).toContain(message);
    } finally {
      await database.admin.query(mend).catch((error: Error) => expect(error.message).toContain('already exists'));
    }
  });
});

function partitionGrant(text: string): string {
  return `do $$ begin execute (select format('${text}', min(i.inhrelid::regclass::text)) from pg_inherits i where i.inhparent = 'plinth_specimen.history'::regclass); end $$`;
}

test('rows that cannot be made say which table needs a sample', async () => {
  const { sample: _sample, ...history } = specimen.tables.history ?? { tenancy: 'tenant' as const, keep: 'forever' as const };
  const bare = { ...specimen, tables: { ...specimen.tables, history } };
  const [promise] = exerciseModule(bare, { url: () => database.url, modules: { specimen: bare } }).filter(({ name }) =>
    name.startsWith('history: without a tenant'),
  );
  await expect(promise?.run()).rejects.toThrow(/no valid row of plinth_specimen\.history .* give the columns it needs a "sample" on the card/);
});

test('a prepared insert of effects that leaves a column to the context is found', async () => {
  await database.admin.query(`alter table plinth_specimen.notes add column why text default plinth_kernel.setting('reason')`);
  const found = (columns: string) => {
    const effectInsert = { text: `insert into plinth_specimen.notes (${columns}) values ($1::uuid)`, values: () => undefined };
    const [promise] = exerciseModule({ ...specimen, effectInsert }, { url: () => database.url, modules }).filter(({ name }) =>
      name.startsWith('a prepared insert'),
    );
    return promise?.run().then(
      () => 'nothing',
      (error: unknown) => String(error),
    );
  };
  try {
    expect(await found('tenant_id, size')).toContain('plinth_specimen.notes.why');
    expect(await found('tenant_id, size, why')).toBe('nothing');
  } finally {
    await database.admin.query('alter table plinth_specimen.notes drop column why');
  }
});
