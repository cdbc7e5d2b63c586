/** What `plinth doctor` says while something goes on. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from 'plinth-embedded';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmptyDatabase } from '#testing/database.ts';
import { emptyDatabase } from '#testing/database.ts';
import { testFolder } from '#testing/folder.ts';
import { testSettings } from '#testing/settings.ts';
import { withClient } from '#testing/test-run.ts';
import { incidentFindings, refusalWayOut } from './doctor-incidents.ts';

let database: EmptyDatabase;
beforeAll(async () => {
  database = await emptyDatabase('incidents');
  await database.admin.query('create table changed ()');
});
afterAll(() => database.drop());

async function clientAs(applicationName: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url, application_name: applicationName });
  await client.connect();
  return client;
}

const found = async (client: pg.Client) => Object.fromEntries((await incidentFindings(client)).map(({ check, state, seen }) => [check, `${state}: ${seen}`]));

test.concurrent('names who stands at the head of those that wait for a lock, and is calm otherwise', { timeout: 40_000 }, async () => {
  const [doctor, migration, report, request] = await Promise.all(['doctor', 'somebody', 'report', 'request'].map(clientAs));
  if (!doctor || !migration || !report || !request) throw new Error('four clients');
  expect(await found(doctor)).toMatchObject({
    locks: 'ok: nobody waits for one for longer than 5 s',
    'transaction ids': expect.stringMatching(/^ok/),
    'replication slots': expect.stringMatching(/^ok/),
  });
  await report.query('begin; lock table changed in access share mode');
  const changing = migration.query('alter table changed add column more integer').catch(() => {});
  const waiting = (n: number) =>
    expect
      .poll(async () => (await doctor.query(`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)).rowCount)
      .toBe(n);
  await waiting(1);
  const asking = request.query('select from changed').catch(() => {});
  await waiting(2);
  await expect
    .poll(async () => (await found(doctor)).locks, { timeout: 20_000 })
    .toMatch(/^warning: 1 sessions wait, the first for \d+ s, behind report \(pid \d+, idle in transaction\): begin; lock table changed in access share mode$/);
  await report.query('commit');
  await Promise.all([changing, asking]);
  await Promise.all([doctor, migration, report, request].map((client) => client.end()));
});

test.concurrent('says when commits wait for a standby that follows no more', { timeout: 60_000 }, async () => {
  const dataDir = await mkdtemp(join(await testFolder(), 'plinth-test-incidents-'));
  const alone = { ...testSettings, synchronous_commit: true, synchronous_standby_names: 'gone', shared_buffers: '16MB', max_connections: 20 };
  const server = await startPostgres({ dataDir, port: 0, settings: alone });
  try {
    await withClient(server.url, async (doctor) => {
      const said = async () => (await found(doctor))['synchronous replication'];
      expect(await said()).toBe('ok: no commit waits for a standby for longer than 5 s');
      const writing = withClient(server.url, (writer) => writer.query('create table waits ()'));
      await expect.poll(said).toMatch(/^warning: 1 commits wait for a standby, the first for \d+ s; synchronous_standby_names is gone$/);
      await doctor.query(`select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`);
      await writing;
      expect(await said()).toMatch(/^ok/);
    });
  } finally {
    await server.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});

test('a server that was reached and takes nobody is told by why', async () => {
  const url = new URL(database.url);
  url.password = 'wrong';
  url.pathname = '/there_is_none';
  const nobody = new pg.Client({ connectionString: new URL(url.pathname, database.url).href });
  expect(refusalWayOut(await nobody.connect().catch((error: unknown) => error))).toMatch(/^Name a database that exists/);
  const stranger = new pg.Client({ connectionString: url.href });
  expect(refusalWayOut(await stranger.connect().catch((error: unknown) => error))).toMatch(/^Correct the password|^Name a database that exists/);
  expect(refusalWayOut(Object.assign(new Error('too many clients'), { code: '53300' }))).toMatch(/^Every connection is taken/);
  expect(refusalWayOut(Object.assign(new Error('could not write init file'), { code: '53100' }))).toMatch(/^The disk of the server is full/);
  expect(refusalWayOut(new Error('connect ECONNREFUSED'))).toBeUndefined();
});
