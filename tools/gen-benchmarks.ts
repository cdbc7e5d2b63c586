/** Writes docs/benchmarks.md from bench/results: every figure with its spread, every bar, and the reason where one is missed. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bar, Report } from '../bench/harness.ts';
import { isMet } from '../bench/harness.ts';
import { reasons } from '../bench/reasons.ts';
import type { Generated } from './generated.ts';
import { root } from './repo.ts';

export type Result = Report & { machine: { cpus: number; cpu: string; memoryGiB: number; node: string }; at: string };
type Reasons = typeof reasons;

const figure = (value: number): string =>
  value >= 100
    ? Math.round(value).toLocaleString('en')
    : value >= 10
      ? value.toFixed(1)
      : Number.isInteger(value)
        ? String(value)
        : value.toFixed(value < 0.01 ? 4 : 2);
const cell = (text: string): string => text.replaceAll('|', '\\|');

const wanted = ({ atLeast, atMost }: Bar): string =>
  atLeast === undefined ? (atMost === undefined ? '' : `at most ${atMost.toLocaleString('en')}`) : `at least ${atLeast.toLocaleString('en')}`;

/** Throws where nobody has said why a bar is missed, or gives reasons for bars that do not exist. */
function reasonOf({ name }: Result, bar: Bar, given: Reasons): string {
  const reason = given[name]?.[bar.what];
  if (reason === undefined) throw new Error(`${name} misses the bar "${bar.what}", and bench/reasons.ts does not say why`);
  return reason;
}

function section(result: Result, given: Reasons): string[] {
  const { machine, at, bars, rows, settings, title, notes = [] } = result;
  const missed = bars.filter((bar) => !isMet(bar));
  return [
    `## ${title.charAt(0).toUpperCase()}${title.slice(1)}`,
    '',
    `\`npm run bench -- ${result.name === 'realtime-calm' ? 'realtime --set only=calm' : result.name}\`, ${at.slice(0, 10)}, ${machine.cpus} processors (${machine.cpu.trim()}), ${machine.memoryGiB} GiB, Node ${machine.node.slice(1)}. ${settings.join('. ')}.`,
    '',
    '| | median | least | most | |',
    '|---|---:|---:|---:|---|',
    ...rows.map((row) => `| ${cell(row.variant)} | ${figure(row.median)} | ${figure(row.least)} | ${figure(row.most)} | ${cell(row.unit)} |`),
    '',
    ...(bars.length > 0 ? ['| bar | value | wanted | |', '|---|---:|---|---|'] : []),
    ...bars.map((bar) => `| ${cell(bar.what)} | ${figure(bar.value)} | ${wanted(bar)} | ${wanted(bar) === '' ? '' : isMet(bar) ? 'met' : '**missed**'} |`),
    '',
    ...missed.map((bar) => `- Missed: ${bar.what}. ${reasonOf(result, bar, given)}`),
    ...notes.map((note) => `- ${note}`),
    ...(missed.length + notes.length > 0 ? [''] : []),
  ];
}

export function benchmarksPage(results: readonly Result[], given: Reasons): string {
  for (const [name, bars] of Object.entries(given))
    for (const what of Object.keys(bars))
      if (!results.some((result) => result.name === name && result.bars.some((bar) => bar.what === what)))
        throw new Error(`bench/reasons.ts speaks of "${what}", which ${name} does not measure`);
  const bars = results.flatMap((result) => result.bars.filter((bar) => wanted(bar) !== ''));
  return [
    '# Benchmarks',
    '',
    'Generated from `bench/results` and `bench/reasons.ts`; run `npm run gen` instead of editing. Each benchmark runs its peers and us in turns in one run, at the',
    "peers' best settings and at their defaults. The machines are small and noisy: a ratio counts, because both sides of it were measured within seconds; a figure alone",
    `does not. A bar is what we had set ourselves before we measured. ${bars.filter(isMet).length} of ${bars.length} are met; where one is missed it says why.`,
    '',
    ...results.flatMap((result) => section(result, given)),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

const folder = join(root, 'bench/results');

export function generateBenchmarks(): Generated[] {
  const results = readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Result);
  return [{ path: 'docs/benchmarks.md', text: benchmarksPage(results, reasons) }];
}
