/** Builds the console when its sources changed; `npm start` and the tests call this before they serve it. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = import.meta.dirname;
const dist = join(here, 'dist');
const stampFile = join(dist, '.stamp');
/** What the built files depend on. The versions of the libraries are exact in package.json. */
const inputs = ['src', 'portal', 'public', 'index.html', 'portal.html', 'package.json', 'vite.config.ts', '../../packages/plinth/src/react'];

async function filesUnder(path: string): Promise<string[]> {
  const entries = await readdir(join(here, path), { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (!entries) return [join(here, path)];
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function sourceHash(): Promise<string> {
  const files = (await Promise.all(inputs.map(filesUnder))).flat().sort();
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file.slice(here.length))
      .update('\0')
      .update(await readFile(file));
  return hash.digest('hex');
}

/** A process of its own: the libraries' own checks stay in the files unless NODE_ENV says production, and ours may say test. */
export async function runVite(args: readonly string[], nodeEnv: 'production' | 'development'): Promise<void> {
  const vite = fileURLToPath(new URL('bin/vite.js', import.meta.resolve('vite/package.json')));
  await promisify(execFile)(process.execPath, [vite, ...args], { cwd: here, env: { ...process.env, NODE_ENV: nodeEnv }, timeout: 120_000 });
}

async function build(hash: string): Promise<void> {
  // Into a folder of its own and then swapped in, so that two starts at once never serve half of each other's files.
  const fresh = join(here, 'node_modules', `.dist-${process.pid}`);
  await mkdir(join(here, 'node_modules'), { recursive: true });
  await runVite(['build', '--logLevel', 'warn', '--outDir', fresh, '--emptyOutDir'], 'production');
  await writeFile(join(fresh, '.stamp'), hash);
  await rm(dist, { recursive: true, force: true });
  await rename(fresh, dist).catch(async (error: NodeJS.ErrnoException) => {
    // Another process put its build there in between: as good as ours.
    await rm(fresh, { recursive: true, force: true });
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
}

let running: Promise<string> | undefined;

async function ensure(): Promise<string> {
  const hash = await sourceHash();
  const stamp = await readFile(stampFile, 'utf8').catch(() => '');
  if (stamp !== hash) await build(hash);
  return dist;
}

/** Folder of the built console. Builds it first (2 to 3 s) when the sources differ from what was built last. */
export function consoleDist(): Promise<string> {
  running ??= ensure().finally(() => {
    running = undefined;
  });
  return running;
}

if (import.meta.main) console.log(await consoleDist());
