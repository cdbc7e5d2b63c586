import { readFileSync } from 'node:fs';
import type { BenchContext, Report, Row } from './harness.ts';
import { median } from './harness.ts';

const SIZES = [1_000, 10_000, 100_000];
const HITS = 20;
const TYPE = 'order.payment.settled';
const WARM_UP = 50;
/** Patterns that match the type, each under another key. */
const FORMS = [
  'order.payment.settled',
  'order.payment.*',
  'order.*.settled',
  '*.payment.settled',
  'order.payment.#',
  'order.#',
  '*.*.settled',
  'order.*.*',
  '*.*.*',
  '#',
];

/** Processor time of a server process so far, microseconds; Linux tells it in nanoseconds. */
const processorTime = (pid: number): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000;

/** Adds subscriptions to the tenant until there are `size`; the first 20 match, the others differ in one segment, some by a wildcard. */
async function grow({ admin, tenantId }: BenchContext, size: number): Promise<void> {
  await admin.query(
    `with wanted as (
      select n, case when n <= $2 then ($4::text[])[1 + (n - 1) % cardinality($4::text[])]
        when n % 3 = 0 then 'order.' || n || '.*' when n % 3 = 1 then 'team' || n || '.#' else 'order.payment.s' || n end as pattern
      from generate_series(1 + (select count(*) from plinth_webhooks.subscriptions where tenant_id = $1), $3) n
    ), s as (
      insert into plinth_webhooks.subscriptions (tenant_id, name, url, patterns, created_by)
      select $1, 'sub ' || n, 'https://example.com/hooks', array[pattern], 'bench' from wanted returning tenant_id, id, patterns
    )
    insert into plinth_webhooks.subscription_keys (tenant_id, key, subscription_id) select tenant_id, patterns[1], id from s`,
    [tenantId, HITS, size, FORMS],
  );
  await admin.query('vacuum analyze plinth_webhooks.subscriptions, plinth_webhooks.subscription_keys');
}

interface Cost {
  cpuUs: number[];
  wallUs: number[];
}

/** Server processor time and time seen by the client, microseconds a call. */
async function cost({ admin, rounds }: BenchContext, calls: number, once: () => Promise<unknown>): Promise<Cost> {
  const { rows } = await admin.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  const found: Cost = { cpuUs: [], wallUs: [] };
  for (let n = 0; n < WARM_UP; n++) await once();
  for (let round = 0; round < rounds; round++) {
    const cpu = processorTime(pid);
    const walls: number[] = [];
    for (let n = 0; n < calls; n++) {
      const started = performance.now();
      await once();
      walls.push((performance.now() - started) * 1_000);
    }
    found.cpuUs.push((processorTime(pid) - cpu) / calls);
    found.wallUs.push(median(walls));
  }
  return found;
}

const row = (variant: string, values: number[]): Row => ({
  variant,
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
  unit: 'µs',
});

/** Batches of one event each, every one for one call of the fan-out: the second time it would find its deliveries there. */
async function published({ plinth, tenantId, rounds }: BenchContext, calls: number): Promise<string[]> {
  const ids = await plinth.transaction({ tenantId }, async (tx) =>
    Array.from({ length: WARM_UP + rounds * calls }, () => tx.events.publish(TYPE, { cents: 4200 })),
  );
  return ids.map((id) => JSON.stringify([{ tenant_id: tenantId, id, type: TYPE, correlation_id: null, place: 0 }]));
}

/** What a table of patterns without keys would do: every pattern of the tenant as a regular expression. */
const NAIVE = `select count(*) from plinth_webhooks.subscriptions s where s.tenant_id = $1 and s.enabled and $2 ~
  ('^' || replace(replace(replace(s.patterns[1], '.#', '(\\..*)?'), '*', '[^.]+'), '#', '.*') || '$')`;

export async function run(context: BenchContext): Promise<Report> {
  const { admin, tenantId, quick } = context;
  const calls = quick ? 200 : 1_000;
  const rows: Row[] = [];
  const cpu: number[] = [];
  for (const size of SIZES) {
    await grow(context, size);
    const { rows: hits } = await admin.query('select id from plinth_webhooks.matching($1, $2)', [tenantId, TYPE]);
    if (hits.length !== HITS) throw new Error(`${hits.length} subscriptions match, not ${HITS}`);
    await admin.query('set role plinth_worker');
    const match = await cost(context, calls, () =>
      admin.query({ name: 'match', text: 'select count(*) from plinth_webhooks.matching($1, $2)', values: [tenantId, TYPE] }),
    );
    const batches = await published(context, calls / 10);
    await admin.query('begin');
    const fanOut = await cost(context, calls / 10, () => admin.query({ name: 'fan out', text: 'select plinth_webhooks.fan_out($1)', values: [batches.pop()] }));
    await admin.query('rollback');
    await admin.query('reset role');
    const of = `${size.toLocaleString('en')} subscriptions`;
    rows.push(
      row(`${of}: matching, server CPU`, match.cpuUs),
      row(`${of}: matching, seen by the client`, match.wallUs),
      row(`${of}: the whole fan-out, server CPU`, fanOut.cpuUs),
    );
    cpu.push(median(match.cpuUs));
  }
  const naive = await cost({ ...context, rounds: 1 }, quick ? 1 : 5, () => admin.query(NAIVE, [tenantId, TYPE]));
  rows.push(row('100,000 subscriptions: every pattern as a regular expression, server CPU', naive.cpuUs));
  return {
    name: 'webhooks-match',
    title: `Which of N subscriptions of one tenant want an event: ${HITS} hits, a type of three segments`,
    settings: ['one tenant grows from 1,000 to 100,000 subscriptions; role plinth_worker under row security; a prepared statement on one connection'],
    rows,
    notes: ['What the client sees holds the round trip and whatever else the machine does; the bars are about the work of the server.'],
    bars: [
      { what: 'milliseconds at 100,000 subscriptions, server CPU', value: (cpu[2] ?? Number.NaN) / 1_000, atMost: 0.5 },
      { what: '10,000 over 1,000 subscriptions, server CPU', value: (cpu[1] ?? Number.NaN) / (cpu[0] ?? Number.NaN), atMost: 1.3 },
      { what: '100,000 over 1,000 subscriptions, server CPU', value: (cpu[2] ?? Number.NaN) / (cpu[0] ?? Number.NaN), atMost: 1.3 },
    ],
  };
}
