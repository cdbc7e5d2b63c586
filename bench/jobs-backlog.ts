/**
 * `npm run bench -- jobs-backlog [--rounds 3] [--quick] [--set jobs=2000000]`: rates of claim and enqueue with a backlog against
 * without, ours and the peers'. 10 M by hand: --set jobs=10000000.
 */
import type { Bar, BenchContext, Report } from './harness.ts';
import { interleave, median, ratio, rowsOf } from './harness.ts';
import { claimSome } from './jobs/load.ts';
import { ours } from './jobs/ours.ts';
import { enqueueRates, preload, type Variants } from './jobs/rates.ts';
import { graphile } from './peers/graphile.ts';
import { pgBoss } from './peers/pg-boss.ts';
import type { Contestant } from './peers/queue.ts';

const CALLERS = 16;

export async function run(context: BenchContext): Promise<Report> {
  const { args, quick, rounds } = context;
  const backlog = Number(args.jobs ?? (quick ? 20_000 : 2_000_000));
  const claimed = quick ? 1_000 : 20_000;
  const contestants: Contestant[] = [];
  try {
    contestants.push(ours(context), await graphile(context.url), await pgBoss(context.url));
    const claims = (state: string, filling: boolean): Variants =>
      Object.fromEntries(
        contestants.map((contestant) => [
          `${contestant.name}, claim + complete, ${state}`,
          async (): Promise<number> => {
            if (filling) await preload(contestant, claimed);
            await contestant.admin?.query('analyze');
            return claimSome(contestant, claimed);
          },
        ]),
      );
    const enqueues = (state: string): Variants =>
      Object.fromEntries(Object.entries(enqueueRates(contestants, CALLERS, quick ? 500 : 3_000)).map(([name, once]) => [`${name}, ${state}`, once]));
    const claimedEmpty = await interleave(rounds, claims('empty', true));
    const enqueuedEmpty = await interleave(rounds, enqueues('empty'));
    const fills: Record<string, number[]> = {};
    for (const contestant of contestants) {
      const started = performance.now();
      const half = Math.ceil(backlog / 2);
      await Promise.all([preload(contestant, half), preload(contestant, half)]);
      fills[`${contestant.name}, fill`] = [((half * 2) / (performance.now() - started)) * 1000];
    }
    const claimedFull = await interleave(rounds, claims('backlog', false));
    const enqueuedFull = await interleave(rounds, enqueues('backlog'));
    const kept = (what: string, full: Record<string, number[]>, empty: Record<string, number[]>, name: string): number =>
      median(full[`${name}, ${what}, backlog`] ?? []) / median(empty[`${name}, ${what}, empty`] ?? []);
    const bars: Bar[] = [
      { what: 'claim with the backlog vs empty', value: kept('claim + complete', claimedFull, claimedEmpty, 'plinth'), atLeast: 0.7 },
      { what: 'enqueue with the backlog vs empty', value: kept('enqueue', enqueuedFull, enqueuedEmpty, 'plinth'), atLeast: 0.7 },
      ...['graphile-worker', 'pg-boss'].flatMap((peer): Bar[] => [
        {
          what: `claim with the backlog vs ${peer} with the same`,
          value: ratio(claimedFull, 'plinth, claim + complete, backlog', `${peer}, claim + complete, backlog`),
          atLeast: 2,
        },
        { what: `enqueue with the backlog vs ${peer} with the same`, value: ratio(enqueuedFull, 'plinth, enqueue, backlog', `${peer}, enqueue, backlog`) },
      ]),
    ];
    return {
      name: 'jobs-backlog',
      title: `jobs-backlog: ${backlog.toLocaleString('en')} jobs wait while others are enqueued and claimed`,
      settings: [
        `fsync on, synchronous_commit on; payload 200 bytes; claims until ${claimed} jobs have started; ${CALLERS} callers enqueue one job a transaction; ${rounds} interleaved rounds, medians`,
      ],
      rows: [claimedEmpty, claimedFull, enqueuedEmpty, enqueuedFull, fills].flatMap((results) => rowsOf(results, 'jobs/s')),
      bars,
    };
  } finally {
    for (const contestant of contestants) await contestant.close();
  }
}
