/** Where the repository is and which files belong to it. Every tool and check starts here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The repository's root folder. */
export const root: string = join(import.meta.dirname, '..');

type Ignored = (path: string, name: string, isFolder: boolean) => boolean;

/** What a .gitignore of the folder `inside` says, for the forms used here: `name`, `name/`, `*.ending` and `path/from/there`. */
function ignoredBy(text: string, inside: string): Ignored {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const base = inside === '' ? '' : `${inside}/`;
  return (path, name, isFolder) =>
    lines.some((line) => {
      const bare = line.replace(/\/$/, '').replace(/^\//, '');
      if (line.endsWith('/') && !isFolder) return false;
      if (bare.includes('/')) return path === `${base}${bare}`;
      return bare.startsWith('*.') ? name.endsWith(bare.slice(1)) : name === bare;
    });
}

const never: Ignored = (_path, name) => name === '.git' || name === 'node_modules';

/**
 * Files of the repository at `folder`, as sorted paths relative to it: everything that its .gitignore files let in, committed or
 * not, so that a check sees a file before its first commit. The tree is walked rather than git asked, because a clone may stand
 * where git is not installed, or where it belongs to another user.
 */
export function repositoryFiles(folder: string = root): string[] {
  const files: string[] = [];
  const walk = (inside: string, above: readonly Ignored[]): void => {
    const ignoreFile = join(folder, inside, '.gitignore');
    const rules = existsSync(ignoreFile) ? [...above, ignoredBy(readFileSync(ignoreFile, 'utf8'), inside)] : above;
    for (const entry of readdirSync(join(folder, inside), { withFileTypes: true })) {
      const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
      if (entry.isSymbolicLink() || rules.some((ignored) => ignored(path, entry.name, entry.isDirectory()))) continue;
      if (entry.isDirectory()) walk(path, rules);
      else if (entry.isFile()) files.push(path);
    }
  };
  walk('', [never]);
  return files.sort();
}

/** The text of one file, by its path relative to `folder`. */
export function read(path: string, folder: string = root): string {
  return readFileSync(join(folder, path), 'utf8');
}
