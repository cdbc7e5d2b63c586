/**
 * `npm test`: every check, then every test, then what was not run and why. With arguments it runs the tests that they
 * select (`npm test -- packages/plinth/src/modules/audit`).
 *
 * --tests-only   no checks
 * --postgres15   only the tests, on a throw-away PostgreSQL 15 given as PLINTH_TEST_DATABASE_URL
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testFolder } from '../packages/plinth/src/testing/folder.ts';
import { root } from './repo.ts';
import { failedFiles, reportFunctions, reportNotRun, reportSecondTry } from './test-report.ts';
import { missingTools, offerTools } from './test-tools.ts';

const ci = process.env.CI === 'true' || process.env.CI === '1';

/** Runs a Node program with our input and output; resolves with its exit code, also when a signal ended it. */
function run(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...environment } });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGTERM', pass);
  // The terminal sends Ctrl-C to the child as well; this process only waits for it.
  process.on('SIGINT', () => undefined);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => {
      process.off('SIGTERM', pass);
      resolve(code ?? 1);
    });
  });
}

function title(text: string): void {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(3, 100 - text.length))}`);
}

/** More than these failed for a reason of their own. */
const SECOND_TRIES = 3;

/**
 * Runs the tests; of a whole run, up to three files that failed are run again, each by itself. What passes only then is named at the end: on a busy
 * machine one test in thousands meets a moment that nobody meant, and that is to be mended, but is no reason to refuse the work of others.
 */
async function passes(selection: readonly string[], environment: NodeJS.ProcessEnv, failedFile: string): Promise<boolean> {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=./tools/failed-files.ts'];
  const once = async (files: readonly string[]) =>
    (await run([vitest, 'run', '--config', 'vitest.config.ts', ...reporters, ...files], { ...environment, PLINTH_FAILED_FILES_FILE: failedFile })) === 0;
  if (await once(selection)) return true;
  const failed = selection.length > 0 ? [] : failedFiles(failedFile);
  if (failed.length === 0 || failed.length > SECOND_TRIES) return false;
  for (const file of failed) {
    title(`Failed, so tried again by itself: ${file}`);
    if (!(await once([file]))) return false;
  }
  reportSecondTry(failed);
  return true;
}

async function runTests(selection: readonly string[], folder: string, environment: NodeJS.ProcessEnv): Promise<boolean> {
  const notRunFile = join(folder, 'not-run.jsonl');
  const callsFile = join(folder, 'calls.jsonl');
  const tested = await passes(
    selection,
    { ...environment, PLINTH_NOT_RUN_FILE: notRunFile, PLINTH_FUNCTION_CALLS_FILE: callsFile },
    join(folder, 'failed.json'),
  );
  // A part of the tests calls a part of the functions: only the whole can say that one is never called.
  const called = selection.length > 0 || reportFunctions(callsFile);
  const complete = reportNotRun(notRunFile) || !ci;
  return tested && called && complete;
}

/** Gives the body the URL of a PostgreSQL of the machine's own programs, and removes it afterwards. */
async function onPostgres15(body: (environment: NodeJS.ProcessEnv) => Promise<boolean>): Promise<boolean> {
  const { startPostgres } = await import('plinth-embedded');
  const { testSettings } = await import('../packages/plinth/src/testing/settings.ts');
  const programFolder = process.env.PLINTH_POSTGRES15_BIN ?? '/usr/lib/postgresql/15/bin';
  const dataDir = mkdtempSync(join(tmpdir(), 'plinth-test-15-'));
  const postgres = await startPostgres({ dataDir, port: 0, settings: testSettings, programFolder });
  try {
    title(`Tests on PostgreSQL ${postgres.version}`);
    return await body({ PLINTH_TEST_DATABASE_URL: postgres.url, PLINTH_TEST_SERVER_LOG: postgres.logFile });
  } finally {
    await postgres.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

async function main(args: readonly string[]): Promise<boolean> {
  const selection = args.filter((arg) => arg !== '--tests-only' && arg !== '--postgres15');
  const started = performance.now();
  offerTools(missingTools(), ci);
  // For everything below: some twenty tests make a cluster of their own, and so do the checks.
  process.env.TMPDIR ??= await testFolder();
  const folder = mkdtempSync(join(tmpdir(), 'plinth-npm-test-'));
  try {
    if (args.includes('--postgres15')) return await onPostgres15((environment) => runTests(selection, folder, environment));
    let checked = true;
    if (args.length === 0) {
      title('Checks');
      checked = (await run(['tools/check.ts'])) === 0;
    }
    title('Tests');
    const tested = await runTests(selection, folder, {});
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    title(`${checked && tested ? 'Passed' : 'Failed'} in ${seconds} s`);
    if (!checked) console.log('npm run check failed: see the lines marked FAIL above.');
    return checked && tested;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1;
