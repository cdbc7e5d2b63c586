import { readFileSync } from 'node:fs';
import pg from 'pg';
import { appendNow } from '../packages/plinth/src/index.ts';
import { uuidV7 } from '../packages/plinth/src/kernel/ids.ts';
import { installUniqueVersion } from './event-store/unique-version.ts';
import type { BenchContext, Report, Row } from './harness.ts';
import { interleave, median, ratio, rowsOf, throughput } from './harness.ts';

const CLIENTS = 16;
const DATA = { note: 'x'.repeat(200), cents: 4200 };
const STREAMS = 2_000;

/** Versions that this process knows, so that every append can say which one it expects. */
const versions = new Map<string, number>();
const expectedOf = (id: string): number => versions.get(id) ?? 0;
const appended = (id: string): unknown => versions.set(id, expectedOf(id) + 1);

/** One append in a transaction of its own, as one message, by the function that takes a row. */
const byFunction = (name: string, client: pg.Client, tenantId: string, id: string, expected: number | null) => {
  const row = JSON.stringify({ id: uuidV7(), type: 'bench.appended', payload: DATA, aggregate_type: 'bench', aggregate_id: id, expected_version: expected });
  return client.query(`begin;set local role plinth_app;set local plinth.tenant_id = '${tenantId}';select ${name}(${pg.escapeLiteral(row)});commit`);
};

/** Streams of one client that no other appends to: an expected version that fits. */
const turns = (): ((prefix: string, client: number) => string) => {
  let count = 0;
  return (prefix, client) => `${prefix} ${client} ${count++ % STREAMS}`;
};

/** Processor time of a server process so far, microseconds; Linux tells it in nanoseconds. */
const processorTime = (pid: number): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000;

interface Cost {
  walBytes: number[];
  microseconds: number[];
}

/** Bytes of write-ahead log, and processor time of the server's process, for one append by one client. */
async function costOf(context: BenchContext, client: pg.Client, append: () => Promise<unknown>): Promise<Cost> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  const pid = rows[0]?.pid ?? 0;
  const count = context.quick ? 200 : 2_000;
  const wal = async (): Promise<number> =>
    Number((await context.admin.query<{ at: string }>(`select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as at`)).rows[0]?.at ?? 0);
  const cost: Cost = { walBytes: [], microseconds: [] };
  for (let round = 0; round < context.rounds; round++) {
    await context.admin.query('checkpoint');
    // The first writes after a checkpoint log whole pages; that is not what an append costs.
    for (let n = 0; n < STREAMS / 4; n++) await append();
    const [walBefore, timeBefore] = [await wal(), processorTime(pid)];
    for (let n = 0; n < count; n++) await append();
    cost.walBytes.push(((await wal()) - walBefore) / count);
    cost.microseconds.push((processorTime(pid) - timeBefore) / count);
  }
  return cost;
}

async function clientsOf(context: BenchContext, count: number): Promise<pg.Client[]> {
  const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: context.serverUrl }));
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

/** Appends to other streams of the tenant while one transaction that appended stays open for a second: milliseconds, 99th of 100. */
async function besideOpen(context: BenchContext, clients: pg.Client[], next: ReturnType<typeof turns>): Promise<number> {
  const [holder, ...others] = clients;
  await holder?.query(`begin;set local role plinth_app;set local plinth.tenant_id = '${context.tenantId}'`);
  await holder?.query(`select plinth.append_event('held', 'bench', 'bench.appended')`);
  const times: number[] = [];
  const end = performance.now() + 1_000;
  await Promise.all(
    others.slice(0, 4).map(async (client, n) => {
      while (performance.now() < end) {
        const started = performance.now();
        await byFunction('plinth_events.write_one', client, context.tenantId, next('beside', n), null);
        times.push(performance.now() - started);
      }
    }),
  );
  await holder?.query('commit');
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN;
}

const HEAD = 'plinth_events.write_one';
const UNIQUE = 'bench.append_unique';

function variantsOf(context: BenchContext, clients: pg.Client[], next: ReturnType<typeof turns>): Record<string, () => Promise<number>> {
  const { plinth, tenantId } = context;
  const durationMs = context.quick ? 500 : 3_000;
  const clientAt = (n: number): pg.Client => clients[n] as pg.Client;
  const many = (name: string, count: number) => () =>
    throughput(count, durationMs, async (n) => {
      const id = next(name, n);
      await byFunction(name, clientAt(n), tenantId, id, expectedOf(id));
      appended(id);
    });
  const hot = (name: string) => () => throughput(CLIENTS, durationMs, (n) => byFunction(name, clientAt(n), tenantId, `hot ${name}`, null));
  const inTypeScript = (count: number) => () =>
    throughput(count, durationMs, async (n) => {
      const id = next('typescript', n);
      await plinth.transaction({ tenantId }, async (tx) => {
        tx.events.append({ type: 'bench', id }, [{ type: 'bench.appended', data: DATA }], { expectedVersion: expectedOf(id) });
      });
      appended(id);
    });
  const batches = async (): Promise<number> => {
    const events = Array.from({ length: 10 }, () => ({ type: 'bench.appended', data: DATA }));
    const append = (n: number) => plinth.transaction({ tenantId }, (tx) => appendNow(tx, [{ stream: { type: 'bench', id: next('batch', n) }, events }]));
    return 10 * (await throughput(CLIENTS, durationMs, append));
  };
  return {
    'head row, many streams, 1 client': many(HEAD, 1),
    'head row, many streams, 16 clients': many(HEAD, CLIENTS),
    'head row, one stream, any version, 16 clients': hot(HEAD),
    'unique version, many streams, 1 client': many(UNIQUE, 1),
    'unique version, many streams, 16 clients': many(UNIQUE, CLIENTS),
    'unique version, one stream, any version, 16 clients': hot(UNIQUE),
    'tx.events.append, many streams, 1 client': inTypeScript(1),
    'tx.events.append, many streams, 16 clients': inTypeScript(CLIENTS),
    'appendNow of 10, many streams, 16 clients (events)': batches,
  };
}

const rowOf = (variant: string, values: number[], unit: string): Row => ({
  variant,
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
  unit,
});

/** Appends with an expected version, and what orders a stream: its head row, or a row for each version. */
export async function run(context: BenchContext): Promise<Report> {
  await installUniqueVersion(context.admin);
  const clients = await clientsOf(context, CLIENTS);
  const next = turns();
  const results = await interleave(context.rounds, variantsOf(context, clients, next));
  const first = clients[0] as pg.Client;
  const cost = (name: string) => costOf(context, first, () => byFunction(name, first, context.tenantId, next('cost', 0), null));
  const [head, unique] = [await cost(HEAD), await cost(UNIQUE)];
  const beside: number[] = [];
  for (let round = 0; round < context.rounds; round++) beside.push(await besideOpen(context, clients, next));
  await Promise.all(clients.map((client) => client.end()));
  const against = (what: string): number => ratio(results, `head row, ${what}`, `unique version, ${what}`);
  return {
    name: 'event-store',
    title: 'event store: appends with an expected version',
    settings: [`${CLIENTS} clients in one Node process, events of 230 bytes, fsync on, synchronous_commit on; ${context.rounds} interleaved rounds, medians`],
    rows: [
      ...rowsOf(results, 'events/s'),
      rowOf('head row: write-ahead log of an append', head.walBytes, 'bytes'),
      rowOf('unique version: write-ahead log of an append', unique.walBytes, 'bytes'),
      rowOf("head row: the server's processor time of an append", head.microseconds, 'us'),
      rowOf("unique version: the server's processor time of an append", unique.microseconds, 'us'),
      rowOf('append beside an open transaction that appended, 99th of 100', beside, 'ms'),
    ],
    bars: [
      { what: 'appends/s, head row vs unique version, many streams, 16 clients', value: against('many streams, 16 clients') },
      { what: 'appends/s, head row vs unique version, one stream, 16 clients', value: against('one stream, any version, 16 clients') },
      { what: 'write-ahead log, head row vs unique version', value: median(head.walBytes) / median(unique.walBytes) },
      { what: 'processor time, head row vs unique version', value: median(head.microseconds) / median(unique.microseconds) },
      { what: 'append beside an open transaction that appended, 99th of 100, ms', value: median(beside), atMost: 50 },
    ],
  };
}
