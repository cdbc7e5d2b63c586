/** What tenants get of a shared worker: how long small ones wait beside a big one, how equal shares are, whether caps hold. */
import type { Plinth } from '../../packages/plinth/src/index.ts';
import { createPlinth } from '../../packages/plinth/src/index.ts';
import type { BenchContext } from '../harness.ts';
import { payloadOf } from '../peers/queue.ts';
import { capTenant, enqueueAll, KIND, startJobWorker } from './ours.ts';

const LONGEST_TAIL_MS = 10_000;
/** Jobs that warm plans and connections and are not counted. */
const WARM_UP = 100;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** New tenants, whose slugs begin with `prefix`. */
export async function makeTenants(context: BenchContext, prefix: string, count: number): Promise<string[]> {
  const { rows } = await context.admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (slug, name) select $1 || n, $1 || n from generate_series(1, $2::int) n returning id`,
    [`${prefix}-`, count],
  );
  return rows.map(({ id }) => id);
}

export async function fill(plinth: Plinth, tenantId: string, jobs: number): Promise<void> {
  const batch = 5_000;
  for (let n = 0; n < jobs; n += batch) {
    await plinth.transaction({ tenantId }, async (tx) => {
      enqueueAll(
        tx,
        Array.from({ length: Math.min(batch, jobs - n) }, () => payloadOf(-1)),
      );
    });
  }
}

/** Its own process as far as hints and connections go. */
async function withWorkerOf<T>(context: BenchContext, body: (plinth: Plinth) => Promise<T>): Promise<T> {
  const plinth = createPlinth({ database: { url: context.serverUrl, max: 20 } });
  try {
    return await body(plinth);
  } finally {
    await plinth.close();
  }
}

/**
 * How long the jobs of `tenants` wait, from commit to start, in ms: one of them enqueues a job every `everyMs`. Those that have not
 * started 10 s after the last was enqueued count until then.
 */
export function smallWaits(context: BenchContext, tenants: readonly string[], options: { durationMs: number; everyMs: number; slots: number; workMs: number }) {
  const { durationMs, everyMs, slots, workMs } = options;
  const jobs = WARM_UP + Math.ceil(durationMs / everyMs);
  const committed = new Float64Array(jobs);
  const started = new Float64Array(jobs);
  return withWorkerOf(context, async (plinth) => {
    let left = jobs;
    const { promise, resolve } = Promise.withResolvers<void>();
    const worker = startJobWorker(
      plinth,
      async (run) => {
        const n = Number(run.payload.n);
        if (n >= 0 && !started[n]) {
          started[n] = performance.now();
          if (--left === 0) resolve();
        }
        await pause(workMs);
      },
      { concurrency: slots },
    );
    try {
      const begun = performance.now();
      const enqueues: Promise<void>[] = [];
      for (let n = 0; n < jobs; n++) {
        const waitMs = begun + n * everyMs - performance.now();
        if (waitMs > 0) await pause(waitMs);
        const tenantId = tenants[n % tenants.length] ?? '';
        enqueues.push(
          context.plinth
            .transaction({ tenantId }, async (tx) => tx.jobs.enqueue(KIND, { ...payloadOf(n) }))
            .then(() => {
              committed[n] = performance.now();
            }),
        );
      }
      await Promise.all(enqueues);
      const timer = setTimeout(resolve, LONGEST_TAIL_MS);
      await promise;
      clearTimeout(timer);
    } finally {
      await worker.stop();
    }
    const now = performance.now();
    return [...started].map((at, n) => Math.max(0, (at || now) - (committed[n] ?? 0))).slice(WARM_UP);
  });
}

/** How many jobs each tenant had started when `total` had, all of them having more waiting than they could get. */
export function shares(context: BenchContext, tenants: readonly string[], total: number, slots: number): Promise<number[]> {
  const counts = new Map(tenants.map((tenant) => [tenant, 0]));
  let seen = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  return withWorkerOf(context, async (plinth) => {
    const worker = startJobWorker(
      plinth,
      async (run) => {
        if (seen >= total || run.tenantId === undefined) return;
        const count = counts.get(run.tenantId);
        if (count === undefined) return;
        counts.set(run.tenantId, count + 1);
        if (++seen === total) resolve();
      },
      { concurrency: slots },
    );
    try {
      await promise;
    } finally {
      await worker.stop();
    }
    return [...counts.values()];
  });
}

/** Jain's index: 1 when all are equal, 1/n when one has everything (Jain, Chiu, Hawe 1984). */
export const jain = (values: readonly number[]): number => {
  const sum = values.reduce((total, value) => total + value, 0);
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0));
};

export interface CapCheck {
  claims: number;
  /** Starts of a job of a tenant that already had as many running as its cap. */
  exceeded: number;
  most: number;
}

/** Runs `total` jobs of tenants with a cap each, two workers at once. Undefined where this version has no caps. */
export async function capsHeld(context: BenchContext, tenants: readonly string[], cap: number, total: number): Promise<CapCheck | undefined> {
  for (const tenant of tenants) if (!(await capTenant(context, tenant, cap))) return undefined;
  for (const tenant of tenants) await fill(context.plinth, tenant, Math.ceil(total / tenants.length));
  const running = new Map<string, number>();
  const check: CapCheck = { claims: 0, exceeded: 0, most: 0 };
  const { promise, resolve } = Promise.withResolvers<void>();
  return withWorkerOf(context, async (plinth) => {
    const workers = ['cap-0', 'cap-1'].map((name) =>
      startJobWorker(
        plinth,
        async (run) => {
          const tenant = run.tenantId ?? '';
          const now = (running.get(tenant) ?? 0) + 1;
          running.set(tenant, now);
          check.most = Math.max(check.most, now);
          if (now > cap) check.exceeded++;
          await pause(run.attempt % 3);
          running.set(tenant, (running.get(tenant) ?? 1) - 1);
          if (++check.claims % 50_000 === 0) process.stderr.write(`  ${check.claims.toLocaleString('en')} claims, at most ${check.most} at once\n`);
          if (check.claims === total) resolve();
        },
        // More slots than all caps allow: each tenant is at its cap.
        { concurrency: Math.ceil(tenants.length * cap * 0.8), name },
      ),
    );
    try {
      await promise;
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
    return check;
  });
}
