/**
 * `npm run bench -- webhooks-delivery [--rounds 5] [--quick] [--set only=rate,tarpit] [--set deliveries=4000]`: signed delivery, end to end, to receivers
 * in another process, beside the way it is done with a queue: a job a delivery, fetch, npm standardwebhooks, a row of log.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bar, BenchContext, Report, Row } from './harness.ts';
import { interleave, median, ratio, rowsOf } from './harness.ts';
import { percentile } from './jobs/latency.ts';
import type { Delivery, Idiom } from './webhooks/idioms.ts';
import { bullmqIdiom, graphileIdiom, pgBossIdiom } from './webhooks/idioms.ts';
import { oursIdiom, startHooks } from './webhooks/ours.ts';
import type { Sink } from './webhooks/sink.ts';
import { startSink } from './webhooks/sink.ts';

const RECEIVERS = 100;
const AT_ONCE = 100;
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const PAD = 'x'.repeat(900);

interface Part {
  rows: Row[];
  bars: Bar[];
  notes?: string[];
}

const deliveryOf = (urls: readonly string[], n: number): Delivery => ({
  url: urls[n % urls.length] ?? '',
  secret: SECRET,
  type: `bench.r${n % urls.length}`,
  data: { n, pad: PAD },
});

/** Deliveries a second from the first enqueue until the last has come and its attempt is in the log; the worker is running. */
async function rateOf(idiom: Idiom, sink: Sink, count: number): Promise<number> {
  const running = await idiom.start();
  try {
    const warm = await sink.expect(200);
    await idiom.enqueue(Array.from({ length: 200 }, (_, n) => deliveryOf(sink.urls, n)));
    await warm.seen;
    const before = await settled(idiom);
    const { seen } = await sink.expect(count);
    const started = performance.now();
    for (let n = 0; n < count; n += AT_ONCE) await idiom.enqueue(Array.from({ length: Math.min(AT_ONCE, count - n) }, (_, i) => deliveryOf(sink.urls, n + i)));
    await seen;
    await until(async () => (await idiom.logged()) >= before + count);
    return (count / (performance.now() - started)) * 1000;
  } finally {
    await running.stop();
  }
}

/** Size of the log once it no longer grows. */
async function settled(idiom: Idiom): Promise<number> {
  for (let last = -1; ; ) {
    const now = await idiom.logged();
    if (now === last) return now;
    last = now;
    await sleep(50);
  }
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 120_000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('not within two minutes');
    await sleep(5);
  }
}

async function rate(context: BenchContext): Promise<Part> {
  const count = Number(context.args.deliveries ?? (context.quick ? 1000 : 4000));
  const sink = await startSink(RECEIVERS);
  const idioms: Idiom[] = [];
  try {
    idioms.push(await oursIdiom(context, sink.urls), await pgBossIdiom(context.url), await graphileIdiom(context.url), await bullmqIdiom(context.url));
    const chosen = idioms.filter(({ name }) => !context.args.who || context.args.who.split(',').includes(name));
    const results = await interleave(context.rounds, Object.fromEntries(chosen.map((idiom) => [idiom.name, () => rateOf(idiom, sink, count)])));
    return {
      rows: rowsOf(results, 'deliveries/s'),
      bars: (
        [
          ['pg-boss', 2],
          ['graphile-worker', 1.5],
          ['BullMQ', 1],
        ] as const
      ).map(([peer, atLeast]) => ({ what: `signed delivery to ${RECEIVERS} receivers vs the ${peer} idiom`, value: ratio(results, 'plinth', peer), atLeast })),
      notes: [
        `bodies of about 1 KiB; ${count} deliveries a round, peers 64 at a time, plinth with its default of 512 places; every idiom writes a row of log for each attempt, and plinth an event too`,
      ],
    };
  } finally {
    for (const idiom of idioms) await idiom.close();
    sink.close();
  }
}

/** p99 of what everybody but one tenant is sent, at a steady pace, while that tenant does or does not point at a tarpit. */
async function tarpit(context: BenchContext): Promise<Part> {
  const sink = await startSink(RECEIVERS);
  const { plinth, admin } = context;
  const tenants = Array.from({ length: RECEIVERS }, (_, i) => `018f0000-0000-7000-8000-0000001${String(i).padStart(5, '0')}`);
  await admin.query('insert into plinth_kernel.tenants (id, slug, name) select t, $2 || n, $2 || n from unnest($1::uuid[]) with ordinality u (t, n)', [
    tenants,
    'tarpit-',
  ]);
  for (const [i, tenantId] of tenants.entries())
    await plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.subscribe('r', '{bench.#}', $1)`, [i === 0 ? sink.tarpit : sink.urls[i]]));
  const publish = (tenantId: string, count: number): Promise<unknown> =>
    plinth.transaction({ tenantId }, async (tx) => {
      for (let n = 0; n < count; n++) tx.events.publish('bench.tick', { n, sentAt: performance.timeOrigin + performance.now() });
    });
  const p99 = async (withTarpit: boolean): Promise<number> => {
    await admin.query(
      'delete from plinth_webhooks.deliveries; delete from plinth_webhooks.flights; update plinth_webhooks.lanes set breaker = $$closed$$, next_at = null, failure_count = 0, failing_since = null, window_size = null, failure_share = 0',
    );
    const worker = startHooks(plinth);
    try {
      if (withTarpit) await publish(tenants[0] ?? '', 2000);
      await publish(tenants[1] ?? '', 1);
      await sleep(2000);
      const { seen } = await sink.expect(1e9);
      seen.catch(() => undefined);
      const end = performance.now() + (context.quick ? 5000 : 20_000);
      for (let n = 0; performance.now() < end; n++) {
        void publish(tenants[1 + (n % (RECEIVERS - 1))] ?? '', 1);
        await sleep(20);
      }
      await sleep(1500);
      return percentile((await sink.report()).latencies, 0.99);
    } finally {
      await worker.stop();
    }
  };
  try {
    const results = await interleave(context.rounds, { 'plinth, others alone': () => p99(false), 'plinth, beside a tarpit': () => p99(true) });
    return {
      rows: rowsOf(results, 'ms from publishing to arrival, p99'),
      bars: [
        {
          what: 'one tenant of 100 at a 30 s tarpit: p99 of the others vs alone',
          value: median((results['plinth, beside a tarpit'] ?? []).map((value, i) => value / (results['plinth, others alone']?.[i] ?? Number.NaN))),
          atMost: 1.5,
        },
      ],
    };
  } finally {
    sink.close();
  }
}

const PARTS: Record<string, (context: BenchContext) => Promise<Part>> = { rate, tarpit };

export async function run(context: BenchContext): Promise<Report> {
  const chosen = context.args.only?.split(',') ?? Object.keys(PARTS);
  const parts: Part[] = [];
  for (const name of chosen) {
    const part = PARTS[name];
    if (!part) throw Object.assign(new Error(`There is no part ${name}`), { wayOut: `Parts: ${Object.keys(PARTS).join(', ')}` });
    parts.push(await part(context));
  }
  return {
    name: 'webhooks-delivery',
    title: 'webhooks: signed delivery end to end, beside the idioms of queues',
    settings: [
      `fsync on, synchronous_commit on; Redis 7 appendonly, fsync every second; receivers in a process of their own; ${context.rounds} interleaved rounds, medians`,
    ],
    rows: parts.flatMap((part) => part.rows),
    bars: parts.flatMap((part) => part.bars),
    notes: parts.flatMap((part) => part.notes ?? []),
  };
}
