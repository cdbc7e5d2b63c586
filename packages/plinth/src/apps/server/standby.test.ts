/** A server of its own that is a standby first, and is promoted. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EmbeddedPostgres } from 'plinth-embedded';
import { startPostgres } from 'plinth-embedded';
import { expect, test } from 'vitest';
import { toPlinthError } from '#kernel/errors.ts';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import { readLogState, realtimeOffset } from '#modules/events';
import { modules } from '#registry';
import { testFolder } from '#testing/folder.ts';
import { testSettings } from '#testing/settings.ts';
import { databaseUrl, withClient } from '#testing/test-run.ts';
import { createPlinth } from '../../index.ts';
import { readiness } from './ready.ts';
import { readOffset } from './realtime-offset.ts';

test('a standby is not ready; when it is promoted it is, and the log says at once that it is another one', { timeout: 60_000 }, async () => {
  const dataDir = await mkdtemp(join(await testFolder(), 'plinth-test-standby-'));
  let running: EmbeddedPostgres | undefined;
  const start = async (): Promise<string> => {
    running = await startPostgres({ dataDir, port: 0, settings: { ...testSettings, shared_buffers: '16MB', max_connections: 20, wal_level: 'replica' } });
    return databaseUrl(running.url, 'failing_over');
  };
  /** Of a process that asks the database: how ready it is, and the timeline in what it tells of the log. */
  const asked = async (url: string) => {
    const server = new URL(url);
    server.username = server.password = 'failing_over';
    const plinth = createPlinth({ database: { url: server.href, max: 2 } });
    try {
      let found = await readiness(plinth as never, {});
      // A slow machine may take longer to answer than a probe waits.
      await expect
        .poll(async () => {
          found = await readiness(plinth as never, {});
          return found.tiers.oltp?.checks.find(({ name }) => name === 'database')?.ok;
        })
        .toBe(true);
      const { ready, tiers } = found;
      const faults = tiers.oltp?.checks.filter((check) => !check.ok).map((check) => check.fault);
      const unlogged = async () =>
        toPlinthError(await plinth.asReader({}, (tx) => tx.query('select from plinth_jobs.uptime')).catch((error: unknown) => error)).code;
      if (!ready) return { ready, faults, unlogged: await unlogged() };
      const [tenant] = await plinth.asReader({}, (tx) => tx.query<{ id: string }>('select id from plinth_kernel.tenants'));
      const state = await plinth.asWorker({}, readLogState);
      const offset = await plinth.transaction({ tenantId: tenant?.id ?? '' }, realtimeOffset);
      return { ready, timelines: [state.timeline, readOffset(offset)?.timeline] };
    } finally {
      await plinth.close();
    }
  };
  try {
    await withClient((await start()).replace(/failing_over$/, 'postgres'), (client) => client.query('create database failing_over'));
    const url = databaseUrl(running?.url ?? '', 'failing_over');
    await migrateUp({ url, modules });
    await createServerRole({ url, name: 'failing_over', password: 'failing_over' });
    await withClient(url, (client) => client.query(`insert into plinth_kernel.tenants (slug, name) values ('a', 'A')`));
    expect(await asked(url)).toEqual({ ready: true, timelines: [1, 1] });
    await running?.stop();
    const signal = join(dataDir, 'data', 'standby.signal');
    await writeFile(signal, '');
    await chmod(signal, 0o666);
    const standby = await start();
    expect(await asked(standby)).toEqual({ ready: false, faults: ['the database is a standby; connect to the primary'], unlogged: 'kernel_read_only' });
    await withClient(standby, (client) => client.query('select pg_promote()'));
    expect(await asked(standby)).toEqual({ ready: true, timelines: [2, 2] });
  } finally {
    await running?.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});
