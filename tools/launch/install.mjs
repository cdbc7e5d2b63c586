/** Installs the packages when node_modules is not what the lock asks for; once, however many starts want it at a time. */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { Fault } from './fault.mjs';
import { isInstalled, stamp } from './installed.mjs';
import { withLock } from './lock.mjs';
import { task } from './task.mjs';

/**
 * `npm install` and not `npm ci`: ci refuses a lock that was written on another platform and lacks this one's optional
 * packages. `--no-save` leaves the tracked files alone. Install scripts are not needed and not run.
 */
const installArgs = [
  'install',
  '--no-save',
  '--ignore-scripts',
  '--include=dev',
  '--include=optional',
  '--engine-strict=false',
  '--no-audit',
  '--no-fund',
  '--prefer-offline',
  '--loglevel=error',
];

/** @param {string} root folder of the repository */
export async function ensureInstalled(root) {
  if (isInstalled(root)) return;
  const modules = join(root, 'node_modules');
  try {
    mkdirSync(modules, { recursive: true });
    accessSync(modules, constants.W_OK);
  } catch {
    throw new Fault(
      `The packages have to be installed, and ${modules} cannot be written.`,
      'Run this as the user who owns the clone, or give the clone to this user with chown.',
    );
  }
  await withLock(join(modules, '.plinth-install.lock'), async () => {
    // Whoever held the lock before us may have done it.
    if (isInstalled(root)) return;
    await task('Installing packages', 'Installed packages', () => install(root));
    stamp(root);
  });
}

async function install(root) {
  const npm = npmCommand();
  const { code, output, error } = await run(npm.file, [...npm.args, ...installArgs], root);
  if (code === 0) return;
  if (error?.code === 'ENOENT') {
    throw new Fault('npm was not found.', 'Install Node with its npm (20 or newer, npm 10 or 11), then run this again.');
  }
  throw new Fault(`npm could not install the packages (exit ${code}).\n${indent(output)}`, wayOut(output), 1);
}

/** The npm that runs us, or the one on the path. */
function npmCommand() {
  const current = process.env.npm_execpath;
  if (current !== undefined && /npm-cli\.[cm]?js$/.test(current) && existsSync(current)) {
    return { file: process.execPath, args: [current] };
  }
  return { file: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] };
}

function run(file, args, root) {
  return new Promise((resolve) => {
    const environment = { ...process.env, ...cacheFor(root) };
    const child = spawn(file, args, {
      cwd: root,
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: file.endsWith('.cmd'),
    });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve({ code: undefined, output, error }));
    child.on('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}

/** npm's cache lives in the home folder; without a home that can be written it lives beside the packages. */
function cacheFor(root) {
  const home = process.env.HOME ?? process.env.USERPROFILE;
  const cache = process.env.npm_config_cache ?? (home ? join(home, '.npm') : undefined);
  if (home !== '' && cache !== undefined && isAbsolute(cache) && canMake(cache)) return {};
  return { npm_config_cache: join(root, 'node_modules', '.cache', 'npm') };
}

function canMake(folder) {
  let existing = folder;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    accessSync(existing, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function wayOut(output) {
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED|ENETUNREACH|network/i.test(output)) {
    return 'The first install needs the npm registry. Connect, or set the registry or proxy of npm, then run this again.';
  }
  if (/ENOSPC/.test(output)) return 'The disk is full: the packages need about 700 MB.';
  if (/EACCES|EPERM/.test(output)) return 'Run this as the user who owns the clone, or give the clone to this user.';
  return 'Mend what npm names, or remove node_modules, then run this again.';
}

/** npm says what is wrong first and how it came about after that. */
function indent(text) {
  const lines = text.trim().split('\n').slice(0, 8);
  return lines.map((line) => `  ${line}`).join('\n');
}
