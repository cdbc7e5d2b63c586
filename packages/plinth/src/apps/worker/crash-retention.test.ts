/** Days of jobs and attempts are archived and dropped beside work, and the backend that does it is killed in the middle, which takes all of PostgreSQL down. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { diskStorage } from '#adapters/storage/disk.ts';
import { archivedRows } from '#kernel/retention/archive.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import { idAt } from '#kernel/retention/retention.fixture.ts';
import type { Storage } from '#kernel/retention/storage.ts';
import type { MaintenanceServices } from '#modules/maintenance';
import { maintain } from '#modules/maintenance';
import { withClient } from '#testing/test-run.ts';
import type { Crashing } from './crash.fixture.ts';
import { CrashingWorld, placeOrder } from './crash.fixture.ts';
import { insist } from './crash-faults.fixture.ts';

const KINDS = ['jobs.attempts', 'jobs.jobs'];
const DAYS = [60, 61];
const ROWS = 2_500;

const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);

/** Two days of each, of both tenants; a hold of tenant b keeps its attempts of the later day. */
async function oldWork({ admin, tenants }: CrashingWorld): Promise<void> {
  for (const ago of DAYS) {
    for (const table of ['jobs_run', 'attempts'])
      await admin.query(`begin; set local role plinth_owner; select plinth_kernel.partition_make('plinth_jobs.${table}', 'day', '${day(ago)}'); commit`);
    const at = idAt(`'${day(ago)} 12:00+00'::timestamptz`);
    const owners = ago === 60 ? tenants : tenants.slice(0, 1);
    for (const tenantId of owners) {
      await admin.query(
        `insert into plinth_jobs.jobs (tenant_id, id, run_id, kind, status, payload, result, error, created_at, started_at, finished_at, run_at, attempts, priority, concurrency_key)
         select $1, i, ${at}, 'old.work', case when n % 7 = 0 then 'cancelled' else 'completed' end, jsonb_build_object('n', 12345678901234567890.50, 'text', E'Gr\\u00fc\\n"e"'), '[1e400, null]',
           case when n % 7 = 0 then 'why' end, '${day(ago)}', '${day(ago)}', '${day(ago)} 12:00:00.000001+00', case when n % 5 = 0 then 'infinity' else '${day(ago)}'::timestamptz end, 3, 1 + n % 5, 'k' || n
         from (select n, ${at} as i from generate_series(1, $2::int) n) x`,
        [tenantId, ROWS],
      );
      await admin.query(
        `insert into plinth_jobs.attempts (tenant_id, id, job_id, kind, attempt, outcome, error, created_at) select $1, ${at}, ${at}, 'old.work', 1, 'failed', 'fault ' || n, '${day(ago)} 12:00' from generate_series(1, $2::int) n`,
        [tenantId, ROWS],
      );
    }
  }
  await admin.query(
    `insert into plinth_kernel.retention_policies (tenant_id, kind, keep, archive) select '00000000-0000-0000-0000-000000000000', k, '7 days', true from unnest($1::text[]) as k`,
    [KINDS],
  );
  await admin.query(`insert into plinth_kernel.retention_holds (tenant_id, kind, reason) values ($1, 'jobs.attempts', 'a court')`, [tenants[1]]);
}

/** SIGKILL for the backend of one statement, as the kernel out of memory does it: the postmaster starts all of them anew. */
async function killBackend(url: string, where: string): Promise<void> {
  await withClient(url, async (client) => {
    const found = await vi.waitUntil(
      async () =>
        (
          await client.query<{ pid: number }>(
            `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and ${where} limit 1`,
          )
        ).rows[0]?.pid,
      { timeout: 20_000, interval: 5 },
    );
    client.on('error', () => {});
    process.kill(found, 'SIGKILL');
  }).catch(() => {});
}

/** Where each of the runs is cut off. */
const POINTS = ['begin detach', 'middle detach', 'end detach', 'begin archive', 'middle archive', 'end archive', 'begin verify', 'begin drop', 'end drop'];
const SERVING = `usename = 'crashing'`;

/** Carries the policies out, with a backend killed at the first of the points in `waiting` that it comes by; how it ended. */
async function runOnce(world: CrashingWorld, plinth: Crashing, storage: Storage, waiting: Set<string>): Promise<string> {
  let killed: Promise<unknown> | undefined;
  async function* cut(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const bytes of body) {
      yield bytes.subarray(0, 50);
      if (waiting.delete('middle archive')) await killBackend(world.url, SERVING);
      yield bytes.subarray(50);
    }
  }
  const services: MaintenanceServices = {
    asWorker: async (body) => {
      await killed;
      return plinth.asWorker({}, body);
    },
    owner: ownerAccess(world.url),
    storage: { ...storage, put: (key, body) => storage.put(key, cut(body)) },
    onStep: ({ kind, action }, phase) => {
      if (waiting.delete(`${phase} ${action}`)) killed = killBackend(world.url, SERVING);
      else if (phase === 'begin' && action === 'detach' && waiting.delete('middle detach')) void cutDetach(world, kind);
    },
  };
  const { status, failures } = await maintain(services, { task: 'retention', kinds: KINDS });
  return failures.length > 0 ? JSON.stringify(failures) : status;
}

/** A reader makes the detach wait between its two transactions, and there its backend is killed. */
const cutDetach = (world: CrashingWorld, kind: string): Promise<unknown> =>
  withClient(world.url, async (client) => {
    client.on('error', () => {});
    await client.query(`begin; select from ${kind === 'jobs.jobs' ? 'plinth_jobs.jobs_run' : 'plinth_jobs.attempts'} limit 1`);
    await killBackend(world.url, `application_name = 'plinth maintain' and query like '%detach%' and wait_event_type = 'Lock'`);
  }).catch(() => undefined);

test('archives are whole or absent, what is held stays, and a run after each crash goes on', { timeout: 600_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'plinth-archive-'));
  await using world = await CrashingWorld.make();
  try {
    await oldWork(world);
    const [plinth, writer] = [world.plinth(), world.plinth()];
    await world.startWorkers(1);
    const over = new AbortController();
    const load = (async () => {
      for (let n = 1; !over.signal.aborted; n++) await insist(() => placeOrder(writer, world.tenants[n % 2] ?? '', 'load', n));
    })();
    const storage = diskStorage(folder);
    const waiting = new Set(POINTS);
    await vi.waitFor(
      async () => {
        expect(await runOnce(world, plinth, storage, waiting)).toBe('completed');
        expect([...waiting]).toEqual([]);
      },
      { timeout: 300_000, interval: 100 },
    );
    over.abort();
    await load;
    const { rows: left } = await world.admin.query<{ kind: string; archive_key: string; row_count: string }>(
      `select kind, archive_key, row_count from plinth_kernel.retention_partitions where state = 'dropped' order by kind, row_count`,
    );
    expect(left.map(({ kind, row_count }) => [kind, Number(row_count)])).toEqual([
      ['jobs.attempts', ROWS],
      ['jobs.jobs', ROWS],
      ['jobs.jobs', ROWS * 2],
    ]);
    for (const { archive_key, row_count } of left) expect(await Array.fromAsync(archivedRows(storage, archive_key))).toHaveLength(Number(row_count));
    const written = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
    expect(written.toSorted()).toEqual(left.flatMap(({ archive_key }) => [basename(archive_key), `${basename(archive_key)}.manifest.json`]).toSorted());
    const { rows: held } = await world.admin.query(`select count(*)::int as n from plinth_jobs.attempts where kind = 'old.work' and tenant_id = $1`, [
      world.tenants[1],
    ]);
    expect(held).toEqual([{ n: ROWS }]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
