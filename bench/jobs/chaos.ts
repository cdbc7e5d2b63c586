/**
 * Jobs that post to a ledger in their own transaction, while their workers are killed and stopped, their connections cut and
 * the server crashed. What is true afterwards is read from the database alone: chaos.enqueued was written by the transactions
 * that enqueued, chaos.ledger by those that completed.
 */
import pg from 'pg';
import type { Plinth } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import { seeded } from '../../packages/plinth/src/testing/random.ts';
import { benchContext } from '../harness.ts';
import type { CrashableCluster } from './crashable.ts';
import { ask, crashable, pause } from './crashable.ts';
import type { WorkerSlot } from './worker-process.ts';
import { workerSlot } from './worker-process.ts';

export interface ChaosOptions {
  jobs: number;
  seed: number;
  /** Faults of all kinds together; every kind comes at least once in four. */
  faults: number;
  workers?: number;
  /** Default 2,000: short, so that stopped workers outlive it often. */
  leaseMs?: number;
  /** Effects and completion apart, which must show as effects twice: it proves that the verdict sees them. */
  separate?: boolean;
  /** Another PostgreSQL to run on. */
  programFolder?: string | undefined;
  /** After the last fault: how long nothing may finish before what is open is given up for lost. Default 180,000. */
  drainMs?: number;
  /** Where the run may take long, how far it is. */
  progress?(line: string): void;
}

export interface ChaosResult {
  enqueued: number;
  completed: number;
  /** Enqueued and never completed, or completed without the effect. */
  lost: number;
  /** Effects that the ledger holds more than once. */
  twice: number;
  /** Completions or effects of another attempt than the one that completed the job. */
  zombies: number;
  /** Completions of attempts that had lost their job, which were refused. */
  refused: number;
  /** What the counters and the ledger differ by. */
  unbalanced: number;
  attempts: number;
  kills: number;
  stops: number;
  cuts: number;
  crashes: number;
  tookMs: number;
  /** Rows of some jobs that were lost, or a note that there is no row, for whoever looks for the reason. */
  examples: string[];
}

const FAULTS = ['kill', 'stop', 'cut', 'crash'] as const;
type Fault = (typeof FAULTS)[number];
const TABLES = `create schema chaos; grant usage on schema chaos to plinth_app;
  create table chaos.enqueued (n bigint primary key, kind text not null);
  create table chaos.ledger (n bigint not null, job_id uuid not null, run_id uuid not null, worker text not null);
  create table chaos.counters (shard int primary key, value bigint not null);
  insert into chaos.counters select shard, 0 from generate_series(0, 63) shard;
  grant all on all tables in schema chaos to plinth_app`;

interface Run {
  options: ChaosOptions;
  cluster: CrashableCluster;
  plinth: Plinth;
  admin: pg.Pool;
  tenants: readonly string[];
  slots: WorkerSlot[];
  random: () => number;
  faultsDone: number;
  counts: Record<Fault, number>;
}

/** A tenth takes long, so that every fault meets jobs that run. */
const durationOf = (random: () => number): number => Math.floor(random() < 0.1 ? 200 + random() * 1_000 : random() * 30);

async function enqueueAll(run: Run): Promise<void> {
  const { options, plinth, tenants, random } = run;
  const batches = Math.max(options.faults * 2, Math.ceil(options.jobs / 500));
  const size = Math.ceil(options.jobs / batches);
  let n = 0;
  let committed = 0;
  while (committed < options.jobs) {
    // Spread over the faults, so that each of them meets work.
    while (run.faultsDone < Math.floor((committed / options.jobs) * options.faults)) await pause(10);
    const numbers = Array.from({ length: size }, () => n++);
    const jobs = numbers.map((number) => ({ number, kind: number % 5 === 0 ? 'chaos.plain' : 'chaos.post', takesMs: durationOf(random) }));
    try {
      await plinth.transaction({ tenantId: tenants[Math.floor(random() * tenants.length)] ?? '' }, async (tx) => {
        for (const { number, kind, takesMs } of jobs) tx.jobs.enqueue(kind, { n: number, takesMs }, { maxAttempts: 100 });
        await tx.query('insert into chaos.enqueued (n, kind) select n, kind from unnest($1::bigint[], $2::text[]) as t (n, kind)', [
          jobs.map(({ number }) => number),
          jobs.map(({ kind }) => kind),
        ]);
      });
      committed += size;
    } catch {
      // Whether that committed, chaos.enqueued knows; the numbers are not used again.
      await pause(100);
    }
  }
}

const FAULT: Record<Fault, (run: Run, slot: WorkerSlot) => Promise<void>> = {
  async kill(_run, slot) {
    await slot.kill();
    slot.start();
  },
  async stop(run, slot) {
    slot.signal('SIGSTOP');
    await pause((run.options.leaseMs ?? 2_000) * (1.3 + run.random()));
    slot.signal('SIGCONT');
  },
  async cut(run) {
    await ask(
      run.admin,
      `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
       where usename = 'plinth_bench_server' and pid <> pg_catalog.pg_backend_pid() and pid % 3 = ${Math.floor(run.random() * 3)}`,
    );
  },
  crash: (run) => run.cluster.crash(),
};

async function spoil(run: Run): Promise<void> {
  const { options, random } = run;
  let order: Fault[] = [];
  while (run.faultsDone < options.faults) {
    await pause(200 + random() * 600);
    if (order.length === 0) order = [...FAULTS].sort(() => random() - 0.5);
    const fault = order.pop() ?? 'kill';
    const slot = run.slots[Math.floor(random() * run.slots.length)];
    if (!slot) return;
    await FAULT[fault](run, slot);
    run.counts[fault]++;
    run.faultsDone++;
    options.progress?.(`${run.faultsDone}/${options.faults} ${fault}`);
  }
}

const OPEN = `select count(*)::int as open from plinth.background_jobs where job_type like 'chaos.%' and status not in ('completed', 'failed', 'cancelled')`;

async function drained(run: Run): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  let movedMs = performance.now();
  let tellMs = movedMs;
  for (;;) {
    const askedMs = performance.now();
    const open = (await ask<{ open: number }>(run.admin, OPEN))[0]?.open ?? 0;
    const now = performance.now();
    if (open < least) movedMs = now;
    least = Math.min(least, open);
    if (open === 0 || now - movedMs > (run.options.drainMs ?? 180_000)) return;
    if (now - tellMs > 20_000) {
      tellMs = now;
      run.options.progress?.(`${open.toLocaleString('en')} jobs are left`);
    }
    // Counting a long list must not take the machine from those who work on it.
    await pause(Math.max(200, 10 * (now - askedMs)));
  }
}

/** All from the tables. A job that is lost may be one without a row, without a completion or without its effect. */
const VERDICT = `with jobs as (
    select id, (payload ->> 'n')::bigint as n, job_type, status, run_id, result, attempts from plinth.background_jobs where job_type like 'chaos.%'
  ), posted as (select n, count(*) as times from chaos.ledger group by n)
  select (select count(*) from chaos.enqueued)::int as enqueued,
    (select count(*) from jobs where status = 'completed')::int as completed,
    (select count(*) from chaos.enqueued e where not exists (select from jobs j where j.n = e.n and j.status = 'completed')
       or (e.kind = 'chaos.post' and not exists (select from posted p where p.n = e.n)))::int as lost,
    (select coalesce(sum(times - 1), 0) from posted)::int as twice,
    ((select count(*) from chaos.ledger l join jobs j on j.id = l.job_id where j.run_id <> l.run_id)
      + (select count(*) from jobs where job_type = 'chaos.plain' and status = 'completed' and (result ->> 'runId')::uuid is distinct from run_id)
      + (select count(*) from chaos.ledger l where not exists (select from chaos.enqueued e where e.n = l.n)))::int as zombies,
    ((select coalesce(sum(value), 0) from chaos.counters) - (select count(*) from chaos.ledger))::int as unbalanced,
    (select coalesce(sum(attempts), 0) from jobs)::int as attempts`;

const EXAMPLES = `select coalesce(to_jsonb(j)::text, 'job ' || e.n || ' has no row') as example
  from chaos.enqueued e left join plinth.background_jobs j on (j.payload ->> 'n')::bigint = e.n and j.job_type = e.kind
  where j.status is distinct from 'completed' order by e.n limit 5`;

export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const started = performance.now();
  const cluster = await crashable(options.programFolder);
  const slots: WorkerSlot[] = [];
  let plinth: Plinth | undefined;
  let admin: pg.Pool | undefined;
  try {
    const installed = await benchContext(cluster.url, { rounds: 1, quick: true, args: {} });
    await installed.close();
    admin = new pg.Pool({ connectionString: installed.url, max: 2 });
    admin.on('error', () => undefined);
    await admin.query(TABLES);
    plinth = createPlinth({ database: { url: installed.serverUrl, max: 4 } });
    let refused = 0;
    for (let index = 0; index < (options.workers ?? 3); index++) {
      const onLine = (line: string): void => {
        if (line === 'refused') refused++;
      };
      slots.push(workerSlot({ name: `chaos-${index}`, serverUrl: installed.serverUrl, leaseMs: options.leaseMs ?? 2_000, separate: options.separate, onLine }));
    }
    const run: Run = {
      options,
      cluster,
      plinth,
      admin,
      tenants: [installed.tenantId, installed.otherTenantId],
      slots,
      random: seeded(options.seed),
      faultsDone: 0,
      counts: { kill: 0, stop: 0, cut: 0, crash: 0 },
    };
    await Promise.all([enqueueAll(run), spoil(run)]);
    await drained(run);
    const [verdict] = await ask<Omit<ChaosResult, 'refused' | 'kills' | 'stops' | 'cuts' | 'crashes' | 'tookMs' | 'examples'>>(admin, VERDICT);
    if (!verdict) throw new Error('the verdict has no row');
    const examples = verdict.lost === 0 ? [] : (await ask<{ example: string }>(admin, EXAMPLES)).map(({ example }) => example);
    const { kill: kills, stop: stops, cut: cuts, crash: crashes } = run.counts;
    return { ...verdict, refused, kills, stops, cuts, crashes, tookMs: Math.round(performance.now() - started), examples };
  } finally {
    await Promise.all(slots.map((slot) => slot.kill()));
    await plinth?.close();
    await admin?.end();
    await cluster.close();
  }
}
