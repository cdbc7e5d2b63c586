/** Where the built console is. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inClone } from './clone.ts';
import type { Environment } from './environment.ts';
import { SettingFault } from './environment.ts';
import { task } from './output.ts';

/** Folder of the console that was built before: of PLINTH_CONSOLE_DIR, else of the package or the clone; undefined when there is none. */
export function builtConsole({ consoleDir }: Environment): string | undefined {
  const own = inClone('apps/console/dist/') ?? new URL('../../console/', import.meta.url);
  const directory = consoleDir ? resolve(consoleDir) : fileURLToPath(own);
  if (existsSync(join(directory, 'index.html'))) return directory;
  if (consoleDir)
    throw new SettingFault(
      `PLINTH_CONSOLE_DIR is ${JSON.stringify(consoleDir)}, which has no index.html: node apps/console/build.ts in a clone builds apps/console/dist.`,
    );
  return undefined;
}

/** The same for development: in a clone it is built when its sources changed. */
export async function freshConsole(environment: Environment): Promise<string | undefined> {
  const file = inClone('apps/console/build.ts');
  if (environment.consoleDir || !file) return builtConsole(environment);
  const { consoleDist } = (await import(file.href)) as { consoleDist: () => Promise<string> };
  return task('Built the console', consoleDist, () => 'Console is built');
}
