/** Readers of the torture, who kills them, and who watches the machine meanwhile. */
import type pg from 'pg';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import { toPlinthError } from '../../packages/plinth/src/kernel/errors.ts';
import { consumeOnce, consumeParked } from '../../packages/plinth/src/kernel/feed.ts';
import type { AnyTransaction } from '../../packages/plinth/src/kernel/transaction.ts';
import type { Consumer, FeedEvent } from '../../packages/plinth/src/kernel/work.ts';
import type { Run } from './run.ts';
import { connected, pause } from './run.ts';

export const CONSUMER = 'torture.reader';
const READER_APP = 'plinth torture reader';
const SILENT_MS = 100;

const RECORD = 'insert into torture.effects (event_id, stream, version) select * from unnest($1::uuid[], $2::text[], $3::bigint[])';

/** Writes down what was handled, in its order. */
export const record = (tx: AnyTransaction, events: readonly FeedEvent[]): Promise<unknown> =>
  tx.query(RECORD, [
    events.map(({ id }) => id),
    events.map(({ tenantId, streamId }) => (streamId === null ? null : `${tenantId}:${streamId}`)),
    events.map(({ details }) => details?.version ?? null),
  ]);

export async function reader(run: Run, random: () => number): Promise<void> {
  const plinth = createPlinth({ database: { url: run.options.serverUrl, max: 2, applicationName: READER_APP } });
  while (run.reading) {
    let handling = false;
    const handle = async (tx: AnyTransaction, events: readonly FeedEvent[]): Promise<void> => {
      handling = true;
      await record(tx, events);
      // Time in which a kill finds the effects written and the cursor not yet moved.
      await tx.query('select pg_sleep($1)', [random() * 0.01]);
    };
    try {
      const consumer: Consumer = { summary: 'counts', batchSize: 200, details: true, handle };
      // An event that was killed with its reader a second time is tried again beside the others.
      const done = (await consumeOnce(plinth, CONSUMER, consumer)) + (await consumeParked(plinth, CONSUMER, consumer));
      if (done === 0) await pause(10);
      else run.batches++;
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

export const naiveReader = (run: Run, cursor: 'position' | 'horizon'): Promise<void> =>
  connected(run.options.adminUrl, async (client) => {
    const order = cursor === 'position' ? 'position' : 'xact, position';
    const text = `${NAIVE[cursor]} insert into torture.effects (event_id, stream, version)
      select id, tenant_id || ':' || aggregate_type || ':' || aggregate_id, version from batch order by ${order}`;
    while (run.reading) if ((await client.query(text)).rowCount === 0) await pause(10);
  });

export const killer = (run: Run, random: () => number): Promise<void> => connected(run.options.adminUrl, (client) => kill(run, client, random));

/** Kills are so many events apart at least: a machine on which a new connection takes longer than two of them would do little but lose them. */
const BETWEEN = 25;

async function kill(run: Run, client: pg.Client, random: () => number): Promise<void> {
  while (run.reading) {
    const { batches, handled } = run;
    await pause(50 + random() * 300);
    while (run.reading && run.handled < run.committed.size && (run.batches === batches || run.handled < handled + BETWEEN)) await pause(5);
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database() order by state <> 'idle' desc, random() limit 1`,
      [READER_APP],
    );
    run.kills += rowCount ?? 0;
  }
}

/** Asks for nothing every 20 ms: what this waits for is the machine, and not the feed. */
export const heartbeat = (run: Run): Promise<void> =>
  connected(run.options.adminUrl, async (client) => {
    for (let from = Date.now(); run.reading; from = Date.now()) {
      await client.query('select 1');
      await pause(20);
      if (Date.now() - from > SILENT_MS) run.silences.push({ from, to: Date.now() });
    }
  });
