/** What a test run says about itself at the end: functions that nothing called, tests that were not run, files that passed only when they were tried again. */
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { root } from './repo.ts';

interface NotRun {
  readonly need: string;
  readonly file: string;
  readonly reason: string;
  readonly wayOut: string;
}

function lines<Line>(file: string): Line[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8').split('\n');
  return text.filter((line) => line !== '').map((line) => JSON.parse(line) as Line);
}

interface Calls {
  readonly exists?: string[];
  readonly called?: string[];
  /** The server's log could not be read: a function that always raises looks as if nothing called it. */
  readonly failedCallsUnknown?: boolean;
}

/** True when every plpgsql function of the schemas was called by some test. Fails when there was nothing to look at. */
export function reportFunctions(file: string): boolean {
  const all = lines<Calls>(file);
  const called = new Set(all.flatMap((line) => line.called ?? []));
  const exists = [...new Set(all.flatMap((line) => line.exists ?? []))].sort();
  const missing = exists.filter((name) => !called.has(name));
  if (exists.length === 0 || called.size === 0) {
    console.log('\nNo plpgsql function was counted: the test harness looked at nothing.');
    return false;
  }
  console.log(`\n${exists.length - missing.length} of ${exists.length} plpgsql functions were called by a test.`);
  for (const name of missing) console.log(`  never called: ${name}; its body is checked only when it runs, so add a test`);
  return missing.length === 0 || all.some((line) => line.failedCallsUnknown);
}

/** True when nothing was left out; otherwise says what, why, and how to have it run. */
export function reportNotRun(file: string): boolean {
  const byNeed = Map.groupBy(lines<NotRun>(file), ({ need }) => need);
  for (const [need, found] of byNeed) {
    const files = [...new Set(found.map((line) => relative(root, line.file)))].sort();
    console.log(`\nNot run for want of ${need}: ${found[0]?.reason}. To run them, ${found[0]?.wayOut}.`);
    for (const path of files) console.log(`  ${path}`);
  }
  return byNeed.size === 0;
}

/** The test files that failed, from the root of the repository; none when something failed that is no test. */
export function failedFiles(file: string): string[] {
  if (!existsSync(file)) return [];
  return (JSON.parse(readFileSync(file, 'utf8')) as string[]).map((path) => relative(root, path)).sort();
}

export function reportSecondTry(files: readonly string[]): void {
  console.log('\nPassed only when tried again, by itself; why it failed at first is above, and wants to be mended:');
  for (const path of files) console.log(`  ${path}`);
}
