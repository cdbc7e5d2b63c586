/** What a page of an operator reads must not grow with how long the installation has run. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modules } from '#registry';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { createRecords } from './records.ts';
import type { AnyTransaction } from './transaction.ts';

const TENANTS = 200;
const records = createRecords(modules);
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('records_plan');
  await database.admin.query(`insert into plinth_kernel.tenants (slug, name) select 'many-' || n, 'Many' from generate_series(1, $1::int) n`, [TENANTS]);
});
afterAll(() => database.drop());

/** An entry of each tenant in that month, `count` of each. */
const fill = async (monthsAgo: number, count = 1): Promise<void> => {
  await database.admin.query(`select plinth_kernel.partition_make('plinth_audit.entries', 'month', now() - $1 * interval '1 month')`, [monthsAgo]);
  await database.admin.query(
    `insert into plinth_audit.entries (tenant_id, id, action)
     select t.id, (left(plinth_kernel.v7_floor(now() - $1 * interval '1 month')::text, 14) || right(gen_random_uuid()::text, 22))::uuid, 'order.paid'
     from plinth_kernel.tenants t, generate_series(1, $2::int) n`,
    [monthsAgo, count],
  );
};

/** Pages that everything that `body` asks touches. */
async function pagesIn(body: (tx: AnyTransaction) => Promise<unknown>): Promise<number> {
  let pages = 0;
  await database.plinth.asReader({}, (tx) =>
    body({
      ...tx,
      query: async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
        const [row] = await tx.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(`explain (analyze, buffers, format json) ${text}`, values);
        const { 'Shared Hit Blocks': hit = 0, 'Shared Read Blocks': read = 0 } = row?.['QUERY PLAN'][0].Plan ?? {};
        pages += hit + read;
        return tx.query<Row>(text, values);
      },
    }),
  );
  return pages;
}

test('a page across tenants looks into the months that it is of, and one of long ago comes all the same', async () => {
  const first = () => pagesIn((tx) => records.page(tx, 'audit', 'entries', {}));
  await fill(0);
  await fill(1);
  const young = await first();
  for (let months = 2; months <= 14; months++) await fill(months);
  expect((await first()) - young).toBeLessThan(TENANTS);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await database.plinth.asReader({}, (tx) => records.page(tx, 'audit', 'entries', { limit: 200, cursor }));
    seen.push(...page.rows.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
  } while (cursor);
  const { rows } = await database.admin.query<{ id: string }>('select id from plinth_audit.entries order by id desc');
  expect(seen).toEqual(rows.map(({ id }) => id));
});
