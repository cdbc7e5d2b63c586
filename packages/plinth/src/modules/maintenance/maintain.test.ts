import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Actor } from '#kernel/context.ts';
import { archivedRows } from '#kernel/retention/archive.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import { NIL, retentionPlace, twoYearsAgo } from '#kernel/retention/retention.fixture.ts';
import { testDatabase } from '#testing/database.ts';
import { jobDefinitions } from './jobs.ts';
import type { MaintenanceServices } from './maintain.ts';
import { maintain, partitionHealth, partitionWarnings } from './maintain.ts';

const database = await testDatabase('maintenance');
const { admin, plinth, tenantA, tenantB } = database;
const place = await retentionPlace(database);
const kinds = ['audit.entries'];
const services = (given: Partial<MaintenanceServices> = {}): MaintenanceServices => ({
  asWorker: (body) => plinth.asWorker({}, body),
  storage: place.storage,
  owner: ownerAccess(database.url),
  ...given,
});
afterAll(() => place.dispose());
beforeEach(async () => {
  await place.clear();
  await admin.query('truncate plinth_maintenance.runs, plinth_maintenance.steps, plinth_maintenance.reports');
});

const january = 'plinth_audit.entries_2010_01';
const rowsOf = async (text: string): Promise<Record<string, unknown>[]> => (await admin.query(text)).rows;

/** One old month that goes whole, and a newer one of which tenant A's 25 rows go. */
async function oldRows(): Promise<void> {
  await place.makeMonth('2010-01-15');
  await place.addEntries(tenantA, '2010-01-15', 40);
  await place.addEntries(tenantB, '2010-01-16', 2);
  await place.makeMonth(twoYearsAgo);
  await place.addEntries(tenantA, twoYearsAgo, 25);
  await place.addEntries(tenantB, twoYearsAgo, 3);
  await place.setPolicy(tenantA, '1 year');
}

async function nothingLost(): Promise<void> {
  expect(await place.months()).not.toContain(january);
  expect([await place.countOf(tenantA), await place.countOf(tenantB)]).toEqual([0, 3]);
  const left = await rowsOf(`select archive_key, state, row_count from plinth_kernel.retention_partitions`);
  expect(left).toMatchObject([{ state: 'dropped', row_count: '42' }]);
  expect(await Array.fromAsync(archivedRows(place.storage, String(left[0]?.archive_key)))).toHaveLength(42);
}

describe('a run', () => {
  test('makes partitions, drops and sweeps, and is on record with every step', async () => {
    await oldRows();
    const report = await maintain(services(), { task: 'daily' });
    expect(report).toMatchObject({ status: 'completed', task: 'daily', partitionsDropped: 1, rowsSwept: 25, failures: [], warnings: [] });
    await nothingLost();
    const steps = await rowsOf(
      `select action, target, tenant_id, status, row_count from plinth_maintenance.steps where kind in ('all', 'audit.entries') order by id`,
    );
    expect(steps).toMatchObject([
      { action: 'premake', status: 'completed' },
      { action: 'detach', target: january, tenant_id: NIL },
      { action: 'archive', row_count: '42' },
      { action: 'verify', row_count: '42' },
      { action: 'drop' },
      { action: 'sweep', tenant_id: tenantA, row_count: '25' },
    ]);
    expect(await rowsOf('select id, status, partitions_dropped, rows_swept from plinth.maintenance_runs')).toEqual([
      { id: report.id, status: 'completed', partitions_dropped: 1, rows_swept: '25' },
    ]);
  });

  test('is seen by operators and outside of tenants; a tenant sees the sweeps of its own rows and no more, whoever acts in it', async () => {
    await oldRows();
    await maintain(services(), { task: 'retention', kinds });
    await admin.query(`insert into plinth_maintenance.reports (name, data) values ('webhooks', '{"of": "all tenants"}')`);
    const seen = (tenantId: string | undefined, type: Actor['type'], from: string) =>
      plinth.transaction({ tenantId, actor: { type, id: 'x' } }, (tx) => tx.query(`select * from ${from}`));
    for (const view of ['plinth.maintenance_runs', 'plinth.archived_partitions', 'plinth.maintenance_reports']) {
      expect(await seen(tenantB, 'operator', view), view).toHaveLength(1);
      expect(await seen(undefined, 'service', view), view).toHaveLength(1);
    }
    const tables = ['plinth_maintenance.runs', 'plinth_maintenance.reports', 'plinth_kernel.retention_partitions'];
    for (const from of ['plinth.maintenance_runs', 'plinth.archived_partitions', 'plinth.maintenance_reports', ...tables])
      for (const type of ['user', 'api_key', 'service', 'system', 'portal'] as const) expect(await seen(tenantB, type, from), `${type} ${from}`).toEqual([]);
    expect(await seen(tenantA, 'user', 'plinth.maintenance_steps')).toMatchObject([{ action: 'sweep', row_count: '25' }]);
    expect(await seen(tenantB, 'user', 'plinth.maintenance_steps')).toEqual([]);
  });

  test('does what its dry run said, and the dry run does nothing', async () => {
    await oldRows();
    const dry = await maintain(services(), { task: 'retention', kinds, dryRun: true });
    expect(dry).toMatchObject({
      id: undefined,
      status: 'planned',
      plan: [
        { action: 'drop', target: january, rows: 42 },
        { action: 'sweep', tenantId: tenantA, rows: 25 },
      ],
    });
    expect([await place.countOf(tenantA), await place.countOf(tenantB)]).toEqual([65, 5]);
    expect(await rowsOf('select 1 from plinth_maintenance.runs')).toEqual([]);
    await maintain(services(), { task: 'retention', kinds });
    await nothingLost();
  });

  test('is refused while another runs', async () => {
    await oldRows();
    let second: unknown;
    const first = await maintain(
      services({
        onStep: (step, phase) =>
          void (step.action === 'detach' && phase === 'begin' && (second = maintain(services(), { task: 'retention' }).catch((error: unknown) => error))),
      }),
      { task: 'retention', kinds },
    );
    expect(await second).toMatchObject({ code: 'maintenance_busy', status: 409 });
    expect(first.status).toBe('completed');
  });

  test('of a kind that is not there is refused, with the kinds that are', async () => {
    await expect(maintain(services(), { task: 'retention', kinds: ['audit.nothing'] })).rejects.toMatchObject({
      code: 'maintenance_kind_unknown',
      detail: { kinds: expect.arrayContaining(['audit.entries']) },
    });
  });

  test('that could not do everything is failed, says what, and the next one does it', async () => {
    await oldRows();
    const report = await maintain(services({ storage: undefined }), { task: 'retention', kinds });
    expect(report).toMatchObject({ status: 'failed', rowsSwept: 25, failures: [{ target: january, code: 'kernel_partition_kept' }] });
    expect(await rowsOf('select status from plinth_maintenance.runs')).toEqual([{ status: 'failed' }]);
    expect(await maintain(services(), { task: 'retention', kinds })).toMatchObject({ status: 'completed' });
    await nothingLost();
  });
});

const actions = ['detach', 'archive', 'verify', 'drop', 'sweep'];
const points = [...actions.flatMap((action) => [`begin ${action}`, `end ${action}`]), 'middle archive', 'middle sweep'];

describe('a run that is cut off', () => {
  test.each(points)('by SIGKILL at "%s" is taken up by the next one', async (point) => {
    await oldRows();
    const child = spawn(process.execPath, [fileURLToPath(new URL('./maintain.fixture.ts', import.meta.url))], {
      env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl, OWNER_URL: database.url, FOLDER: place.folder, POINT: point },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    // Its lock goes when the server notices, at the latest when the statement under way has ended.
    const report = await vi.waitFor(() => maintain(services(), { task: 'retention', kinds }), { timeout: 20_000, interval: 50 });
    expect(report).toMatchObject({ status: 'completed', failures: [] });
    await nothingLost();
    expect(await rowsOf('select status from plinth_maintenance.runs order by id')).toEqual([{ status: 'interrupted' }, { status: 'completed' }]);
    expect((await maintain(services(), { task: 'retention', kinds, dryRun: true })).plan).toEqual([]);
  });

  test.each(actions)('by the end of every connection at "begin %s" is taken up by the next one', async (action) => {
    await oldRows();
    let cut: Promise<unknown> | undefined;
    const cutting = services({
      asWorker: async (body) => {
        await cut;
        return plinth.asWorker({}, body);
      },
      onStep: (step, phase) => {
        if (phase !== 'begin' || step.action !== action || cut) return;
        cut = admin.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and usename = 'plinth_test_server'`,
        );
      },
    });
    // Whether it survives or not, nothing may be lost and the next run must end the work.
    await maintain(cutting, { task: 'retention', kinds }).catch((error: unknown) => expect(error).toMatchObject({ code: 'kernel_unavailable' }));
    expect(cut).toBeDefined();
    const report = await vi.waitFor(() => maintain(services(), { task: 'retention', kinds }), { timeout: 20_000, interval: 50 });
    expect(report).toMatchObject({ status: 'completed', failures: [] });
    await nothingLost();
  });
});

describe('the scheduled tasks', () => {
  const run = (kind: string): Promise<unknown> => {
    const handler = jobDefinitions[kind]?.handler;
    if (!handler) throw new Error(`no job ${kind}`);
    return handler({
      asWorker: (body: never) => plinth.asWorker({}, body),
      signal: new AbortController().signal,
      payload: { task: 'premake' },
      services: { adapters: { storage: place.storage, database: ownerAccess(database.url) }, log: { info: vi.fn(), warn: vi.fn(), error: vi.fn() } },
    } as never);
  };

  test('daily, weekly and monthly are on the clock', () => {
    expect(Object.entries(jobDefinitions).map(([kind, { schedule }]) => [kind, schedule?.cron])).toEqual([
      ['maintenance.daily', '0 3 * * *'],
      ['maintenance.weekly', '0 4 * * 0'],
      ['maintenance.monthly', '0 5 1 * *'],
      ['maintenance.run', undefined],
    ]);
  });

  test('daily expires what is kept by delete, and nothing younger', async () => {
    await admin.query(
      `insert into plinth_maintenance.runs (task, status, started_at) values ('daily', 'completed', now() - interval '3 years'), ('daily', 'completed', now() - interval '23 months')`,
    );
    expect(await run('maintenance.daily')).toMatchObject({ rows_swept: 1 });
    expect(await rowsOf(`select 1 from plinth_maintenance.runs where started_at < now() - interval '1 month'`)).toHaveLength(1);
  });

  test('weekly vacuums, and reports partitions, failed jobs and webhooks', async () => {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => tx.jobs.enqueue('doomed'));
    await admin.query(`update plinth_jobs.jobs set status = 'failed', error = 'no luck', finished_at = now() where kind = 'doomed'`);
    await run('maintenance.weekly');
    const reports = Object.fromEntries((await rowsOf('select name, data from plinth.maintenance_reports')).map((row) => [row.name, row.data]));
    expect(reports).toMatchObject({
      partitions: expect.arrayContaining([expect.objectContaining({ kind: 'audit.entries', ahead: 3 })]),
      failed_jobs: { kinds: [{ kind: 'doomed', failed: 1, last_error: 'no luck' }] },
      webhooks: { installed: true, subscriptions: [] },
    });
    const vacuumed = await rowsOf(`select status, note from plinth_maintenance.steps where action = 'vacuum'`);
    expect(vacuumed.length).toBeGreaterThan(5);
    expect(vacuumed.every((step) => step.status === 'completed' && step.note === null)).toBe(true);
  });

  test('weekly without an owner connection analyses, and says that autovacuum vacuums', async () => {
    await maintain(services({ owner: undefined }), { task: 'weekly' });
    expect(await rowsOf(`select distinct status, note from plinth_maintenance.steps where action = 'vacuum'`)).toEqual([
      { status: 'completed', note: 'analysed; no owner connection is given, so autovacuum vacuums' },
    ]);
  });

  test('monthly makes the next partitions and reports storage by kind', async () => {
    const newest = (await rowsOf(`select name from plinth_kernel.partition_list('plinth_audit.entries') order by lower_id desc limit 1`))[0]?.name;
    await admin.query(`drop table ${newest}`);
    expect(await run('maintenance.monthly')).toMatchObject({ partitions_made: 1 });
    const [report] = await rowsOf(`select data from plinth.maintenance_reports where name = 'storage'`);
    expect(report?.data).toMatchObject({
      database_bytes: expect.any(Number),
      kinds: expect.arrayContaining([expect.objectContaining({ kind: 'audit.entries', partitions: 5 })]),
    });
  });

  test('what an operator asked for runs too', async () => {
    expect(await run('maintenance.run')).toMatchObject({ partitions_made: 0 });
  });

  test('too few partitions ahead are a warning that names the way out', async () => {
    const ahead = await rowsOf(
      `select name from plinth_kernel.partition_list('plinth_audit.entries') where lower_id > plinth_kernel.v7_floor(now()) order by lower_id offset 1`,
    );
    for (const { name } of ahead) await admin.query(`drop table ${name}`);
    expect(partitionWarnings(await partitionHealth(services()))).toEqual(['audit.entries has partitions for only 1 months ahead: run plinth maintain premake']);
    const warned = vi.fn();
    const report = await maintain(services({ log: { info: vi.fn(), warn: warned, error: vi.fn() } }), { task: 'retention', kinds });
    expect(report.warnings).toHaveLength(1);
    expect(warned).toHaveBeenCalledOnce();
    expect(await maintain(services(), { task: 'premake' })).toMatchObject({ partitionsMade: 2, warnings: [] });
  });
});
