import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AnyModule, ModuleMap } from '../module.ts';
import { defineModule } from '../module.ts';

const made: string[] = [];
process.once('exit', () => {
  for (const root of made) rmSync(root, { recursive: true, force: true });
});

/** A module whose SQL stands in a folder of the test, which may change it between two runs. */
export function scratchModule(files: Record<string, string>, name = 'scratch', more: Partial<AnyModule> = {}) {
  const root = mkdtempSync(join(tmpdir(), 'plinth-migrate-'));
  made.push(root);
  for (const folder of ['migrations', 'functions', 'views']) mkdirSync(join(root, folder));
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
  for (const [path, text] of Object.entries(files)) write(path, text);
  const card: AnyModule = defineModule({
    name,
    summary: 'A module of a test.',
    tables: { things: { tenancy: 'tenant', keep: 'forever' } },
    sql: pathToFileURL(`${root}/`),
    ...more,
  });
  const modules: ModuleMap = { [name]: card };
  return { modules, write };
}

export const THINGS = `-- why: test
-- locks: none
-- breaking: no
create table plinth_scratch.things (tenant_id uuid not null, id uuid not null default plinth_kernel.uuid_v7(), name text, primary key (tenant_id, id));
comment on table plinth_scratch.things is 'Things.';`;
