/**
 * The whole of Plinth while its processes are killed: a server that takes orders over HTTP, workers, PostgreSQL. What was acknowledged is whole, what was
 * not is whole or absent, and everything that follows from an order happens, once. PLINTH_RUNS=100 for a long run, PLINTH_SEED to repeat the order of kills.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { diskStorage } from '#adapters/storage/disk.ts';
import { ensureAdminKey } from '#apps/server/index.ts';
import { archivedRows } from '#kernel/retention/archive.ts';
import { ownerAccess } from '#kernel/retention/owner.ts';
import { idAt } from '#kernel/retention/retention.fixture.ts';
import { maintain } from '#modules/maintenance';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { WebhookReceiver } from '#testing/webhook-receiver.ts';
import { webhookReceiver } from '#testing/webhook-receiver.ts';
import type { Crashing } from './crash.fixture.ts';
import { CrashingWorld, placeSchedule, receiveOrders } from './crash.fixture.ts';
import { breath, faultsInTheEnd, insist } from './crash-faults.fixture.ts';

const SEED = drawnSeed();
const KILLS = drawnRuns(4);
const ROWS = 300;

/** A process of the world; SIGKILL, and another one takes its place at the same address. */
class Process {
  readonly #args: readonly string[];
  readonly #url: string;
  #child: ChildProcess | undefined;
  readonly said: string[] = [];

  constructor(url: string, ...args: string[]) {
    this.#url = url;
    this.#args = args;
  }

  /** Resolves with what it prints first. */
  async start(): Promise<string> {
    const child = spawn(process.execPath, [fileURLToPath(new URL('crash-process.fixture.ts', import.meta.url)), ...this.#args], {
      env: { ...process.env, PLINTH_DATABASE_URL: this.#url },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => this.said.push(line));
    const ended = once(child, 'exit').then(() => Promise.reject(new Error(`it did not start: ${this.said.slice(-5).join('\n')}`)));
    ended.catch(() => {});
    const [line] = (await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended])) as [string];
    return line;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return String(port);
}

/** What clients were told. */
interface Told {
  acknowledged: string[];
  /** Asked once and never again: nobody knows. */
  given: number;
}

/** Orders over HTTP, one after the other; most are asked for again until there is an answer, under one idempotency key. */
async function order(address: { origin: string; key: string }, tenantId: string, key: string, told: Told, random: () => number, over: AbortSignal) {
  for (let n = 1; !over.aborted; n++) {
    const [broken, single, began] = [random() < 0.1, random() < 0.1, performance.now()];
    for (;;) {
      const status = await fetch(`${address.origin}/api/v1/shop/orders`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${address.key}`,
          'x-plinth-tenant': tenantId,
          'x-plinth-reason': 'test',
          'idempotency-key': `${key}-${n}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ key, n, broken }),
        signal: AbortSignal.timeout(20_000),
      }).then(
        async (response) => {
          const text = await response.text();
          if (response.status === 200 || response.status === 503 || text.includes('idempotency_in_progress')) return response.status;
          if (broken && response.status === 500) return 0;
          throw new Error(`${response.status} ${text}`);
        },
        () => 503,
      );
      if (status === 200) told.acknowledged.push(`${tenantId} ${key} ${n}`);
      if (status === 200 || status === 0) break;
      if (single) {
        told.given += 1;
        break;
      }
      await pause(20);
    }
    await breath(began, random() * 600, over);
  }
}

/** Old days of attempts come to be, and are archived and dropped, one after the other. */
async function retain(world: CrashingWorld, plinth: Crashing, folder: string, over: AbortSignal): Promise<number> {
  const services = { asWorker: plinth.asWorker.bind(plinth, {}) as never, owner: ownerAccess(world.url), storage: diskStorage(folder) };
  await insist(() =>
    world.admin.query(
      `insert into plinth_kernel.retention_policies (tenant_id, kind, keep, archive) values ('00000000-0000-0000-0000-000000000000', 'jobs.attempts', '7 days', true) on conflict do nothing`,
    ),
  );
  let days = 0;
  for (; !over.aborted; days++) {
    const day = new Date(Date.now() - (60 + days) * 86_400_000).toISOString().slice(0, 10);
    const id = idAt(`'${day} 12:00+00'::timestamptz`);
    await insist(() =>
      world.admin.query(`do $$ begin
        if exists (select from plinth_kernel.partition_list('plinth_jobs.attempts') where lower_id = plinth_kernel.v7_floor('${day}')) then return; end if;
        set local role plinth_owner; perform plinth_kernel.partition_make('plinth_jobs.attempts', 'day', '${day}'); reset role;
        insert into plinth_jobs.attempts (tenant_id, id, job_id, kind, attempt, outcome, created_at) select '${world.tenants[0]}', ${id}, ${id}, 'old.work', 1, 'failed', '${day} 12:00' from generate_series(1, ${ROWS});
      end $$`),
    );
    await vi.waitFor(async () => expect((await maintain(services, { task: 'retention', kinds: ['jobs.attempts'] })).status).toBe('completed'), {
      timeout: 120_000,
      interval: 20,
    });
    await breath(performance.now(), 1_000, over);
  }
  return days;
}

/** Under which ids each order was told of, and how many requests it took. */
function deliveries({ received }: WebhookReceiver): Map<string, Set<string>> {
  const ids = new Map<string, Set<string>>();
  for (const { id, verifiedBy, data } of received) {
    expect(verifiedBy).not.toEqual([]);
    const order = `${data.data.key} ${data.data.n}`;
    ids.set(order, (ids.get(order) ?? new Set()).add(id));
  }
  return ids;
}

async function subscribe(world: CrashingWorld, plinth: Crashing, url: string): Promise<string[]> {
  const secrets = await Promise.all(
    world.tenants.map((tenantId) =>
      plinth.transaction({ tenantId }, (tx) => tx.query<{ secret: string }>(`select secret from plinth.subscribe('shop', '{order.*}', $1)`, [url])),
    ),
  );
  return secrets.map(([row]) => row?.secret ?? '');
}

test('whatever is killed, what was acknowledged is whole, nothing is half, and everything that follows from it happens once', {
  timeout: 240_000 + KILLS * 10_000,
}, async () => {
  console.info(`seed ${SEED}`);
  const random = seeded(SEED);
  const folder = await mkdtemp(join(tmpdir(), 'plinth-archive-'));
  await using world = await CrashingWorld.make();
  const receiver = await webhookReceiver();
  const plinth = world.plinth();
  await world.startWorkers(0);
  receiver.secrets.push(...(await subscribe(world, plinth, receiver.url)));
  const key = (await ensureAdminKey(plinth)).secret ?? '';
  const workers = [new Process(world.serverUrl, 'worker'), new Process(world.serverUrl, 'worker')];
  const server = new Process(world.serverUrl, 'server', await freePort());
  const [origin = ''] = await Promise.all([server, ...workers].map((one) => one.start()));
  const told: Told = { acknowledged: [], given: 0 };
  const [over, done] = [new AbortController(), new AbortController()];
  const writing = world.tenants.flatMap((tenantId, t) => ['x', 'y'].map((name) => order({ origin, key }, tenantId, `${name}${t}`, told, random, over.signal)));
  const receiving = world.tenants.map((tenantId) => receiveOrders(world.plinth(), tenantId, done.signal));
  const retaining = retain(world, plinth, folder, over.signal);
  const again = async (victim: Process): Promise<void> => {
    await victim.kill();
    await victim.start();
  };
  const KINDS: Record<string, () => Promise<unknown>> = {
    server: () => again(server),
    ...Object.fromEntries(workers.map((worker, n) => [`worker ${n}`, () => again(worker)])),
    postgres: () => world.crash('all'),
    postmaster: () => world.crash('postmaster'),
    session: () => world.crash('session'),
  };
  const names = Object.keys(KINDS).toSorted(() => random() - 0.5);
  const killed: string[] = [];
  try {
    for (let n = 0; n < KILLS; n++) {
      await insist(() => placeSchedule(plinth, world.tenants[n % 2] ?? '', `s${n}`));
      await pause(100 + random() * 400);
      const name = n < names.length ? names[n] : Object.keys(KINDS)[Math.floor(random() * names.length)];
      killed.push(name ?? '');
      await insist(() => KINDS[name ?? '']?.() ?? Promise.resolve());
    }
    await pause(300);
    over.abort();
    await Promise.all(writing);
    const days = await retaining;
    const found = await faultsInTheEnd(world);
    done.abort();
    await Promise.all(receiving);
    console.info(
      `${killed.join(', ')} killed; ${told.acknowledged.length} orders acknowledged, ${told.given} given up, ${receiver.received.length} webhooks, ${days} days archived`,
    );
    expect(found).toEqual({});
    const { rows } = await world.admin.query<{ order: string; key: string }>(
      `select tenant_id || ' ' || key || ' ' || n as "order", key || ' ' || n as key from shop.orders`,
    );
    expect(told.acknowledged.filter((one) => !rows.some((row) => row.order === one))).toEqual([]);
    expect(rows.length - told.acknowledged.length).toBeLessThanOrEqual(told.given);
    const ids = deliveries(receiver);
    expect([...ids.keys()].toSorted()).toEqual(rows.map((row) => row.key).toSorted());
    expect([...ids].filter(([, under]) => under.size !== 1)).toEqual([]);
    const { rows: archived } = await world.admin.query<{ archive_key: string; row_count: string }>(
      `select archive_key, row_count from plinth_kernel.retention_partitions where state = 'dropped'`,
    );
    expect(archived).toHaveLength(days);
    for (const { archive_key } of archived) expect(await Array.fromAsync(archivedRows(diskStorage(folder), archive_key))).toHaveLength(ROWS);
  } finally {
    over.abort();
    done.abort();
    await Promise.allSettled([...writing, ...receiving, retaining]);
    await Promise.all([server, ...workers].map((one) => one.kill()));
    await receiver.close();
    await rm(folder, { recursive: true, force: true });
  }
});
