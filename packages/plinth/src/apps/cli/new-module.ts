import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nameFault } from '#kernel/own-modules.ts';
import { moduleFiles } from './new-module-files.ts';
import { SettingFault } from './setting.ts';

export interface NewModule {
  /** Root of a clone of Plinth. */
  root: string;
  /** Lower case letters and digits, a letter first, 3 to 30 of them: it becomes schema plinth_<name>, router key and path. */
  name: string;
  /** Default true: also formats it and writes the registry, the database types and the error pages again. */
  generate?: boolean;
}

/**
 * Writes a module that passes every check: card, front door, errors, procedures, migration, function, view, README with
 * examples that run, and a test. Returns the paths it wrote. Errors: an Error that says what to do, when the name is not
 * possible, the folder exists, or this is no clone.
 */
export async function newModule({ root, name, generate = true }: NewModule): Promise<string[]> {
  const fault = nameFault(name);
  if (fault) throw new SettingFault(fault);
  const modules = join(root, 'packages/plinth/src/modules');
  if (!existsSync(modules)) throw new Error(`${modules} does not exist: run this in a clone of Plinth`);
  if (existsSync(join(modules, name))) throw new Error(`module ${name} exists already: ${join(modules, name)}`);
  const files = moduleFiles(name);
  for (const [path, text] of Object.entries(files)) {
    const target = join(modules, name, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  if (generate) {
    // How a line breaks depends on the length of the name.
    await runTool(root, 'node_modules/.bin/biome', ['check', '--write', join('packages/plinth/src/modules', name)]);
    await runTool(root, process.execPath, ['tools/gen.ts']);
  }
  return Object.keys(files).map((path) => `packages/plinth/src/modules/${name}/${path}`);
}

function runTool(root: string, program: string, args: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'], timeout: 120_000 });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  child.on('error', reject);
  child.on('close', (code) => {
    if (code === 0) resolve();
    else reject(new Error(`the module is written, but ${args.join(' ')} failed; correct it and run npm run gen\n${complaint}`));
  });
  return promise;
}
