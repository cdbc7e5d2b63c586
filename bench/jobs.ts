/**
 * `npm run bench -- jobs [--rounds 5] [--quick] [--set only=claim,enqueue] [--set jobs=20000]`: jobs beside graphile-worker, pg-boss
 * and BullMQ, on one PostgreSQL. Long runs have benches of their own: jobs-backlog, jobs-fair, jobs-churn, jobs-chaos.
 */
import type { Bar, BenchContext, Report, Row } from './harness.ts';
import { interleave, median, ratio, rowsOf } from './harness.ts';
import { businessRates, WRITERS } from './jobs/business.ts';
import { idleCost } from './jobs/idle.ts';
import { percentile, pickUpMs } from './jobs/latency.ts';
import { ours } from './jobs/ours.ts';
import { bulkRates, claimRates, enqueueRates } from './jobs/rates.ts';
import { walBytes } from './jobs/wal.ts';
import { bullmqPostgres, bullmqRedis } from './peers/bullmq.ts';
import { graphile } from './peers/graphile.ts';
import { pgBoss } from './peers/pg-boss.ts';
import type { Contestant } from './peers/queue.ts';

interface Part {
  rows: Row[];
  bars: Bar[];
  notes?: string[];
}

interface Field {
  context: BenchContext;
  contestants: readonly Contestant[];
}

type Results = Record<string, number[]>;

type Which = (variant: string) => boolean;

/** Medians of the ratios of each round, between the best of ours and the best of theirs in that round. */
function bestRatio(results: Results, ours: Which, theirs: Which): number {
  const bestOf = (which: Which, round: number): number =>
    Math.max(...Object.entries(results).flatMap(([name, values]) => (which(name) ? [values[round] ?? Number.NaN] : [])));
  const rounds = Object.values(results)[0]?.length ?? 0;
  return median(Array.from({ length: rounds }, (_, round) => bestOf(ours, round) / bestOf(theirs, round)));
}

const isOurs: Which = (name) => name.startsWith('plinth,');
const isOursDurable: Which = (name) => isOurs(name) && name.includes('durable');
const isAsynchronous: Which = (name) => name.includes('synchronous_commit off');
const isGraphile: Which = (name) => name.startsWith('graphile-worker');

async function claim({ context, contestants }: Field): Promise<Part> {
  const jobs = Number(context.args.jobs ?? (context.quick ? 2_000 : 20_000));
  const results = await interleave(context.rounds, claimRates(contestants, jobs));
  const against = (what: string, ours: Which, theirs: Which, atLeast?: number): Bar => ({
    what: `claim + complete, ${what}`,
    value: bestRatio(results, ours, theirs),
    ...(atLeast === undefined ? {} : { atLeast }),
  });
  const peer =
    (prefix: string): Which =>
    (name) =>
      name.startsWith(prefix);
  return {
    rows: rowsOf(results, 'jobs/s, claim + complete'),
    bars: [
      // Like with like: what each side promises after a crash of the database is the same within a bar.
      against(
        'best of 1 to 64 slots vs tuned graphile-worker, both with synchronous_commit off',
        isOurs,
        (name) => isGraphile(name) && isAsynchronous(name),
        1.5,
      ),
      against('durable vs tuned graphile-worker, both with synchronous_commit on', isOursDurable, (name) => isGraphile(name) && !isAsynchronous(name), 1.5),
      against('best of 1 to 64 slots vs tuned graphile-worker with synchronous_commit on', isOurs, (name) => isGraphile(name) && !isAsynchronous(name)),
      against('best of 1 to 64 slots vs pg-boss fetch(1000)', isOurs, peer('pg-boss, fetch(1000)'), 2),
      against('best of 1 to 64 slots vs pg-boss at any setting', isOurs, peer('pg-boss')),
      against('best of 1 to 64 slots vs BullMQ on PostgreSQL', isOurs, peer('BullMQ on PostgreSQL'), 4),
      against('best of 1 to 64 slots vs BullMQ on Redis', isOurs, peer('BullMQ on Redis'), 3),
    ],
    notes: [
      'graphile-worker and BullMQ (removeOnComplete) keep no history; plinth and pg-boss do.',
      'Unless it says durable, plinth claims and completes with synchronous_commit off, as is its default; enqueues are always on disk.',
    ],
  };
}

async function enqueue({ context, contestants }: Field): Promise<Part> {
  const results = await interleave(context.rounds, enqueueRates(contestants, 16, context.quick ? 500 : 3_000));
  return {
    rows: rowsOf(results, 'jobs/s, 16 callers'),
    bars: ['graphile-worker', 'pg-boss'].map((peer) => ({
      what: `single enqueue vs ${peer}`,
      value: ratio(results, 'plinth, enqueue', `${peer}, enqueue`),
      atLeast: 1.3,
    })),
  };
}

async function bulk({ context, contestants }: Field): Promise<Part> {
  const jobs = context.quick ? 1_000 : 5_000;
  const results = await interleave(context.rounds, bulkRates(contestants, jobs, context.quick ? 1 : 3));
  return {
    rows: rowsOf(results, `jobs/s, ${jobs} at once`),
    bars: [
      { what: 'bulk enqueue vs graphile-worker addJobs', value: ratio(results, 'plinth, bulk', 'graphile-worker, bulk'), atLeast: 1.5 },
      { what: 'bulk enqueue vs pg-boss insert', value: ratio(results, 'plinth, bulk', 'pg-boss, bulk') },
    ],
  };
}

async function business({ context, contestants }: Field): Promise<Part> {
  const admin = contestants[0]?.admin;
  if (!admin) throw new Error('the first contestant is ours');
  const { variants, waits } = await businessRates(context, admin, contestants, context.quick ? 500 : 3_000);
  const results = await interleave(context.rounds, variants);
  return {
    rows: rowsOf(results, `transactions/s, ${WRITERS} writers`),
    bars: [
      { what: 'a job added to a business transaction: transactions/s vs without', value: ratio(results, 'business row + job', 'business row'), atLeast: 0.95 },
      { what: 'lock waits added by the job', value: (waits['business row + job']?.waits ?? 0) - (waits['business row']?.waits ?? 0), atMost: 0 },
      { what: 'vs the same with NOTIFY in the transaction', value: ratio(results, 'business row + job', 'business row + job + NOTIFY in the transaction') },
    ],
    notes: Object.entries(waits).map(([name, { samples, waits: seen }]) => `${name}: ${seen} sessions seen waiting for a lock in ${samples} samples`),
  };
}

async function latency({ context, contestants }: Field): Promise<Part> {
  const jobs = context.quick ? 40 : 400;
  const variants = contestants.flatMap((contestant) => contestant.pickUp);
  const middle: Results = Object.fromEntries(variants.map(({ name }) => [name, []]));
  const worst: Results = Object.fromEntries(variants.map(({ name }) => [name, []]));
  for (let round = 0; round < context.rounds; round++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const variant = variants[(turn + round) % variants.length];
      if (!variant) continue;
      // The first half second warms plans and connections.
      const waits = (await pickUpMs(variant, jobs + 20)).slice(20);
      middle[variant.name]?.push(percentile(waits, 0.5));
      worst[variant.name]?.push(percentile(waits, 0.99));
    }
  }
  return {
    rows: [...rowsOf(middle, 'ms to pick up, p50'), ...rowsOf(worst, 'ms to pick up, p99')],
    bars: [
      { what: 'pick-up when idle, p50 in ms', value: median(middle.plinth ?? []), atMost: 6 },
      { what: 'pick-up when idle, p99 in ms', value: median(worst.plinth ?? []), atMost: 20 },
    ],
  };
}

async function wal({ context, contestants }: Field): Promise<Part> {
  const jobs = context.quick ? 2_000 : 10_000;
  const inPostgres = contestants.filter(({ admin }) => admin);
  const variants = (fullPageWrites: boolean): Record<string, () => Promise<number>> =>
    Object.fromEntries(inPostgres.map((contestant) => [contestant.name, () => walBytes(contestant, jobs, fullPageWrites)]));
  const without = await interleave(context.rounds, variants(false));
  const withPages = context.quick ? {} : await interleave(1, variants(true));
  return {
    rows: [...rowsOf(without, 'bytes of log a job, full_page_writes off'), ...rowsOf(withPages, 'bytes of log a job, full_page_writes on, after a checkpoint')],
    bars: [{ what: 'log of a job with 40 bytes of payload, enqueue to done, in bytes', value: median(without.plinth ?? []), atMost: 800 }],
  };
}

async function idle({ context }: Field): Promise<Part> {
  const cost = await idleCost(context, 10, 50, context.quick ? 3_000 : 10_000);
  const row = (variant: string, value: number, unit: string): Row => ({ variant, median: value, least: value, most: value, unit });
  return {
    rows: [
      row('10 idle workers, 50 queues', cost.transactionsPerSecond, 'transactions/s'),
      row('10 idle workers, 50 queues', cost.rowsWrittenPerSecond, 'rows written/s'),
      row('10 idle workers, 50 queues', cost.walBytesPerSecond, 'bytes of log/s'),
    ],
    bars: [
      { what: 'idle: transactions a second', value: cost.transactionsPerSecond, atMost: 100 },
      // A heartbeat every second would be 10; fewer is better.
      { what: 'idle: rows written a second', value: cost.rowsWrittenPerSecond, atMost: 10 },
    ],
  };
}

/** In an order in which what one part leaves behind does not matter to the next. */
const PARTS: Record<string, (field: Field) => Promise<Part>> = { idle, claim, latency, wal, business, enqueue, bulk };

export async function run(context: BenchContext): Promise<Report> {
  const asked = context.args.only?.split(',');
  const wrong = asked?.find((name) => !PARTS[name]);
  const chosen = Object.keys(PARTS).filter((name) => !asked || asked.includes(name));
  if (wrong !== undefined) throw Object.assign(new Error(`There is no part ${wrong}`), { wayOut: `Parts: ${Object.keys(PARTS).join(', ')}` });
  const contestants: Contestant[] = [];
  const parts: Part[] = [];
  try {
    contestants.push(ours(context), await graphile(context.url), await pgBoss(context.url), await bullmqRedis(), await bullmqPostgres(context.url));
    for (const name of chosen) {
      process.stdout.write(`${name} ...\n`);
      const part = await PARTS[name]?.({ context, contestants });
      if (!part) continue;
      parts.push(part);
      // A later part may fail: what took minutes to measure is not lost with it.
      for (const { variant, median: middle, unit } of part.rows) process.stdout.write(`  ${variant}: ${middle.toFixed(2)} ${unit}\n`);
    }
  } finally {
    for (const contestant of contestants) await contestant.close();
  }
  const { rows: settings } = await context.admin.query<{ line: string }>(
    `select 'PostgreSQL ' || current_setting('server_version') || ', ' || string_agg(name || ' ' || current_setting(name), ', ') as line
     from unnest(array['fsync', 'synchronous_commit', 'full_page_writes', 'wal_sync_method', 'shared_buffers', 'max_wal_size']) name`,
  );
  return {
    name: 'jobs',
    title: 'jobs: enqueue, claim and complete, beside other queues',
    settings: [
      settings[0]?.line ?? '',
      `Redis 7 appendonly, fsync every second; payload 200 bytes; callers and worker in one Node process, on pools of their own; ${context.rounds} interleaved rounds, medians`,
    ],
    rows: parts.flatMap((part) => part.rows),
    bars: parts.flatMap((part) => part.bars),
    notes: parts.flatMap((part) => part.notes ?? []),
  };
}
