/** Plinth as the jobs benchmarks see it. Everything that depends on how its jobs are enqueued and worked is here. */
import pg from 'pg';
import type { WorkerOptions } from '../../packages/plinth/src/apps/worker/index.ts';
import { startWorker } from '../../packages/plinth/src/apps/worker/index.ts';
import type { Plinth, Tx } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import type { JobDefinition } from '../../packages/plinth/src/module-kit.ts';
import type { Modules } from '../../packages/plinth/src/registry.gen.ts';
import type { BenchContext } from '../harness.ts';
import type { Contestant, Payload, StartWorker } from '../peers/queue.ts';

export const KIND = 'bench.noop';

const silent = { info: () => {}, warn: () => {}, error: () => {} };

type Handler = JobDefinition<Tx>['handler'];

export type JobWorkerOptions = Partial<WorkerOptions<Modules>> & { prefetch?: number; durable?: boolean };

/** Worker with one handler, and none on a schedule: the peers have nothing else either. */
export function startJobWorker(plinth: Plinth, handler: Handler, options: JobWorkerOptions = {}): { stop(): Promise<void> } {
  const worker = startWorker<Modules>({
    plinth,
    handlers: { [KIND]: { summary: 'Measures', handler } },
    services: { log: silent, enabled: () => false },
    ...options,
  });
  return { stop: () => worker.stop() };
}

/** In the caller's transaction, by the bulk function where this version has one. */
export function enqueueAll(tx: Tx, payloads: readonly Payload[]): void {
  const jobs: { enqueueMany?: (kind: string, payloads: readonly Record<string, unknown>[]) => unknown } & Tx['jobs'] = tx.jobs;
  if (jobs.enqueueMany) jobs.enqueueMany(KIND, payloads as unknown as Record<string, unknown>[]);
  else for (const payload of payloads) jobs.enqueue(KIND, payload as unknown as Record<string, unknown>);
}

export function ours(context: BenchContext): Contestant {
  const { plinth, tenantId, otherTenantId } = context;
  const admin = new pg.Pool({ connectionString: context.url, max: 2 });
  const tenants = [tenantId, otherTenantId];
  let turn = 0;
  const next = (): string => tenants[turn++ % tenants.length] ?? tenantId;
  const enqueue = (payload: Payload): Promise<unknown> =>
    plinth.transaction({ tenantId: next() }, async (tx) => tx.jobs.enqueue(KIND, payload as unknown as Record<string, unknown>));
  // As in a process of its own: it hears of jobs by LISTEN, not from the one that enqueues them.
  const elsewhere = createPlinth({ database: { url: context.serverUrl, max: 20 } });
  const worker =
    (concurrency: number, options: JobWorkerOptions = {}, on = elsewhere): StartWorker =>
    async (onJob) =>
      startJobWorker(on, async (run) => onJob(run.payload as unknown as Payload), { concurrency, ...options });
  return {
    name: 'plinth',
    admin,
    enqueue,
    enqueueMany: (payloads) => plinth.transaction({ tenantId: next() }, async (tx) => enqueueAll(tx, payloads)),
    workers: [
      { name: 'plinth, 64 slots', start: worker(64) },
      { name: 'plinth, 64 slots, prefetch 4000', start: worker(64, { prefetch: 4_000 }) },
      { name: 'plinth, 64 slots, durable claims and completions', start: worker(64, { durable: true }) },
      { name: 'plinth, 16 slots', start: worker(16) },
      { name: 'plinth, 1 slot', start: worker(1) },
    ],
    pickUp: [
      { name: 'plinth', enqueue, start: worker(10) },
      { name: 'plinth, enqueued by the process of the worker', enqueue, start: worker(10, {}, plinth) },
    ],
    async close() {
      await elsewhere.close();
      await admin.end();
    },
  };
}

/**
 * Bytes of the tables that work goes through, indexes included: everything of the module but what is partitioned by time, which is
 * history and leaves by DROP.
 */
export async function hotBytes(admin: pg.Client): Promise<number> {
  const { rows } = await admin.query<{ bytes: number }>(
    `select coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::float8 as bytes
     from pg_catalog.pg_class c
     where c.relnamespace = 'plinth_jobs'::regnamespace and c.relkind = 'r'
       and not exists (
         select from pg_catalog.pg_inherits i join pg_catalog.pg_partitioned_table p on p.partrelid = i.inhparent
         where i.inhrelid = c.oid and p.partstrat = 'r')`,
  );
  return rows[0]?.bytes ?? 0;
}

/**
 * Lets a tenant have at most `most` jobs running at a time. False where this version has no such caps: what needs them is then not
 * measured, and the report says so.
 */
export async function capTenant(context: BenchContext, tenantId: string, most: number): Promise<boolean> {
  const { rows } = await context.admin.query(`select from pg_catalog.pg_proc where pronamespace = 'plinth'::regnamespace and proname = 'set_job_limit'`);
  if (rows.length === 0) return false;
  await context.plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.set_job_limit(p_per := 'tenant', p_max_running := $1::int)`, [most]));
  return true;
}

/** Runs what waits until nothing does. */
export async function workOff(context: BenchContext): Promise<void> {
  const worker = startJobWorker(context.plinth, async () => {}, { concurrency: 64 });
  try {
    for (;;) {
      const { rows } = await context.admin.query<{ waiting: boolean }>(
        `select exists (select from plinth.background_jobs where job_type = $1 and status in ('pending', 'scheduled', 'processing')) as waiting`,
        [KIND],
      );
      if (!rows[0]?.waiting) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  } finally {
    await worker.stop();
  }
}
