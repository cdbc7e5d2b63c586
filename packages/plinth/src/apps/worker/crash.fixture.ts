/** A PostgreSQL that is killed while everything is under way in it: the processes beside it, what they write, and what has to be there in the end. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { EmbeddedPostgres } from 'plinth-embedded';
import { startPostgres } from 'plinth-embedded';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { createServerRole, migrateUp } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { defineModule } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Projection } from '#kernel/projection.ts';
import { declareProjections, defineProjection } from '#kernel/projection.ts';
import type { Consumer, JobDefinition, JobRun } from '#kernel/work.ts';
import { JOB_SIGNALS, putSchedule } from '#modules/jobs';
import { acknowledge, receive } from '#modules/queue';
import { dispatcher } from '#modules/webhooks';
import { modules } from '#registry';
import { testFolder } from '#testing/folder.ts';
import { testSettings } from '#testing/settings.ts';
import { databaseUrl, withClient } from '#testing/test-run.ts';
import { Forwarder } from './forwarder.fixture.ts';
import type { Worker } from './index.ts';
import { startWorker } from './index.ts';

export type Crashing = Plinth<ModuleMap & typeof modules>;

type Tx = Parameters<Parameters<Crashing['transaction']>[1]>[0];

/** What the application writes: orders, and what was done for them; `took` has no key, so that what is done twice is seen. */
const TABLES = `create schema shop; grant usage on schema shop to plinth_app, plinth_worker;
  create table shop.orders (tenant_id uuid not null, key text not null, n integer not null, primary key (tenant_id, key, n));
  create table shop.took (tenant_id uuid not null, what text not null, id text not null, n integer, at bigint generated always as identity);
  create table shop.live (tenant_id uuid not null, key text not null, n bigint not null, primary key (tenant_id, key));
  create table shop.later (like shop.live including all);
  grant select, insert, update, delete on all tables in schema shop to plinth_app, plinth_worker`;

const counting = (table: string, kind: 'inline' | 'async'): Projection =>
  defineProjection({
    summary: `Orders of each key, ${kind}`,
    revision: 1,
    kind,
    timeoutMs: 30_000,
    tables: { counted: table },
    types: ['order.placed'],
    batchSize: 20,
    handle: async (tx, events, { counted }) => {
      for (const { tenantId, data } of events)
        await tx.query(`insert into ${counted} as c (tenant_id, key, n) values ($1, $2, 1) on conflict (tenant_id, key) do update set n = c.n + 1`, [
          tenantId,
          data.key,
        ]);
    },
  });

const SHOP = defineModule({
  name: 'shop',
  summary: 'A shop',
  tables: {},
  uses: ['events'],
  projections: { live: counting('shop.live', 'inline'), later: counting('shop.later', 'async') },
});

const took = (tx: { query(text: string, values: unknown[]): Promise<unknown> }, tenantId: string | undefined, what: string, id: string, n?: unknown) =>
  tx.query('insert into shop.took (tenant_id, what, id, n) values ($1, $2, $3, $4)', [tenantId, what, id, n ?? null]);

/** Each outage takes an attempt from every job that is under way in it. */
const PATIENT = { maxAttempts: 100, maxLost: 100, backoff: [0.1] };

/** Effect and completion in one transaction: exactly once, whatever is killed. */
const once = (what: string): JobDefinition => ({
  ...PATIENT,
  summary: what,
  handler: (run: JobRun) =>
    run.transaction(async (tx) => {
      await took(tx, run.tenantId, what, run.id, run.payload.n);
      await run.completeIn(tx);
    }),
});

export const HANDLERS: Record<string, JobDefinition> = {
  ...Object.fromEntries(['first', 'second', 'last', 'part', 'published', 'plain'].map((kind) => [`crash.${kind}`, once(kind)])),
  'crash.tick': {
    ...PATIENT,
    summary: 'tick',
    handler: (run) =>
      run.transaction(async (tx) => {
        await took(tx, run.tenantId, 'tick', `${run.payload.schedule} ${run.payload.scheduled_for}`);
        await run.completeIn(tx);
      }),
  },
  /** The completion is the worker's: at least once. */
  'crash.loose': { ...PATIENT, summary: 'loose', handler: (run) => run.transaction((tx) => took(tx, run.tenantId, 'loose', run.id)).then(() => undefined) },
};

/** A reader of the log whose writes have no key either. */
export const CONSUMERS: Record<string, Consumer> = {
  crash_reader: {
    summary: 'Notes each order',
    batchSize: 20,
    handle: async (tx, events) => {
      for (const { tenantId, type, data } of events) if (type === 'order.placed') await took(tx, tenantId, 'read', String(data.key), data.n);
    },
  },
};

/** What died with a worker is sent again after 10 s, and not after a minute. */
const WEBHOOKS = { ...modules.webhooks, workers: { ...modules.webhooks.workers, dispatcher: dispatcher({ timeoutMs: 5_000, leaseMarginMs: 5_000 }) } };

/** A system of a process of its own. */
export const crashingPlinth = (url: string): Crashing =>
  createKernel({ modules: { ...modules, webhooks: WEBHOOKS, shop: SHOP }, database: { url, max: 20 } }) as unknown as Crashing;

export class CrashingWorld {
  readonly #folder: string;
  readonly tenants: string[] = [];
  readonly #open: Crashing[] = [];
  readonly #workers: Worker[] = [];
  readonly #settings: Record<string, string | number | boolean>;
  #postgres: EmbeddedPostgres;
  #admin: pg.Pool | undefined;
  #standby: EmbeddedPostgres | undefined;
  #forwarder: Forwarder | undefined;
  readonly log: string[] = [];
  /** The last that has a name. */
  moment = '-infinity';

  private constructor(folder: string, postgres: EmbeddedPostgres, settings: Record<string, string | number | boolean>) {
    this.#folder = folder;
    this.#postgres = postgres;
    this.#settings = settings;
  }

  static async make({ archived = false, followed = false, within = '' } = {}): Promise<CrashingWorld> {
    const folder = await mkdtemp(join(within || (await testFolder()), 'plinth-test-crash-'));
    // Commits last, or what is acknowledged could be lost; of a process that is killed the pages reach the disk all the same.
    const settings = { ...testSettings, synchronous_commit: true, full_page_writes: true, shared_buffers: '64MB', max_connections: 120 };
    await mkdir(join(folder, 'archive'));
    await chmod(join(folder, 'archive'), 0o777);
    if (archived) Object.assign(settings, { archive_mode: 'on', wal_level: 'replica', archive_command: `cp %p ${join(folder, 'archive')}/%f` });
    const world = new CrashingWorld(folder, await startPostgres({ dataDir: folder, port: 0, settings }), settings);
    if (followed) world.#forwarder = await Forwarder.make(world.#postgres.port);
    await withClient(world.#postgres.url, (client) => client.query('create database crashing'));
    await migrateUp({ url: world.url, modules });
    await createServerRole({ url: world.url, name: 'crashing', password: 'crashing' });
    world.#admin = new pg.Pool({ connectionString: world.url, max: 3 });
    world.#admin.on('error', () => undefined);
    await world.admin.query(TABLES);
    for (const slug of ['a', 'b']) {
      const { rows } = await world.admin.query<{ id: string }>('insert into plinth_kernel.tenants (slug, name) values ($1, $1) returning id', [slug]);
      world.tenants.push(rows[0]?.id ?? '');
    }
    return world;
  }

  get url(): string {
    const url = new URL(databaseUrl(this.#postgres.url, 'crashing'));
    if (this.#forwarder) url.port = String(this.#forwarder.port);
    return url.href;
  }

  get admin(): pg.Pool {
    if (!this.#admin) throw new Error('the world is not there yet');
    return this.#admin;
  }

  /** As the role that serves. */
  get serverUrl(): string {
    const url = new URL(this.url);
    url.username = url.password = 'crashing';
    return url.href;
  }

  /** A process of its own would be: its own pool. */
  plinth(): Crashing {
    const made = crashingPlinth(this.serverUrl);
    this.#open.push(made);
    return made;
  }

  async startWorkers(count: number): Promise<void> {
    await declareProjections(this.plinth());
    const note = (fields: object, message: string): void => void this.log.push(`${message} ${JSON.stringify(fields)}`);
    for (let n = 0; n < count; n++) {
      const egress = createEgress({ policy: developmentPolicy });
      this.#workers.push(
        startWorker({
          plinth: this.plinth(),
          name: `worker ${n}`,
          pollMs: 200,
          leaseMs: 3_000,
          handlers: HANDLERS as never,
          consumers: CONSUMERS as never,
          services: { log: { info: () => {}, warn: note, error: note }, adapters: { egress } },
        }),
      );
    }
  }

  /** SIGKILL to all of PostgreSQL; to the postmaster alone, whose children find that out for themselves; or to one of its sessions, upon which it ends the others. */
  async crash(what: 'all' | 'postmaster' | 'session' = 'all'): Promise<void> {
    const { port, pid } = this.#postgres;
    if (what === 'session') {
      await withClient(this.url, async (client) => {
        const { rows } = await client.query<{ pid: number }>(`select pid from pg_stat_activity where usename = 'crashing' order by random() limit 1`);
        if (rows[0]) process.kill(rows[0].pid, 'SIGKILL');
      });
      return;
    }
    if (what === 'postmaster') {
      process.kill(pid, 'SIGKILL');
      await this.#postgres.exited;
    } else await this.#postgres.kill();
    this.#postgres = await startPostgres({ dataDir: this.#folder, port, settings: this.#settings });
    if (this.#postgres.port !== port) throw new Error('the port was taken meanwhile');
  }

  /** A copy of the cluster while it works, as backup programs make it. */
  async backup(): Promise<void> {
    await withClient(this.url, async (client) => {
      await client.query(`select pg_backup_start('test', true)`);
      // Files come and go while they are copied: those that are gone are not needed.
      await promisify(execFile)('cp', ['-a', await this.#data(), join(this.#folder, 'base')]).catch(() => undefined);
      const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
      await writeFile(join(this.#folder, 'base', 'backup_label'), rows[0]?.labelfile ?? '');
    });
  }

  /** Names this moment, and returns when everything up to it is in the archive. */
  async markMoment(name: string): Promise<void> {
    const { rows } = await this.admin.query<{ file: string; at: string }>(
      `select pg_walfile_name(pg_create_restore_point($1)) as file, clock_timestamp()::text as at`,
      [name],
    );
    this.moment = rows[0]?.at ?? '';
    await this.admin.query('select pg_switch_wal()');
    const archived = `select from pg_stat_archiver where last_archived_wal >= $1`;
    while ((await this.admin.query(archived, [rows[0]?.file])).rowCount === 0) await this.admin.query('select pg_sleep(0.02)');
  }

  /** The cluster as it was at that moment takes the place of the one that runs, at the same address. */
  async restoreTo(moment: string): Promise<void> {
    const { port } = this.#postgres;
    await this.#postgres.kill();
    const data = await this.#data();
    await become(data, join(this.#folder, 'base'), 'recovery.signal');
    const recovery = { restore_command: `cp ${this.#archive}/%f %p`, recovery_target_name: moment, recovery_target_action: 'promote', archive_mode: 'off' };
    this.#postgres = await startPostgres({ dataDir: this.#folder, port, settings: { ...this.#settings, ...recovery } });
    if (this.#postgres.port !== port) throw new Error('the port was taken meanwhile');
    // Until the target is reached it can be read, and takes no writes.
    while ((await this.admin.query('select where not pg_is_in_recovery()')).rowCount === 0) await pause(20);
  }

  /** Another server follows this one, and commits wait for it. */
  async follow(): Promise<void> {
    const dataDir = join(this.#folder, 'standby');
    const { hostname: host, port, password } = new URL(this.#postgres.url);
    await this.backup();
    await mkdir(dataDir);
    await promisify(execFile)('cp', ['-a', join(this.#folder, 'password'), dataDir]);
    // A cluster at a place that its account can reach, to be replaced by the copy.
    await (await startPostgres({ dataDir, port: 0, settings: this.#settings })).stop();
    await become(await realpath(join(dataDir, 'data')), join(this.#folder, 'base'), 'standby.signal');
    const primary_conninfo = `host=${host} port=${port} user=postgres password=${password} application_name=standby`;
    this.#standby = await startPostgres({ dataDir, port: 0, settings: { ...this.#settings, primary_conninfo } });
    await withClient(this.url, async (client) => {
      await client.query(`alter system set synchronous_standby_names = '*'`);
      await client.query('select pg_reload_conf()');
      while ((await client.query(`select from pg_stat_replication where sync_state = 'sync'`)).rowCount === 0) await client.query('select pg_sleep(0.02)');
    });
  }

  /** The other server takes the place of the first one, which is dead or cut off. */
  async failOver(how: 'killed' | 'cut off'): Promise<{ oldUrl: string }> {
    const [old, standby] = [this.#postgres, this.#standby];
    if (!standby || !this.#forwarder) throw new Error('nobody follows');
    if (how === 'killed') await old.kill();
    this.#forwarder.cut();
    await withClient(standby.url, (client) => client.query('select pg_promote()'));
    this.#postgres = standby;
    this.#standby = old;
    this.#forwarder.to(standby.port);
    return { oldUrl: databaseUrl(old.url, 'crashing') };
  }

  #data = (): Promise<string> => realpath(join(this.#folder, 'data'));

  get #archive(): string {
    return join(this.#folder, 'archive');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop({ graceMs: 0 })));
    await Promise.all(this.#open.map((plinth) => plinth.close()));
    await this.#admin?.end();
    await this.#forwarder?.close();
    await this.#postgres.stop();
    await this.#standby?.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A copy of a cluster takes the place of one, and recovers as the signal says. */
async function become(data: string, copy: string, signal: string): Promise<void> {
  await rm(data, { recursive: true });
  await promisify(execFile)('cp', ['-a', copy, data]);
  const prepare = `rm -rf "$1"/postmaster.pid "$1"/pg_wal/0* && touch "$1/$2" && chmod 666 "$1/$2" "$1"/backup_label`;
  await promisify(execFile)('sh', ['-c', prepare, 'sh', data, signal]);
}

/** What follows from an order, of every kind that there is. */
function follow(tx: Tx, key: string, n: number): void {
  tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: `${key} ${n}` });
  tx.events.publish('order.placed', { key, n }, { stream: { type: 'order', id: key } });
  tx.queue.send('orders', { key, n }, { groupKey: key });
  tx.jobs.enqueue('crash.plain', { key, n });
  tx.jobs.enqueue('crash.loose', { key, n });
  const first = tx.jobs.enqueue('crash.first', { key, n });
  const second = tx.jobs.enqueue('crash.second', { key, n }, { dependsOn: [first] });
  tx.jobs.enqueue('crash.last', { key, n }, { dependsOn: [first, second] });
  tx.jobs.batch({ name: `${key} ${n}`, onSuccess: { kind: 'crash.published', payload: { key, n } } }, (add) => {
    add.many('crash.part', [
      { key, n },
      { key, n },
      { key, n },
    ]);
  });
}

/** One order, with everything that follows from one, in a transaction that is there: refused where the order is. */
export async function writeOrder(tx: Tx, key: string, n: number): Promise<void> {
  await tx.query('insert into shop.orders (tenant_id, key, n) values ($1, $2, $3)', [tx.context.tenantId, key, n]);
  follow(tx, key, n);
}

/** The same in one of its own. Told again after a failure it is not written twice. */
export async function placeOrder(plinth: Crashing, tenantId: string, key: string, n: number): Promise<void> {
  await plinth.transaction({ tenantId }, async (tx) => {
    const made = await tx.query('insert into shop.orders (tenant_id, key, n) values ($1, $2, $3) on conflict do nothing returning n', [tenantId, key, n]);
    if (made.length > 0) follow(tx, key, n);
  });
}

/** A schedule that has missed five ticks and makes up each. In one transaction: it is there as a whole or not at all, whatever is killed or restored; told again it changes nothing. */
export async function placeSchedule(plinth: Crashing, tenantId: string, name: string): Promise<void> {
  const schedule = { name, cron: '* * * * *', kind: 'crash.tick', payload: { schedule: name } };
  await plinth.transaction({ tenantId }, async (tx) => {
    const first = new Date(Math.floor(Date.now() / 60_000 - 5) * 60_000);
    await tx.query('select plinth_jobs.put_schedule($1)', [JSON.stringify({ ...schedule, missed_runs: 'all', next_run_at: first })]);
    await putSchedule(tx, { ...schedule, missedRuns: 'all' });
    tx.signal(JOB_SIGNALS.scheduled);
  });
}

/** Receives messages, and acknowledges each with its effect, until it is told to end. */
export async function receiveOrders(plinth: Crashing, tenantId: string, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      const messages = await plinth.transaction({ tenantId }, (tx) => receive(tx, 'orders', { limit: 20, visibilityMs: 3_000 }));
      for (const { receipt, payload } of messages) {
        const { key, n } = payload as { key: string; n: number };
        await plinth.transaction({ tenantId }, async (tx) => {
          await took(tx, tenantId, 'message', key, n);
          await acknowledge(tx, receipt);
        });
      }
      if (messages.length === 0) await plinth.wake.next([], 50, stop);
    } catch {
      await plinth.wake.next([], 50, stop);
    }
  }
}
