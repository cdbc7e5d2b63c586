/** Dependencies: docs/dependencies.md and the package.json files name the same packages, in both directions. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { read, repositoryFiles } from '../repo.ts';
import type { Check, Outcome } from './check.ts';

const page = 'docs/dependencies.md';
/** Peers first: what an application may bring is a range, and the version that is tested here stands among the others. */
const kinds = ['peerDependencies', 'dependencies', 'devDependencies', 'optionalDependencies'] as const;

/** Packages that any package.json of the repository depends on, without the workspaces themselves: name -> version. */
function declared(folder: string): Map<string, string> {
  const manifests = repositoryFiles(folder)
    .filter((path) => path === 'package.json' || path.endsWith('/package.json'))
    .map((path) => JSON.parse(read(path, folder)) as Record<string, Record<string, string> | undefined> & { name?: string });
  const own = new Set(manifests.map((manifest) => String(manifest.name)));
  const found = new Map<string, string>();
  for (const kind of kinds) {
    for (const manifest of manifests) {
      for (const [name, version] of Object.entries(manifest[kind] ?? {})) if (!own.has(name)) found.set(name, version);
    }
  }
  return found;
}

/** Packages that the page has a line for: the code span that begins a table row. */
export function documented(text: string): { name: string; cells: string[] }[] {
  return [...text.matchAll(/^\|\s*`([^`]+)`\s*\|(.+)\|\s*$/gm)].map((match) => ({
    name: match[1] ?? '',
    cells: (match[2] ?? '').split('|').map((cell) => cell.trim()),
  }));
}

function run(folder: string): Outcome {
  const wanted = declared(folder);
  if (!existsSync(join(folder, page))) return { looked: wanted.size, what: 'packages', faults: [`${page} is missing`] };
  const lines = documented(read(page, folder));
  const faults: string[] = [];
  for (const name of wanted.keys()) {
    if (!lines.some((line) => line.name === name)) faults.push(`${page}: no line for ${name}: what it replaces, why this one, its licence`);
  }
  for (const { name, cells } of lines) {
    if (!wanted.has(name)) faults.push(`${page}: ${name} is in no package.json`);
    if (cells.length < 3 || cells.some((cell) => cell === '')) faults.push(`${page}: the line of ${name} needs what it replaces, why this one and its licence`);
  }
  for (const [name, version] of wanted) {
    if (!/^\d/.test(version) && !version.startsWith('file:')) faults.push(`${name} is not pinned to an exact version: ${version}`);
  }
  return { looked: wanted.size, what: 'packages', faults };
}

export const dependencies: Check = {
  name: 'dependencies',
  promise: 'Each dependency has its line in docs/dependencies.md, and an exact version.',
  atLeast: 10,
  run,
};
