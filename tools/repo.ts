/** Where the repository is and which files belong to it. Every tool and check starts here. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The repository's root folder. */
export const root: string = join(import.meta.dirname, '..');

/**
 * Files of the repository at `folder`, as paths relative to it: tracked ones and new ones that git does not ignore, so
 * that a check sees a file before its first commit. Paths that were deleted but not committed yet are left out.
 */
export function repositoryFiles(folder: string = root): string[] {
  const listing = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  return [...new Set(listing.split('\0'))].filter((path) => path !== '' && existsSync(join(folder, path))).sort();
}

/** The text of one file, by its path relative to `folder`. */
export function read(path: string, folder: string = root): string {
  return readFileSync(join(folder, path), 'utf8');
}
