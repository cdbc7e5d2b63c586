/**
 * `npm run check [name ...]`: everything static that CI runs, one line a check with its time and how much it looked at.
 * A check that looked at nothing fails. Heavy programs run two at a time, because the machines that run this have few cores.
 */
import { type Check, verdict } from './checks/check.ts';
import { dependencies } from './checks/dependencies.ts';
import { links } from './checks/links.ts';
import { biome, generators, knip, oxlint, types } from './checks/programs.ts';
import { rooms } from './checks/rooms.ts';
import { tidy } from './checks/tidy.ts';
import { root } from './repo.ts';

/** Slowest first, so that the short ones fill the second lane. */
export const checks: readonly Check[] = [generators, types, knip, biome, oxlint, rooms, tidy, links, dependencies];
const lanes = 2;

type Line = { check: Check; looked: number; what: string; faults: string[]; tookMs: number };

async function runOne(check: Check, folder: string): Promise<Line> {
  const start = performance.now();
  try {
    const outcome = await check.run(folder);
    return { check, looked: outcome.looked, what: outcome.what, faults: verdict(check, outcome), tookMs: performance.now() - start };
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { check, looked: 0, what: 'things', faults: [`${check.name} broke: ${message}`], tookMs: performance.now() - start };
  }
}

function print({ check, looked, what, faults, tookMs }: Line): void {
  const mark = faults.length === 0 ? 'ok  ' : 'FAIL';
  console.log(`${mark} ${check.name.padEnd(13)}${(tookMs / 1000).toFixed(1).padStart(6)} s  ${looked} ${what}`);
  for (const fault of faults) console.log(`       ${fault}`);
}

/** Runs the checks over `folder`, printing each as it ends. Returns the number that failed. */
export async function runChecks(chosen: readonly Check[], folder: string = root): Promise<number> {
  const waiting = [...chosen];
  let failed = 0;
  const lane = async (): Promise<void> => {
    for (let check = waiting.shift(); check; check = waiting.shift()) {
      const line = await runOne(check, folder);
      if (line.faults.length > 0) failed += 1;
      print(line);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return failed;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(`no check named ${unknown.join(', ')}; there are:`);
    for (const check of checks) console.error(`  ${check.name.padEnd(13)} ${check.promise}`);
    return 2;
  }
  const start = performance.now();
  const chosen = names.length === 0 ? checks : checks.filter((check) => names.includes(check.name));
  const failed = await runChecks(chosen);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${chosen.length - failed} of ${chosen.length} checks passed in ${seconds} s`);
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
