import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { TestModule } from 'vitest/node';
import FailedFiles from './failed-files.ts';
import { root } from './repo.ts';
import { failedFiles, reportFunctions, reportNotRun, reportSecondTry } from './test-report.ts';

let folder: string;
let printed: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-report-'));
  printed = '';
  vi.spyOn(console, 'log').mockImplementation((line: string) => {
    printed += `${line}\n`;
  });
});

afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true, force: true });
});

async function file(...lines: readonly unknown[]): Promise<string> {
  const path = join(folder, 'lines.jsonl');
  await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
}

describe('functions', () => {
  test('a run in which every plpgsql function was called passes', async () => {
    const path = await file({ exists: ['plinth.a', 'plinth.b'] }, { called: ['plinth.a'] }, { called: ['plinth.b', 'plinth.a'] });
    expect(reportFunctions(path)).toBe(true);
  });

  test('a function that no test called is named, and fails the run', async () => {
    const path = await file({ exists: ['plinth.a', 'plinth.b'] }, { called: ['plinth.a'] });
    expect(reportFunctions(path)).toBe(false);
    expect(printed).toContain('never called: plinth.b');
  });

  test('on a server whose log nobody sees, an uncounted function is named but may be one that always raises', async () => {
    const path = await file({ exists: ['plinth.a', 'plinth.b'] }, { called: ['plinth.a'] }, { failedCallsUnknown: true });
    expect(reportFunctions(path)).toBe(true);
    expect(printed).toContain('never called: plinth.b');
  });

  test('a run that counted nothing fails', async () => {
    expect(reportFunctions(join(folder, 'no-such-file'))).toBe(false);
    expect(reportFunctions(await file({ exists: ['plinth.a'] }))).toBe(false);
  });
});

describe('not run', () => {
  test('says for each want which files, why, and the way out', async () => {
    const line = { need: 'redis', file: join(root, 'bench/peer.test.ts'), reason: 'no Redis was found', wayOut: 'install it' };
    expect(reportNotRun(await file(line, line))).toBe(false);
    expect(printed).toBe('\nNot run for want of redis: no Redis was found. To run them, install it.\n  bench/peer.test.ts\n');
  });

  test('is silent when everything was run', () => {
    expect(reportNotRun(join(folder, 'no-such-file'))).toBe(true);
    expect(printed).toBe('');
  });
});

describe('a second try', () => {
  test('is for the files that failed', async () => {
    const path = join(folder, 'failed.json');
    await writeFile(path, JSON.stringify([join(root, 'test/b.test.ts'), join(root, 'bench/a.test.ts')]));
    expect(failedFiles(path)).toEqual(['bench/a.test.ts', 'test/b.test.ts']);
    expect(failedFiles(join(folder, 'no-such-file'))).toEqual([]);
  });

  test('is told of', () => {
    reportSecondTry(['test/b.test.ts']);
    expect(printed).toContain('Passed only when tried again');
    expect(printed).toContain('  test/b.test.ts\n');
  });

  test.each([
    ['of files that failed, when nothing else did', [], ['/a.test.ts']],
    ['of nothing, when something failed outside of every file', [new Error('late')], []],
  ])('the reporter writes the names %s', (_what, errors, names) => {
    const path = join(folder, 'failed.json');
    vi.stubEnv('PLINTH_FAILED_FILES_FILE', path);
    const files = [
      { moduleId: '/a.test.ts', state: () => 'failed' },
      { moduleId: '/b.test.ts', state: () => 'passed' },
    ];
    new FailedFiles().onTestRunEnd(files as unknown as TestModule[], errors);
    vi.unstubAllEnvs();
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(names);
  });
});
