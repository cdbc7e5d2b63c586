/** Generators write what they say, and notice when what is committed is something else. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Relation, SqlFunction } from './catalog.ts';
import type { Result } from './gen-benchmarks.ts';
import { benchmarksPage } from './gen-benchmarks.ts';
import { camel, databaseSource, lockSource, pascal, referenceSource, typescriptType } from './gen-db.ts';
import { catalogue, generateErrorPages } from './gen-errors.ts';
import { moduleNames, registrySource } from './gen-registry.ts';
import { orphanFiles, staleFiles, writeFiles } from './generated.ts';

const folder = mkdtempSync(join(tmpdir(), 'plinth-generated-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the registry', () => {
  test('lists the folders that hold a card, and no others', () => {
    for (const path of ['two/module.ts', 'one/module.ts', 'no-card/index.ts']) {
      mkdirSync(join(folder, 'modules', path, '..'), { recursive: true });
      writeFileSync(join(folder, 'modules', path), '');
    }
    expect(moduleNames(join(folder, 'modules'))).toEqual(['one', 'two']);
  });

  test('imports each and names all, also those that are called like words of the language or the list itself', () => {
    const source = registrySource(['import', 'modules', 'package']);
    expect(source).toContain("import packageCard from './modules/package/module.ts';");
    expect(source).toContain('export const modules = {\n  import: importCard,\n  modules: modulesCard,\n  package: packageCard,\n} as const;');
  });
});

describe('a generated file', () => {
  test('is stale when it is missing or different, and current after it was written', () => {
    const files = [{ path: 'docs/a.md', text: 'a\n' }];
    expect(staleFiles(files, folder)).toEqual(['docs/a.md']);
    expect(writeFiles(files, [], folder)).toEqual(['docs/a.md']);
    expect(staleFiles(files, folder)).toEqual([]);
    expect(writeFiles(files, [], folder)).toEqual([]);
    writeFileSync(join(folder, 'docs/a.md'), 'changed by hand\n');
    expect(staleFiles(files, folder)).toEqual(['docs/a.md']);
  });

  test('that nothing writes any more is an orphan', () => {
    mkdirSync(join(folder, 'owned'), { recursive: true });
    writeFileSync(join(folder, 'owned/old.md'), '');
    expect(orphanFiles([{ path: 'owned/new.md', text: '' }], 'owned', folder)).toEqual(['owned/old.md']);
  });
});

describe('the types of the database', () => {
  test.each([
    ['uuid', 'string'],
    ['bigint', 'string'],
    ['numeric(10,2)', 'string'],
    ['integer', 'number'],
    ['jsonb', 'unknown'],
    ['timestamp with time zone', 'Date'],
    ['text[]', 'string[]'],
    ['xid8', 'string'],
    ['interval', 'Interval'],
  ])('%s arrives as %s', (sqlType, expected) => {
    expect(typescriptType(sqlType)).toBe(expected);
  });

  test('names follow the language', () => {
    expect([pascal('audit_logs'), camel('log_audit_event')]).toEqual(['AuditLogs', 'logAuditEvent']);
  });

  const column = { type: 'uuid', nullable: false, hasDefault: false, generated: false, comment: null };
  const table: Relation = {
    schema: 'plinth_audit',
    name: 'entries',
    kind: 'table',
    comment: 'Rows.',
    columns: [
      { ...column, name: 'id', hasDefault: true },
      { ...column, name: 'note', type: 'text', nullable: true },
    ],
  };
  const view: Relation = { ...table, schema: 'plinth', name: 'audit_logs', kind: 'view' };
  const fn: SqlFunction = {
    schema: 'plinth',
    name: 'add_note',
    comment: 'Adds a note.',
    parameters: [
      { name: 'p_text', type: 'text', optional: false },
      { name: 'p_size', type: 'bigint', optional: true },
    ],
    columns: [],
    returns: 'uuid',
    returnsSet: false,
    signature: 'function plinth.add_note(p_text text, p_size bigint DEFAULT 1) returns uuid',
  };

  test('a table says what may be left out when a row is written, a view does not', () => {
    const source = databaseSource([table, view], []);
    expect(source).toContain('export interface AuditEntriesTable {\n  id: Generated<string>;\n  note: string | null;\n}');
    expect(source).toContain('export interface AuditLogsView {\n  id: string;\n  note: string | null;\n}');
    expect(source).toContain("'plinth_audit.entries': AuditEntriesTable;");
  });

  test('a function becomes a wrapper with named arguments, and a row type where it returns rows of a view', () => {
    const source = databaseSource([view], [fn, { ...fn, name: 'notes', returns: 'plinth.audit_logs', returnsSet: true, parameters: [] }]);
    expect(source).toContain('addNote: (tx: Queryable, args: { text: string; size?: string | number | bigint | null | undefined }): Promise<string | null> =>');
    expect(source).toContain('notes: (tx: Queryable): Promise<Selectable<AuditLogsView>[]> =>');
  });

  test('two signatures of one name are refused, because named arguments cannot choose between them', () => {
    expect(() => databaseSource([], [fn, fn])).toThrow('two signatures');
  });

  test('the lock file has one sorted line for each public function and view, and none for tables', () => {
    const lines = lockSource([table, view], [fn]).trim().split('\n').slice(2);
    expect(lines).toEqual(['function plinth.add_note(p_text text, p_size bigint DEFAULT 1) returns uuid;', 'view plinth.audit_logs (id uuid, note text);']);
  });
});

describe('the SQL reference', () => {
  test('has every public function and view with its comment', () => {
    const view: Relation = {
      schema: 'plinth',
      name: 'notes',
      kind: 'view',
      comment: 'All notes.',
      columns: [{ name: 'id', type: 'uuid', nullable: false, hasDefault: false, generated: false, comment: 'Key.' }],
    };
    const add: SqlFunction = {
      schema: 'plinth',
      name: 'add_note',
      comment: 'Adds a note.',
      parameters: [{ name: 'p_text', type: 'text', optional: true }],
      columns: [],
      returns: 'uuid',
      returnsSet: false,
      signature: 'function plinth.add_note(p_text text DEFAULT 1) returns uuid',
    };
    const page = referenceSource([view], [add]);
    for (const part of ['### add_note', 'Adds a note.', 'plinth.add_note([p_text text])\nreturns uuid', '### notes', 'All notes.', '| id | uuid: Key. |'])
      expect(page).toContain(part);
  });
});

describe('the error pages', () => {
  test('there is one for each code, with status, sentence and way out, and an index of all', () => {
    const lines = catalogue();
    const files = generateErrorPages(lines);
    expect(files).toHaveLength(lines.length + 1);
    const [first] = lines;
    const page = files.find(({ path }) => path.endsWith(`/${first?.code}.md`))?.text ?? '';
    for (const part of [first?.title, first?.wayOut, String(first?.status)]) expect(page).toContain(part);
    for (const { code } of lines) expect(files[0]?.text).toContain(`[${code}](${code}.md)`);
  });
});

describe('the page of benchmarks', () => {
  const result = (value: number): Result => ({
    name: 'toast',
    title: 'toast: how fast',
    settings: ['both sides brown'],
    rows: [{ variant: 'ours | theirs', median: 1234.5, least: 1, most: 0.005, unit: 'slices/s' }],
    bars: [
      { what: 'ours vs theirs', value, atLeast: 2 },
      { what: 'for information', value: 1 },
    ],
    machine: { cpus: 2, cpu: 'a toaster', memoryGiB: 1, node: 'v24.0.0' },
    at: '2026-11-23T07:00:00.000Z',
  });

  test('shows figures with their spread and which bars are met', () => {
    const page = benchmarksPage([result(2)], {});
    expect(page).toContain('| ours \\| theirs | 1,235 | 1 | 0.0050 | slices/s |');
    expect(page).toContain('| ours vs theirs | 2 | at least 2 | met |');
    expect(page).toContain('1 of 1 are met');
  });

  test('says why a bar is missed, and is not written where nobody did', () => {
    expect(benchmarksPage([result(1.5)], { toast: { 'ours vs theirs': 'Butter.' } })).toContain('- Missed: ours vs theirs. Butter.');
    expect(() => benchmarksPage([result(1.5)], {})).toThrow('toast misses the bar "ours vs theirs"');
    expect(() => benchmarksPage([result(2)], { toast: { 'no such bar': 'Jam.' } })).toThrow('no such bar');
  });
});
