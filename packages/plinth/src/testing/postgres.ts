/** The PostgreSQL of a test run: embedded and thrown away, or the server that PLINTH_TEST_DATABASE_URL names. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { discardPostgres, startPostgres } from 'plinth-embedded';
import { testFolder } from './folder.ts';
import { testSettings } from './settings.ts';

export interface TestServer {
  /** Superuser, database `postgres`. */
  readonly url: string;
  /** Undefined for a server whose log we cannot see. */
  readonly logFile: string | undefined;
  stop(): Promise<void>;
}

const prefix = 'plinth-test-';

/** Starts the run's server, or checks nothing and returns the one that the environment names. */
export async function startTestServer(): Promise<TestServer> {
  const given = process.env.PLINTH_TEST_DATABASE_URL;
  const logFile = process.env.PLINTH_TEST_SERVER_LOG;
  if (given !== undefined && given !== '') return { url: given, logFile, stop: async () => undefined };
  const folder = await testFolder();
  await sweep(folder);
  const dataDir = await mkdtemp(join(folder, prefix));
  const postgres = await startPostgres({ dataDir, port: 0, settings: testSettings });
  // A run that is ended by a signal gets no teardown; its server must not stay behind.
  const kill = () => process.kill(postgres.pid, 'SIGKILL');
  process.once('exit', kill);
  return {
    url: postgres.url,
    logFile: postgres.logFile,
    async stop() {
      process.off('exit', kill);
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/**
 * Removes what runs that were killed left behind. The data of a run that lives are refused to us and stay; a folder that
 * nobody owns yet may belong to a run that starts at this moment, so it has to be old.
 */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(parent, name);
    const owned = existsSync(join(folder, 'owner.json'));
    const changed = await stat(folder).catch(() => undefined);
    const old = changed !== undefined && changed.mtimeMs < Date.now() - 3_600_000;
    if (owned || old) await discardPostgres(folder).catch(() => false);
  }
}
