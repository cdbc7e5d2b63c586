/**
 * The Node that Plinth runs under. It comes as an optional platform package, so that no install script is needed; the
 * rest is for machines without such a package and for installs that left it out.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault } from './fault.mjs';
import { task } from './task.mjs';

const executable = process.platform === 'win32' ? 'node.exe' : 'node';
const platform = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
const names = [`node-${platform}`, `node-bin-${platform}`];

/**
 * The path of the Node to run under.
 * @param {string} root folder of the repository
 */
export async function findNode(root) {
  const modules = join(root, 'node_modules');
  const installed = () => [
    ...names.map((name) => join(modules, name, 'bin', executable)),
    join(modules, 'node', 'bin', executable),
    ...names.map((name) => join(modules, 'node', 'node_modules', name, 'bin', executable)),
  ];
  const found = installed().find(works);
  if (found !== undefined) return found;
  if (isEnough()) return process.execPath;
  if (!perhapsMusl()) await task('Fetching Node', 'Fetched Node', async () => fetchNode(join(modules, 'node')));
  const fetched = installed().find(works);
  if (fetched !== undefined) return fetched;
  throw new Fault(
    `There is no Node 24 for ${platform} among the packages, and Node ${process.versions.node} cannot run Plinth.`,
    'Install Node 24 or newer on this machine, then run this again.',
  );
}

/** Present, and made for this machine: the packages hold glibc programs, which a musl system cannot start. */
function works(path) {
  return existsSync(path) && (!perhapsMusl() || runs(path));
}

/** musl's loader is there; a glibc system may have it as well, so only a trial run decides. */
function perhapsMusl() {
  return process.platform === 'linux' && existsSync('/lib') && readdirSync('/lib').some((name) => name.startsWith('ld-musl-'));
}

function runs(path) {
  return spawnSync(path, ['--version'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

/** The sources have `await using`, which older ones do not know. */
const isEnough = () => Number(process.versions.node.split('.')[0]) >= 24;

/** What the install script of the package `node` would have done; its failure is judged by whether a Node is there. */
function fetchNode(folder) {
  const script = join(folder, 'installArchSpecificPackage.js');
  if (!existsSync(script)) return;
  spawnSync(process.execPath, [script], { cwd: dirname(script), stdio: 'ignore', timeout: 300_000 });
}
