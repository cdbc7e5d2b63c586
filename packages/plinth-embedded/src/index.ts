/**
 * A real PostgreSQL that starts by itself: `startPostgres({ dataDir })`. The data survive whatever happens to the
 * processes; a server that an earlier, killed process left behind is taken over or stopped; root is no obstacle.
 */

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, chmod, mkdir, readFile, readlink, realpath, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Account, type AccountOptions, chooseAccount, give } from './account.ts';
import { findBinaries, systemBinaries } from './binaries.ts';
import { ensureCluster, readPassword, repairOwner, resetPassword, type Settings, settingsFile, settingsText, writeConfiguration } from './cluster.ts';
import { EmbeddedPostgresError } from './errors.ts';
import { followLog } from './log.ts';
import { type Ownership, takeOwnership } from './owner.ts';
import { candidatePorts } from './ports.ts';
import { clearRemains, type Exit, findPostmaster, killAll, launch, type Postmaster, stop } from './postmaster.ts';

export type { Settings } from './cluster.ts';
export { type EmbeddedPostgresCode, EmbeddedPostgresError } from './errors.ts';
export type { Exit } from './postmaster.ts';

export interface StartOptions {
  /** Holds everything: the cluster, the superuser's password, the server's log. Made when missing. */
  readonly dataDir: string;
  /** Wanted TCP port; the next free one is used when it is taken. 0: any free port. Default 54329. */
  readonly port?: number;
  /** Address to listen on. Default 127.0.0.1. */
  readonly host?: string;
  /** PostgreSQL settings on top of the defaults, for example `{ fsync: false }`. */
  readonly settings?: Settings;
  /** Called with every line that the server logs. */
  readonly onLog?: (line: string) => void;
  /** Ends the start early and leaves no process and no half-made data. */
  readonly signal?: AbortSignal;
  /** How long recovery may take before the start is given up. Default 120,000. */
  readonly startTimeoutMs?: number;
  /** A platform package to use instead of the installed one. */
  readonly packageFolder?: string;
  /** Folder of the programs of another PostgreSQL to run, for example /usr/lib/postgresql/15/bin. */
  readonly programFolder?: string;
  /** How root's server gets at programs and data; see account.ts. */
  readonly account?: AccountOptions;
}

export interface EmbeddedPostgres {
  /** Of the superuser `postgres` on 127.0.0.1, password included. */
  readonly url: string;
  readonly host: string;
  /** The port it got, which is another than asked when that one was taken. */
  readonly port: number;
  /** For example `18.4`. */
  readonly version: string;
  readonly pid: number;
  /** Folder of the unix socket, where local connections need no password. */
  readonly socketDir: string;
  /** What the server logs, errors with their context included. */
  readonly logFile: string;
  /** How it came to be: a new cluster, an existing one, or a server that was still running. */
  readonly origin: 'created' | 'started' | 'adopted';
  /** How many library links of the package had been missing and were made. */
  readonly linksMade: number;
  /** Resolves when the server ends, also when nobody asked it to. */
  readonly exited: Promise<Exit>;
  /** Fast shutdown; cut short after `timeoutMs` (default 3,500), which loses no committed data. */
  stop(timeoutMs?: number): Promise<void>;
  /** SIGKILL to the server and its children: what a crash test needs. */
  kill(): Promise<void>;
}

/**
 * Starts PostgreSQL on `dataDir` and resolves when it accepts connections.
 *
 * Errors: EmbeddedPostgresError with a code and a hint, for example `data_in_use` when another live process holds the
 * folder, `platform_unsupported` where there are no programs for the machine.
 */
export async function startPostgres(options: StartOptions): Promise<EmbeddedPostgres> {
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  const dataDir = await realpath(options.dataDir);
  const ownership = await own(dataDir);
  try {
    return await startOwned(dataDir, options, ownership);
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

/**
 * Stops the server that a killed process left on this folder and deletes the folder: for throw-away data. False when a
 * live process holds it, which is then left alone.
 */
export async function discardPostgres(folder: string): Promise<boolean> {
  const dataDir = await realpath(folder);
  try {
    await takeOwnership(dataDir);
  } catch (error) {
    if (error instanceof EmbeddedPostgresError && error.code === 'data_in_use') return false;
    throw error;
  }
  const name = join(dataDir, 'data');
  const cluster = await readlink(name).catch(() => name);
  await clearRemains(cluster);
  await rm(cluster, { recursive: true, force: true });
  await rm(dataDir, { recursive: true, force: true });
  return true;
}

async function own(dataDir: string): Promise<Ownership> {
  try {
    return await takeOwnership(dataDir);
  } catch (error) {
    if (!['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new EmbeddedPostgresError(
      'data_not_ours',
      `${dataDir} belongs to another user, perhaps because Plinth was started as root before.`,
      `Run \`sudo chown -R "$(id -u):$(id -g)" ${dataDir}\`, or choose another PLINTH_DATA_DIR.`,
      error,
    );
  }
}

async function startOwned(dataDir: string, options: StartOptions, ownership: Ownership): Promise<EmbeddedPostgres> {
  const binaries =
    options.programFolder === undefined ? await findBinaries(join(dataDir, 'lib'), options.packageFolder) : await systemBinaries(options.programFolder);
  // Under root another account has to pass through; what is private in here has modes of its own.
  if (process.getuid?.() === 0) await chmod(dataDir, 0o711);
  const account = await chooseAccount(binaries, dataDir, options.account);
  const host = options.host ?? '127.0.0.1';
  const socketDir = await prepareSocketFolder(account);
  const settings = settingsText(options.settings ?? {}, host, socketDir);
  const { password, made } = await readPassword(dataDir);

  const running = await findPostmaster(account.cluster);
  let postmaster = running !== undefined && (await fits(running, account, settings, options.port)) ? running : undefined;
  let origin: EmbeddedPostgres['origin'] = 'adopted';
  const logFile = await freshLog(join(dataDir, 'postgres.log'));
  const log = options.onLog === undefined ? undefined : followLog(logFile, options.onLog);
  if (postmaster === undefined || made) {
    if (running !== undefined) await stop(running, account.cluster, 3_500);
    if (existsSync(account.cluster)) await clearRemains(account.cluster);
    origin = (await ensureCluster(account, password, options.signal)) ? 'created' : 'started';
    await prepareCluster(account, { settings, host, socketDir, password: made && origin === 'started' ? password : '' });
    postmaster = await launchOnFreePort(account, host, logFile, options);
  }
  return handle({ account, postmaster, origin, host, password, socketDir, logFile, ownership, stopLog: () => log?.stop() });
}

/** Whether a server that still runs is what was asked for: the same settings, and the port if one was named. */
async function fits(running: Postmaster, account: Account, settings: string, port?: number): Promise<boolean> {
  const current = await readFile(settingsFile(account), 'utf8').catch(() => '');
  return current === settings && (port === undefined || port === 0 || port === running.port);
}

interface Preparation {
  readonly settings: string;
  readonly host: string;
  readonly socketDir: string;
  /** Set when the password file was lost and the cluster has to learn a new one. */
  readonly password: string;
}

async function prepareCluster(account: Account, preparation: Preparation): Promise<void> {
  const [folder, file] = await Promise.all([stat(account.cluster), stat(join(account.cluster, 'PG_VERSION'))]);
  const wanted = account.ids?.uid;
  if (wanted !== undefined && (folder.uid !== wanted || file.uid !== wanted)) await repairOwner(account);
  await writeConfiguration(account, preparation.settings, preparation.host);
  if (preparation.password !== '') await resetPassword(account, preparation.password);
  // No process of the cluster is left, so a socket in its folder is a dead one whose lock could stop the server.
  await rm(preparation.socketDir, { recursive: true, force: true });
  await makeSocketFolder(account, preparation.socketDir);
}

/** A socket's path may have 107 bytes at most; a clone deep in the file system gets its socket in the temporary folder. */
async function prepareSocketFolder(account: Account): Promise<string> {
  const beside = join(dirname(account.cluster), 'run');
  if (Buffer.byteLength(join(beside, '.s.PGSQL.65535.lock')) <= 103) return beside;
  const digest = createHash('sha256').update(account.cluster).digest('hex').slice(0, 12);
  return join(tmpdir(), `plinth-${account.ids?.uid ?? process.getuid?.() ?? 0}-${digest}`);
}

async function makeSocketFolder(account: Account, folder: string): Promise<void> {
  // Not recursive: a folder that somebody else put there in the meantime is an error, not a place to listen.
  await mkdir(folder, { mode: 0o700 });
  await give(account, folder);
}

/** The log exists from here on; that of earlier starts is kept up to 10 MB. */
async function freshLog(file: string): Promise<string> {
  await appendFile(file, '', { mode: 0o600 });
  if ((await stat(file)).size > 10 * 1024 * 1024) await truncate(file);
  return file;
}

async function launchOnFreePort(account: Account, host: string, logFile: string, options: StartOptions): Promise<Postmaster> {
  const timeoutMs = options.startTimeoutMs ?? 120_000;
  for await (const port of candidatePorts(host, options.port ?? 54_329)) {
    const result = await launch(account, { port, logFile, timeoutMs, signal: options.signal });
    if (!('failed' in result)) return result;
    // Somebody took the port between our look and PostgreSQL's: the next one, then.
    if (/could not create any TCP\/IP sockets|could not bind/.test(result.failed)) continue;
    throw new EmbeddedPostgresError('start_failed', `PostgreSQL did not start: ${result.failed.split('\n').slice(-5).join(' | ')}`, `Read ${logFile}.`);
  }
  throw new EmbeddedPostgresError('no_free_port', `No free port on ${host} for PostgreSQL.`, 'Free one of the ports, or name another one.');
}

interface Running {
  readonly account: Account;
  readonly postmaster: Postmaster;
  readonly origin: EmbeddedPostgres['origin'];
  readonly host: string;
  readonly password: string;
  readonly socketDir: string;
  readonly logFile: string;
  readonly ownership: Ownership;
  readonly stopLog: () => void;
}

function handle(running: Running): EmbeddedPostgres {
  const { account, postmaster, ownership } = running;
  const { cluster, binaries } = account;
  const ended = postmaster.exited.then(async (exit) => {
    running.stopLog();
    await ownership.release();
    return exit;
  });
  const reachable = ['0.0.0.0', '::', '*'].includes(running.host) ? '127.0.0.1' : running.host;
  return {
    url: `postgres://postgres:${running.password}@${reachable}:${postmaster.port}/postgres`,
    host: running.host,
    port: postmaster.port,
    version: binaries.version,
    pid: postmaster.pid,
    socketDir: running.socketDir,
    logFile: running.logFile,
    origin: running.origin,
    linksMade: binaries.linksMade,
    exited: ended,
    async stop(timeoutMs = 3_500) {
      await stop(postmaster, cluster, timeoutMs);
      await ended;
    },
    async kill() {
      await killAll(postmaster.pid, cluster);
      await ended;
    },
  };
}
