/**
 * `npm run bench -- jobs-churn [--quick] [--set jobs=20000000]`: jobs go through as fast as they can while the size of the hot
 * tables is watched. The history grows, as it must: a partition of it leaves by DROP.
 */
import type { BenchContext, Report, Row } from './harness.ts';
import { churn } from './jobs/load.ts';
import { hotBytes, ours } from './jobs/ours.ts';

const MIB = 2 ** 20;

export async function run(context: BenchContext): Promise<Report> {
  const { args, quick } = context;
  const jobs = Number(args.jobs ?? (quick ? 20_000 : 20_000_000));
  const queue = ours(context);
  const samples: { done: number; bytes: number }[] = [];
  try {
    const rate = await churn(queue, {
      jobs,
      everyMs: quick ? 200 : 2_000,
      async onSample(done) {
        const bytes = await hotBytes(context.admin);
        samples.push({ done, bytes });
        if (samples.length % 30 === 0) process.stdout.write(`  ${done.toLocaleString('en')} done, hot tables ${(bytes / MIB).toFixed(1)} MiB\n`);
      },
    });
    const most = (from: number, to: number): number =>
      Math.max(0, ...samples.filter(({ done }) => done >= jobs * from && done <= jobs * to).map(({ bytes }) => bytes / MIB));
    const row = (variant: string, value: number, unit: string): Row => ({ variant, median: value, least: value, most: value, unit });
    return {
      name: 'jobs-churn',
      title: `jobs-churn: ${jobs.toLocaleString('en')} jobs enqueued and worked at the same time`,
      settings: ['fsync on, synchronous_commit on; payload 200 bytes; 2 producers of 500 jobs a transaction, at most 20,000 waiting; history kept'],
      rows: [
        row('through', rate, 'jobs/s'),
        // The first quarter holds the time in which the tables reach the size that they keep.
        row('hot tables, most in the second quarter', most(0.25, 0.5), 'MiB'),
        row('hot tables, most in the last quarter', most(0.75, 1), 'MiB'),
      ],
      bars: [
        { what: 'hot tables at their largest, MiB', value: most(0, 1), atMost: 128 },
        { what: 'hot tables, last quarter vs second', value: most(0.75, 1) / Math.max(most(0.25, 0.5), 1), atMost: 1.25 },
      ],
      notes: [`${samples.length} samples of the size`],
    };
  } finally {
    await queue.close();
  }
}
