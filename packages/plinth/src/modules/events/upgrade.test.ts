/**
 * What consumers read after a real pg_upgrade, which makes a new cluster with the old rows and the old transaction ids, and after a real dump was
 * restored, which writes the rows anew.
 */
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { EmbeddedPostgres } from 'plinth-embedded';
import { startPostgres } from 'plinth-embedded';
import { expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import type { Consumer } from '#kernel/work.ts';
import { modules } from '#registry';
import { testFolder } from '#testing/folder.ts';
import { needs } from '#testing/needs.ts';
import { testSettings } from '#testing/settings.ts';
import { databaseUrl, withClient } from '#testing/test-run.ts';
import { chooseAccount, give, runAs } from '../../../../plinth-embedded/src/account.ts';
import { systemBinaries } from '../../../../plinth-embedded/src/binaries.ts';
import { createPlinth } from '../../index.ts';

const postgres15 = needs('postgres15');
const SETTINGS = { ...testSettings, shared_buffers: '32MB', max_connections: 50 };

/** Moves the data of one stopped cluster into another, which is new and stopped. Refuses to run as root, as all of them do. */
async function upgrade(programFolder: string, from: string, to: string, workFolder: string): Promise<void> {
  const binaries = await systemBinaries(programFolder);
  const [old, fresh] = await Promise.all([from, to].map((dataDir) => chooseAccount(binaries, dataDir)));
  if (!old || !fresh) throw new Error('two clusters make an upgrade');
  await mkdir(workFolder);
  await give(old, workFolder);
  const folders = ['-b', programFolder, '-B', programFolder, '-d', old.cluster, '-D', fresh.cluster];
  const { file, args, options } = runAs(old, join(programFolder, 'pg_upgrade'), [...folders, '-U', 'postgres', '-s', workFolder]);
  await promisify(execFile)(file, args, { ...options, cwd: workFolder, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' } });
}

const epochs = async (url: string) =>
  withClient(url, async (client) => {
    const here = 'system_identifier = (select system_identifier from pg_control_system())';
    return (await client.query(`select epoch, ${here} as here from plinth_kernel.feed_epochs order by epoch`)).rows as unknown[];
  });

test.runIf(postgres15.available)('pg_upgrade, and a dump that is restored elsewhere, lose no event and repeat none', { timeout: 240_000 }, async () => {
  const folder = await mkdtemp(join(await testFolder(), 'plinth-upgrade-'));
  await chmod(folder, 0o711);
  const [before, after, dump] = ['before', 'after', 'dump.sql'].map((name) => join(folder, name)) as [string, string, string];
  let running: EmbeddedPostgres | undefined;
  const start = async (dataDir: string): Promise<string> => {
    running = await startPostgres({ dataDir, port: 0, settings: SETTINGS, programFolder: postgres15.at });
    return running.url;
  };
  /** Publishes and consumes on one cluster; the notes that were handled. */
  const work = async (url: string, notes: string[]): Promise<string[]> => {
    const server = new URL(url);
    server.username = server.password = 'upgraded';
    const plinth = createPlinth({ database: { url: server.href, max: 3 } });
    const handled: string[] = [];
    const consumer: Consumer = { summary: 'notes', handle: async (_tx, events) => void handled.push(...events.map((event) => String(event.data.note))) };
    try {
      const tenantId = await withClient(url, async (client) => {
        await client.query(`insert into plinth_kernel.tenants (slug, name) values ('a', 'A') on conflict do nothing`);
        return String((await client.query('select id from plinth_kernel.tenants where slug = $1', ['a'])).rows[0]?.id);
      });
      for (const note of notes) await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('upgrade.tested', { note }));
      while ((await consumeOnce(plinth, 'test.upgraded', consumer)) > 0);
      await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('upgrade.tested', { note: `unread after ${notes[0]}` }));
    } finally {
      await plinth.close();
    }
    return handled;
  };
  try {
    const first = await start(before);
    await withClient(first, (client) => client.query('create database upgraded'));
    const url = databaseUrl(first, 'upgraded');
    await migrateUp({ url, modules });
    await createServerRole({ url, name: 'upgraded', password: 'upgraded' });
    expect(await work(url, ['one', 'two'])).toEqual(['one', 'two']);
    await promisify(execFile)(join(postgres15.at, 'pg_dump'), ['-d', url, '-f', dump]);
    await running?.stop();
    await start(after);
    await running?.stop();
    await upgrade(postgres15.at, before, after, join(folder, 'work'));
    // Roles come along with their passwords.
    await copyFile(join(before, 'password'), join(after, 'password'));
    const upgraded = databaseUrl(await start(after), 'upgraded');
    expect(await work(upgraded, ['three'])).toEqual(['unread after one', 'three']);
    expect(await epochs(upgraded)).toEqual([{ epoch: 1, here: true }]);
    const restored = databaseUrl(upgraded, 'restored');
    await withClient(upgraded, (client) => client.query('create database restored'));
    await promisify(execFile)(join(postgres15.at, 'psql'), ['-q', '-v', 'ON_ERROR_STOP=1', '-d', restored, '-f', dump], { maxBuffer: 10_000_000 });
    expect(await work(restored, ['four'])).toEqual(['unread after one', 'four']);
    expect(await epochs(restored)).toEqual([
      { epoch: 1, here: false },
      { epoch: 2, here: true },
    ]);
  } finally {
    await running?.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
