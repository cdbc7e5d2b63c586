import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startPostgres } from 'plinth-embedded';
import { ensureAdminKey } from '#apps/server/index.ts';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { DevState } from '../dev.ts';
import { withExamples } from '../modules.ts';
import type { Child } from './processes.ts';
import { startChild } from './processes.ts';

/** What the replay runs against: a running `plinth dev`, or processes of its own that it may kill. */
export interface Stack {
  readonly origin: string;
  readonly adminKey: string;
  readonly adminUrl: string;
  /** Parts that may be killed and started again; empty for a running plinth dev. */
  readonly parts: Readonly<Record<string, { killAndRestart(): Promise<void> }>>;
  stop(): Promise<void>;
}

export const attach = (state: DevState): Stack => ({
  origin: state.origin,
  adminKey: state.adminKey,
  adminUrl: state.adminUrl,
  parts: {},
  stop: async () => {},
});

async function prepare(rootUrl: string, password: string): Promise<{ adminUrl: string; serverUrl: string; adminKey: string }> {
  const root = new pg.Client({ connectionString: rootUrl });
  await root.connect();
  await root.query('create database replay');
  await root.end();
  const admin = new URL(rootUrl);
  admin.pathname = '/replay';
  await migrateUp({ url: admin.href, modules: await withExamples() });
  await createServerRole({ url: admin.href, name: 'plinth_replay', password });
  const server = new URL(admin.href);
  server.username = 'plinth_replay';
  server.password = password;
  const plinth = createKernel({ modules: await withExamples(), database: { url: server.href, max: 2 } });
  const made = await ensureAdminKey(plinth);
  await plinth.close();
  return { adminUrl: admin.href, serverUrl: server.href, adminKey: made.secret ?? '' };
}

/** PostgreSQL, a server and a worker of the replay's own, in a folder that is deleted afterwards. */
export async function ownStack(dataDir: string): Promise<Stack> {
  const folder = join(dataDir, `replay-${process.pid}`);
  await mkdir(folder, { recursive: true });
  const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), port: 0 });
  try {
    return await stackOver(postgres, folder);
  } catch (error) {
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function stackOver(first: EmbeddedPostgres, folder: string): Promise<Stack> {
  let postgres = first;
  const { adminUrl, serverUrl, adminKey } = await prepare(postgres.url, randomBytes(16).toString('hex'));
  const settings = { dataDir: folder, serverUrl, adminKey };
  let server = await startChild({ ...settings, part: 'server', port: 0 });
  let worker = await startChild({ ...settings, part: 'worker', port: 0 });
  const { port } = server;
  const restart = (child: () => Child, again: () => Promise<void>) => ({
    async killAndRestart() {
      await child().kill();
      await again();
    },
  });
  return {
    origin: `http://127.0.0.1:${port}`,
    adminKey,
    adminUrl,
    parts: {
      server: restart(
        () => server,
        async () => void (server = await startChild({ ...settings, part: 'server', port })),
      ),
      worker: restart(
        () => worker,
        async () => void (worker = await startChild({ ...settings, part: 'worker', port: 0 })),
      ),
      postgres: {
        async killAndRestart() {
          const wanted = postgres.port;
          await postgres.kill();
          postgres = await startPostgres({ dataDir: join(folder, 'postgres'), port: wanted });
        },
      },
    },
    async stop() {
      await Promise.all([server.kill(), worker.kill()]);
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
