import { consumeOnce } from '../packages/plinth/src/kernel/feed.ts';
import type { Consumer } from '../packages/plinth/src/kernel/work.ts';
import type { BenchContext, Report } from './harness.ts';
import { interleave, ratio, rowsOf } from './harness.ts';
import type { EmmettLog } from './peers/emmett-consumer.ts';
import { emmettLog } from './peers/emmett-consumer.ts';
import { DATA } from './peers/event-store.ts';

const TENANTS = 12;

/** Events of a hundred a transaction, streams of a hundred, as the peer's. */
async function fill({ admin, plinth }: BenchContext, events: number): Promise<void> {
  const tenants = Array.from({ length: TENANTS }, () => plinth.newId());
  await admin.query(`create schema if not exists catchup; create table if not exists catchup.handled (event_id text not null, stream text, cents integer);
    grant usage on schema catchup to plinth_worker; grant insert on catchup.handled to plinth_worker`);
  for (let n = 0; n < events; n += 100) {
    const tenant = tenants[(n / 100) % TENANTS];
    await admin.query(
      `insert into plinth_events.events (tenant_id, shard, type, aggregate_type, aggregate_id, version, payload)
       select $1, plinth_kernel.shard_of($1), 'bench.appended', 'bench', $2, n, $3 from generate_series(1, $4::int) as n`,
      [tenant, String(n / 100), JSON.stringify(DATA), Math.min(100, events - n)],
    );
  }
  await admin.query('analyze plinth_events.events');
}

type Handle = (counted: { n: number }) => Consumer['handle'];

const counts: Handle = (counted) => async (_tx, batch) => void (counted.n += batch.length);

const each: Handle = (counted) => async (tx, batch) => {
  for (const event of batch)
    await tx.query('insert into catchup.handled (event_id, stream, cents) values ($1, $2, $3)', [event.id, event.streamId, event.data.cents]);
  counted.n += batch.length;
};

const together: Handle = (counted) => async (tx, batch) => {
  await tx.query('insert into catchup.handled (event_id, stream, cents) select * from unnest($1::text[], $2::text[], $3::int[])', [
    batch.map((event) => event.id),
    batch.map((event) => event.streamId),
    batch.map((event) => event.data.cents),
  ]);
  counted.n += batch.length;
};

let consumers = 0;

const ours = (context: BenchContext, events: number, handle: Handle) => async (): Promise<number> => {
  const counted = { n: 0 };
  const name = `bench.catchup-${consumers++}`;
  const started = performance.now();
  while (counted.n < events) await consumeOnce(context.plinth, name, { summary: 'catches up', from: 'beginning', handle: handle(counted) });
  const rate = (counted.n / (performance.now() - started)) * 1_000;
  await context.admin.query('truncate catchup.handled');
  return rate;
};

const theirs =
  (peer: EmmettLog, events: number, writes: boolean, pulling: { batchSize?: number; pullingFrequencyInMs?: number }) => async (): Promise<number> => {
    let n = 0;
    let endedMs = 0;
    const started = performance.now();
    await peer.catchUp({
      ...pulling,
      each: async ({ metadata, data }, { execute }, SQL) => {
        const cents = Number(data.cents);
        if (writes) await execute.command(SQL`insert into handled (event_id, stream, cents) values (${metadata.messageId}, ${metadata.streamName}, ${cents})`);
        n++;
        // It waits for more before it ends; that is not counted.
        if (n === events) endedMs = performance.now() - started;
      },
    });
    if (n !== events) throw new Error(`emmett handled ${n} of ${events}`);
    await peer.query('truncate handled');
    return (n / endedMs) * 1_000;
  };

/** `npm run bench -- events-catchup [--set events=100000] [--set peerEvents=10000]`: a log read from its beginning into a handler whose checkpoint commits with what it writes. */
export async function run(context: BenchContext): Promise<Report> {
  const events = Number(context.args.events ?? (context.quick ? 20_000 : 200_000));
  const peerEvents = Number(context.args.peerEvents ?? (context.quick ? 3_000 : 10_000));
  await fill(context, events);
  const peer = await emmettLog(context.url);
  await peer.fill(peerEvents);
  await peer.query('create table handled (event_id text not null, stream text, cents integer)');
  await peer.query('analyze');
  const tuned = { batchSize: 500, pullingFrequencyInMs: 0 };
  const names = {
    count: 'plinth, handler that counts',
    emmettCount: 'emmett, handler that counts, batches of 500 without a pause',
    emmettDefault: 'emmett, handler that counts, as it comes (100, pause of 50 ms)',
    each: 'plinth, one insert an event',
    emmettEach: 'emmett, one insert an event, batches of 500 without a pause',
    together: 'plinth, one insert a batch',
  };
  const results = await interleave(context.rounds, {
    [names.count]: ours(context, events, counts),
    [names.emmettCount]: theirs(peer, peerEvents, false, tuned),
    [names.each]: ours(context, events, each),
    [names.emmettEach]: theirs(peer, peerEvents, true, tuned),
    [names.together]: ours(context, events, together),
    [names.emmettDefault]: theirs(peer, peerEvents, false, {}),
  });
  await peer.close();
  return {
    name: 'events-catchup',
    title: 'Catching up: a log read from its beginning into a handler, the checkpoint in its transaction',
    settings: [
      `events of 230 bytes, 100 a transaction; ours ${events} of ${TENANTS} tenants, the peer's ${peerEvents}; one consumer; fsync and synchronous_commit on; ${context.rounds} interleaved rounds`,
      'emmett-postgresql 0.42.0, a reactor: it stores its checkpoint after each message',
    ],
    rows: rowsOf(results, 'events/s'),
    bars: [
      { what: 'a handler that counts, plinth vs emmett without pauses', value: ratio(results, names.count, names.emmettCount), atLeast: 3 },
      { what: 'one insert an event, plinth vs emmett without pauses', value: ratio(results, names.each, names.emmettEach) },
      { what: 'an insert that the handler may batch, plinth vs emmett without pauses', value: ratio(results, names.together, names.emmettEach), atLeast: 3 },
    ],
    notes: ['The moonshot of the first and the third is 6.'],
  };
}
