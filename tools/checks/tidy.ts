/** Tidy: STYLE.md as a test, over every file of the repository, and the fixed shape of every module folder. */
import { moduleNames } from '../gen-registry.ts';
import { read, repositoryFiles } from '../repo.ts';
import type { Check, Outcome } from './check.ts';
import { tidyFaults } from './tidy-rules.ts';

const modulesFolder = 'packages/plinth/src/modules';
const fixedFiles = ['module.ts', 'index.ts', 'errors.ts', 'api.ts', 'README.md'];

/** What a module's folder lacks, or has in a place where nothing will find it. `files` are all paths of the repository. */
export function moduleShapeFaults(name: string, files: readonly string[]): string[] {
  const folder = `${modulesFolder}/${name}`;
  const own = files.filter((path) => path.startsWith(`${folder}/`));
  const faults = fixedFiles.filter((file) => !own.includes(`${folder}/${file}`)).map((file) => `${folder}: ${file} is missing`);
  const migrations = own.filter((path) => path.startsWith(`${folder}/sql/migrations/`)).sort();
  if (migrations.length === 0) faults.push(`${folder}: sql/migrations is empty`);
  migrations.forEach((path, index) => {
    const expected = String(index + 1).padStart(4, '0');
    if (!path.includes(`/${expected}_`)) faults.push(`${path}: migrations count from 0001 without a gap; here ${expected} is expected`);
  });
  if (!own.some((path) => /\.test\.tsx?$/.test(path))) faults.push(`${folder}: no test beside the code`);
  return faults;
}

/** SQL that no applier and no test will ever read. */
export function lostSqlFaults(files: readonly string[]): string[] {
  const known = /^packages\/plinth\/src\/(?:kernel|modules\/[^/]+)\/sql\/(?:migrations|functions|views)\/[^/]+\.sql$/;
  return files
    .filter((path) => path.startsWith('packages/plinth/src/') && path.endsWith('.sql') && !known.test(path))
    .map((path) => `${path}: nothing applies this file; SQL lives in sql/migrations, sql/functions or sql/views`);
}

/** Folders of modules that the registry does not see, because their card is missing. */
function cardlessFaults(files: readonly string[]): string[] {
  const names = new Set(files.filter((path) => path.startsWith(`${modulesFolder}/`)).map((path) => path.slice(modulesFolder.length + 1).split('/')[0] ?? ''));
  return [...names]
    .filter((name) => !files.includes(`${modulesFolder}/${name}/module.ts`))
    .map((name) => `${modulesFolder}/${name}: no module.ts, so nothing knows this module`);
}

/** Doors of a package that lead nowhere: targets in `exports` and `bin` that are no files. */
export function lostExportFaults(path: string, manifest: string, files: readonly string[]): string[] {
  const { exports = {}, bin = {} }: { exports?: Record<string, string>; bin?: Record<string, string> } = JSON.parse(manifest);
  const folder = path.slice(0, -'package.json'.length);
  return Object.entries({ ...exports, ...bin })
    .filter(([, target]) => !files.includes(`${folder}${target.replace('./', '')}`))
    .map(([name, target]) => `${path}: ${name} leads to ${target}, which is no file`);
}

function run(folder: string): Outcome {
  const files = repositoryFiles(folder);
  const text = files.filter((path) => /\.(ts|tsx|mjs|sql|css|md|json|html|ya?ml|svg|txt)$/.test(path));
  const faults = text.flatMap((path) => tidyFaults(path, read(path, folder)));
  for (const name of moduleNames(`${folder}/${modulesFolder}`)) faults.push(...moduleShapeFaults(name, files));
  faults.push(...cardlessFaults(files), ...lostSqlFaults(files));
  for (const path of files.filter((file) => /^packages\/[^/]+\/package\.json$/.test(file))) faults.push(...lostExportFaults(path, read(path, folder), files));
  return { looked: text.length, what: 'files', faults };
}

export const tidy: Check = {
  name: 'tidy',
  promise: 'Every file keeps the rules of STYLE.md that a program can see.',
  atLeast: 20,
  run,
};
