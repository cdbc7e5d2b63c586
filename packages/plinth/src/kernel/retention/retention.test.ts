import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { archivedRows } from './archive.ts';
import { planRetention, runRetention } from './engine.ts';
import { NIL, retentionPlace, twoYearsAgo, yesterday } from './retention.fixture.ts';
import type { Storage } from './storage.ts';

const database = await testDatabase('retention');
const { admin, plinth, tenantA, tenantB } = database;
const place = await retentionPlace(database);
const { services, steps, addEntries, makeMonth, months, countOf, setPolicy, hold } = place;
const kinds = ['audit.entries'];
afterAll(() => place.dispose());
beforeEach(() => place.clear());

const january = 'plinth_audit.entries_2010_01';
const ledger = async (): Promise<Record<string, unknown>[]> => (await admin.query('select * from plinth_kernel.retention_partitions order by lower_id')).rows;

describe('a month past its time', () => {
  test('is detached, archived, read back and dropped; every value survives in the archive', async () => {
    for (const day of ['2010-01-15', '2010-02-15']) await makeMonth(day);
    await addEntries(tenantA, '2010-01-15', 5_000);
    await addEntries(tenantB, '2010-01-16', 300);
    const { rows: before } = await admin.query('select r::text as row from plinth_audit.entries r order by tenant_id, id');
    expect(await planRetention(services(), { kinds }, true)).toMatchObject([
      { action: 'drop', target: january, rows: 5_300 },
      { action: 'drop', target: 'plinth_audit.entries_2010_02', rows: 0 },
    ]);
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 2, failures: [], rowsSwept: 0 });
    expect(await months()).toEqual([]);
    expect(steps).toEqual(
      ['01', '02'].flatMap((month) => ['detach', 'archive', 'verify', 'drop'].map((action) => `${action} plinth_audit.entries_2010_${month}`)),
    );
    const left = await ledger();
    expect(left).toMatchObject([
      { state: 'dropped', row_count: '5300' },
      { state: 'dropped', row_count: '0' },
    ]);
    expect(await restored(String(left[0]?.archive_key))).toEqual(before);
  });

  test('waits while its archive has nowhere to go, and goes unarchived where the installation wants that', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 3);
    expect(await runRetention(services({ storage: undefined }))).toMatchObject({
      partitionsDropped: 0,
      failures: [{ target: january, code: 'kernel_partition_kept' }],
    });
    expect(await countOf(tenantA)).toBe(3);
    await setPolicy(NIL, '1 year', false);
    expect(await runRetention(services({ storage: undefined }))).toMatchObject({ partitionsDropped: 1, failures: [] });
  });

  test('goes without an owner connection too, as soon as no transaction keeps the table locked', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 3);
    const reader = await admin.connect();
    await reader.query('begin; select count(*) from plinth_audit.entries');
    const blocked = await runRetention(services({ owner: undefined }));
    await reader.query('rollback');
    reader.release();
    expect(blocked).toMatchObject({ partitionsDropped: 0, failures: [{ code: 'kernel_partition_state' }] });
    expect(await countOf(tenantA)).toBe(3);
    expect(await runRetention(services({ owner: undefined }))).toMatchObject({ partitionsDropped: 1, failures: [] });
  });

  test('is finished after the backend of its concurrent detach was terminated', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 3);
    const reader = await admin.connect();
    await reader.query('begin; select count(*) from plinth_audit.entries');
    const run = runRetention(services());
    await vi.waitFor(async () => expect((await admin.query('select 1 from pg_inherits where inhdetachpending')).rowCount).toBe(1), { timeout: 20_000 });
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'plinth maintain' and datname = current_database()`);
    expect(await run).toMatchObject({ partitionsDropped: 0, failures: [{ target: january }] });
    const { rows } = await admin.query('select detach_pending from plinth_kernel.partition_health() where kind = $1', ['audit.entries']);
    expect(rows).toEqual([{ detach_pending: january }]);
    await reader.query('rollback');
    reader.release();
    expect(await planRetention(services(), { kinds }, true)).toMatchObject([{ action: 'finish', target: january }]);
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1, failures: [] });
  });
});

/** The rows of an archive, put into a table like the one they came from, as its texts. */
async function restored(key: string): Promise<unknown[]> {
  await admin.query('create table plinth_audit.restored (like plinth_audit.entries)');
  const texts: string[] = [];
  for await (const row of archivedRows(place.storage, key)) texts.push(JSON.stringify(row));
  await admin.query(
    `insert into plinth_audit.restored select whole.* from unnest($1::text[]) as t
     cross join lateral (select t::jsonb as r) as j
     cross join lateral jsonb_populate_record(null::plinth_audit.restored, j.r || jsonb_build_object('before', (j.r ->> 'before')::jsonb,
       'after', (j.r ->> 'after')::jsonb, 'metadata', (j.r ->> 'metadata')::jsonb, 'compliance_flags', to_jsonb((j.r ->> 'compliance_flags')::text[]))) as whole`,
    [texts],
  );
  const { rows } = await admin.query('select r::text as row from plinth_audit.restored r order by tenant_id, id');
  await admin.query('drop table plinth_audit.restored');
  return rows;
}

describe('an archive', () => {
  test('that was damaged before it was read back is written again', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 50);
    const damaged = services({
      async step(step, body) {
        if (step.action === 'verify') await appendFile(join(place.folder, String((await ledger())[0]?.archive_key)), 'x');
        return body();
      },
    });
    expect(await runRetention(damaged)).toMatchObject({ partitionsDropped: 1, failures: [] });
    const [entry] = await ledger();
    const rows = await Array.fromAsync(archivedRows(place.storage, String(entry?.archive_key)));
    expect(rows).toHaveLength(50);
  });

  test('that cannot be read back keeps the partition, which the next run archives and drops', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 50);
    const lossy: Storage = { ...place.storage, put: (key, body) => place.storage.put(key, key.endsWith('.parquet') ? half(body) : body) };
    expect(await runRetention(services({ storage: lossy }))).toMatchObject({
      partitionsDropped: 0,
      failures: [{ target: january, code: expect.stringMatching(/^kernel_archive_/) }],
    });
    expect(await ledger()).toMatchObject([{ state: 'archived' }]);
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1, failures: [] });
  });

  test('has a manifest that says what is in it', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 7);
    await runRetention(services());
    const key = String((await ledger())[0]?.archive_key);
    const manifest = JSON.parse(await readFile(join(place.folder, `${key}.manifest.json`), 'utf8'));
    expect(manifest).toMatchObject({
      version: 1,
      kind: 'audit.entries',
      partition: january,
      rows: 7,
      rangeColumn: 'id',
      file: { key, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    expect(manifest.columns).toContainEqual({ name: 'id', type: 'uuid' });
  });
});

async function* half(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of body) yield bytes.subarray(0, Math.floor(bytes.length / 2));
}

describe('a hold', () => {
  test.each([
    ['on one tenant', () => hold(tenantA, 'matter 1')],
    ['on every tenant', () => hold(NIL, 'matter 1')],
    ['on an entity that is there', () => hold(tenantA, 'matter 1', 'order:4%')],
    ['on every kind', () => admin.query('insert into plinth_kernel.retention_holds (tenant_id, reason) values ($1, $2)', [tenantA, 'matter 1'])],
  ])('%s keeps the partition and says why, until it is released', async (_where, placeHold) => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 5);
    await placeHold();
    const result = await runRetention(services());
    expect(result).toMatchObject({
      partitionsDropped: 0,
      partitionsKept: [{ partition: january, reason: expect.stringMatching(/^held for (every tenant|tenant [0-9a-f-]+) since .*: matter 1$/) }],
    });
    expect(await countOf(tenantA)).toBe(5);
    await admin.query('update plinth_kernel.retention_holds set released_at = now()');
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1 });
  });

  test('on another tenant, or on an entity that is not there, keeps nothing', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 5);
    await hold(tenantB, 'matter 1');
    await hold(tenantA, 'matter 2', 'invoice:%');
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1, partitionsKept: [] });
  });

  test.each(['detach', 'archive', 'drop'])('that comes before the %s gets its partition back', async (late) => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 5);
    const held = services({
      async step(step, body) {
        if (step.action === late) await hold(tenantA, 'just in time');
        return body();
      },
    });
    expect(await runRetention(held)).toMatchObject({ partitionsDropped: 0, partitionsKept: [{ partition: january }], failures: [] });
    expect(await countOf(tenantA)).toBe(5);
    expect(await ledger()).toMatchObject([{ state: 'returned', note: expect.stringContaining('just in time') }]);
    const { rows } = await admin.query('select relrowsecurity, relforcerowsecurity from pg_class where oid = $1::regclass', [january]);
    expect(rows).toEqual([{ relrowsecurity: true, relforcerowsecurity: true }]);
    await admin.query('update plinth_kernel.retention_holds set released_at = now()');
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1, failures: [] });
  });
});

describe('a hold that is being placed', () => {
  const sweepOf = async (tenantId: string | null, kind = 'audit.entries'): Promise<number | undefined> => {
    const rows = await plinth.asWorker({}, (tx) => tx.query<{ n: number }>('select plinth_kernel.retention_sweep($1, $2) as n', [kind, tenantId]));
    return rows[0]?.n;
  };
  const insert = 'insert into plinth_kernel.retention_holds (tenant_id, reason) values ($1, $2)';

  test("keeps the rows of its tenant from sweeps, and nobody else's, however long its transaction is open", async () => {
    await makeMonth(twoYearsAgo);
    for (const tenantId of [tenantA, tenantB]) {
      await addEntries(tenantId, twoYearsAgo, 5);
      await setPolicy(tenantId, '1 year');
    }
    const placing = await admin.connect();
    await placing.query('begin');
    await placing.query(insert, [tenantA, 'being placed']);
    expect([await sweepOf(tenantA), await sweepOf(tenantB)]).toEqual([0, 5]);
    await placing.query('rollback');
    await placing.query('begin');
    await placing.query(insert, [NIL, 'for everybody']);
    expect(await sweepOf(tenantA)).toBe(0);
    await placing.query('rollback');
    placing.release();
    expect(await sweepOf(tenantA)).toBe(5);
  });

  test('waits for a sweep under way, and covers what that left', async () => {
    await makeMonth(twoYearsAgo);
    await addEntries(tenantA, twoYearsAgo, 5);
    await setPolicy(tenantA, '1 year');
    const [sweeping, placing] = [await admin.connect(), await admin.connect()];
    await sweeping.query('begin');
    await sweeping.query(`select plinth_kernel.retention_sweep('audit.entries', $1, p_limit => 2)`, [tenantA]);
    const placed = placing.query(insert, [tenantA, 'matter 1']);
    await vi.waitFor(
      async () =>
        expect(
          (
            await admin.query(
              `select 1 from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`,
            )
          ).rowCount,
        ).toBeGreaterThan(0),
      {
        timeout: 20_000,
        interval: 10,
      },
    );
    await sweeping.query('commit');
    await placed;
    expect([await sweepOf(tenantA), await countOf(tenantA)]).toEqual([0, 3]);
    for (const client of [sweeping, placing]) client.release();
  });

  test('is waited for by the drop of a partition, which then finds it', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantB, '2010-01-15', 2);
    const placing = await admin.connect();
    const dropping = runRetention(
      services({
        async step(step, body) {
          if (step.action !== 'drop') return body();
          await placing.query('begin');
          await placing.query(insert, [tenantB, 'being placed']);
          const dropped = body();
          await vi.waitFor(
            async () =>
              expect((await admin.query(`select 1 from pg_locks where relation = 'plinth_kernel.retention_holds'::regclass and not granted`)).rowCount).toBe(1),
            { timeout: 20_000, interval: 10 },
          );
          await placing.query('commit');
          return dropped;
        },
      }),
    );
    expect(await dropping).toMatchObject({ partitionsDropped: 0, partitionsKept: [{ partition: january, reason: expect.stringContaining('being placed') }] });
    placing.release();
    expect(await countOf(tenantB)).toBe(2);
  });
});

describe('a tenant with a policy of its own', () => {
  test('loses its rows to the hour when it keeps them for less, in batches; others lose none', async () => {
    await makeMonth(twoYearsAgo);
    await addEntries(tenantA, twoYearsAgo, 250);
    await addEntries(tenantB, twoYearsAgo, 10);
    await addEntries(tenantA, yesterday, 7);
    await setPolicy(tenantA, '1 year');
    const plan = await planRetention(services(), { kinds }, true);
    expect(plan).toMatchObject([{ action: 'sweep', tenantId: tenantA, rows: 250, reason: 'kept for 1 year' }]);
    const transactions = vi.fn();
    const counted = services({ asWorker: (body) => plinth.asWorker({}, (tx) => (transactions(), body(tx))) });
    expect(await runRetention(counted, { batch: 100 })).toMatchObject({ rowsSwept: 250, partitionsDropped: 0, failures: [] });
    expect(transactions.mock.calls.length).toBeGreaterThanOrEqual(4);
    expect([await countOf(tenantA), await countOf(tenantB)]).toEqual([7, 10]);
    expect(await planRetention(services(), { kinds }, true)).toEqual([]);
  });

  test('keeps the rows of a held entity when the others are swept', async () => {
    await makeMonth(twoYearsAgo);
    await addEntries(tenantA, twoYearsAgo, 20, 'order');
    await addEntries(tenantA, twoYearsAgo, 5, 'invoice');
    await setPolicy(tenantA, '1 year');
    await hold(tenantA, 'matter 3', 'invoice:%');
    expect(await runRetention(services())).toMatchObject({ rowsSwept: 20 });
    expect(await countOf(tenantA)).toBe(5);
  });

  test('keeps the partition when it keeps its rows longer; the others are swept unless the kind is archived', async () => {
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 5);
    await addEntries(tenantB, '2010-01-15', 6);
    await setPolicy(tenantA, null);
    const kept = { partitionsKept: [{ partition: january, reason: `tenant ${tenantA} keeps it forever` }] };
    expect(await runRetention(services())).toMatchObject({ ...kept, rowsSwept: 0 });
    await setPolicy(NIL, '7 years', false);
    expect(await runRetention(services())).toMatchObject({ ...kept, rowsSwept: 6 });
    expect([await countOf(tenantA), await countOf(tenantB)]).toEqual([5, 0]);
    await setPolicy(tenantA, '8 years');
    expect(await runRetention(services())).toMatchObject({ partitionsDropped: 1 });
  });
});

const thisMonth = async (table = 'plinth_audit.entries'): Promise<string> =>
  (
    await admin.query<{ name: string }>(
      `select name from plinth_kernel.partition_list($1) where plinth_kernel.v7_floor(now()) >= lower_id and plinth_kernel.v7_floor(now()) < upper_id`,
      [table],
    )
  ).rows[0]?.name ?? '';

describe('what a worker can do is judged in SQL', () => {
  const asWorker = (text: string, values: unknown[] = []): Promise<unknown> => plinth.asWorker({}, (tx) => tx.query(text, values));

  test('it cannot delete, change policies, or touch what retention knows', async () => {
    await addEntries(tenantA, yesterday, 3);
    for (const statement of [
      'delete from plinth_audit.entries',
      `insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ('${tenantA}', 'audit.entries', '1 day')`,
      `update plinth_kernel.retention_kinds set keep = '1 day'`,
      'delete from plinth_kernel.retention_holds',
      `update plinth_kernel.retention_partitions set state = 'verified'`,
      `drop table ${await thisMonth()}`,
      `select * from ${await thisMonth()}`,
    ]) {
      await expect(asWorker(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
    expect(await countOf(tenantA)).toBe(3);
  });

  test('it cannot sweep a row that is within its time, whatever bounds it gives', async () => {
    await addEntries(tenantA, yesterday, 3);
    await setPolicy(tenantB, '1 day');
    expect(
      await asWorker(`select plinth_kernel.retention_sweep('audit.entries', $1, '${NIL}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 1000000) as n`, [tenantA]),
    ).toEqual([{ n: 0 }]);
    expect(await countOf(tenantA)).toBe(3);
  });

  test('it cannot start, detach or drop a partition that is within its time, nor one without a verified archive', async () => {
    await expect(asWorker(`select plinth_kernel.partition_begin('audit.entries', '${await thisMonth()}')`)).rejects.toMatchObject({
      code: 'kernel_partition_kept',
      status: 409,
    });
    await expect(asWorker(`select plinth_kernel.partition_begin('audit.entries', 'plinth_kernel.tenants')`)).rejects.toMatchObject({
      code: 'kernel_not_found',
    });
    await makeMonth('2010-01-15');
    await addEntries(tenantA, '2010-01-15', 3);
    const [begun] = (await asWorker(`select plinth_kernel.partition_begin('audit.entries', '${january}') as id`)) as [{ id: string }];
    await expect(asWorker('select plinth_kernel.partition_drop($1)', [begun.id])).rejects.toMatchObject({ code: 'kernel_partition_state' });
    await expect(asWorker('select plinth_kernel.partition_rows($1)', [begun.id])).rejects.toMatchObject({ code: 'kernel_partition_state' });
    await asWorker('select plinth_kernel.partition_detach($1, true)', [begun.id]);
    await expect(asWorker('select plinth_kernel.partition_drop($1)', [begun.id])).rejects.toMatchObject({ code: 'kernel_archive_mismatch' });
    await asWorker(`select plinth_kernel.partition_archived($1, 'k', 1, 'x', 2, 'y')`, [begun.id]);
    await expect(asWorker(`select plinth_kernel.partition_verified($1, 2, '${NIL}', '${NIL}', 'y')`, [begun.id])).rejects.toMatchObject({
      code: 'kernel_archive_mismatch',
    });
    expect((await admin.query(`select 1 from ${january}`)).rowCount).toBe(3);
  });

  test('the application can do none of it', async () => {
    const names = await admin.query<{ call: string }>(
      `select p.oid::regprocedure::text as call from pg_proc p where p.pronamespace = 'plinth_kernel'::regnamespace and prosecdef and proname ~ '^(retention|partition)_'`,
    );
    expect(names.rows.length).toBeGreaterThan(9);
    const { rows } = await admin.query(
      `select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'plinth_kernel'::regnamespace and prosecdef and proname ~ '^(retention|partition)_'
         and (has_function_privilege('plinth_app', p.oid, 'execute') or has_function_privilege('plinth_reader', p.oid, 'execute') or p.proconfig is null
           or not p.proconfig @> array['search_path=pg_catalog, pg_temp'] or p.proowner <> 'plinth_owner'::regrole)`,
    );
    expect(rows).toEqual([]);
  });
});

test('a partition that a reader of the feed has not read is kept', async () => {
  await admin.query(`begin; set local role plinth_owner; select plinth_kernel.partition_make('plinth_events.events', 'month', '2010-01-15'); commit`);
  const { rows } = await admin.query<{
    why: string | null;
  }>(`select plinth_kernel.retention_blocker('events.events', 'plinth_events.events_2010_01'::regclass, lower_id, upper_id) as why
    from plinth_kernel.partition_list('plinth_events.events') where name = 'plinth_events.events_2010_01'`);
  expect(rows).toEqual([{ why: null }]);
  await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.events.publish('order.created', { n: 1 }));
  await admin.query(`begin; set local role plinth_owner; select plinth_kernel.feed_start('plinth_events.events', 'test.reader', 'beginning'); commit`);
  const { rows: held } = await admin.query<{ held: string | null }>(`select plinth_kernel.retention_feed_hold($1::regclass) as held`, [
    await thisMonth('plinth_events.events'),
  ]);
  expect(held[0]?.held).toMatch(/test\.reader \(shard \d\)/);
});

test('a module whose tables were dropped by hand keeps no other from its partitions and its retention', async () => {
  await admin.query(
    `insert into plinth_kernel.retention_kinds (kind, table_name, tenancy, method, keep, every) values ('gone.rows', 'plinth_gone.rows', 'tenant', 'partition', '1 day', 'day')`,
  );
  for (const call of ['partition_premake()', 'partition_health()']) {
    const kinds = await plinth.asWorker({}, (tx) => tx.query<{ kind: string }>(`select kind from plinth_kernel.${call}`));
    expect(kinds.map(({ kind }) => kind)).toContain('audit.entries');
  }
  expect((await planRetention(services(), {}, true)).filter(({ kind }) => kind === 'gone.rows')).toEqual([]);
  await admin.query(`delete from plinth_kernel.retention_kinds where kind = 'gone.rows'`);
});

test('a sweep finds its rows by index, not by reading the table', async () => {
  await addEntries(tenantA, yesterday, 20_000);
  await addEntries(tenantB, yesterday, 20_000);
  await setPolicy(tenantA, '1 day');
  await admin.query('analyze plinth_audit.entries');
  const { rows: text } = await admin.query<{ sql: string }>(
    `select plinth_kernel.retention_doomed_sql('audit.entries', $1, $2, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as sql`,
    [tenantA, NIL],
  );
  const { rows: plan } = await admin.query(`explain ${text[0]?.sql} limit 5000`);
  const lines = plan.map((row) => Object.values(row as object)[0]).join('\n');
  expect(lines).toMatch(/Index (Only )?Scan/);
  expect(lines).not.toMatch(/Seq Scan on entries_/);
});

test('rows kept by delete are swept batch by batch, in all tenants but those that keep them longer, and by age alone', async () => {
  const add = (tenantId: string, age: string, count: number): Promise<unknown> =>
    admin.query(
      `insert into plinth_maintenance.steps (tenant_id, run_id, kind, action, target, created_at)
       select $1, gen_random_uuid(), 'k', 'keep', 't', now() - $2::interval from generate_series(1, $3::int)`,
      [tenantId, age, count],
    );
  for (const tenantId of [tenantA, tenantB]) {
    await add(tenantId, '13 months', 30);
    await add(tenantId, '11 months', 5);
  }
  await admin.query(`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'maintenance.steps', '2 years')`, [tenantB]);
  const only = { kinds: ['maintenance.steps'] };
  expect(await planRetention(services(), only, true)).toMatchObject([{ action: 'sweep', tenantId: null, rows: 30 }]);
  expect(await runRetention(services(), { ...only, batch: 7 })).toMatchObject({ rowsSwept: 30, failures: [] });
  await admin.query(`update plinth_kernel.retention_policies set keep = '10 months'`);
  await hold(tenantB, 'matter 4', undefined, 'maintenance.steps');
  expect(await runRetention(services(), only)).toMatchObject({ rowsSwept: 0 });
  await admin.query('update plinth_kernel.retention_holds set released_at = now()');
  expect(await planRetention(services(), only, true)).toMatchObject([{ action: 'sweep', tenantId: tenantB, rows: 35 }]);
  expect(await runRetention(services(), only)).toMatchObject({ rowsSwept: 35 });
  const { rows } = await admin.query('select tenant_id, count(*)::int as n from plinth_maintenance.steps group by 1');
  expect(rows).toEqual([{ tenant_id: tenantA, n: 5 }]);
});

test('a sweep of a large table reads it by the index on its age, or stops when a batch is full', async () => {
  const planOf = async (kind: string): Promise<string> => {
    const { rows: text } = await admin.query<{ sql: string }>(`select plinth_kernel.retention_doomed_sql($1, null, $2, $2) as sql`, [kind, NIL]);
    const client = await admin.connect();
    await client.query('set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off');
    const { rows } = await client.query(`explain ${text[0]?.sql} limit 5000`);
    client.release(true);
    return rows.map((row) => Object.values(row as object)[0]).join('\n');
  };
  const { rows: kindsByDelete } = await admin.query<{ kind: string }>(`select kind from plinth_kernel.retention_kinds where method = 'delete'`);
  expect(kindsByDelete.length).toBeGreaterThan(4);
  for (const { kind } of kindsByDelete) expect(await planOf(kind), kind).not.toMatch(/Sort/);
  expect(await planOf('maintenance.runs')).toMatch(/Index Scan using runs_by_age/);
});

test('a driver without Plinth gets the same refusal', async () => {
  const client = new pg.Client({ connectionString: database.serverUrl });
  await client.connect();
  await client.query('set role plinth_app');
  await expect(client.query(`select plinth_kernel.retention_sweep('audit.entries')`)).rejects.toMatchObject({ code: '42501' });
  await client.end();
});
