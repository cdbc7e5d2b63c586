/** The files of a cluster: made by initdb once, its settings and access rules written at every start. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Account, give, giveAll, runAs } from './account.ts';
import { EmbeddedPostgresError } from './errors.ts';

export type Settings = Readonly<Record<string, string | number | boolean>>;

/** For development: durable, roomy enough for a server, workers and a console, ready for two-phase commit. */
const defaults: Settings = {
  fsync: true,
  max_connections: 200,
  max_prepared_transactions: 10,
  shared_buffers: '128MB',
  wal_level: 'replica',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] ',
};

/** The environment of the programs: nothing of ours, so that PGPORT and the like of the person's shell do not leak in. */
export function programEnvironment(account: Account): Record<string, string> {
  return { PATH: process.env.PATH ?? '', LC_ALL: 'C', TZ: 'UTC', ...account.binaries.environment };
}

/**
 * Makes the cluster when there is none, and says whether it did. initdb fills a folder of its own that is renamed when
 * it is complete, so being stopped half-way leaves nothing that looks like data.
 */
export async function ensureCluster(account: Account, password: string, signal?: AbortSignal): Promise<boolean> {
  await removeLeftovers(account);
  if (existsSync(join(account.cluster, 'PG_VERSION'))) {
    await checkVersion(account);
    return false;
  }
  const draft = `${account.cluster}.${process.pid}.tmp`;
  const passwordFile = `${account.cluster}.password.tmp`;
  try {
    await mkdir(draft, { mode: 0o700 });
    await give(account, draft);
    await writeFile(passwordFile, password, { mode: 0o600 });
    await give(account, passwordFile);
    await initdb(account, draft, passwordFile, signal);
    await appendFile(join(draft, 'postgresql.conf'), "\n# Written by Plinth at every start.\ninclude 'plinth.conf'\n");
    await rename(draft, account.cluster);
  } finally {
    await rm(passwordFile, { force: true });
    await rm(draft, { recursive: true, force: true, maxRetries: 5 });
  }
  return true;
}

/** Drafts of starts that were killed. Ownership of the data folder is ours by now, so no draft is in work. */
async function removeLeftovers(account: Account): Promise<void> {
  const home = dirname(account.cluster);
  const prefix = `${basename(account.cluster)}.`;
  for (const name of await readdir(home)) {
    if (name.startsWith(prefix) && name.endsWith('.tmp')) {
      await rm(join(home, name), { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

async function checkVersion(account: Account): Promise<void> {
  const found = (await readFile(join(account.cluster, 'PG_VERSION'), 'utf8')).trim();
  const major = account.binaries.version.split('.')[0];
  if (found === major) return;
  throw new EmbeddedPostgresError(
    'data_version',
    `${account.cluster} was made by PostgreSQL ${found}; this Plinth brings ${account.binaries.version}.`,
    'Start with an empty PLINTH_DATA_DIR, or dump the old data with the older Plinth and restore it.',
  );
}

async function initdb(account: Account, draft: string, passwordFile: string, signal?: AbortSignal): Promise<void> {
  const args = [
    ['--pgdata', draft],
    ['--username', 'postgres'],
    ['--pwfile', passwordFile],
    ['--encoding', 'UTF8'],
    locale(account),
    // Flushing 1,000 files takes seconds; a power cut in the first minute costs an empty database, and a new start.
    ['--no-sync', '--no-instructions'],
  ].flat();
  const { code, output } = await runProgram(account, account.binaries.initdb, args, '', signal);
  signal?.throwIfAborted();
  if (code === 0) return;
  throw new EmbeddedPostgresError(
    'initdb_failed',
    `initdb failed (${code}): ${output.trim().split('\n').slice(-3).join(' ')}`,
    'Check that the disk has 100 MB free and that the data folder can be written.',
  );
}

/** PostgreSQL's own provider, from 17 on: the same order and case rules on every machine, whichever locales it has. */
function locale(account: Account): string[] {
  return Number.parseInt(account.binaries.version, 10) >= 17
    ? ['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C']
    : ['--locale', 'C.UTF-8'];
}

/** Runs a program to its end as the account. It has a session of its own: Ctrl-C reaches us, and we decide. */
function runProgram(
  account: Account,
  file: string,
  args: readonly string[],
  input: string,
  signal?: AbortSignal,
): Promise<{ code: number | string | null; output: string }> {
  const command = runAs(account, file, args);
  const child = spawn(command.file, command.args, {
    ...command.options,
    cwd: '/',
    env: programEnvironment(account),
    detached: true,
    stdio: 'pipe',
  });
  const abort = () => {
    // The whole group, because initdb runs `postgres` below itself.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve) => {
    const end = (code: number | string | null) => {
      signal?.removeEventListener('abort', abort);
      resolve({ code, output });
    };
    child.on('error', (error) => {
      output += error.message;
      end('not started');
    });
    child.on('close', (code, killed) => end(code ?? killed));
  });
}

/** The text of plinth.conf; the same text means that a running server already has these settings. */
export function settingsText(settings: Settings, host: string, socketFolder: string): string {
  const all: Settings = {
    ...defaults,
    listen_addresses: host,
    unix_socket_directories: socketFolder,
    unix_socket_permissions: '0700',
    ...settings,
  };
  const quote = (value: string) => `'${value.replaceAll("'", "''")}'`;
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${quote(settingValue(value))}`);
  return ['# Written by Plinth at every start; your own changes belong into postgresql.conf.', ...lines, ''].join('\n');
}

function settingValue(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
}

/** The settings file of the cluster. */
export function settingsFile(account: Account): string {
  return join(account.cluster, 'plinth.conf');
}

/** Writes settings and access rules. Files of the cluster belong to the account, or the server could not read them. */
export async function writeConfiguration(account: Account, settings: string, host: string): Promise<void> {
  const loopback = host === 'localhost' || host === '::1' || host.startsWith('127.');
  const rules = [
    // The socket folder has mode 700: who can open the socket could read the data files as well.
    'local all all trust',
    'local replication all trust',
    ...(loopback ? ['127.0.0.1/32', '::1/128'] : ['all']).flatMap((address) => [
      `host all all ${address} scram-sha-256`,
      `host replication all ${address} scram-sha-256`,
    ]),
  ];
  for (const [file, text] of [
    [settingsFile(account), settings],
    [join(account.cluster, 'pg_hba.conf'), `${rules.join('\n')}\n`],
  ] as const) {
    await writeFile(file, text, { mode: 0o600 });
    await give(account, file);
  }
}

/** Mends a cluster that root came to own, for example by a recursive chown of the clone. */
export async function repairOwner(account: Account): Promise<void> {
  if (account.ids !== undefined) await giveAll(account, account.cluster);
}

/** The superuser's password; `made` when the file was lost or never written. Readable by its owner alone. */
export async function readPassword(dataFolder: string): Promise<{ password: string; made: boolean }> {
  const file = join(dataFolder, 'password');
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.trim() !== '') return { password: kept.trim(), made: false };
  const password = randomBytes(24).toString('base64url');
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  return { password, made: true };
}

/** Sets the superuser's password of a stopped cluster, in single-user mode: no client and no open port needed. */
export async function resetPassword(account: Account, password: string): Promise<void> {
  const args = ['--single', '-D', account.cluster, 'postgres'];
  const input = `alter role postgres password '${password}'\n`;
  const { code, output } = await runProgram(account, account.binaries.postgres, args, input);
  if (code === 0 && !output.includes('ERROR:')) return;
  throw new EmbeddedPostgresError(
    'start_failed',
    `The superuser's password could not be set: ${output.trim()}`,
    'Restore the file `password` of the data folder, or start with an empty PLINTH_DATA_DIR.',
  );
}
