import pg from 'pg';

export interface TortureOptions {
  /** Superuser on a migrated database. */
  adminUrl: string;
  /** Serving role on the same. */
  serverUrl: string;
  tenants: readonly string[];
  /** Events to commit, at least. */
  events: number;
  seed: number;
  writers?: number;
  readers?: number;
  /** Length of the long transactions. Default 3,000. */
  longMs?: number;
  /**
   * What is tortured. `position` (id > last) and `horizon` (transactions older than any open one, in their order) are the usual
   * ways to read such a log, here with one reader that nobody kills: they show that the oracle sees what it looks for.
   */
  cursor?: 'snapshot' | 'position' | 'horizon';
}

export interface Span {
  from: number;
  to: number;
}

/** A transaction that stays open after it has taken its id. */
export interface LongTransaction extends Span {
  xact: bigint;
}

/** What the parts of a torture share while it runs. */
export interface Run {
  options: TortureOptions;
  /** When it was known that an event is committed, ms since 1970, by its id. */
  committed: Map<string, number>;
  /** Transactions that were committed. */
  commits: number;
  rolledBack: number;
  prepared: number;
  longTransactions: number;
  kills: number;
  killedBatches: number;
  handled: number;
  /** Batches that readers have finished. */
  batches: number;
  writing: boolean;
  reading: boolean;
  transactionNo: number;
  long: LongTransaction[];
  /** Times in which the machine was too busy to answer `select 1`. */
  silences: Span[];
}

export const newRun = (options: TortureOptions): Run => ({
  options,
  committed: new Map(),
  commits: 0,
  rolledBack: 0,
  prepared: 0,
  longTransactions: 0,
  kills: 0,
  killedBatches: 0,
  handled: 0,
  batches: 0,
  writing: true,
  reading: true,
  transactionNo: 0,
  long: [],
  silences: [],
});

export const SETUP = `
create schema torture;
create table torture.work (id bigint generated always as identity primary key, tenant_id uuid not null, note text);
create table torture.effects (seq bigint generated always as identity primary key, event_id uuid not null, stream text, version bigint, at timestamptz not null default clock_timestamp());
grant usage on schema torture to plinth_app, plinth_worker;
grant insert on torture.work to plinth_app;
grant insert on torture.effects to plinth_worker;
create table torture.naive (last bigint not null, xact xid8 not null);
insert into torture.naive values (0, '0')`;

export const writersOf = ({ writers = 6 }: TortureOptions): number => writers;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A connection for as long as `body` runs: what fails must not leave its locks behind. */
export async function connected(url: string, body: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await body(client);
  } finally {
    await client.end();
  }
}
