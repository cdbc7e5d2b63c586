import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fail } from '../errors.ts';
import type { AnyModule } from '../module.ts';

export interface Migration {
  module: string;
  number: number;
  name: string;
  text: string;
  checksum: string;
  breaking: boolean;
  /** False for `-- outside: transaction` (create index concurrently). */
  inTransaction: boolean;
}

/** A function or view: re-applied whenever any repeatable file changes. */
export interface Repeatable {
  module: string;
  kind: 'function' | 'view';
  name: string;
  text: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * The kernel's SQL files stand beside its code. A bundler leaves them behind and takes the code elsewhere; without them every database would pass for one of a newer
 * version, and what stands elsewhere for ours. Errors: kernel_files_missing.
 */
export function kernelSql(): URL {
  const folder = URL.canParse('../sql/', import.meta.url) ? new URL('../sql/', import.meta.url) : undefined;
  if (!folder || !existsSync(new URL('migrations/0001_create_kernel.sql', folder))) throw fail('files_missing');
  return folder;
}

/**
 * The folder of all modules is named in full, in a statement of its own: what copies the files that a program needs (Next.js standalone, Nitro, serverless) follows such an
 * address, and none that is put together.
 */
function sqlOf(card: AnyModule): URL {
  const modules = new URL('../../modules/', import.meta.url);
  return card.sql ?? new URL(`${card.name}/sql/`, modules);
}

/** For a program that may have been bundled or copied in part. Errors: kernel_files_missing. */
export function refuseMissing(modules: readonly AnyModule[]): void {
  kernelSql();
  for (const card of modules) {
    if (card.tables && Object.keys(card.tables).length > 0 && !existsSync(new URL('migrations/', sqlOf(card))))
      throw fail('files_missing', { detail: { module: card.name } });
  }
}

const filesIn = (root: URL, folder: string): { name: string; text: string }[] => {
  const url = new URL(`${folder}/`, root);
  if (!existsSync(url)) return [];
  return readdirSync(url)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => ({ name: file.slice(0, -4), text: readFileSync(new URL(file, url), 'utf8') }));
};

const readMigrations = (module: string, root: URL): Migration[] =>
  filesIn(root, 'migrations').map(({ name, text }) => {
    const number = Number.parseInt(name, 10);
    if (!/^\d{4}_[a-z0-9_]+$/.test(name)) throw new Error(`${module}: a migration is called NNNN_verb_noun.sql, not ${name}.sql`);
    return {
      module,
      number,
      name,
      text,
      checksum: sha256(text),
      breaking: /^-- breaking: yes/m.test(text),
      inTransaction: !/^-- outside: transaction/m.test(text),
    };
  });

const readRepeatables = (module: string, root: URL): Repeatable[] => [
  ...filesIn(root, 'functions').map((file) => ({ module, kind: 'function' as const, ...file })),
  ...filesIn(root, 'views').map((file) => ({ module, kind: 'view' as const, ...file })),
];

/** Every SQL file of the kernel and the modules, in the order in which it is applied. */
export function readSql(ordered: readonly AnyModule[]): { migrations: Migration[]; repeatables: Repeatable[] } {
  const roots: [string, URL][] = [['kernel', kernelSql()], ...ordered.map((card): [string, URL] => [card.name, sqlOf(card)])];
  return {
    migrations: roots.flatMap(([module, root]) => readMigrations(module, root)),
    repeatables: roots.flatMap(([module, root]) => readRepeatables(module, root)),
  };
}
