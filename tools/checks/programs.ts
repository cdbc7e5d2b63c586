/** The checks that other people's programs do: each is asked how much it saw, because silence can mean blindness. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Check } from './check.ts';
import { command, counted, faultLines } from './command.ts';

export const types: Check = {
  name: 'types',
  promise: 'TypeScript accepts every file.',
  atLeast: 20,
  run: async (folder) => {
    // One checker: with more, each repeats the work of the others (measured: 2.4 s against 12.6 s on 28 modules).
    const projects = ['tsconfig.json', 'apps/console/tsconfig.json'].filter((path) => existsSync(join(folder, path)));
    let looked = 0;
    const faults: string[] = [];
    for (const project of projects) {
      const printed = await command('tsc', ['-p', project, '--noEmit', '--checkers', '1', '--listFiles', '--pretty', 'false'], folder);
      const files = printed.stdout.split('\n').filter((line) => line.startsWith(folder) && !line.includes('/node_modules/'));
      looked += files.length;
      const rest = printed.stdout.split('\n').filter((line) => !/^\S+\.(?:d\.ts|d\.mts|d\.cts|ts|tsx|mts|json)$/.test(line));
      faults.push(...faultLines({ ...printed, stdout: rest.join('\n') }));
    }
    return { looked, what: 'files', faults };
  },
};

export const biome: Check = {
  name: 'biome',
  promise: 'Format, import order, function length and the rules of biome.json hold.',
  atLeast: 20,
  run: async (folder) => {
    const printed = await command('biome', ['check', '--error-on-warnings', '--diagnostic-level=warn', '--max-diagnostics=100', '--reporter=concise'], folder);
    return { looked: counted(printed, /Checked (\d+) files?/), what: 'files', faults: faultLines(printed, 110) };
  },
};

export const oxlint: Check = {
  name: 'oxlint',
  promise: 'The rules of .oxlintrc.json hold, accessibility in JSX among them.',
  atLeast: 20,
  run: async (folder) => {
    const summary = await command('oxlint', ['--deny-warnings'], folder);
    const printed = summary.code === 0 ? summary : await command('oxlint', ['--deny-warnings', '--format=unix'], folder);
    return { looked: counted(summary, /on (\d+) files?/), what: 'files', faults: faultLines(printed) };
  },
};

export const knip: Check = {
  name: 'knip',
  promise: 'No file, export or dependency is dead.',
  atLeast: 20,
  run: async (folder) => {
    const printed = await command('knip', ['--no-progress', '--no-config-hints', '--reporter', './tools/checks/knip-reporter.mjs'], folder);
    const looked = counted(printed, /^looked at (\d+)/m);
    const faults = printed.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('looked at '));
    if (printed.code !== 0 && faults.length === 0) faults.push(...faultLines(printed));
    return { looked, what: 'files', faults };
  },
};

export const generators: Check = {
  name: 'generators',
  promise: 'Every generated file is what its generator writes today.',
  atLeast: 5,
  run: async (folder) => {
    const printed = await command('node', ['tools/gen.ts', '--check'], folder);
    return { looked: counted(printed, /(\d+) files compared/), what: 'files', faults: faultLines(printed) };
  },
};
