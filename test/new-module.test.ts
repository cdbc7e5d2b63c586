/** A new module passes every check, and its tests, with no other file edited by hand: tried in a copy of the repository. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newModule } from '../packages/plinth/src/apps/cli/new-module.ts';
import { nameFault } from '../packages/plinth/src/kernel/own-modules.ts';
import { read, repositoryFiles, root } from '../tools/repo.ts';

const copy = mkdtempSync(join(tmpdir(), 'plinth-new-module-'));
const run = promisify(execFile);
/** Nothing of the surrounding test run: the copy starts its own server and counts its own calls. */
const environment = Object.fromEntries(Object.entries({ ...process.env, NO_COLOR: '1' }).filter(([name]) => !/^(PLINTH_|VITEST|FORCE_COLOR)/.test(name)));

/** Runs a program of the copy; what it printed, whether it failed or not. */
const printed = (program: string, ...args: string[]): Promise<string> =>
  run(program, args, { cwd: copy, env: environment, timeout: 570_000, maxBuffer: 64 * 1024 * 1024 }).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error: { stdout?: string; stderr?: string; message: string }) => `${error.stdout ?? ''}${error.stderr ?? ''}\nFAILED ${error.message}`,
  );

let written: string[] = [];
const before = new Map<string, string>();

beforeAll(async () => {
  for (const path of repositoryFiles(root)) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    cpSync(join(root, path), join(copy, path));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  for (const path of repositoryFiles(copy)) before.set(path, read(path, copy));
  written = await newModule({ root: copy, name: 'invoices' });
}, 600_000);
afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe('plinth new-module', () => {
  test('writes the whole shape of a module', () => {
    expect(written.length).toBeGreaterThanOrEqual(10);
    for (const path of written) expect(existsSync(join(copy, path)), path).toBe(true);
  });

  test('changes nothing else but generated files', () => {
    const touched = repositoryFiles(copy).filter((path) => !written.includes(path) && before.get(path) !== read(path, copy));
    const byHand = touched.filter((path) => !/\.gen\.ts$|^docs\/errors\/|^docs\/sql\//.test(path));
    expect(byHand).toEqual([]);
    expect(readFileSync(join(copy, 'packages/plinth/src/registry.gen.ts'), 'utf8')).toContain('invoices');
    expect(readFileSync(join(copy, 'docs/sql/api.lock.sql'), 'utf8')).toContain('function plinth.add_invoices_item');
  });

  test('passes every check', async () => {
    const report = await printed(process.execPath, 'tools/check.ts');
    expect(report).toMatch(/\d+ of \d+ checks passed/);
    expect(report.split('\n').filter((line) => /FAIL|invoices/.test(line))).toEqual([]);
  }, 600_000);

  test('passes the contract tests, the room tests, the error tests and its own', async () => {
    const files = ['test/modules.test.ts', 'test/rooms-sql.test.ts', 'test/errors.test.ts', 'packages/plinth/src/modules/invoices'];
    const report = await printed(
      'node_modules/.bin/vitest',
      'run',
      '--config',
      'vitest.config.ts',
      '--project',
      'plinth',
      '-t',
      'invoices|rooms|item|catalogue|depend|together',
      ...files,
    );
    expect(report).toMatch(/Test Files\s+4 passed/);
    expect(report).not.toContain('FAIL');
  }, 600_000);

  test.each(['a', 'Invoices', '1st', 'in-voices', 'kernel', 'x'.repeat(31), 'lists', 'find', 'traces', 'then', 'call', 'apply', 'constructor'])(
    'refuses the name %s and says why',
    async (name) => {
      expect(nameFault(name)).toBeDefined();
      await expect(newModule({ root: copy, name })).rejects.toThrow(name);
    },
  );

  test('refuses a name that is taken', async () => {
    await expect(newModule({ root: copy, name: 'invoices' })).rejects.toThrow('exists already');
  });
});
