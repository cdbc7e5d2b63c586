/** What all generators share: write the files, or with --check compare them and name the ones that are stale. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './repo.ts';

/** One generated file: its path relative to the repository's root, and its whole text. */
export type Generated = { path: string; text: string };

/** Paths among `files` whose text on disk is missing or different. */
export function staleFiles(files: readonly Generated[], folder: string = root): string[] {
  return files
    .filter(({ path, text }) => {
      const full = join(folder, path);
      return !existsSync(full) || readFileSync(full, 'utf8') !== text;
    })
    .map(({ path }) => path);
}

/** Files of a folder that a generator owns as a whole and no longer writes. */
export function orphanFiles(files: readonly Generated[], owned: string, folder: string = root): string[] {
  const full = join(folder, owned);
  if (!existsSync(full)) return [];
  const wanted = new Set(files.map(({ path }) => path));
  return readdirSync(full)
    .map((name) => `${owned}/${name}`)
    .filter((path) => !wanted.has(path));
}

/** Writes the stale files and removes the orphans. Returns the paths it touched. */
export function writeFiles(files: readonly Generated[], orphans: readonly string[] = [], folder: string = root): string[] {
  const stale = new Set(staleFiles(files, folder));
  for (const { path, text } of files) {
    if (!stale.has(path)) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  for (const path of orphans) rmSync(join(folder, path));
  return [...stale, ...orphans];
}

/** Runs one generator as a command: writes, or with `check` only compares. Returns the exit code. */
export function runGenerator(name: string, files: readonly Generated[], check: boolean): number {
  if (!check) {
    const touched = writeFiles(files);
    console.log(`${name}: ${files.length} file(s), ${touched.length} written`);
    return 0;
  }
  const stale = staleFiles(files);
  for (const path of stale) console.error(`${path} is stale: run npm run gen`);
  console.log(`${name}: ${files.length} file(s) compared, ${stale.length} stale`);
  return stale.length > 0 ? 1 : 0;
}
