import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { BenchContext, Report, Row } from './harness.ts';
import { interleave, median, ratio, rowsOf, throughput } from './harness.ts';
import { emmett } from './peers/emmett.ts';
import type { Store } from './peers/event-store.ts';
import { DATA } from './peers/event-store.ts';
import { messageDb } from './peers/message-db.ts';

const CLIENTS = 16;
const STREAMS = 10_000;
const OPEN_MS = 1_000;

/** The way of the SDK: a transaction with its context, the append collected and written with COMMIT. */
function inTypeScript({ plinth, tenantId }: BenchContext): Store {
  return {
    name: 'plinth, tx.events.append',
    append: (_client, stream, version) =>
      plinth.transaction({ tenantId }, async (tx) => {
        tx.events.append({ type: 'bench', id: stream }, [{ type: 'bench.appended', data: DATA }], { expectedVersion: version });
      }),
    hold: () => Promise.reject(new Error('held in SQL')),
    close: () => Promise.resolve(),
  };
}

/** The way of SQL: one prepared call on a connection that has its role and tenant. */
async function inSql({ serverUrl, tenantId }: BenchContext): Promise<Store> {
  const connected = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: serverUrl });
    client.on('error', () => undefined);
    await client.connect();
    await client.query(`set role plinth_app; set plinth.tenant_id = '${tenantId}'`);
    return client;
  };
  const connections = await Promise.all(Array.from({ length: CLIENTS + 1 }, connected));
  const holder = connections.pop();
  const data = JSON.stringify(DATA);
  const append = (client: pg.Client | undefined, stream: string, version: number | null): Promise<unknown> =>
    client?.query({ name: 'append', text: `select plinth.append_event($1, 'sql', 'bench.appended', $2, $3)`, values: [stream, data, version] }) ??
    Promise.reject(new Error('no such client'));
  return {
    name: 'plinth, plinth.append_event',
    append: (client, stream, version) => append(connections[client], stream, version),
    async hold(stream) {
      await holder?.query('begin');
      await append(holder, stream, null);
      return async () => holder?.query('commit');
    },
    close: () => Promise.all([...connections, holder].map((client) => client?.end())),
  };
}

interface Cost {
  server: number[];
  client: number[];
}

/** Microseconds of processor time for one append by each of 16 clients, of the server's processes and of this one: what counts where every core is busy. */
async function costOf(context: BenchContext, append: () => Promise<number>, cost: Cost): Promise<void> {
  const times = async (): Promise<Map<number, number>> => {
    const { rows } = await context.admin.query<{ pid: number }>(
      `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    // Linux tells the processor time of a process in nanoseconds.
    return new Map(rows.map(({ pid }) => [pid, Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000]));
  };
  const before = await times();
  const own = process.cpuUsage();
  const started = performance.now();
  const appends = ((await append()) * (performance.now() - started)) / 1_000;
  const { user, system } = process.cpuUsage(own);
  const after = await times();
  cost.client.push((user + system) / appends);
  cost.server.push([...after].reduce((sum, [pid, time]) => sum + time - (before.get(pid) ?? 0), 0) / appends);
}

/** Milliseconds of appends to other streams while a transaction that appended stays open for a second: the 99th of 100. */
async function besideOpen(store: Store, round: number): Promise<number> {
  const end = await store.hold(`held ${round}`);
  const started = performance.now();
  const times: number[] = [];
  const appending = Promise.all(
    Array.from({ length: 4 }, async (_, client) => {
      for (let version = 0; performance.now() - started < OPEN_MS; version++) {
        const before = performance.now();
        await store.append(client, `beside ${round} ${client}`, version);
        times.push(performance.now() - before);
      }
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, OPEN_MS));
  await end();
  await appending;
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? Number.NaN;
}

/** Appends with an expected version beside emmett-postgresql and Message DB, in one category and in as many streams. */
export async function run(context: BenchContext): Promise<Report> {
  const serverUrl = context.url;
  const stores = [inTypeScript(context), await inSql(context), await emmett(serverUrl, CLIENTS), await messageDb(serverUrl, CLIENTS)];
  const [typescript, sql, emmettStore, messageDbStore] = stores as [Store, Store, Store, Store];
  const durationMs = context.quick ? 700 : 3_000;
  const versions = new Map<string, number>();
  let turn = 0;
  const appends = (store: Store, count: number) => () =>
    throughput(count, durationMs, async (client) => {
      // Streams of one client that no other appends to, so that every expected version fits.
      const stream = `${client} ${turn++ % (STREAMS / CLIENTS)}`;
      const key = `${store.name} ${stream}`;
      const version = versions.get(key) ?? 0;
      await store.append(client, stream, version);
      versions.set(key, version + 1);
    });
  const results = await interleave(
    context.rounds,
    Object.fromEntries(
      stores.flatMap((store) => [1, CLIENTS].map((count) => [`${store.name}, ${count} client${count > 1 ? 's' : ''}`, appends(store, count)])),
    ),
  );
  const costs = new Map<Store, Cost>(stores.map((store) => [store, { server: [], client: [] }]));
  for (let round = 0; round < context.rounds; round++) for (const [store, cost] of costs) await costOf(context, appends(store, CLIENTS), cost);
  const beside: Record<string, number[]> = { [sql.name]: [], [messageDbStore.name]: [] };
  for (let round = 0; round < context.rounds; round++) for (const store of [sql, messageDbStore]) beside[store.name]?.push(await besideOpen(store, round));
  await Promise.all(stores.map((store) => store.close()));
  const against = (ours: Store, theirs: Store): number => ratio(results, `${ours.name}, ${CLIENTS} clients`, `${theirs.name}, ${CLIENTS} clients`);
  const costRows = Object.fromEntries(
    [...costs].flatMap(([{ name }, { server, client }]) => [
      [`${name}, processor time of the server`, server],
      [`${name}, processor time of the client`, client],
    ]),
  );
  const cheaper = (ours: Store, theirs: Store): number => {
    const of = (store: Store): number => median(costs.get(store)?.server ?? []) + median(costs.get(store)?.client ?? []);
    return of(theirs) / of(ours);
  };
  const rows: Row[] = [
    ...rowsOf(results, 'appends/s'),
    ...rowsOf(costRows, 'us an append'),
    ...rowsOf(Object.fromEntries(Object.entries(beside).map(([name, values]) => [`${name}, beside an open transaction, 99th of 100`, values])), 'ms'),
  ];
  return {
    name: 'event-store-peers',
    title: 'event store: appends with an expected version, beside emmett-postgresql and Message DB',
    settings: [
      `one event of 230 bytes, ${STREAMS} streams of one category, fsync and synchronous_commit on; ${context.rounds} interleaved rounds, medians`,
      'emmett-postgresql 0.42.0 with a pool of 16, @eventide/message-db 1.3.1 by a prepared call of write_message',
    ],
    rows,
    bars: [
      { what: 'tx.events.append vs emmett appendToStream, 16 clients', value: against(typescript, emmettStore), atLeast: 1.5 },
      { what: 'plinth.append_event vs Message DB write_message, 16 clients, one category', value: against(sql, messageDbStore), atLeast: 2 },
      { what: 'tx.events.append vs Message DB write_message, 16 clients, one category', value: against(typescript, messageDbStore) },
      { what: 'processor time of server and client, emmett vs tx.events.append', value: cheaper(typescript, emmettStore) },
      { what: 'processor time of server and client, Message DB vs plinth.append_event', value: cheaper(sql, messageDbStore) },
      {
        what: 'Message DB vs plinth: append beside an open transaction, 99th of 100',
        value: median((beside[messageDbStore.name] ?? []).map((ms, round) => ms / (beside[sql.name]?.[round] ?? Number.NaN))),
        atLeast: 20,
      },
    ],
  };
}
