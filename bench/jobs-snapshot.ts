/**
 * `npm run bench -- jobs-snapshot [--quick] [--set seconds=600] [--set peers=no]`: 70 % of what each queue can do, without and with a
 * transaction that holds a snapshot open and so keeps VACUUM from reclaiming anything.
 */
import pg from 'pg';
import type { Bar, BenchContext, Report, Row } from './harness.ts';
import { churn, type Paced, paced } from './jobs/load.ts';
import { ours } from './jobs/ours.ts';
import { graphile } from './peers/graphile.ts';
import { pgBoss } from './peers/pg-boss.ts';
import type { Contestant } from './peers/queue.ts';

/** Runs `body` while another session is idle in a repeatable read transaction that has read something. */
async function heldSnapshot<T>(url: string, body: () => Promise<T>): Promise<T> {
  const holder = new pg.Client({ connectionString: url });
  await holder.connect();
  try {
    await holder.query('begin isolation level repeatable read');
    await holder.query('select count(*) from pg_catalog.pg_class');
    return await body();
  } finally {
    await holder.end();
  }
}

const rowsOfPaced = (name: string, state: string, load: Paced): Row[] =>
  (['offeredPerSecond', 'startedPerSecond', 'p50Ms', 'p99Ms'] as const).map((key) => ({
    variant: `${name}, ${state}, ${{ offeredPerSecond: 'offered', startedPerSecond: 'started', p50Ms: 'wait p50', p99Ms: 'wait p99' }[key]}`,
    median: load[key],
    least: load[key],
    most: load[key],
    unit: key.endsWith('Ms') ? 'ms' : 'jobs/s',
  }));

export async function run(context: BenchContext): Promise<Report> {
  const { args, quick } = context;
  const seconds = Number(args.seconds ?? (quick ? 3 : 600));
  const rows: Row[] = [];
  const bars: Bar[] = [];
  const contestants: Contestant[] = [];
  try {
    contestants.push(ours(context));
    if (args.peers !== 'no') contestants.push(await graphile(context.url), await pgBoss(context.url));
    for (const contestant of contestants) {
      const perSecond = 0.7 * (await churn(contestant, { jobs: quick ? 3_000 : 50_000 }));
      const without = await paced(contestant, perSecond, seconds * 1000);
      const url = new URL(context.url);
      // The horizon of a snapshot is that of its database.
      const { rows: named } = (await contestant.admin?.query<{ name: string }>('select current_database() as name')) ?? { rows: [] };
      url.pathname = `/${named[0]?.name ?? ''}`;
      const held = await heldSnapshot(url.href, () => paced(contestant, perSecond, seconds * 1000));
      rows.push(...rowsOfPaced(contestant.name, 'free', without), ...rowsOfPaced(contestant.name, 'snapshot held', held));
      const mine = contestant.name === 'plinth';
      bars.push(
        {
          what: `${contestant.name}: throughput under a held snapshot vs without`,
          value: held.startedPerSecond / without.startedPerSecond,
          ...(mine ? { atLeast: 0.9 } : {}),
        },
        { what: `${contestant.name}: p99 wait under a held snapshot vs without`, value: held.p99Ms / without.p99Ms, ...(mine ? { atMost: 2 } : {}) },
      );
    }
    return {
      name: 'jobs-snapshot',
      title: 'jobs-snapshot: a transaction that holds its snapshot, beside a load of 70 %',
      settings: [
        `fsync on, synchronous_commit on; payload 200 bytes; ${seconds} s without, then ${seconds} s with; the load is 70 % of each queue's own producing and working at once`,
      ],
      rows,
      bars,
    };
  } finally {
    for (const contestant of contestants) await contestant.close();
  }
}
