/**
 * `npm run bench -- webhooks-kill [--quick] [--set kills=1000] [--set seed=1] [--set every=300]`: workers, the server that takes events and PostgreSQL are killed while
 * webhooks are sent; nothing is lost, and what is sent twice has the same webhook-id and was in flight.
 */
import type { BenchContext, Report, Row } from './harness.ts';
import { killRun } from './webhooks/kill.ts';

export async function run({ args, quick }: BenchContext): Promise<Report> {
  const seed = Number(args.seed ?? Date.now() % 1_000_000);
  process.stdout.write(`webhooks-kill: seed ${seed} (--set seed=${seed} repeats the choices, though not the schedule)\n`);
  const kills = Number(args.kills ?? (quick ? 20 : 1_000));
  const result = await killRun({
    kills,
    seed,
    everyMs: Number(args.every ?? 300),
    progress: (line) => process.stdout.write(`  ${Math.round(performance.now() / 1000)} s: ${line}\n`),
  });
  const row = (variant: string, value: number, unit = ''): Row => ({ variant, median: value, least: value, most: value, unit });
  return {
    name: 'webhooks-kill',
    title: 'webhooks-kill: webhooks under kill -9 of workers and servers, and crashes of PostgreSQL',
    settings: [`seed ${seed}; 4 worker processes, lease 6,000 ms; a parallel subscription, one by key, one of another tenant; fsync on, synchronous_commit on`],
    rows: [
      row('workers killed', result.workers),
      row('servers killed', result.servers),
      row('crashes of PostgreSQL', result.crashes),
      row('events committed', result.events),
      row('requests that arrived', result.arrivals),
      row('of these, repetitions', result.duplicates),
      row('took', Math.round(result.tookMs / 1000), 's'),
    ],
    bars: [
      { what: 'committed events that did not arrive', value: result.lost, atMost: 0 },
      { what: 'confirmed events that are not there', value: result.unkept, atMost: 0 },
      { what: 'arrivals of what was not committed', value: result.ghosts, atMost: 0 },
      { what: 'requests whose signature does not fit', value: result.unverified, atMost: 0 },
      { what: 'repetitions with another webhook-id', value: result.renamed, atMost: 0 },
      { what: 'repetitions of what was no longer in flight', value: result.late, atMost: 0 },
      { what: 'repetitions without a kill', value: result.quietTwice, atMost: 0 },
      { what: 'deliveries settled twice', value: result.settledTwice, atMost: 0 },
      { what: 'first arrivals out of order by key', value: result.inverted, atMost: 0 },
    ],
    notes: result.examples,
  };
}
