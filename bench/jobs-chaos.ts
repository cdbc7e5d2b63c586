/**
 * `npm run bench -- jobs-chaos [--quick] [--set jobs=200000] [--set faults=200] [--set kills=50] [--set seed=1] [--set separate=yes]`: nothing lost and no
 * effect twice under kill -9, SIGSTOP past the lease, crashes of the server and cut connections; and how soon a killed worker's job
 * runs elsewhere.
 */
import type { BenchContext, Report, Row } from './harness.ts';
import { chaos } from './jobs/chaos.ts';
import { killLatencies } from './jobs/kill-latency.ts';
import { percentile } from './jobs/latency.ts';

export async function run(context: BenchContext): Promise<Report> {
  const { args, quick } = context;
  const seed = Number(args.seed ?? Date.now() % 1_000_000);
  process.stdout.write(`chaos: seed ${seed} (--set seed=${seed} repeats the choices, though not the schedule)\n`);
  const latencies = await killLatencies(context, Number(args.kills ?? (quick ? 2 : 50)));
  const result = await chaos({
    jobs: Number(args.jobs ?? (quick ? 2_000 : 200_000)),
    faults: Number(args.faults ?? (quick ? 8 : 200)),
    seed,
    separate: args.separate === 'yes',
    progress: (line) => process.stdout.write(`  ${line}\n`),
  });
  const row = (variant: string, value: number, unit: string): Row => ({ variant, median: value, least: value, most: value, unit });
  return {
    name: 'jobs-chaos',
    title: 'jobs-chaos: a ledger under kill -9, SIGSTOP, crashes and cut connections',
    settings: [`seed ${seed}; 3 worker processes, lease 2,000 ms; fsync on, synchronous_commit on; kill latency at the default settings of the worker`],
    rows: [
      ...(['enqueued', 'completed', 'attempts', 'refused', 'kills', 'stops', 'cuts', 'crashes'] as const).map((key) => row(key, result[key], '')),
      ...(latencies.length > 0
        ? [
            row('kill -9 to running elsewhere, p50', percentile(latencies, 0.5), 'ms'),
            row('kill -9 to running elsewhere, p99', percentile(latencies, 0.99), 'ms'),
          ]
        : []),
    ],
    bars: [
      { what: 'jobs lost', value: result.lost, atMost: 0 },
      { what: 'effects twice', value: result.twice, atMost: 0 },
      { what: 'completions by a zombie', value: result.zombies, atMost: 0 },
      { what: 'difference between counters and ledger', value: Math.abs(result.unbalanced), atMost: 0 },
      ...(latencies.length > 0 ? [{ what: 'kill -9 to running elsewhere, p99 in ms', value: percentile(latencies, 0.99), atMost: 5_000 }] : []),
    ],
    notes: result.examples,
  };
}
