import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diskStorage } from '#adapters/storage/disk.ts';
import { testDatabase } from '#testing/database.ts';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { archivedRows } from './archive.ts';
import { planRetention, runRetention } from './engine.ts';
import { ownerAccess } from './owner.ts';
import type { RetentionServices, Step } from './services.ts';

const database = await testDatabase('retention');
const { admin, plinth, tenantA, tenantB } = database;
const root = await mkdtemp(join(tmpdir(), 'plinth-archive-'));
afterAll(async () => {
  await database.drop();
  await rm(root, { recursive: true, force: true });
});

let steps: string[] = [];
const services = (given: Partial<RetentionServices> = {}): RetentionServices => ({
  asWorker: (body) => plinth.asWorker({}, body),
  step: async (step: Step, body) => {
    steps.push(`${step.action} ${step.target}`);
    return body();
  },
  storage: diskStorage(root),
  owner: ownerAccess(database.url),
  ...given,
});

/** A uuid v7 of that moment, with a random tail. */
const oldId = (at: string): string => `overlay(gen_random_uuid()::text placing left(plinth_kernel.v7_floor('${at}'::timestamptz)::text, 14) || '7' from 1 for 15)::uuid`;
const makeMonth = (at: string): Promise<unknown> => admin.query(`begin; set local role plinth_owner; select plinth_kernel.partition_make('plinth_audit.entries', 'month', '${at}'); commit`);
const addEntries = (tenantId: string, at: string, count: number, entityId = ''): Promise<unknown> =>
  admin.query(
    `insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, after, metadata, compliance_flags, created_at)
     select '${tenantId}', ${oldId(at)}, 'order.created', 'order', coalesce(nullif('${entityId}', ''), n::text), jsonb_build_object('n', n, 'text', 'Grüße "' || n || E'"\\n'), '{"big": 12345678901234567890.5}',
       '{gdpr,"a b"}', '${at}'::timestamptz + n * interval '1 microsecond' from generate_series(1, ${count}) as n`,
  );
const countOf = async (tenantId: string): Promise<number> =>
  (await admin.query<{ n: number }>('select count(*)::int as n from plinth_audit.entries where tenant_id = $1', [tenantId])).rows[0]?.n ?? 0;
const partitions = async (): Promise<string[]> =>
  (await admin.query<{ name: string }>(`select name from plinth_kernel.partition_list('plinth_audit.entries') where lower_id < plinth_kernel.v7_floor('2026-01-01')`)).rows.map((row) => row.name);
const setPolicy = (tenantId: string, keep: string | null): Promise<unknown> =>
  admin.query(`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'audit.entries', $2) on conflict (tenant_id, kind) do update set keep = excluded.keep`, [tenantId, keep]);

const NIL = '00000000-0000-0000-0000-000000000000';

beforeEach(async () => {
  steps = [];
  for (const name of await partitions()) await admin.query(`drop table ${name}`);
  await admin.query('delete from plinth_audit.entries; delete from plinth_kernel.retention_policies; delete from plinth_kernel.retention_holds; delete from plinth_kernel.retention_partitions');
});

test('a month past its time is detached, archived, read back and dropped; every value survives in the archive', async () => {
  for (const month of ['2010-01-15', '2010-02-15']) await makeMonth(month);
  await addEntries(tenantA, '2010-01-15', 5_000);
  await addEntries(tenantB, '2010-01-16', 300);
  const { rows: before } = await admin.query('select r::text as row from plinth_audit.entries r order by tenant_id, id');
  const planned = await planRetention(services(), { kinds: ['audit.entries'] }, true);
  expect(planned).toMatchObject([
    { action: 'drop', target: 'plinth_audit.entries_2010_01', rows: 5_300 },
    { action: 'drop', target: 'plinth_audit.entries_2010_02', rows: 0 },
  ]);
  expect(await runRetention(services())).toMatchObject({ partitionsDropped: 2, failures: [], rowsSwept: 0 });
  expect(await partitions()).toEqual([]);
  expect(steps).toEqual(['01', '02'].flatMap((month) => ['detach', 'archive', 'verify', 'drop'].map((action) => `${action} plinth_audit.entries_2010_${month}`)));
  const { rows: ledger } = await admin.query('select * from plinth_kernel.retention_partitions order by lower_id');
  expect(ledger).toMatchObject([{ state: 'dropped', row_count: '5300' }, { state: 'dropped', row_count: '0' }]);
  // The archive alone gives every row back, to the last digit.
  await admin.query('create table plinth_audit.restored (like plinth_audit.entries)');
  const texts: string[] = [];
  for await (const row of archivedRows(diskStorage(root), ledger[0].archive_key)) texts.push(JSON.stringify(row));
  await admin.query(
    `insert into plinth_audit.restored select whole.* from unnest($1::text[]) as t
     cross join lateral (select t::jsonb as r) as j
     cross join lateral jsonb_populate_record(null::plinth_audit.restored, j.r || jsonb_build_object('before', (j.r ->> 'before')::jsonb,
       'after', (j.r ->> 'after')::jsonb, 'metadata', (j.r ->> 'metadata')::jsonb, 'compliance_flags', to_jsonb((j.r ->> 'compliance_flags')::text[]))) as whole`,
    [texts],
  );
  const { rows: after } = await admin.query('select r::text as row from plinth_audit.restored r order by tenant_id, id');
  await admin.query('drop table plinth_audit.restored');
  expect(after).toEqual(before);
});
