/**
 * Whether node_modules is what package.json and package-lock.json ask for. A stamp answers in a few milliseconds. Without
 * one (a first start, or the person ran npm themselves) npm's own record of what it installed is compared with the lock.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const stampFile = (root) => join(root, 'node_modules', '.plinth-install');

/** Changes with everything that npm would install something else for, also when node_modules came from another machine. */
function fingerprint(root) {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}`);
  for (const file of manifests(root)) hash.update(`\0${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** The lock and the package.json of the root and of every workspace that its globs name. */
function manifests(root) {
  const { workspaces = [] } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const folders = workspaces
    .filter((glob) => glob.endsWith('/*') && existsSync(join(root, glob.slice(0, -2))))
    .flatMap((glob) => readdirSync(join(root, glob.slice(0, -2))).map((name) => `${glob.slice(0, -1)}${name}`));
  const nested = folders.map((folder) => `${folder}/package.json`).sort();
  return ['package-lock.json', 'package.json', ...nested].filter((file) => existsSync(join(root, file)));
}

export function isInstalled(root) {
  const wanted = fingerprint(root);
  if (read(stampFile(root)) === wanted) return true;
  if (!matchesLock(root)) return false;
  stamp(root);
  return true;
}

/** Remembers that node_modules is right. Where it belongs to another user nothing is remembered, and nothing breaks. */
export function stamp(root) {
  try {
    writeFileSync(stampFile(root), fingerprint(root));
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(error.code)) throw error;
  }
}

function matchesLock(root) {
  const lock = parse(read(join(root, 'package-lock.json')));
  const record = parse(read(join(root, 'node_modules', '.package-lock.json')));
  if (lock?.packages === undefined || record?.packages === undefined || !manifestsMatch(root, lock)) return false;
  return Object.entries(lock.packages).every(([path, entry]) => {
    if (!path.startsWith('node_modules/')) return true;
    if (!existsSync(join(root, path))) return entry.optional === true && !fitsHere(entry);
    return entry.link === true || record.packages[path]?.version === entry.version;
  });
}

/** A dependency that was added to a package.json by hand is not in the lock yet. */
function manifestsMatch(root, lock) {
  const kinds = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];
  return Object.entries(lock.packages)
    .filter(([path]) => !path.includes('node_modules/'))
    .every(([path, entry]) => {
      const manifest = parse(read(join(root, path, 'package.json')));
      return manifest !== undefined && kinds.every((kind) => same(manifest[kind], entry[kind]));
    });
}

function same(left = {}, right = {}) {
  const names = Object.keys(left);
  return names.length === Object.keys(right).length && names.every((name) => left[name] === right[name]);
}

/** Whether an optional package is for this machine. Its libc is left to npm: what npm did not take, it cannot use. */
function fitsHere({ os, cpu, libc }) {
  const allows = (list, value) => list === undefined || [list].flat().includes(value);
  return libc === undefined && (os ?? cpu) !== undefined && allows(os, process.platform) && allows(cpu, process.arch);
}

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function parse(text) {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}
