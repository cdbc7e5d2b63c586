#!/usr/bin/env node
/** The command `plinth`: built, as npm has it, or from the sources of a clone. */
import { existsSync } from 'node:fs';

const built = new URL('../dist/apps/cli/main.js', import.meta.url);
const isBuilt = existsSync(built);
// undici wants 22.19; the sources, run as they are, have `await using`, which Node knows from 24 on.
const [major, minor] = isBuilt ? [22, 19] : [24, 0];
const [currentMajor = 0, currentMinor = 0] = process.versions.node.split('.').map(Number);
if (currentMajor < major || (currentMajor === major && currentMinor < minor)) {
  const wayOut = isBuilt ? '' : ' Use npm run plinth -- <command>, which has one.';
  console.error(`Plinth needs Node ${major}.${minor} or newer${isBuilt ? '' : ' in a clone'}; this is ${process.versions.node}.${wayOut}`);
  process.exit(1);
}
if (isBuilt) await import(built.href);
else await import('../src/apps/cli/main.ts');
