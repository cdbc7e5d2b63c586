/**
 * Webhooks while the processes that send them, the server that takes events and PostgreSQL are killed. What must have arrived is read from the log of events;
 * what did arrive is what the receiver noted.
 */
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Plinth } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import { seeded } from '../../packages/plinth/src/testing/random.ts';
import { benchContext } from '../harness.ts';
import type { CrashableCluster } from '../jobs/crashable.ts';
import { ask, crashable, pause } from '../jobs/crashable.ts';
import type { WorkerSlot } from '../jobs/worker-process.ts';
import { workerSlot } from '../jobs/worker-process.ts';
import { readingKey } from '../realtime/key.ts';
import type { ServerProcess } from '../realtime/processes.ts';
import { serverProcess } from '../realtime/processes.ts';
import type { KillSink } from './kill-sink.ts';
import { killSink } from './kill-sink.ts';
import type { KillVerdict } from './kill-verdict.ts';
import { committedEvents, judge } from './kill-verdict.ts';

export interface KillOptions {
  /** Of all kinds together: seven workers, two servers and one PostgreSQL in ten. */
  kills: number;
  seed: number;
  workers?: number;
  /** Default 6,000: short, so that what died with a worker is sent again soon. */
  leaseMs?: number;
  /**
   * How long after it was written down as delivered something may still arrive again. Default two leases: a result may take its whole lease to be committed,
   * and who claims at the end of that has a lease of its own. On a machine that stalls, longer.
   */
  windowMs?: number;
  /** Longest pause before a kill, and before one of a worker that sends, ms. Default 300; a worker is killed only once it sends. */
  everyMs?: number;
  programFolder?: string | undefined;
  /** How long nothing may arrive before what is missing is given up for lost. Default 120,000. */
  drainMs?: number;
  progress?(line: string): void;
}

export interface KillResult extends KillVerdict {
  workers: number;
  servers: number;
  crashes: number;
  /** Events that arrived twice after the last kill, when nothing was in flight any more. */
  quietTwice: number;
  tookMs: number;
}

const KINDS = ['worker', 'server', 'postgres'] as const;
type Kind = (typeof KINDS)[number];
const DECK: readonly Kind[] = ['worker', 'worker', 'worker', 'worker', 'worker', 'worker', 'worker', 'server', 'server', 'postgres'];
const KEYS = 40;
const EVERY_MS = 300;
const LONGEST_START_MS = 30_000;

interface Run {
  options: KillOptions;
  random: () => number;
  cluster: CrashableCluster;
  admin: pg.Pool;
  plinth: Plinth;
  tenants: readonly string[];
  key: string;
  slots: WorkerSlot[];
  ready: Set<string>;
  server: Promise<ServerProcess>;
  serverUrl: string;
  /** Numbers of events whose commit was confirmed. */
  confirmed: Set<number>;
  next: number;
  counts: Record<Kind, number>;
  done: boolean;
}

/** Events by transactions of this process, some of which commit late. */
async function appendHere(run: Run): Promise<void> {
  const { plinth, random, tenants, confirmed } = run;
  const numbers = Array.from({ length: 1 + Math.floor(random() * 4) }, () => run.next++);
  const tenantId = tenants[random() < 0.8 ? 0 : 1] ?? '';
  const lateMs = random() < 0.2 ? random() * 200 : 0;
  const id = String(Math.floor(random() * KEYS));
  try {
    await plinth.transaction({ tenantId }, async (tx) => {
      await tx.events.append(
        { type: 'kill', id },
        numbers.map((n) => ({ type: 'kill.happened', data: { n } })),
      );
      if (lateMs > 0) await pause(lateMs);
    });
    for (const n of numbers) confirmed.add(n);
  } catch {
    // Whether that committed, the log of events knows; the numbers are not used again.
    await pause(50);
  }
}

/** An event by way of the server. */
async function appendThere(run: Run): Promise<void> {
  const n = run.next++;
  try {
    const { port } = await run.server;
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${run.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ type: 'kill.happened', data: { n } }),
      signal: AbortSignal.timeout(10_000),
    });
    if (response.ok) run.confirmed.add(n);
    await response.text();
  } catch {
    await pause(50);
  }
}

async function append(run: Run, one: (run: Run) => Promise<void>): Promise<void> {
  while (!run.done) {
    await one(run);
    await pause(20 + run.random() * 40);
  }
}

const KILL: Record<Kind, (run: Run) => Promise<void>> = {
  async worker(run) {
    // One that sends: killing what has not begun yet tests nothing.
    for (const end = performance.now() + LONGEST_START_MS; run.ready.size === 0 && performance.now() < end; ) await pause(10);
    const sending = run.slots.filter(({ name }) => run.ready.has(name));
    const at = sending.length > 0 ? sending : run.slots;
    const slot = at[Math.floor(run.random() * at.length)];
    if (!slot) return;
    run.ready.delete(slot.name);
    // Not at its first request, which has not arrived yet.
    await pause(run.random() * (run.options.everyMs ?? EVERY_MS));
    await slot.kill();
    slot.start();
  },
  async server(run) {
    const { port, kill } = await run.server;
    await kill();
    run.server = serverProcess('./server.fixture.ts', run.serverUrl, port, 'silent');
    run.server.catch(() => {});
  },
  postgres: (run) => run.cluster.crash(),
};

async function killAll(run: Run): Promise<void> {
  const { options, random } = run;
  let deck: Kind[] = [];
  for (let nth = 1; nth <= options.kills; nth++) {
    await pause(random() * (options.everyMs ?? EVERY_MS));
    if (deck.length === 0)
      deck = DECK.map((kind) => ({ kind, order: random() }))
        .sort((a, b) => a.order - b.order)
        .map(({ kind }) => kind);
    const kind = deck.pop() ?? 'worker';
    await KILL[kind](run);
    run.counts[kind]++;
    options.progress?.(`${nth}/${options.kills} ${kind} at ${new Date().toISOString()}, ${run.next.toLocaleString('en')} events`);
  }
  run.done = true;
}

/** Resolves when everything committed has arrived everywhere, or nothing has for too long. */
async function drained(run: Run, sink: KillSink, subscriptions: readonly Subscription[]): Promise<void> {
  let seen = -1;
  let movedMs = performance.now();
  for (;;) {
    const events = await committedEvents(run.admin);
    const missing = subscriptions.reduce((sum, { id, tenantId }) => {
      const there = new Set(sink.arrivals.filter(({ subscription }) => subscription === id).map(({ n }) => n));
      return sum + events.filter((event) => event.tenant_id === tenantId && !there.has(event.n)).length;
    }, 0);
    const [waiting] = await ask<{ n: number }>(run.admin, 'select count(*)::int as n from plinth_webhooks.deliveries');
    if (missing === 0 && waiting?.n === 0) return;
    if (sink.arrivals.length !== seen) movedMs = performance.now();
    seen = sink.arrivals.length;
    if (performance.now() - movedMs > (run.options.drainMs ?? 120_000)) return;
    await pause(250);
  }
}

export interface Subscription {
  id: string;
  tenantId: string;
  ordered: boolean;
}

async function subscribe(plinth: Plinth, sink: KillSink, tenants: readonly string[]): Promise<Subscription[]> {
  const wishes = [
    { name: 'parallel', tenantId: tenants[0] ?? '', ordered: false },
    { name: 'ordered', tenantId: tenants[0] ?? '', ordered: true },
    { name: 'other', tenantId: tenants[1] ?? '', ordered: false },
  ];
  const made: Subscription[] = [];
  for (const { name, tenantId, ordered } of wishes) {
    await plinth.transaction({ tenantId }, async (tx) => {
      const [row] = await tx.query<{ id: string; secret: string }>(
        `select subscription_id as id, secret from plinth.subscribe($1, '{kill.#}', 'http://127.0.0.1:1/')`,
        [name],
      );
      if (!row) throw new Error('not subscribed');
      await tx.query('select plinth.update_subscription($1, p_url => $2)', [row.id, sink.url(row.id)]);
      // Room for what died with workers, which counts as under way until its lease is over.
      await tx.query('select plinth.set_delivery_policy($1, p_ordering => $2, p_max_in_flight => 1000)', [row.id, ordered ? 'fifo_by_key' : 'parallel']);
      sink.secrets.set(row.id, row.secret);
      made.push({ id: row.id, tenantId, ordered });
    });
  }
  return made;
}

/** Kills, waits until all has arrived, sends a little more in peace, and judges. */
export async function killRun(options: KillOptions): Promise<KillResult> {
  const started = performance.now();
  const random = seeded(options.seed);
  const cluster = await crashable(options.programFolder);
  const sink = await killSink(() => (random() < 0.2 ? random() * 300 : random() * 10));
  const slots: WorkerSlot[] = [];
  const closing: (() => Promise<unknown>)[] = [];
  try {
    const installed = await benchContext(cluster.url, { rounds: 1, quick: true, args: {} });
    await installed.close();
    const { serverUrl } = installed;
    const tenants = [installed.tenantId, installed.otherTenantId];
    const admin = new pg.Pool({ connectionString: installed.url, max: 2 });
    admin.on('error', () => undefined);
    closing.push(() => admin.end());
    const plinth = createPlinth({ database: { url: serverUrl, max: 4 } });
    closing.push(() => plinth.close());
    const subscriptions = await subscribe(plinth, sink, tenants);
    const key = await readingKey(plinth, tenants[0] ?? '', ['events.*']);
    const ready = new Set<string>();
    const program = fileURLToPath(new URL('./kill-worker.fixture.ts', import.meta.url));
    const leaseMs = options.leaseMs ?? 6_000;
    const onLine = (line: string, slot: string): void => void (line === 'ready' && ready.add(slot));
    for (let nth = 0; nth < (options.workers ?? 4); nth++) slots.push(workerSlot({ program, name: `worker-${nth}`, serverUrl, leaseMs, onLine }));
    const server = serverProcess('./server.fixture.ts', serverUrl, 0, 'silent');
    const counts = { worker: 0, server: 0, postgres: 0 };
    const run: Run = {
      options,
      random,
      cluster,
      admin,
      plinth,
      tenants,
      key,
      slots,
      ready,
      server,
      serverUrl,
      confirmed: new Set(),
      next: 0,
      counts,
      done: false,
    };
    closing.push(async () => (await run.server).kill());
    await Promise.all([append(run, appendHere), append(run, appendThere), killAll(run)]);
    await drained(run, sink, subscriptions);
    const before = run.next;
    for (let nth = 0; nth < 20; nth++) await appendHere(run);
    await drained(run, sink, subscriptions);
    const verdict = await judge({ admin, sink, subscriptions, confirmed: run.confirmed, windowMs: options.windowMs ?? 2 * leaseMs });
    const quiet = sink.arrivals.filter(({ n }) => n >= before).map(({ subscription, n }) => `${subscription} ${n}`);
    const { worker: workers, server: servers, postgres: crashes } = counts;
    return { ...verdict, workers, servers, crashes, quietTwice: quiet.length - new Set(quiet).size, tookMs: Math.round(performance.now() - started) };
  } finally {
    await Promise.all(slots.map((slot) => slot.kill()));
    for (const close of closing.reverse()) await close().catch(() => undefined);
    await sink.close();
    await cluster.close();
  }
}
