/**
 * Rooms: which room a line is in and which it may name, for TypeScript imports and for schemas in SQL text alike.
 * Imports go down only (kernel, modules, adapters, registry, apps); another module is reached through its front door and
 * only when the card says `uses`. It reads the cards, which no general tool can do.
 */
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';
import { moduleNames } from '../gen-registry.ts';
import { read, repositoryFiles } from '../repo.ts';
import type { Check, Outcome } from './check.ts';
import { lineAt, sqlCode, typescriptCode } from './source-text.ts';

const source = 'packages/plinth/src';
const rank = { kernel: 0, module: 1, adapter: 2, registry: 3, app: 4, testing: 4, client: 4, public: 4 } as const;
type Room = keyof typeof rank;
type Place = { room: Room; name: string };

/** Which modules each module says it uses, read from the cards. */
export type Uses = ReadonlyMap<string, readonly string[]>;
/** Which module a public function or view belongs to, read from the names of the files. */
export type Owners = ReadonlyMap<string, string>;

/** Tests, and the programs that they run. */
const ofTests = /\.(?:test|fixture)\.tsx?$/;

const folders: Record<string, Room> = {
  kernel: 'kernel',
  modules: 'module',
  adapters: 'adapter',
  apps: 'app',
  testing: 'testing',
  client: 'client',
  react: 'client',
};

/** The room of a source file, by its path inside the repository. */
function placeOf(path: string): Place {
  const [folder = '', name = ''] = path.slice(source.length + 1).split('/');
  if (!path.startsWith(`${source}/`)) return { room: 'public', name: '' };
  if (folder.endsWith('.gen.ts')) return { room: 'registry', name: folder };
  return { room: folders[folder] ?? 'public', name };
}

/** The file an import specifier means, or undefined for a package. */
function targetOf(specifier: string, from: string): string | undefined {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  if (specifier === '#registry') return `${source}/registry.gen.ts`;
  const inside = /^#(kernel|adapters|apps|testing)\/(.+)$/.exec(specifier);
  if (inside) return `${source}/${inside[1]}/${inside[2]}`;
  const front = /^#modules\/(.+)$/.exec(specifier);
  return front ? `${source}/modules/${front[1]}/index.ts` : undefined;
}

/** What is wrong with one import, or undefined. Tests may look up as well, but still through front doors. */
export function importFault(from: string, specifier: string, uses: Uses, typeOnly = false): string | undefined {
  const target = targetOf(specifier, from);
  if (!target) return undefined;
  const here = placeOf(from);
  const there = placeOf(target);
  const isTest = ofTests.test(from);
  if (here.room === 'client' && there.room !== 'client' && !typeOnly && !isTest) return `code for browsers takes only types from ${target}: import type`;
  if (here.room === 'client' && typeOnly) return undefined;
  if (rank[there.room] > rank[here.room] && !isTest) {
    return `a ${here.room} may not import the ${there.room} file ${target}`;
  }
  if (there.room !== 'module' || here.room === 'registry') return undefined;
  if (here.room === 'module' && here.name === there.name) return undefined;
  if (!/\/index\.tsx?$/.test(target)) return `reach ${there.name} through #modules/${there.name}, not ${specifier}`;
  if (here.room !== 'module' || isTest || uses.get(here.name)?.includes(there.name)) return undefined;
  return `${here.name} does not say on its card that it uses ${there.name}`;
}

const importPattern = /(?:^|\n)\s*(?:import|export)\b[^'"`;]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Every import specifier of a source text with its line. */
export function importsOf(source: string): { specifier: string; line: number; typeOnly: boolean }[] {
  const text = typescriptCode(source, 'quotes');
  return [...text.matchAll(importPattern)].map((match) => ({
    specifier: match[1] ?? match[2] ?? match[3] ?? '',
    line: lineAt(text, match.index + match[0].length),
    typeOnly: /^\s*(?:import|export)\s+type\b/.test(match[0]),
  }));
}

/**
 * What SQL of `owner` may name: its own schema, the kernel's, those of the modules it uses, and the public functions and views
 * of the same. `code` has its comments blanked; SQL inside TypeScript counts as well.
 */
export function schemaFaults(
  owner: string,
  code: string,
  uses: Uses,
  owners: Owners = new Map(),
  whenInstalled: readonly string[] = [],
): { line: number; message: string }[] {
  const may = (module: string): boolean => module === owner || !uses.has(module) || (uses.get(owner) ?? []).includes(module) || whenInstalled.includes(module);
  const faults: { line: number; message: string }[] = [];
  const add = (offset: number, module: string, name: string): void => {
    const who = owner === 'kernel' ? 'the kernel names no module' : `${owner} does not say on its card that it uses ${module}`;
    faults.push({ line: lineAt(code, offset), message: `${who} (${name})` });
  };
  // A schema that is no module is an alias; one that is meant and does not exist fails when it is applied.
  for (const match of code.matchAll(/\bplinth_([a-z][a-z0-9_]*)\s*\./g)) if (!may(match[1] ?? '')) add(match.index, match[1] ?? '', match[0]);
  for (const match of code.matchAll(/\bplinth\.([a-z][a-z0-9_]*)/g)) {
    const module = owners.get(match[1] ?? '');
    if (module && !may(module)) add(match.index, module, match[0]);
  }
  return faults;
}

/**
 * Modules that a file says it reads only where they are installed: a comment line `when installed: webhooks`. The file asks first and
 * runs its SQL as text, so that it works without them.
 */
const whenInstalled = (text: string): string[] =>
  [...text.matchAll(/^\s*(?:--|\/\/|\*)\s*when installed: ([a-z, ]+)$/gm)].flatMap((match) => (match[1] ?? '').split(/[ ,]+/));

/** The owners of public names, from the files that create them. */
export function publicOwners(files: readonly string[], readText: (path: string) => string): Map<string, string> {
  const owners = new Map<string, string>();
  for (const path of files) {
    const match = /^packages\/plinth\/src\/modules\/([^/]+)\/sql\/(?:functions|views)\/([^/]+)\.sql$/.exec(path);
    if (match && /\bcreate\s+or\s+replace\s+(?:function|view)\s+plinth\./.test(readText(path))) owners.set(match[2] ?? '', match[1] ?? '');
  }
  return owners;
}

/** Reads `uses` of every card under `folder`. A card that does not load is a fault of its own. */
export async function readUses(folder: string): Promise<{ uses: Map<string, readonly string[]>; faults: string[] }> {
  const uses = new Map<string, readonly string[]>();
  const faults: string[] = [];
  const modules = join(folder, source, 'modules');
  for (const name of moduleNames(modules)) {
    const file = join(modules, name, 'module.ts');
    try {
      const card: unknown = (await import(pathToFileURL(file).href)).default;
      uses.set(name, usesOf(card));
      if (cardName(card) !== name) faults.push(`${source}/modules/${name}/module.ts: the card's name is not the folder's`);
    } catch (error) {
      uses.set(name, []);
      faults.push(`${source}/modules/${name}/module.ts does not load: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  for (const [name, used] of uses) {
    for (const other of used) {
      if (!uses.has(other)) faults.push(`${source}/modules/${name}/module.ts: uses ${other}, which is no module here`);
    }
  }
  return { uses, faults };
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const cardName = (card: unknown): unknown => (isRecord(card) ? card.name : undefined);

function usesOf(card: unknown): string[] {
  const used = isRecord(card) ? card.uses : undefined;
  return Array.isArray(used) ? used.filter((name) => typeof name === 'string') : [];
}

async function run(folder: string): Promise<Outcome> {
  const { uses, faults } = await readUses(folder);
  const files = repositoryFiles(folder).filter((file) => file.startsWith(`${source}/`));
  const owners = publicOwners(files, (path) => read(path, folder));
  let looked = 0;
  for (const path of files.filter((file) => /\.(?:tsx?|sql)$/.test(file))) {
    const text = read(path, folder);
    const { room, name } = placeOf(path);
    const isSql = path.endsWith('.sql');
    for (const { specifier, line, typeOnly } of isSql ? [] : importsOf(text)) {
      looked += 1;
      const fault = importFault(path, specifier, uses, typeOnly) ?? missingTarget(path, specifier, folder);
      if (fault) faults.push(`${path}:${line}: ${fault}`);
    }
    if (!(isSql || room === 'kernel' || room === 'module') || ofTests.test(path)) continue;
    const code = isSql ? sqlCode(text) : typescriptCode(text, 'texts');
    looked += code.match(/\bplinth(?:_[a-z0-9_]+)?\s*\./g)?.length ?? 0;
    for (const { line, message } of schemaFaults(room === 'kernel' ? 'kernel' : name, code, uses, owners, whenInstalled(text)))
      faults.push(`${path}:${line}: ${message}`);
  }
  return { looked, what: 'imports and schema names', faults };
}

function missingTarget(from: string, specifier: string, folder: string): string | undefined {
  const target = targetOf(specifier, from);
  return target && !existsSync(join(folder, target)) ? `${specifier} leads to no file` : undefined;
}

export const rooms: Check = {
  name: 'rooms',
  promise: 'Imports and SQL reach only downward, and only into modules that the card says it uses.',
  atLeast: 20,
  run,
};
