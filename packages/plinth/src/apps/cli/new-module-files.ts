/**
 * The files of a new module, small and complete: one tenant table whose rows are written by an SQL function, read through a
 * view, kept for two years and shown in the trace. Whoever writes a module replaces the table and keeps the shape.
 */
import { migration, view, writer } from './new-module-sql.ts';

const pascal = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

/** Path inside the module's folder -> text. */
export function moduleFiles(name: string): Record<string, string> {
  return {
    'module.ts': card(name),
    'index.ts': frontDoor(name),
    [`${name}.ts`]: service(name),
    'errors.ts': errors(),
    'api.ts': api(name),
    'README.md': readme(name),
    [`${name}.test.ts`]: tests(name),
    'sql/migrations/0001_create_items.sql': migration(name),
    [`sql/functions/add_${name}_item.sql`]: writer(name),
    [`sql/views/${name}_items.sql`]: view(name),
  };
}

const card = (name: string): string => `import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';

export default defineModule({
  name: '${name}',
  summary: 'Keeps the ${name} of a tenant, one titled item each.',
  tables: {
    items: {
      tenancy: 'tenant',
      keep: { for: '2 years', by: 'delete', column: 'created_at' },
      trace: { kind: '${name}', title: 'title', data: \`jsonb_build_object('note', note)\` },
    },
  },
  errors,
  api,
  lists: {
    items: {
      title: '${pascal(name)}',
      view: '${name}_items',
      columns: ['title', 'note', 'created_at'],
      filters: ['title'],
      empty: 'Nothing here yet. plinth.add_${name}_item(...) adds an item.',
    },
  },
});
`;

const frontDoor = (name: string): string => `export { addItem, getItem, type ${pascal(name)}Item } from './${name}.ts';
`;

const service = (name: string): string => `import { raiser } from '#kernel/errors.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { errors } from './errors.ts';

const fail = raiser('${name}', errors);

/** One item as callers see it. */
export interface ${pascal(name)}Item {
  id: string;
  title: string;
  note: string | null;
  createdAt: Date;
}

/** Adds an item for the tenant of the transaction and returns its id. Errors: ${name}_title_missing. */
export async function addItem(tx: AnyTransaction, item: { title: string; note?: string | undefined }): Promise<string> {
  const [row] = await tx.query<{ id: string }>('select plinth.add_${name}_item($1, $2) as id', [item.title, item.note ?? null]);
  return row?.id ?? '';
}

/** One item of the tenant of the transaction. Errors: ${name}_item_not_found. */
export async function getItem(tx: AnyTransaction, id: string): Promise<${pascal(name)}Item> {
  const [row] = await tx.query<${pascal(name)}Item>('select id, title, note, created_at as "createdAt" from plinth.${name}_items where id = $1', [id]);
  if (!row) throw fail('item_not_found', { detail: { id } });
  return row;
}
`;

const errors = (): string => `export const errors = {
  item_not_found: { status: 404, title: 'There is no such item', wayOut: 'Check the id and the tenant.' },
  title_missing: { status: 422, title: 'An item needs a title', wayOut: 'Give a title of 1 to 200 characters.' },
} as const;
`;

const api = (name: string): string => `import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import { addItem, getItem } from './${name}.ts';

const item = z.object({ id: z.guid(), title: z.string(), note: z.string().nullable(), createdAt: z.date() });

export const api = {
  add: procedure({ rest: 'POST /${name}/items', permission: '${name}.write', summary: 'Add an item' })
    .input(z.object({ title: z.string().max(200), note: z.string().max(2000).optional() }))
    .output(z.object({ id: z.guid() }))
    .mutation(async ({ ctx, input }) => ({ id: await addItem(ctx.tx, input) })),
  get: procedure({ rest: 'GET /${name}/items/{id}', permission: '${name}.read', summary: 'One item' })
    .input(z.object({ id: z.guid() }))
    .output(item)
    .query(({ ctx, input }) => getItem(ctx.tx, input.id)),
};
`;

const readme = (name: string): string => `# ${name}

Keeps the ${name} of a tenant, one titled item each.

\`\`\`sql run
select plinth.add_${name}_item(p_title := 'The first', p_note := 'from SQL');
select title, note, created_at from plinth.${name}_items order by id desc limit 10;
\`\`\`

\`\`\`ts run
import { createPlinth } from 'plinth';

const plinth = createPlinth({ database: { url: process.env.PLINTH_DATABASE_URL ?? '' } });
const tenantId = process.env.PLINTH_TENANT_ID ?? '';

await plinth.transaction({ tenantId, actor: { type: 'user', id: 'ann' } }, async (tx) => {
  await tx.query('select plinth.add_${name}_item(p_title := $1)', ['The second']);
});
await plinth.close();
\`\`\`

## When not

When the item is more than a title and a note: replace this table by yours before anybody relies on it.

## Guarantees

- A tenant sees and writes only its own items, in SQL, REST and tRPC alike.
- An item is written with the caller's transaction or not at all, and appears in \`plinth.trace\` under its correlation id.

## Limits

- A title has 1 to 200 characters, a note at most 2,000.
- Items leave after two years.
`;

const tests = (name: string): string => `import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '#testing/database.ts';
import { addItem, getItem } from './${name}.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('${name}');
});
afterAll(() => database.drop());

const asTenant = (tenantId: string) => ({ tenantId, actor: { type: 'user' as const, id: 'ann' } });

test('an item can be read by its tenant', async () => {
  const { plinth, tenantA } = database;
  const id = await plinth.transaction(asTenant(tenantA), (tx) => addItem(tx, { title: 'Mine', note: 'kept' }));
  expect(await plinth.transaction(asTenant(tenantA), (tx) => getItem(tx, id))).toMatchObject({ id, title: 'Mine', note: 'kept' });
});

test('for another tenant an item is missing, with the error of an id that never was', async () => {
  const { plinth, tenantA, tenantB } = database;
  const id = await plinth.transaction(asTenant(tenantA), (tx) => addItem(tx, { title: 'Mine' }));
  await expect(plinth.transaction(asTenant(tenantB), (tx) => getItem(tx, id))).rejects.toMatchObject({ code: '${name}_item_not_found', status: 404 });
});

test('an item without a title is refused, and nothing is written', async () => {
  const { plinth, tenantA } = database;
  const before = await database.admin.query('select count(*) from plinth_${name}.items');
  await expect(plinth.transaction(asTenant(tenantA), (tx) => addItem(tx, { title: '' }))).rejects.toMatchObject({ code: '${name}_title_missing', status: 422 });
  expect((await database.admin.query('select count(*) from plinth_${name}.items')).rows).toEqual(before.rows);
});
`;
