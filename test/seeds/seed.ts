/**
 * The code of the documents that Plinth was designed from, read from the text files beside, and the promise that is kept about it:
 * each snippet runs as it stands, or it is of a module that does not exist yet.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Queryable } from '../../packages/plinth/src/kernel/database.ts';
import { migrateUp } from '../../packages/plinth/src/kernel/migrate/index.ts';
import { modules } from '../../packages/plinth/src/registry.gen.ts';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';

/** One statement, call or list of columns, under the heading that it stands under in the document. */
export interface Snippet {
  /** `heading: comment above it`, or its first line where there is no comment. */
  readonly name: string;
  readonly language: 'sql' | 'javascript' | 'columns';
  readonly text: string;
}

export interface Pending {
  /** The module to come. */
  readonly module: string;
  /** Functions, views and tables that it will bring. */
  readonly needs: readonly string[];
}

interface Block {
  heading: string;
  text: string;
}

function blocksOf(document: string): Block[] {
  const text = readFileSync(join(import.meta.dirname, `${document}.txt`), 'utf8');
  return [...text.matchAll(/^#+ ([^\n]+)\n\n```\w+\n(.*?)\n```$/gms)].map(([, heading = '', block = '']) => ({
    heading: heading.replaceAll('*', '').replace(/^[\d.]+ /, ''),
    text: block,
  }));
}

/** Statements end with a semicolon at the end of a line; calls through a client and lists of columns are taken whole. */
function split({ heading, text }: Block): Snippet[] {
  const name = (part: string): string => {
    const [first = ''] = part.split('\n');
    return `${heading}: ${first.replace(/^(?:--|\/\/) ?/, '')}`;
  };
  if (text.startsWith('- ')) return [{ name: `${heading}: columns`, language: 'columns', text }];
  if (/\bimport .* from\b|=> \{/.test(text)) return [{ name: name(text), language: 'javascript', text }];
  if (/\bawait |\btrpc\./.test(text)) {
    const calls = text.includes('supabase') ? [text] : text.split(/\n\n(?=\/\/)/);
    return calls.map((part) => ({ name: name(part), language: 'javascript', text: part }));
  }
  return text
    .split(/(?<=;)\s*\n\s*/)
    .filter((part) => part.trim() !== '')
    .map((part) => ({ name: name(part), language: 'sql', text: part }));
}

/** Every snippet of `000.txt` to `003.txt`. */
export function snippetsOf(document: string): Snippet[] {
  return blocksOf(document).flatMap(split);
}

export interface SeedDatabase extends TestDatabase {
  /** Runs in one transaction of tenant A (or another) as the serving role. */
  as<T>(body: (tx: Queryable) => Promise<T>, tenantId?: string): Promise<T>;
  /** Runs one statement there and returns its rows. */
  rows<Row = Record<string, unknown>>(text: string, tenantId?: string): Promise<Row[]>;
}

/** Migrated with `--expose public`, with the `auth.uid()` that Supabase brings. */
export async function seedDatabase(name: string): Promise<SeedDatabase> {
  const database = await testDatabase(name);
  await migrateUp({ url: database.url, modules, exposePublic: true });
  await database.admin.query(`
    create schema auth;
    create function auth.uid() returns uuid language sql stable return '6f0a2f0e-5d0c-4b39-9d8e-1f6f2f0c0a11'::uuid;
    grant usage on schema auth to plinth_app`);
  const as: SeedDatabase['as'] = (body, tenantId = database.tenantA) =>
    database.plinth.transaction({ tenantId, actor: { type: 'user', id: 'ann' } }, (tx) => body(tx));
  return { ...database, as, rows: (text, tenantId) => as((tx) => tx.query(text), tenantId) };
}

/** What `auth.uid()` answers in a seed's database. */
export const USER = '6f0a2f0e-5d0c-4b39-9d8e-1f6f2f0c0a11';

export interface SeedPromise {
  readonly snippets: readonly Snippet[];
  readonly executed: Readonly<Record<string, (text: string) => Promise<void>>>;
  readonly pending: Readonly<Record<string, Pending>>;
  readonly database: () => SeedDatabase;
}

const UNDEFINED = ['42883', '42P01'];

/** The tests that every seed has. */
export function promiseSeed({ snippets, executed, pending, database }: SeedPromise): void {
  test('every snippet of the document is executed or pending, and each is named once', () => {
    expect(snippets.length).toBeGreaterThan(0);
    expect(snippets.map((snippet) => snippet.name).sort()).toEqual([...Object.keys(executed), ...Object.keys(pending)].sort());
  });

  const textOf = (name: string): string => snippets.find((snippet) => snippet.name === name)?.text ?? '';
  if (Object.keys(executed).length > 0)
    describe('runs as it stands', () => {
      test.each(Object.entries(executed))('%s', (name, run) => run(textOf(name)));
    });

  describe('is pending', () => {
    test.each(Object.entries(pending))('%s', async (name, { module, needs }) => {
      expect(Object.keys(modules), `module ${module} exists: execute the snippet`).not.toContain(module);
      const { rows: found } = await database().admin.query<{ name: string }>(EXISTING, [needs]);
      expect(found, 'these exist: execute the snippet').toEqual([]);
      const { text, language } = snippets.find((snippet) => snippet.name === name) ?? { text: '', language: 'columns' };
      if (language === 'sql' && /^(?:--[^\n]*\n)?select/i.test(text))
        await expect(database().rows(text)).rejects.toSatisfy((error: { code?: string }) => UNDEFINED.includes(error.code ?? ''));
    });
  });
}

const EXISTING = `
  select p.proname::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('plinth', 'public') and p.proname = any ($1::text[])
  union all
  select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('plinth', 'public') and c.relname = any ($1::text[])`;

/** Tables that a document names: those of the modules that exist are views that can be read, the others are not there. */
export function promiseTables(database: () => SeedDatabase, present: readonly string[], pending: Readonly<Record<string, readonly string[]>>): void {
  test.each(present)('the table %s can be read as a view', async (table) => {
    expect(await database().rows(`select * from public.${table} limit 1`)).toBeInstanceOf(Array);
  });
  test.each(Object.entries(pending))('tables of the module %s are pending', async (module, tables) => {
    expect(Object.keys(modules), `module ${module} exists: its tables must too`).not.toContain(module);
    const { rows } = await database().admin.query<{ name: string }>(EXISTING, [tables]);
    expect(rows).toEqual([]);
  });
}
