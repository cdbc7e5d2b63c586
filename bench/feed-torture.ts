/**
 * Torture of the feed cursor: writers with rollbacks, savepoints, two-phase commits and transactions of seconds; readers whose
 * connections are killed in the middle of a batch; and an oracle that compares what was committed with what the readers did.
 */
import pg from 'pg';
import { createPlinth } from '../packages/plinth/src/index.ts';
import { toPlinthError } from '../packages/plinth/src/kernel/errors.ts';
import { consumeOnce } from '../packages/plinth/src/kernel/feed.ts';
import type { AnyTransaction } from '../packages/plinth/src/kernel/transaction.ts';
import type { FeedEvent } from '../packages/plinth/src/kernel/work.ts';
import { seeded } from '../packages/plinth/src/testing/random.ts';
import type { BenchContext, Report } from './harness.ts';
import { emmettUnderTest, messageDbUnderTest, plinthLog } from './peers/feed-logs.ts';
import type { LogVerdict } from './peers/feed-torture.ts';
import { tortureLog } from './peers/feed-torture.ts';

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

export interface TortureResult {
  committed: number;
  rolledBack: number;
  prepared: number;
  longTransactions: number;
  kills: number;
  /** Batches that were being handled when their connection died. */
  killedBatches: number;
  lost: number;
  duplicated: number;
  inverted: number;
  /** Events that were handled more than 1 s after their commit, not counting time in which the machine answered nobody. */
  stalled: number;
  /** Long transactions during which nothing was handled that committed after they had begun. */
  blockades: number;
  /** Longest time in which a query that waits for nothing had no answer. */
  worstSilenceMs: number;
  worstLagMs: number;
  medianLagMs: number;
  tookMs: number;
}

const CONSUMER = 'torture.reader';
const READER_APP = 'plinth torture reader';
/** Writers wait beyond this many unread events, so that lag tells of stalls and not of a reader that is merely slower. */
const MOST_UNREAD = 400;
const STALL_MS = 1_000;
const SILENT_MS = 100;
/** Transactions that began before a long one may still commit and be read by any cursor in this time. */
const SETTLED_MS = 300;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Run {
  options: TortureOptions;
  committed: Map<string, number>;
  rolledBack: number;
  prepared: number;
  longTransactions: number;
  kills: number;
  killedBatches: number;
  handled: number;
  writing: boolean;
  reading: boolean;
  transactionNo: number;
  /** While each of the long transactions was open. */
  long: { from: number; to: number }[];
  /** Times in which the machine was too busy to answer `select 1`. */
  silences: { from: number; to: number }[];
}

const SETUP = `
create schema torture;
create table torture.work (id bigint generated always as identity primary key, tenant_id uuid not null, note text);
create table torture.effects (seq bigint generated always as identity primary key, event_id uuid not null, stream text, version bigint, at timestamptz not null default clock_timestamp());
grant usage on schema torture to plinth_app, plinth_worker;
grant insert on torture.work to plinth_app;
grant insert on torture.effects to plinth_worker;
create table torture.naive (last bigint not null, xact xid8 not null);
insert into torture.naive values (0, '0')`;

type Ending = 'commit' | 'rollback' | 'prepare and commit' | 'prepare and roll back';

const endingOf = (roll: number): Ending => (roll < 0.1 ? 'rollback' : roll < 0.17 ? 'prepare and commit' : roll < 0.2 ? 'prepare and roll back' : 'commit');

/** A few hot streams a tenant, many cold ones and none at all; one hot stream a transaction, or most of the time would go into deadlocks. */
function appendText(random: () => number, tenant: string, hot: number): string {
  const roll = random();
  if (roll < 0.3) return `select plinth.publish_event('torture.happened', '{"tenant":"${tenant}"}') as id`;
  const stream = roll < 0.7 ? `hot-${hot}` : `cold-${Math.floor(random() * 100_000)}`;
  return `select plinth.append_event('${stream}', 'torture', 'torture.happened', '{"tenant":"${tenant}"}') as id`;
}

const append = async (client: pg.Client, text: string): Promise<string> => {
  const { rows } = await client.query<{ id: string }>(text);
  return rows[0]?.id ?? '';
};

/** Business write first, so that the transaction id is older than the appends; then events, some of them under savepoints that roll back. */
async function writeEvents(client: pg.Client, random: () => number, tenant: string): Promise<string[]> {
  const ids: string[] = [];
  const hot = Math.floor(random() * 6);
  if (random() < 0.5) await client.query(`insert into torture.work (tenant_id, note) values ('${tenant}', 'before')`);
  const count = random() < 0.6 ? 1 + Math.floor(random() * 3) : 5 + Math.floor(random() * 20);
  for (let n = 0; n < count; n++) {
    const inner = random();
    if (inner < 0.15) await client.query('savepoint inner_part');
    ids.push(await append(client, appendText(random, tenant, hot)));
    if (inner < 0.05) {
      await client.query('rollback to savepoint inner_part');
      ids.pop();
    } else if (inner < 0.15) await client.query('release savepoint inner_part');
  }
  return ids;
}

async function end(run: Run, client: pg.Client, ending: Ending, ids: readonly string[], random: () => number): Promise<void> {
  if (ending === 'rollback') await client.query('rollback');
  else if (ending === 'commit') await client.query('commit');
  else {
    const name = `torture ${run.options.seed} ${++run.transactionNo}`;
    await client.query(`prepare transaction '${name}'`);
    await pause(random() * 150);
    // A prepared transaction belongs to the role that prepared it.
    await client.query('set role plinth_app');
    await client.query(`${ending === 'prepare and commit' ? 'commit' : 'rollback'} prepared '${name}'`);
    await client.query('reset role');
    run.prepared++;
  }
  const at = Date.now();
  if (ending === 'commit' || ending === 'prepare and commit') for (const id of ids) run.committed.set(id, at);
  else run.rolledBack++;
}

const begin = (tenant: string): string => `begin; set local role plinth_app; set local plinth.tenant_id = '${tenant}'`;
const isDeadlock = (error: unknown): boolean => (error as { code?: string }).code === '40P01';

/** A connection for as long as `body` runs: what fails must not leave its locks behind. */
async function connected(url: string, body: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await body(client);
  } finally {
    await client.end();
  }
}

const writer = (run: Run, random: () => number): Promise<void> => connected(run.options.serverUrl, (client) => write(run, client, random));

async function write(run: Run, client: pg.Client, random: () => number): Promise<void> {
  const tenants = run.options.tenants;
  while (run.writing) {
    // A reader that loses events never catches up; its writers only pace themselves.
    if ((run.options.cursor ?? 'snapshot') !== 'snapshot') await pause(5);
    else if (run.committed.size - run.handled > MOST_UNREAD) {
      await pause(5);
      continue;
    }
    const tenant = tenants[Math.floor(random() * tenants.length)] ?? '';
    try {
      await client.query(begin(tenant));
      const ids = await writeEvents(client, random, tenant);
      await end(run, client, endingOf(random()), ids, random);
    } catch (error) {
      // Two writers that take hot streams in opposite orders: their transactions were never promised anything else.
      if (!isDeadlock(error)) throw error;
      await client.query('rollback');
      run.rolledBack++;
    }
  }
}

/** Takes its transaction id, waits, and only then appends to a hot stream: its event has an old id and a new version. */
const longWriter = (run: Run, random: () => number): Promise<void> => connected(run.options.serverUrl, (client) => writeLong(run, client, random));

async function writeLong(run: Run, client: pg.Client, random: () => number): Promise<void> {
  const tenants = run.options.tenants;
  while (run.writing) {
    const tenant = tenants[Math.floor(random() * tenants.length)] ?? '';
    await client.query(begin(tenant));
    await client.query(`insert into torture.work (tenant_id, note) values ('${tenant}', 'long')`);
    const from = Date.now();
    const ids = [await append(client, `select plinth.append_event('long-${run.longTransactions}', 'torture', 'torture.happened') as id`)];
    await pause(run.options.longMs ?? 3_000);
    for (let n = 0; n < 3; n++)
      ids.push(await append(client, `select plinth.append_event('hot-${run.longTransactions % 6}', 'torture', 'torture.happened', '{"long":true}') as id`));
    run.long.push({ from, to: Date.now() });
    await end(run, client, 'commit', ids, random);
    run.longTransactions++;
  }
}

const recordEffects = `insert into torture.effects (event_id, stream, version)
  select e.id, e.tenant_id || ':' || e.aggregate_type || ':' || e.aggregate_id, e.version
  from unnest($1::uuid[], $2::uuid[]) with ordinality as b (tenant_id, id, nth) join plinth_events.events as e on e.tenant_id = b.tenant_id and e.id = b.id order by b.nth`;

async function reader(run: Run, random: () => number): Promise<void> {
  const plinth = createPlinth({ database: { url: run.options.serverUrl, max: 2, applicationName: READER_APP } });
  const handle = async (tx: AnyTransaction, events: readonly FeedEvent[]): Promise<void> => {
    await tx.query(recordEffects, [events.map((event) => event.tenantId), events.map((event) => event.id)]);
    // Time in which a kill finds the effects written and the cursor not yet moved.
    await tx.query('select pg_sleep($1)', [random() * 0.01]);
  };
  while (run.reading) {
    let handling = false;
    try {
      const counted = (tx: AnyTransaction, events: readonly FeedEvent[]): Promise<void> => {
        handling = true;
        return handle(tx, events);
      };
      const done = await consumeOnce(plinth, CONSUMER, { summary: 'counts', batchSize: 200, handle: counted });
      if (done === 0) await pause(10);
    } catch (error) {
      if (toPlinthError(error).code !== 'kernel_unavailable') throw error;
      if (handling) run.killedBatches++;
    }
  }
  await plinth.close();
}

const NAIVE: Record<'position' | 'horizon', string> = {
  position: `with batch as (
      select e.* from plinth_events.events as e where e.position > (select last from torture.naive) order by e.position limit 200
    ), moved as (update torture.naive set last = coalesce((select max(position) from batch), last))`,
  horizon: `with batch as (
      select e.* from plinth_events.events as e, torture.naive as n
      where (e.xact, e.position) > (n.xact, n.last) and e.xact < pg_snapshot_xmin(pg_current_snapshot()) order by e.xact, e.position limit 200
    ), newest as (select b.xact, b.position from batch as b order by b.xact desc, b.position desc limit 1
    ), moved as (update torture.naive as n set xact = newest.xact, last = newest.position from newest)`,
};

const naiveReader = (run: Run, cursor: 'position' | 'horizon'): Promise<void> =>
  connected(run.options.adminUrl, async (client) => {
    const order = cursor === 'position' ? 'position' : 'xact, position';
    const text = `${NAIVE[cursor]} insert into torture.effects (event_id, stream, version)
      select id, tenant_id || ':' || aggregate_type || ':' || aggregate_id, version from batch order by ${order}`;
    while (run.reading) if ((await client.query(text)).rowCount === 0) await pause(10);
  });

const killer = (run: Run, random: () => number): Promise<void> => connected(run.options.adminUrl, (client) => kill(run, client, random));

async function kill(run: Run, client: pg.Client, random: () => number): Promise<void> {
  while (run.reading) {
    await pause(50 + random() * 300);
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database() order by state <> 'idle' desc, random() limit 1`,
      [READER_APP],
    );
    run.kills += rowCount ?? 0;
  }
}

/** Asks for nothing every 20 ms: what this waits for is the machine, and not the feed. */
const heartbeat = (run: Run): Promise<void> =>
  connected(run.options.adminUrl, async (client) => {
    for (let from = Date.now(); run.reading; from = Date.now()) {
      await client.query('select 1');
      await pause(20);
      if (Date.now() - from > SILENT_MS) run.silences.push({ from, to: Date.now() });
    }
  });

const silentWithin = (run: Run, from: number, to: number): number =>
  run.silences.reduce((sum, silence) => sum + Math.max(0, Math.min(to, silence.to) - Math.max(from, silence.from)), 0);

interface Span {
  from: number;
  to: number;
}

/** Events were committed while the transaction was open, and none of them was handled before it ended. The last one of a run may have had no company. */
function heldUp(open: Span, waits: readonly Span[]): boolean {
  const meanwhile = waits.filter(({ from }) => from > open.from + SETTLED_MS && from < open.to - SETTLED_MS);
  return meanwhile.length > 0 && !meanwhile.some(({ to }) => to < open.to);
}

interface Verdict {
  lost: number;
  duplicated: number;
  inverted: number;
}

const VERDICT = `select
  (select count(*)::int from plinth_events.events as e where not exists (select from torture.effects as f where f.event_id = e.id)) as lost,
  (select (count(*) - count(distinct event_id))::int from torture.effects) as duplicated,
  (select count(*)::int from (select version - lag(version) over (partition by stream order by seq) as step from torture.effects where stream is not null) as s where step < 1) as inverted`;

async function judge(run: Run, admin: pg.Client, tookMs: number): Promise<TortureResult> {
  const { rows } = await admin.query<Verdict>(VERDICT);
  const { rows: effects } = await admin.query<{ event_id: string; at: number }>(
    'select event_id, extract(epoch from at)::float8 * 1000 as at from torture.effects',
  );
  const { rows: truth } = await admin.query<{ id: string }>('select id from plinth_events.events');
  const known = new Set(truth.map((row) => row.id));
  const vanished = [...run.committed.keys()].filter((id) => !known.has(id)).length;
  const waits = effects.map((effect) => ({ from: run.committed.get(effect.event_id) ?? effect.at, to: effect.at }));
  const lags = waits.map(({ from, to }) => to - from).sort((x, y) => x - y);
  return {
    committed: run.committed.size,
    rolledBack: run.rolledBack,
    prepared: run.prepared,
    longTransactions: run.longTransactions,
    kills: run.kills,
    killedBatches: run.killedBatches,
    lost: (rows[0]?.lost ?? -1) + vanished,
    duplicated: rows[0]?.duplicated ?? -1,
    inverted: rows[0]?.inverted ?? -1,
    stalled: waits.filter(({ from, to }) => to - from > STALL_MS && to - from - silentWithin(run, from, to) > STALL_MS).length,
    blockades: run.long.filter((open) => heldUp(open, waits)).length,
    worstSilenceMs: Math.max(0, ...run.silences.map(({ from, to }) => to - from)),
    worstLagMs: Math.round(lags.at(-1) ?? 0),
    medianLagMs: Math.round(lags[Math.floor(lags.length / 2)] ?? 0),
    tookMs: Math.round(tookMs),
  };
}

/** Runs until `events` are committed and read; gives up on events that are not read for 6 s: the oracle counts them as lost. */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const random = seeded(options.seed);
  const fork = (): (() => number) => seeded(Math.floor(random() * 4294967296));
  const run: Run = {
    options,
    committed: new Map(),
    rolledBack: 0,
    prepared: 0,
    longTransactions: 0,
    kills: 0,
    killedBatches: 0,
    handled: 0,
    writing: true,
    reading: true,
    transactionNo: 0,
    long: [],
    silences: [],
  };
  const admin = new pg.Client({ connectionString: options.adminUrl });
  await admin.connect();
  await admin.query(SETUP);
  const started = performance.now();
  const { cursor = 'snapshot' } = options;
  // A reader by horizon stands still for as long as the long transactions run.
  const silenceMs = cursor === 'snapshot' ? 6_000 : (options.longMs ?? 3_000) + 1_000;
  const readers =
    cursor === 'snapshot' ? [...Array.from({ length: options.readers ?? 3 }, () => reader(run, fork())), killer(run, fork())] : [naiveReader(run, cursor)];
  readers.push(heartbeat(run));
  const writers = [...Array.from({ length: options.writers ?? 6 }, () => writer(run, fork())), longWriter(run, fork())];
  const failed = Promise.race([...readers, ...writers].map((part) => part.then(() => new Promise<never>(() => {}))));
  failed.catch(() => {});
  const progress = async (): Promise<void> => {
    let last = -1;
    let movedAt = performance.now();
    while (run.writing || run.handled < run.committed.size) {
      if (run.committed.size >= options.events) run.writing = false;
      // From the cursors: a reader that is killed right after its COMMIT does not know of it.
      const { rows } = await admin.query<{ handled: number }>(
        cursor === 'snapshot'
          ? `select coalesce(sum(handled), 0)::int as handled from plinth_kernel.feed_cursors where consumer = '${CONSUMER}'`
          : 'select count(*)::int as handled from torture.effects',
      );
      run.handled = rows[0]?.handled ?? 0;
      if (run.handled !== last) {
        last = run.handled;
        movedAt = performance.now();
      } else if (performance.now() - movedAt > silenceMs) break;
      await pause(20);
    }
  };
  try {
    await Promise.race([progress(), failed]);
    run.writing = false;
    await Promise.race([Promise.all(writers), failed]);
    await Promise.race([progress(), failed]);
    return await judge(run, admin, performance.now() - started);
  } finally {
    run.writing = false;
    run.reading = false;
    // A writer that failed may have left a prepared transaction, on whose locks the others wait.
    const { rows } = await admin.query<{ gid: string }>('select gid from pg_prepared_xacts where database = current_database()');
    await Promise.allSettled(rows.map(({ gid }) => admin.query(`rollback prepared '${gid}'`)));
    await Promise.allSettled([...writers, ...readers]);
    await admin.end();
  }
}

/** What the usual ways of reading come to under the same writers, each in tables of its own. */
async function peers(context: BenchContext, seed: number, events: number): Promise<Record<'position' | 'horizon', TortureResult>> {
  const one = async (cursor: 'position' | 'horizon'): Promise<TortureResult> => {
    await context.admin.query('drop schema if exists torture cascade');
    await context.admin.query('truncate plinth_events.events, plinth_events.streams, plinth_events.dedup');
    return torture({ adminUrl: context.url, serverUrl: context.serverUrl, tenants: [context.tenantId, context.otherTenantId], events, seed, cursor });
  };
  return { position: await one('position'), horizon: await one('horizon') };
}

/** The same writers and the same oracle for us, emmett-postgresql and Message DB, while a transaction in another database writes. */
async function logs(context: BenchContext, seed: number): Promise<[string, LogVerdict][]> {
  const verdicts: [string, LogVerdict][] = [];
  const foreign = new URL(context.url);
  foreign.pathname = '/postgres';
  for (const open of [() => plinthLog(context), () => emmettUnderTest(context.url), () => messageDbUnderTest(context.url)]) {
    const log = await open();
    try {
      const options = { events: context.quick ? 500 : 5_000, foreignMs: context.quick ? 5_000 : 30_000, longMs: 3_000 };
      verdicts.push([log.name, await tortureLog(log, { ...options, random: seeded(seed), foreignUrl: foreign.href })]);
    } finally {
      await log.close();
    }
  }
  return verdicts;
}

/** `npm run bench -- feed-torture [--quick] [--set events=1000000]`; PLINTH_SEED=<n> repeats the choices of a run, though not its schedule. */
export async function run(context: BenchContext): Promise<Report> {
  const seed = Number(process.env.PLINTH_SEED ?? Date.now() % 1_000_000);
  const events = Number(context.args.events ?? (context.quick ? 5_000 : 100_000));
  console.log(`feed torture, seed ${seed}, ${events} events`);
  // More tenants than shards, so that every shard is busy.
  const tenants = Array.from({ length: 12 }, () => context.plinth.newId());
  const ours = await torture({ adminUrl: context.url, serverUrl: context.serverUrl, tenants, events, seed });
  const { position, horizon } = await peers(context, seed, Math.min(events, 3_000));
  const verdicts = await logs(context, seed);
  const own = verdicts[0]?.[1];
  const row = (variant: string, value: number, unit: string) => ({ variant, median: value, least: value, most: value, unit });
  const peerRows = (name: string, result: TortureResult) => [
    row(`${name}: lost of ${result.committed}`, result.lost, 'events'),
    row(`${name}: inverted inside a stream`, result.inverted, 'events'),
    row(`${name}: handled more than 1 s late`, result.stalled, 'events'),
    row(`${name}: long transactions that held up everything`, result.blockades, 'tx'),
  ];
  return {
    name: 'feed-torture',
    title: 'Feed cursor under torture: 6 writers and one of long transactions, 3 readers killed at random',
    settings: [`seed ${seed}`, 'fsync on', 'long transactions of 3 s', 'a kill every 50 to 350 ms'],
    rows: [
      row('events committed', ours.committed, 'events'),
      row('transactions rolled back', ours.rolledBack, 'tx'),
      row('two-phase transactions', ours.prepared, 'tx'),
      row('long transactions', ours.longTransactions, 'tx'),
      row('readers killed', ours.kills, 'kills'),
      row('of them in the middle of a batch', ours.killedBatches, 'kills'),
      row('lag after commit, median', ours.medianLagMs, 'ms'),
      row('lag after commit, worst', ours.worstLagMs, 'ms'),
      row('longest time without an answer to select 1', ours.worstSilenceMs, 'ms'),
      row('wall time', Math.round(ours.tookMs / 1000), 's'),
      ...peerRows('id > last', position),
      ...peerRows('xmin horizon', horizon),
      ...verdicts.flatMap(([name, verdict]) => [
        row(`${name}: lost of ${verdict.committed}`, verdict.lost, 'events'),
        row(`${name}: handled twice`, verdict.duplicated, 'events'),
        row(`${name}: inverted inside a stream`, verdict.inverted, 'events'),
        row(`${name}: lag while another database's transaction writes, median`, verdict.medianLagMs, 'ms'),
        row(`${name}: the same, 99th of 100`, verdict.p99LagMs, 'ms'),
      ]),
    ],
    bars: [
      { what: 'events lost', value: ours.lost, atMost: 0 },
      { what: 'effects duplicated', value: ours.duplicated, atMost: 0 },
      { what: 'inverted inside a stream', value: ours.inverted, atMost: 0 },
      { what: 'handled more than 1 s after their commit', value: ours.stalled, atMost: 0 },
      { what: 'long transactions that held up everything', value: ours.blockades, atMost: 0 },
      { what: 'lost, handled twice or inverted beside the peers', value: own ? own.lost + own.duplicated + own.inverted : Number.NaN, atMost: 0 },
      { what: 'ms of lag while another transaction writes, 99th of 100', value: own?.p99LagMs ?? Number.NaN, atMost: 50 },
    ],
    notes: [
      'The two other cursors read the same kind of load, 3,000 events, with one reader that is not killed.',
      `The three logs at the end have the same 6 writers and one of transactions of 3 s, no kills, and a transaction that writes in another database for ${context.quick ? 5 : 30} s. Each is read as it comes: ours every 10 ms when nothing was there, emmett's consumer with its settings, Message DB every 10 ms.`,
    ],
  };
}
