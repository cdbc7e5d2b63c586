/** The catalogue of errors, the code that raises them and the pages that explain them say the same, in both directions. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PlinthError, toPlinthError, toProblem } from '../packages/plinth/src/kernel/errors.ts';
import { catalogue } from '../tools/gen-errors.ts';
import { read, repositoryFiles, root } from '../tools/repo.ts';

const lines = catalogue();
const byCode = new Map(lines.map((line) => [line.code, line]));
const source = repositoryFiles(root).filter(
  (path) => path.startsWith('packages/plinth/src/') && /\.(ts|sql)$/.test(path) && !/\.(test|gen|fixture)\.ts$/.test(path),
);
const sql = source.filter((path) => path.endsWith('.sql')).map((path) => ({ path, text: read(path) }));
const typescript = source.filter((path) => path.endsWith('.ts') && !path.endsWith('/errors.ts')).map((path) => ({ path, text: read(path) }));

/** Every `raise` in SQL: its SQLSTATE and the code in its detail. */
const raised = sql.flatMap(({ path, text }) =>
  [...text.matchAll(/errcode\s*=\s*'PL(\d{3})'[\s\S]{0,400}?"?code"?'?\s*[:,]\s*["']([a-z_]+)["']/g)].map((match) => ({
    path,
    status: Number(match[1]),
    code: match[2] ?? '',
  })),
);

test('frameworks find the status of an error under either name, and logs show it once', () => {
  const error = new PlinthError('shop_sold_out', { status: 409, title: 'There is none left', wayOut: 'Choose another one.' });
  expect([error.status, error.statusCode]).toEqual([409, 409]);
  // Nest 12 and Koa take an error for an answer that says whether its sentence is for the caller.
  expect(error.expose).toBe(true);
  expect(Object.keys(error)).not.toContain('statusCode');
});

describe('the catalogue', () => {
  test('is not empty, and every entry has a status, a sentence and a way out', () => {
    expect(lines.length).toBeGreaterThan(10);
    for (const { code, status, title, wayOut } of lines) {
      expect(code).toMatch(/^[a-z]+_[a-z_]+$/);
      expect(status, code).toBeGreaterThanOrEqual(400);
      expect(status, code).toBeLessThan(600);
      expect(title.length, code).toBeGreaterThan(10);
      expect(wayOut.length, code).toBeGreaterThan(10);
    }
  });

  test('has no code twice', () => {
    expect(new Set(lines.map(({ code }) => code)).size).toBe(lines.length);
  });

  test('has a page for every code, and no page for a code that is gone', () => {
    const pages = readdirSync(join(root, 'docs/errors'))
      .filter((name) => name !== 'README.md')
      .map((name) => name.replace(/\.md$/, ''));
    expect(pages.sort()).toEqual(lines.map(({ code }) => code).sort());
  });

  test('names every error that SQL raises, with the same status', () => {
    expect(raised.length).toBeGreaterThan(0);
    const faults = raised
      .filter(({ code, status }) => byCode.get(code)?.status !== status)
      .map(({ path, code, status }) => `${path}: ${code} with PL${status}, in the catalogue: ${byCode.get(code)?.status ?? 'none'}`);
    expect(faults).toEqual([]);
  });

  test('every PL error in SQL names its code in the detail and its way out in the hint', () => {
    const states = sql.flatMap(({ path, text }) => [...text.matchAll(/errcode\s*=\s*'PL\d{3}'/g)].map(() => path));
    expect(raised.map(({ path }) => path).sort()).toEqual(states.sort());
    for (const { path, text } of sql) {
      expect([...text.matchAll(/\bhint\s*=/g)].length, `${path}: each raise has a hint`).toBeGreaterThanOrEqual(
        [...text.matchAll(/errcode\s*=\s*'PL\d{3}'/g)].length,
      );
    }
  });

  test('holds no error that nothing raises', () => {
    const everything =
      [...sql, ...typescript].map(({ text }) => text).join('\n') +
      read('packages/plinth/src/kernel/errors.ts').replace(/export const kernelErrors = \{[\s\S]*?\n\} as const/, '');
    const unused = lines.filter(({ code, module }) => {
      const name = code.slice(module.length + 1);
      return !new RegExp(`['"\`]${code}['"\`]|['"\`]${name}['"\`]`).test(everything);
    });
    expect(unused.map(({ code }) => code)).toEqual([]);
  });
});

describe('an answer', () => {
  test('carries the code, the way out and the address of its page, and nothing of the database', () => {
    const fault = Object.assign(new Error('duplicate key value violates unique constraint "x"'), {
      code: '23505',
      detail: 'Key (secret)=(42) already exists.',
      constraint: 'x',
    });
    const problem = toProblem(toPlinthError(fault), 'c');
    expect(problem).toMatchObject({ type: '/docs/errors/kernel_conflict', status: 409, code: 'kernel_conflict', correlation_id: 'c' });
    expect(JSON.stringify(problem)).not.toContain('42');
  });

  test('of an unexpected failure is kernel_internal, without its text', () => {
    expect(JSON.stringify(toProblem(toPlinthError(new Error('password is hunter2'))))).not.toContain('hunter2');
  });
});
