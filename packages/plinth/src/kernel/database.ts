import pg from 'pg';
import { COLUMN_TYPES } from './column-types.ts';

/** The least that Plinth needs of a database connection: one statement, its rows. Every driver and ORM can give it. */
export interface Queryable {
  query<Row = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** A connection on which statements may be sent without waiting for the one before (pg's pipeline mode). */
export type PooledClient = pg.PoolClient;

export interface PoolOptions {
  url: string;
  /** Default 10. */
  max?: number | undefined;
  applicationName?: string | undefined;
  /** Longest wait for a free connection, ms. Default 10,000. */
  connectTimeoutMs?: number | undefined;
  /**
   * Keep a few statements of Plinth's own prepared on every connection; they write effects in half of the time, and look for new
   * events in a third of it (`npm run bench -- feed-look`). Default true. Set it to
   * false behind a pooler that hands connections on between transactions and does not track prepared statements (PgBouncer before 1.21).
   */
  prepare?: boolean | undefined;
}

/** As libpq takes them, and pg does not. A password may have a comma. */
const SEVERAL_HOSTS = /^postgres(?:ql)?:\/\/(?:[^/?#]*@|(?![^/?#]*@))[^/?#@]*,/;
export const namesSeveralHosts = (url: string): boolean => SEVERAL_HOSTS.test(url);

/**
 * What connections of Plinth ask for when they are made, whatever database and role are set to: the driver reads no times in other styles (it answers null), and backslashes in our
 * SQL mean themselves. Parameters of the start, which cost nothing; of these two poolers keep account as well, while many refuse others and `options`.
 */
const SESSION = { DateStyle: 'ISO, MDY', standard_conforming_strings: 'on' };

/** A method of the driver that its types do not have. */
interface Starting {
  getStartupConf(): Record<string, string>;
}

/**
 * How long a connection may be silent before the system asks whether the other end is still there, ms. Networks forget connections without a word; for statements that
 * are under way see answer.ts.
 */
const SILENT_MS = 10_000;

/** A connection in which texts and times mean the same in every database, and columns are read alike in every process. */
export class Client extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    for (const [oid, read] of COLUMN_TYPES) this.setTypeParser(oid, read);
  }

  getStartupConf(): Record<string, string> {
    return { ...(pg.Client.prototype as unknown as Starting).getStartupConf.call(this), ...SESSION };
  }
}

/** For a connection that does something long: limits of the database and the role, which are meant for requests, would end it in the middle. Not those for locks. */
export const UNLIMITED = `select pg_catalog.set_config(s.name, '0', false) from pg_catalog.pg_settings as s
  where s.name in ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')`;

const WHO = 'select pg_catalog.pg_backend_pid() as pid';

/** Two connections that are open at the same time and have one session are those of a pooler that hands sessions on between transactions. A busy one may hand out another. */
export async function sharesSessions(client: pg.Client, url: string): Promise<boolean> {
  const other = new Client({ connectionString: url, application_name: 'plinth sessions' });
  other.on('error', () => {});
  try {
    await other.connect();
    const mine = await client.query<{ pid: number }>(WHO);
    const its = await other.query<{ pid: number }>(WHO);
    return mine.rows[0]?.pid === its.rows[0]?.pid;
  } finally {
    await other.end();
  }
}

/** A connection beside those of a pool, to the same place. The password is named, because the pool hides it from copies of its options. */
export function clientBeside(pool: pg.Pool, options: pg.ClientConfig): Client {
  const own: pg.ClientConfig = pool.options;
  return new Client({ keepAlive: true, keepAliveInitialDelayMillis: SILENT_MS, ...own, password: own.password, ...options });
}

/** Ends a connection in good order, and cuts it off where the other end does not answer. */
export async function endWithin(client: pg.Client, graceMs: number): Promise<void> {
  const { stream } = (client as unknown as { connection: { stream: { destroy(): void } } }).connection;
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    stream.destroy();
    resolve();
  }, graceMs);
  await Promise.race([client.end().catch(() => {}), late]);
  clearTimeout(timer);
}

/**
 * A pool whose connections pipeline: BEGIN and the context are sent with the first statement, the effects with COMMIT,
 * so that a transaction of one statement costs two round trips, not five.
 */
export function createPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    Client,
    connectionString: options.url,
    max: options.max ?? 10,
    application_name: options.applicationName ?? 'plinth',
    connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
    pipeline: true,
    keepAlive: true,
    keepAliveInitialDelayMillis: SILENT_MS,
  } as pg.PoolConfig);
  return survivingLoss(pool);
}

/**
 * A connection that dies, idle or in use, must not end the process: whoever waits on it gets the error, the pool makes another.
 * The pool listens to idle clients only, and Node ends on an 'error' event without a listener.
 */
export function survivingLoss(pool: pg.Pool): pg.Pool {
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** What the driver keeps of the connections it made; its types do not say. */
type Clients = pg.Pool & { _clients: { connection: { stream: { destroy(): void } } }[] };

/**
 * From now on, every `graceMs`, the connections of a pool are cut off: what runs on them is rolled back and fails with kernel_unavailable. Again and again, because
 * those who waited for one go on with another. Returns the way to stop.
 */
export function cutConnections(pool: pg.Pool, graceMs: number): () => void {
  const timer = setInterval(() => {
    for (const { connection } of (pool as Clients)._clients) connection.stream.destroy();
  }, graceMs);
  return () => clearInterval(timer);
}

/** Quotes an SQL identifier. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Quotes an SQL literal. */
export const literal = (text: string): string => pg.escapeLiteral(text);
