import { literal } from '#kernel/database.ts';
import { lookIn } from '#kernel/look.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { readLivePage } from './live.ts';

const literalOf = (value: unknown): string =>
  value === null ? 'null' : literal(Array.isArray(value) ? `{${value.map((one) => (one === null ? 'null' : JSON.stringify(one))).join()}}` : String(value));

/** The transaction, whose prepared queries are explained into `lines` under the settings that they run with. */
export const explaining = (tx: AnyTransaction, lines: string[]): AnyTransaction => ({
  ...tx,
  queryPrepared: async <Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
    // Sent together, because the settings are taken back behind what is sent now.
    const [, plan, , rows] = await Promise.all([
      tx.query(`prepare explained as ${text}`),
      tx.query<{ 'QUERY PLAN': string }>(`explain (analyze, timing off, summary off) execute explained(${values.map(literalOf).join()})`),
      tx.query('deallocate explained'),
      tx.queryPrepared<Row>(text, values),
    ]);
    lines.push(...plan.map((row) => row['QUERY PLAN']));
    return rows;
  },
});

/** Readers that take Plinth, made to read in a transaction that is watched. */
export const asIfPlinth = (tx: AnyTransaction): Parameters<typeof readLivePage>[0] => ({
  asWorker: (_input, body) => body(tx as Parameters<typeof body>[0]),
  lookAsWorker: (look) => lookIn(tx, look),
});
