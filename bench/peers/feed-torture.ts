/**
 * The part of the feed's torture that every log can be put through: writers whose transactions write before they append, wait and roll back,
 * one whose transactions are long, and meanwhile a transaction in another database that writes and stays open. The same oracle for all.
 */
import pg from 'pg';

export interface LoggedEvent {
  id: string;
  /** Undefined: appended, but refused by a version that others took: the transaction rolls back. */
  written: boolean;
}

export interface LogUnderTest {
  readonly name: string;
  /** Connection with which transactions append. */
  connect(): Promise<pg.Client>;
  /** BEGIN with what it takes. */
  readonly begin: string;
  /** Any write that gives the transaction its id; the table is the torture's own. */
  readonly work: string;
  append(client: pg.Client, stream: string): Promise<LoggedEvent>;
  /** Starts to read all of it into `effects`, and ends when it is asked to. */
  read(): Promise<{ stop(): Promise<void> }>;
  /** What is committed, and what was read in the order in which it was. */
  readonly logSql: string;
  query<Row>(text: string): Promise<Row[]>;
}

export interface LogVerdict {
  committed: number;
  lost: number;
  duplicated: number;
  inverted: number;
  /** Committed while the foreign transaction was open. */
  eventsPerS: number;
  /** Of these. */
  p99LagMs: number;
  medianLagMs: number;
}

export const EFFECTS = `create schema torture;
  create table torture.work (id bigint generated always as identity primary key, note text);
  create table torture.effects (seq bigint generated always as identity primary key, event_id text not null, stream text, version bigint, at timestamptz not null default clock_timestamp())`;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Options {
  events: number;
  /** How long the foreign transaction stays open. */
  foreignMs: number;
  longMs: number;
  random: () => number;
  /** Superuser on another database of the same server. */
  foreignUrl: string;
}

interface Run extends Options {
  log: LogUnderTest;
  committed: Map<string, number>;
  writing: boolean;
  foreign: { from: number; to: number };
}

/** What another transaction took, or a deadlock: nothing was promised of such a transaction. */
const isRefusal = (error: unknown): boolean => ['40P01', '40001', '23505', 'P0001'].includes((error as { code?: string }).code ?? '');

async function transaction(run: Run, client: pg.Client, body: (append: (stream: string) => Promise<void>) => Promise<void>): Promise<void> {
  const ids: string[] = [];
  let refused = false;
  try {
    await client.query(run.log.begin);
    await body(async (stream) => {
      const { id, written } = await run.log.append(client, stream);
      refused ||= !written;
      ids.push(id);
    });
    if (refused || run.random() < 0.1) {
      await client.query('rollback');
      return;
    }
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    if (isRefusal(error)) return;
    throw error;
  }
  const at = Date.now();
  for (const id of ids) run.committed.set(id, at);
}

async function writer(run: Run): Promise<void> {
  const client = await run.log.connect();
  try {
    while (run.writing) {
      const roll = run.random();
      const stream = roll < 0.5 ? `hot-${Math.floor(run.random() * 6)}` : `cold-${Math.floor(run.random() * 100_000)}`;
      await transaction(run, client, async (append) => {
        if (run.random() < 0.5) await client.query(run.log.work);
        for (let n = Math.ceil(run.random() * 3); n > 0; n--) await append(stream);
        if (run.random() < 0.2) await pause(run.random() * 20);
      });
      // Readers keep up, so that lag tells of waiting and not of work.
      await pause(run.random() * 30);
    }
  } finally {
    await client.end();
  }
}

/** Has its transaction id before others append to its stream. */
async function longWriter(run: Run): Promise<void> {
  const client = await run.log.connect();
  try {
    for (let n = 0; run.writing; n++) {
      await transaction(run, client, async (append) => {
        await client.query(run.log.work);
        await pause(run.longMs);
        await append(`hot-${n % 6}`);
      });
      await pause(100);
    }
  } finally {
    await client.end();
  }
}

async function foreignWrite(run: Run): Promise<void> {
  const client = new pg.Client({ connectionString: run.foreignUrl });
  await client.connect();
  try {
    await pause(1_000);
    await client.query('begin; select pg_current_xact_id()');
    run.foreign.from = Date.now();
    await pause(run.foreignMs);
    run.foreign.to = Date.now();
    await client.query('commit');
  } finally {
    await client.end();
  }
}

async function judge(run: Run): Promise<LogVerdict> {
  const { log, foreign } = run;
  const effects = await log.query<{ event_id: string; stream: string | null; version: string | null; at: number }>(
    'select event_id, stream, version, extract(epoch from at)::float8 * 1000 as at from torture.effects order by seq',
  );
  const truth = await log.query<{ id: string }>(log.logSql);
  const times = new Map<string, number>();
  const newest = new Map<string, number>();
  let inverted = 0;
  for (const { event_id, stream, version, at } of effects) {
    if (times.has(event_id)) continue;
    times.set(event_id, at);
    if (stream === null) continue;
    if (Number(version) <= (newest.get(stream) ?? -1)) inverted += 1;
    newest.set(stream, Math.max(Number(version), newest.get(stream) ?? -1));
  }
  const lags = [...run.committed]
    .filter(([, at]) => at >= foreign.from && at <= foreign.to)
    .map(([id, at]) => (times.get(id) ?? Number.POSITIVE_INFINITY) - at)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  return {
    committed: truth.length,
    lost: truth.filter(({ id }) => !times.has(id)).length,
    duplicated: effects.length - times.size,
    inverted,
    eventsPerS: Math.round((lags.length / (foreign.to - foreign.from)) * 1_000),
    p99LagMs: Math.round(lags[Math.floor(lags.length * 0.99)] ?? Number.NaN),
    medianLagMs: Math.round(lags[Math.floor(lags.length / 2)] ?? Number.NaN),
  };
}

/** Runs until so many events are committed and the foreign transaction has ended, and gives the reader 10 s without progress before it judges. */
export async function tortureLog(log: LogUnderTest, options: Options): Promise<LogVerdict> {
  const run: Run = { ...options, log, committed: new Map(), writing: true, foreign: { from: 0, to: 0 } };
  const reading = await log.read();
  const writers = [...Array.from({ length: 6 }, () => writer(run)), longWriter(run)];
  const failed = Promise.all(writers);
  failed.catch(() => {
    run.writing = false;
  });
  await foreignWrite(run);
  while (run.writing && run.committed.size < run.events) await pause(50);
  run.writing = false;
  await failed;
  let last = -1;
  for (let still = 0; still < 100; still++) {
    const [{ n } = { n: 0 }] = await log.query<{ n: number }>('select count(distinct event_id)::int as n from torture.effects');
    if (n >= run.committed.size) break;
    if (n !== last) still = 0;
    last = n;
    await pause(100);
  }
  await reading.stop();
  return judge(run);
}
