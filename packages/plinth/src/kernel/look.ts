import type pg from 'pg';
import { answerWithin } from './answer.ts';
import { beginStatements, COMMIT } from './begin.ts';
import { unreachable } from './errors.ts';
import { isOutdated, runPrepared, statementName } from './prepared.ts';
import type { AnyTransaction } from './transaction.ts';
import { toFailure } from './transaction.ts';

/** A query that is sent often, by followers of a log and pollers: often it finds nothing, and the way to it costs more than it does. */
export interface Look {
  text: string;
  values: readonly (string | null)[];
  /** Settings of the server for this query, by name. */
  settings?: Readonly<Record<string, string>>;
  /** Longest run, ms. Default: the server's. */
  timeoutMs?: number;
}

/**
 * Runs one query in a read-only transaction of its own as plinth_worker. BEGIN, role, settings, query and COMMIT are prepared and travel as one
 * message with one answer: 1.2 ms for a look at the log by an idle client, 4.5 where nothing is prepared (`npm run bench -- feed-look`). Errors: those of the query, kernel_unavailable.
 */
export async function runLook<Row>(pool: pg.Pool, { text, values, settings = {}, timeoutMs }: Look): Promise<Row[]> {
  const client = await pool.connect().catch((error: unknown) => {
    throw unreachable(error);
  });
  const answer = answerWithin(client, timeoutMs);
  let broken = false;
  try {
    const begin = beginStatements({ role: 'plinth_worker', readOnly: true, timeoutMs }, Object.entries(settings)) ?? [];
    // A name of its own: the driver does not know what is prepared here, and would prepare it again under the same one.
    const results = await answer(runPrepared(client, [...begin, { name: `look_${statementName(text)}`, text, values, returns: true }, COMMIT]));
    return (results.at(-2)?.rows ?? []) as Row[];
  } catch (error) {
    await answer(client.query('rollback')).catch(() => (broken = true));
    broken ||= isOutdated(error);
    throw toFailure(error);
  } finally {
    client.release(broken);
  }
}

/** Settings for a query, which travel with it and are taken back behind it. */
export async function under<Row>(tx: AnyTransaction, settings: Readonly<Record<string, string>>, query: () => Promise<Row[]>): Promise<Row[]> {
  const names = Object.keys(settings);
  const [, rows] = await Promise.all([
    tx.query(names.map((name) => `set local ${name} to ${settings[name]}`).join(';')),
    query(),
    tx.query(names.map((name) => `set local ${name} to default`).join(';')),
  ]);
  return rows;
}

/** The same query inside of a transaction. */
export const lookIn = <Row>(tx: AnyTransaction, { text, values, settings = {} }: Look): Promise<Row[]> =>
  under(tx, settings, () => tx.queryPrepared<Row>(text, values));
