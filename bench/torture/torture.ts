/**
 * Torture of the feed cursor: writers with rollbacks, savepoints, two-phase commits and transactions of seconds; readers whose
 * connections are killed in the middle of a batch; and an oracle that compares what was committed with what the readers did.
 */
import pg from 'pg';
import { seeded } from '../../packages/plinth/src/testing/random.ts';
import { CONSUMER, heartbeat, killer, naiveReader, reader } from './readers.ts';
import type { Run, TortureOptions } from './run.ts';
import { newRun, pause, SETUP, writersOf } from './run.ts';
import type { TortureResult } from './verdict.ts';
import { judge } from './verdict.ts';
import { longWriter, writer } from './writers.ts';

export type { TortureOptions, TortureResult };

/** Tries that were killed make the next one wait longer, up to a minute; one that is to wait for an hour counts as lost. */
async function delayed(admin: pg.Client): Promise<boolean> {
  const soon = `retry_at between clock_timestamp() and clock_timestamp() + interval '65 seconds'`;
  const { rowCount } = await admin.query(`select from plinth_events.parked where consumer = '${CONSUMER}' and status = 'failing' and ${soon}`);
  return (rowCount ?? 0) > 0;
}

const countOf = async (admin: pg.Client, text: string): Promise<number> => (await admin.query<{ n: number }>(text)).rows[0]?.n ?? 0;
const effects = (admin: pg.Client): Promise<number> => countOf(admin, 'select count(*)::int as n from torture.effects');
/** Cheaper, and less by those that were put aside and handled later. A reader that is killed right after its COMMIT does not know of it. */
const passed = (admin: pg.Client): Promise<number> =>
  countOf(
    admin,
    `select (select coalesce(sum(handled), 0) from plinth_kernel.feed_cursors where consumer = '${CONSUMER}')::int
       - (select count(*) from plinth_events.parked where consumer = '${CONSUMER}' and ended_at is null)::int as n`,
  );

/** Until everything is committed and handled, or nothing was handled for so long. */
async function progress(run: Run, admin: pg.Client): Promise<void> {
  const { cursor = 'snapshot', longMs = 3_000, events } = run.options;
  // A reader by horizon stands still for as long as the long transactions run.
  const silenceMs = cursor === 'snapshot' ? 6_000 : longMs + 1_000;
  const count = cursor === 'snapshot' ? passed : effects;
  let counted = -1;
  let last = -1;
  let movedAt = performance.now();
  while (run.writing || run.handled < run.committed.size) {
    // One long transaction at least: without it nothing tells the cursors apart.
    if (run.committed.size >= events && run.longTransactions > 0) run.writing = false;
    const before = counted;
    counted = await count(admin);
    run.handled = counted === before ? await effects(admin) : counted;
    if (run.handled !== last) {
      last = run.handled;
      movedAt = performance.now();
    } else if (performance.now() - movedAt > silenceMs && !(await delayed(admin))) break;
    await pause(20);
  }
}

/** Runs until `events` are committed and read; gives up when nothing is read for 6 s and nothing is to be tried again soon: the oracle counts the rest as lost. */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const random = seeded(options.seed);
  const fork = (): (() => number) => seeded(Math.floor(random() * 4294967296));
  const run = newRun(options);
  const admin = new pg.Client({ connectionString: options.adminUrl });
  await admin.connect();
  await admin.query(SETUP);
  const started = performance.now();
  const { cursor = 'snapshot' } = options;
  const readers =
    cursor === 'snapshot' ? [...Array.from({ length: options.readers ?? 3 }, () => reader(run, fork())), killer(run, fork())] : [naiveReader(run, cursor)];
  readers.push(heartbeat(run));
  const writers = [...Array.from({ length: writersOf(options) }, () => writer(run, fork())), longWriter(run, fork())];
  const failed = Promise.race([...readers, ...writers].map((part) => part.then(() => new Promise<never>(() => {}))));
  failed.catch(() => {});
  try {
    await Promise.race([progress(run, admin), failed]);
    run.writing = false;
    await Promise.race([Promise.all(writers), failed]);
    await Promise.race([progress(run, admin), failed]);
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
