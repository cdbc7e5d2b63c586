/** What is there when this runs from its sources, in a clone, and not as the package that npm has. */
import { existsSync } from 'node:fs';

/** The package is built: sources run as they are in a clone only. */
const fromSources = import.meta.url.endsWith('.ts');

/** A file or folder of the clone, when it is there. What lies in the same place around the package is somebody else's. */
export function inClone(path: string): URL | undefined {
  const file = new URL(`../../../../../${path}`, import.meta.url);
  return fromSources && existsSync(file) ? file : undefined;
}

/** How one types a command of `plinth` here. */
export const COMMAND: string = fromSources ? 'npm run plinth --' : 'npx plinth';
