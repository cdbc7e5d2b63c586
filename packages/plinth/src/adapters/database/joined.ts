import type { Parsers } from '#kernel/column-types.ts';
import { columnTypes } from '#kernel/column-types.ts';
import type { Queryable } from '#kernel/database.ts';

/**
 * Transactions that the application opened with a driver or ORM of its own, as Plinth can join them. Each is described by
 * the few methods that are called, so that Plinth depends on none of these packages; parameters are `never`, which any type of theirs takes.
 */

/** pg: a Client or PoolClient on which BEGIN was sent. */
export interface PgTransaction {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

/** postgres.js: the `sql` that `sql.begin` passes to its callback. */
export interface PostgresJsTransaction {
  unsafe(text: string, values?: never[]): PromiseLike<readonly unknown[]>;
  savepoint: unknown;
}

/** Kysely: the `trx` of `db.transaction().execute(...)`. */
export interface KyselyTransaction {
  readonly isTransaction: boolean;
  withoutPlugins(): KyselyTransaction;
  executeQuery(query: never): Promise<{ rows: unknown[] }>;
}

/** Drizzle (node-postgres or postgres-js): the `tx` of `db.transaction(...)`. */
export interface DrizzleTransaction {
  execute(query: never): PromiseLike<unknown>;
  rollback(): never;
}

/** Prisma: the client that an interactive `$transaction` passes to its callback. */
export interface PrismaTransaction {
  $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>;
  $executeRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>;
}

export type Joinable = PgTransaction | PostgresJsTransaction | KyselyTransaction | DrizzleTransaction | PrismaTransaction | Queryable;

const has = (handle: object, ...names: string[]): boolean => names.every((name) => name in handle);

/** SET, CALL and other statements without a result: Prisma has a method of its own for them. */
const RETURNS_ROWS = /^\s*(select|with|insert|update|delete|values|table|merge|show|explain)\b/i;

/** Also any object with `query` that answers with the rows themselves, such as a transaction of Plinth. */
const fromPg = (handle: PgTransaction | Parsers): Queryable['query'] => {
  const types = 'getTypeParser' in handle ? columnTypes(handle) : undefined;
  const send = (handle as { query(asked: string | object, values?: readonly unknown[]): Promise<{ rows: unknown[] } | unknown[]> }).query.bind(handle);
  return async <Row>(text: string, values?: readonly unknown[]) => {
    const result = await send(types ? { text, types } : text, values);
    return (Array.isArray(result) ? result : result.rows) as Row[];
  };
};

const fromPostgresJs =
  (handle: PostgresJsTransaction): Queryable['query'] =>
  async <Row>(text: string, values: readonly unknown[] = []) =>
    [...(await handle.unsafe(text, values as never[]))] as Row[];

const fromKysely = (handle: KyselyTransaction): Queryable['query'] => {
  // What CompiledQuery.raw of Kysely makes; writing it out keeps Kysely out of the dependencies of this file.
  const raw = (sql: string, parameters: readonly unknown[]) => ({
    sql,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'plinth' },
  });
  // Plugins change results: CamelCasePlugin the names of columns, and the keys of the JSON in them.
  const plain = handle.withoutPlugins();
  return async <Row>(text: string, values: readonly unknown[] = []) => (await plain.executeQuery(raw(text, values) as never)).rows as Row[];
};

/** Drizzle has no raw text with parameters; an object with `getSQL` that builds itself is what its `sql` template makes. */
const fromDrizzle = (handle: DrizzleTransaction): Queryable['query'] => {
  const session = (
    handle as unknown as {
      session: {
        prepareQuery(query: { sql: string; params: readonly unknown[] }, fields: undefined, name: undefined, array: boolean): { execute(): Promise<unknown> };
      };
    }
  ).session;
  return async <Row>(text: string, values: readonly unknown[] = []) => {
    const asked = session.prepareQuery({ sql: text, params: values }, undefined, undefined, false).execute();
    const result = (await asked.catch(throwDriverError)) as Row[] | { rows: Row[] };
    return Array.isArray(result) ? [...result] : result.rows;
  };
};

const fromPrisma =
  (handle: PrismaTransaction): Queryable['query'] =>
  async <Row>(text: string, values: readonly unknown[] = []) => {
    if (!RETURNS_ROWS.test(text)) {
      await handle.$executeRawUnsafe(text, ...values).catch(throwDriverError);
      return [];
    }
    return (await handle.$queryRawUnsafe(text, ...values).catch(throwDriverError)) as Row[];
  };

interface AdapterFault {
  originalCode: string;
  originalMessage?: string;
  detail?: string;
  hint?: string;
  constraint?: { index?: string };
}

/** Drizzle and Prisma put what the database said into an error of their own, and everything here goes by its SQLSTATE, detail and hint. */
function throwDriverError(error: unknown): never {
  const { code, cause, meta } = error as { code?: unknown; cause?: { code?: unknown }; meta?: { driverAdapterError?: { cause?: AdapterFault } } };
  const fault = meta?.driverAdapterError?.cause;
  if (fault) {
    const { originalCode, originalMessage, detail, hint, constraint } = fault;
    throw Object.assign(new Error(originalMessage, { cause: error }), { code: originalCode, detail, hint, constraint: constraint?.index });
  }
  throw code === undefined && typeof cause?.code === 'string' ? cause : error;
}

const NO_TRANSACTION = 'plinth.join was given a database and not a transaction of it';

/** What each library calls the thing that opens transactions; statements through it would each be a transaction of their own. */
function refuseDatabase(handle: Joinable): void {
  const opens =
    has(handle, '$connect', '$queryRawUnsafe') ||
    has(handle, 'begin', 'unsafe') ||
    (has(handle, 'isTransaction', 'executeQuery') && !(handle as KyselyTransaction).isTransaction) ||
    (has(handle, 'execute', 'transaction', 'session') && !has(handle, 'rollback')) ||
    has(handle, 'connect', 'totalCount');
  if (opens) throw new TypeError(`${NO_TRANSACTION}: pass what its transaction method gives to the callback, or the client on which BEGIN was sent`);
}

/** Makes any of the supported transactions into the one thing that Plinth needs. Errors: TypeError for anything else. */
export function toQueryable(handle: Joinable): Queryable {
  refuseDatabase(handle);
  if (has(handle, '$queryRawUnsafe', '$executeRawUnsafe')) return { query: fromPrisma(handle as PrismaTransaction) };
  if (has(handle, 'unsafe', 'savepoint')) return { query: fromPostgresJs(handle as PostgresJsTransaction) };
  if (has(handle, 'isTransaction', 'executeQuery')) return { query: fromKysely(handle as KyselyTransaction) };
  if (has(handle, 'execute', 'rollback', 'session')) return { query: fromDrizzle(handle as DrizzleTransaction) };
  if (has(handle, 'query')) return { query: fromPg(handle as PgTransaction) };
  throw new TypeError('plinth.join takes a transaction of pg, postgres.js, Kysely, Drizzle or Prisma, or an object with query(text, values)');
}
