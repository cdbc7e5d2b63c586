/**
 * Torture of the feed cursor (bench/torture), of the usual cursors beside it, and of two other logs under writers that all three can be put through.
 */

import { seeded } from '../packages/plinth/src/testing/random.ts';
import type { BenchContext, Report } from './harness.ts';
import { emmettUnderTest, messageDbUnderTest, plinthLog } from './peers/feed-logs.ts';
import type { LogVerdict } from './peers/feed-torture.ts';
import { tortureLog } from './peers/feed-torture.ts';
import type { TortureResult } from './torture/torture.ts';
import { torture } from './torture/torture.ts';

/** What the usual ways of reading come to under the same writers, each in tables of its own. */
async function peers(context: BenchContext, seed: number, events: number): Promise<Record<'position' | 'horizon', TortureResult>> {
  const one = async (cursor: 'position' | 'horizon'): Promise<TortureResult> => {
    await context.admin.query('drop schema if exists torture cascade');
    await context.admin.query(
      'begin; set local session_replication_role = replica; truncate plinth_events.events, plinth_events.streams, plinth_events.dedup; commit',
    );
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
    settings: [`seed ${seed}`, 'fsync on', 'long transactions of 3 s', 'a kill every 50 to 350 ms, and a batch between two of them'],
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
      row('committed and handled a second', Math.round((ours.committed / ours.tookMs) * 1_000), 'events'),
      ...peerRows('id > last', position),
      ...peerRows('xmin horizon', horizon),
      ...verdicts.flatMap(([name, verdict]) => [
        row(`${name}: lost of ${verdict.committed}`, verdict.lost, 'events'),
        row(`${name}: handled twice`, verdict.duplicated, 'events'),
        row(`${name}: inverted inside a stream`, verdict.inverted, 'events'),
        row(`${name}: written a second meanwhile`, verdict.eventsPerS, 'events'),
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
      `The three logs at the end have the same 6 writers, which pause 15 ms between transactions so that lag tells of waiting and not of a machine that is full, one of transactions of 3 s, no kills, and a transaction that writes in another database for ${context.quick ? 5 : 30} s. Each is read as it comes: ours every 10 ms when nothing was there, emmett's consumer with its settings, Message DB every 10 ms.`,
    ],
  };
}
