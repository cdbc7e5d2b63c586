import { createHash } from 'node:crypto';
import pg from 'pg';

/** A statement that stays prepared on its connection under its name: the server parses and plans it once. */
export interface Prepared {
  name: string;
  text: string;
  /** As text or null, in the order of the parameters. */
  values: readonly (string | null)[];
  /** It returns rows that are asked for. */
  returns?: boolean;
  /** It reads the context of the transaction; others bring all of it but the tenant with their values. */
  readsContext?: boolean;
}

/** What is used of the driver's connection; its types lag behind it. */
interface Wire {
  stream: { cork(): void; uncork(): void };
  close(message: { type: 'S'; name: string }): void;
  parse(statement: { name: string; text: string }): void;
  bind(binding: { statement: string; values: readonly (string | null)[] }): void;
  describe(message: { type: 'P' }): void;
  execute(portal: object): void;
  sync(): void;
}

const names = new Map<string, string>();

/**
 * The name under which a text is prepared, the same in every process: behind a pooler that keeps no account of what is prepared where, the name may meet what
 * another process has prepared. With numbers in the order of first use that was another statement.
 */
export function statementName(text: string): string {
  const name = names.get(text) ?? `plinth_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
  names.set(text, name);
  return name;
}

/** The statement is gone (DISCARD ALL), or a migration has changed what it returns: its connection cannot run it again. */
export function isOutdated(error: unknown): boolean {
  const { code, routine } = (error ?? {}) as { code?: unknown; routine?: unknown };
  return code === '26000' || routine === 'RevalidateCachedQuery';
}

const preparedOn = new WeakMap<object, Set<string>>();

/**
 * Prepared statements, sent and answered together: one write, one Sync, so the first that fails ends them all.
 * The driver's own queries take a Sync and a write each.
 */
class Sequence extends pg.Query {
  readonly #statements: readonly Prepared[];

  constructor(statements: readonly Prepared[], callback: (error: Error | undefined, result: unknown) => void) {
    super('', callback);
    this.#statements = statements;
    // Assigned, because the driver's types declare a property and not a method.
    this.submit = (connection) => this.#submit(connection as unknown as Wire);
  }

  #submit(wire: Wire): void {
    const known = preparedOn.get(wire) ?? new Set();
    preparedOn.set(wire, known);
    wire.stream.cork();
    for (const { name, text, values, returns } of this.#statements) {
      if (!known.has(name)) {
        // Closed first: after a failure nobody knows whether it was prepared, and preparing it twice is an error.
        wire.close({ type: 'S', name });
        wire.parse({ name, text });
        known.add(name);
      }
      wire.bind({ statement: name, values });
      if (returns) wire.describe({ type: 'P' });
      wire.execute({});
    }
    wire.sync();
    wire.stream.uncork();
  }
}

/**
 * Runs the statements in their order and answers with their results. Errors: the driver's; the statements are prepared anew when they are
 * next used.
 */
export function runPrepared(client: pg.PoolClient, statements: readonly Prepared[]): Promise<pg.QueryResult[]> {
  const { promise, resolve, reject } = Promise.withResolvers<pg.QueryResult[]>();
  const sequence = new Sequence(statements, (error, result) => {
    if (!error) return resolve((Array.isArray(result) ? result : [result]) as pg.QueryResult[]);
    const known = preparedOn.get((client as unknown as { connection: object }).connection);
    for (const { name } of statements) known?.delete(name);
    reject(error);
  });
  client.query(sequence);
  return promise;
}
