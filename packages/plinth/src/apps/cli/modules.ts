/** The modules that a command knows: those of Plinth, and those of the application that it is told of. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AnyModule, ModuleMap } from '#kernel/module.ts';
import { withOwn } from '#kernel/own-modules.ts';
import { modules } from '#registry';
import { inClone } from './clone.ts';
import type { Environment } from './environment.ts';
import { SettingFault } from './environment.ts';

/** The argument of commands that know modules of the application. */
export const modulesArgument = {
  modules: { type: 'string', description: 'File whose default export is a list of modules of your own (PLINTH_MODULES)' },
} as const;

/** What the environment says, with this argument instead of its PLINTH_MODULES. */
export const variables = ({ modules: file }: { modules?: string | undefined }): Record<string, string | undefined> =>
  file ? { ...process.env, PLINTH_MODULES: file } : process.env;

/** The example modules of a clone, `demo` and `github`, written like anybody's own, beside those of Plinth. */
export async function withExamples(): Promise<ModuleMap> {
  const file = inClone('examples/modules.ts');
  if (!file) return modules;
  const { examples } = (await import(file.href)) as { examples: ModuleMap };
  return { ...modules, ...examples };
}

/** Modules of Plinth (in development with the examples of a clone) and of PLINTH_MODULES. Errors: kernel_module_taken, kernel_module_invalid. */
export async function installedModules({ modulesFile }: Pick<Environment, 'modulesFile'>, options: { examples?: boolean } = {}): Promise<ModuleMap> {
  const known: ModuleMap = options.examples ? await withExamples() : modules;
  return modulesFile ? withOwn(known, await readOwn(modulesFile)) : known;
}

const isCard = (value: unknown): value is AnyModule =>
  typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string' && 'tables' in value;

async function readOwn(file: string): Promise<AnyModule[]> {
  const path = resolve(file);
  if (!existsSync(path)) throw new SettingFault(`PLINTH_MODULES is ${JSON.stringify(file)}, and there is no such file.`);
  const { default: own } = (await import(pathToFileURL(path).href)) as { default?: unknown };
  if (Array.isArray(own) && own.every(isCard)) return own;
  throw new SettingFault(
    `PLINTH_MODULES is ${JSON.stringify(file)}, whose default export is no list of modules: export default [shop], each from defineModule.`,
  );
}
