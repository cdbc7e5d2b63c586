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

/** Until everything is committed and handled, or nothing was handled for so long. */
async function progress(run: Run, admin: pg.Client): Promise<void> {
  const { cursor = 'snapshot', longMs = 3_000, events } = run.options;
  // A reader by horizon stands still for as long as the long transactions run.
  const silenceMs = cursor === 'snapshot' ? 6_000 : longMs + 1_000;
  // From the cursors: a reader that is killed right after its COMMIT does not know of it.
  const handled =
    cursor === 'snapshot'
      ? `select (select coalesce(sum(handled), 0) from plinth_kernel.feed_cursors where consumer = '${CONSUMER}')::int
          - (select count(*) from plinth_events.parked where consumer = '${CONSUMER}' and ended_at is null)::int as handled`
      : 'select count(*)::int as handled from torture.effects';
  let last = -1;
  let movedAt = performance.now();
  while (run.writing || run.handled < run.committed.size) {
    // One long transaction at least: without it nothing tells the cursors apart.
    if (run.committed.size >= events && run.longTransactions > 0) run.writing = false;
    const { rows } = await admin.query<{ handled: number }>(handled);
    run.handled = rows[0]?.handled ?? 0;
    if (run.handled !== last) {
      last = run.handled;
      movedAt = performance.now();
    } else if (performance.now() - movedAt > silenceMs) break;
    await pause(20);
  }
}

/** Runs until `events` are committed and read; gives up on events that are not read for 6 s: the oracle counts them as lost. */
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
