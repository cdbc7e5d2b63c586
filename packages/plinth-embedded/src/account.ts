/**
 * Who PostgreSQL runs as. It refuses to run as root, and root is what containers and CI images are. So under root it
 * runs as the data folder's owner, else as `nobody`; and because that account can often reach neither the programs nor
 * the data (a clone under a home folder of mode 700), the ways to get there are tried in this order:
 *
 * 1. `plain`: the account can reach both; the common case outside home folders.
 * 2. `read_search`, `override`: util-linux `setpriv` lends the one capability that lets a process pass through closed
 *    folders. The first only lets it read, so it is asked for first; container engines often grant only the second.
 * 3. `copy`: the programs and the data live under /var/lib/plinth, and the data folder holds a link there.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, cp, lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Binaries } from './binaries.ts';
import { EmbeddedPostgresError, ownServer } from './errors.ts';

export type Reach = 'plain' | 'read_search' | 'override' | 'copy';

export interface Account {
  /** Undefined when we are not root and PostgreSQL simply runs as us. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  readonly reach: Reach;
  readonly binaries: Binaries;
  /** The server's own data folder; it exists once initdb has run. */
  readonly cluster: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: { readonly uid?: number; readonly gid?: number };
}

export interface AccountOptions {
  /** Where `copy` puts programs and data. Default /var/lib/plinth. */
  readonly copyFolder?: string;
  /** Ways that may be used, for tests of the later ones. Default: all. */
  readonly allowed?: readonly Reach[];
}

/** Decides who runs the server of `dataFolder` and how that account gets there. */
export async function chooseAccount(binaries: Binaries, dataFolder: string, options: AccountOptions = {}): Promise<Account> {
  const name = join(dataFolder, 'data');
  const cluster = await readlink(name).catch(() => name);
  if (process.getuid?.() !== 0) return { ids: undefined, reach: 'plain', binaries, cluster };
  await checkPowers();
  const ids = await idsFor(cluster);
  const allowed = options.allowed ?? ['plain', 'read_search', 'override', 'copy'];
  for (const reach of ['plain', 'read_search', 'override'] as const) {
    const account: Account = { ids, reach, binaries, cluster };
    if (allowed.includes(reach) && canReach(account)) return account;
  }
  if (!allowed.includes('copy')) throw unreachable(dataFolder);
  return copyOut({ ids, reach: 'copy', binaries, cluster }, name, options.copyFolder ?? '/var/lib/plinth');
}

/** The command line that runs `file` as the account. */
export function runAs(account: Account, file: string, args: readonly string[]): Command {
  const { ids, reach } = account;
  if (ids === undefined) return { file, args, options: {} };
  if (reach === 'plain' || reach === 'copy') return { file, args, options: ids };
  const capability = reach === 'read_search' ? '+dac_read_search' : '+dac_override';
  // The programs ask access(2) about their own files, which leaves capabilities out unless this bit is set.
  const lend = [`--inh-caps=${capability}`, `--ambient-caps=${capability}`, '--securebits=+no_setuid_fixup'];
  return {
    file: 'setpriv',
    args: [`--reuid=${ids.uid}`, `--regid=${ids.gid}`, '--clear-groups', ...lend, '--', file, ...args],
    options: {},
  };
}

/** Gives a file or an empty folder to the account; nothing to do when PostgreSQL runs as us. */
export async function give(account: Account, path: string): Promise<void> {
  if (account.ids !== undefined) await chown(path, account.ids.uid, account.ids.gid);
}

/** Gives a folder and all in it to the account. */
export async function giveAll(account: Account, folder: string): Promise<void> {
  await give(account, folder);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await give(account, join(entry.parentPath, entry.name));
  }
}

/** A root without these (a container with all capabilities dropped) can neither become another account nor read its files. */
async function checkPowers(): Promise<void> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1];
  if (effective === undefined) return;
  const needed = { chown: 0n, dac_override: 1n, setgid: 6n, setuid: 7n };
  const lacking = Object.entries(needed).filter(([, bit]) => ((BigInt(`0x${effective}`) >> bit) & 1n) === 0n);
  if (lacking.length === 0) return;
  throw new EmbeddedPostgresError(
    'account_missing',
    `PostgreSQL refuses to run as root, and this root lacks ${lacking.map(([name]) => `CAP_${name.toUpperCase()}`).join(', ')}.`,
    `Start as an ordinary user. Or: ${ownServer}`,
  );
}

async function idsFor(cluster: string): Promise<{ uid: number; gid: number }> {
  const owner = await stat(cluster).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  // initdb looks its own account up by name, so the number must stand in the list of accounts.
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  for (const name of ['nobody', 'daemon', 'postgres']) {
    const line = lines.find((fields) => fields[0] === name && Number(fields[2]) > 0);
    if (line !== undefined) return { uid: Number(line[2]), gid: Number(line[3]) };
  }
  throw new EmbeddedPostgresError(
    'account_missing',
    'PostgreSQL refuses to run as root, and there is no account `nobody` to run it as.',
    `Start as an ordinary user. Or: ${ownServer}`,
  );
}

/**
 * Asks by doing: enter the folder, let the server find its own files. Mode bits alone miss ACLs, mount options and missing
 * libraries. With a data folder that does not exist it comes as far as that and ends with 2; what it cannot find before
 * that, or a shell that cannot start it, ends otherwise.
 */
function canReach(account: Account): boolean {
  const script = 'cd "$1" || exit 99; exec "$2" -C data_directory -D "$1/no-such-folder"';
  const args = ['-c', script, 'sh', dirname(account.cluster), account.binaries.postgres];
  const command = runAs(account, '/bin/sh', args);
  const probe = spawnSync(command.file, command.args, {
    ...command.options,
    cwd: '/',
    env: { PATH: process.env.PATH ?? '', ...account.binaries.environment },
    stdio: 'ignore',
    timeout: 20_000,
  });
  return probe.status === 2;
}

async function copyOut(account: Account, name: string, copyFolder: string): Promise<Account> {
  const existing = await lstat(name).catch(() => undefined);
  if (existing?.isDirectory()) throw unreachable(name);
  await mkdir(copyFolder, { recursive: true, mode: 0o755 });
  const binaries = await copyPrograms(account.binaries, copyFolder);
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16);
  const cluster = existing === undefined ? join(copyFolder, `cluster-${digest}`, 'data') : account.cluster;
  await mkdir(dirname(cluster), { recursive: true, mode: 0o711 });
  if (existing === undefined) await symlink(cluster, name);
  const copied: Account = { ...account, binaries, cluster };
  if (!canReach(copied)) throw unreachable(copyFolder);
  return copied;
}

async function copyPrograms(binaries: Binaries, copyFolder: string): Promise<Binaries> {
  const folder = join(copyFolder, `postgres-${binaries.version}`);
  if (!existsSync(folder)) {
    // Renamed into place whole, so that a copy cut short is never taken for a complete one.
    const draft = `${folder}.${process.pid}.tmp`;
    await cp(binaries.folder, draft, { recursive: true, verbatimSymlinks: true });
    await rename(draft, folder).catch(() => rm(draft, { recursive: true, force: true }));
  }
  return { ...binaries, folder, initdb: join(folder, 'bin', 'initdb'), postgres: join(folder, 'bin', 'postgres') };
}

function unreachable(folder: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'account_missing',
    `PostgreSQL refuses to run as root, and the account that it would run as cannot reach ${folder}.`,
    `Start as an ordinary user, or move the clone out of the home folder. Or: ${ownServer}`,
  );
}
