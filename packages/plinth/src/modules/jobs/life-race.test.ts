/**
 * Flows, batches and keys under many transactions at once: whatever is rolled back, repeated or cancelled, all of it ends, once, and nothing is left
 * held. PLINTH_SEED repeats what is asked for, not who is first; PLINTH_STEPS=250 for a longer run.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { errorCode } from '#testing/error-code.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Tx } from '../../index.ts';
import type { JobsFixture } from './jobs.fixture.ts';
import { jobsFixture } from './jobs.fixture.ts';
import { limitsSteps } from './limits.fixture.ts';
import type { ClaimedJob, Settlement } from './work.ts';
import { settleJobs } from './work.ts';

const SEED = drawnSeed();
const STEPS = Number(process.env.PLINTH_STEPS ?? 60);

let jobs: JobsFixture;
beforeAll(async () => {
  jobs = await jobsFixture('job_race');
});
afterAll(() => jobs.database.drop());

class Undone extends Error {}

test(`what many transactions do to the same flows, batches and keys leaves nothing waiting or held (seed ${SEED})`, { timeout: 600_000 }, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const of = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const limits = limitsSteps(jobs);
  await limits.setForAll({ per: 'tenant', maxRunning: 1000 });
  const ids: Record<string, string[]> = { [jobs.a]: [], [jobs.b]: [] };
  const batches: Record<string, string[]> = { [jobs.a]: [], [jobs.b]: [] };
  const runs: ClaimedJob[] = [];
  const said = new Map<string, number>();
  const count = (what: string): void => void said.set(what, (said.get(what) ?? 0) + 1);

  const inTransaction = async (what: string, body: (tx: Tx, tenantId: string) => Promise<() => void>): Promise<void> => {
    const tenantId = of([jobs.a, jobs.a, jobs.b]);
    const isolation = of(['read committed', 'read committed', 'repeatable read', 'serializable'] as const);
    const undo = of(['no', 'no', 'no', 'all', 'savepoint']);
    const code = await errorCode(
      jobs.plinth
        .transaction({ tenantId, isolation }, async (tx) => {
          if (undo === 'savepoint') await tx.query('savepoint s');
          const after = await body(tx, tenantId);
          await tx.flush();
          if (undo === 'savepoint') await tx.query('rollback to savepoint s');
          for (let n = random(4); n > 0; n--) await tx.query('select 1');
          if (undo === 'all') throw new Undone();
          return undo === 'no' ? after : () => undefined;
        })
        .then((after) => after())
        .catch((error: unknown) => {
          if (!(error instanceof Undone)) throw error;
        }),
    );
    count(`${what} ${code}`);
    // Locks and snapshots may refuse a transaction; nothing may break.
    expect(code, `${what}, seed ${SEED}`).toMatch(/^(no error|jobs_.*|kernel_serialization|40001|40P01)$/);
  };

  const enqueue = () =>
    inTransaction('enqueue', async (tx, tenantId) => {
      const made: string[] = [];
      const known = ids[tenantId] as string[];
      const batchId = random(3) === 0 && batches[tenantId]?.length ? of(batches[tenantId] as string[]) : undefined;
      for (let n = 1 + random(3); n > 0; n--) {
        const dependsOn = [...new Set([...made, ...known.slice(-6)].filter(() => random(3) === 0))];
        const key = random(2) === 0 ? `u${random(3)}` : undefined;
        made.push(
          tx.jobs.enqueue(
            'k',
            {},
            {
              maxAttempts: 1 + random(2),
              ...(dependsOn.length > 0 ? { dependsOn, onDependencyFailure: of(['fail', 'ignore', 'run'] as const) } : {}),
              ...(key
                ? { uniqueKey: key, uniqueUntil: of(['done', 'started'] as const), onDuplicate: of(['keep', 'keep', 'reject', 'replace'] as const) }
                : {}),
              ...(batchId ? { batchId } : {}),
            },
          ),
        );
      }
      return () => void known.push(...made);
    });
  const batch = () =>
    inTransaction('batch', async (tx, tenantId) => {
      const made: string[] = [];
      const id = tx.jobs.batch(
        { open: random(3) === 0, onComplete: { kind: 'cb.complete' }, onSuccess: { kind: 'cb.success' }, onFailure: { kind: 'cb.failure' } },
        (add) => {
          for (let n = random(4); n > 0; n--) made.push(add('k', {}, { maxAttempts: 1 }));
        },
      );
      return () => {
        ids[tenantId]?.push(...made);
        batches[tenantId]?.push(id);
      };
    });
  const act = () =>
    inTransaction('act', async (tx, tenantId) => {
      const known = ids[tenantId] as string[];
      for (let n = 1 + random(2); n > 0 && known.length > 0; n--) {
        const id = random(2) === 0 ? of(known) : of(known.slice(-8));
        const what = random(4);
        await tx.query('savepoint one');
        try {
          if (what === 0) await tx.query('select plinth.cancel_job($1)', [id]);
          else if (what === 1) await tx.query('select plinth.retry_job($1, p_with_dependents := true)', [id]);
          else if (what === 2) await tx.query('select plinth.reschedule_job($1, clock_timestamp())', [id]);
          else if (batches[tenantId]?.length) {
            tx.jobs.closeBatch(of(batches[tenantId] as string[]));
            await tx.flush();
          }
        } catch (error) {
          if (!/^(jobs_.*|PL4..)$/.test(String((error as { code?: string }).code))) throw error;
          await tx.query('rollback to savepoint one');
        }
      }
      return () => undefined;
    });
  const claim = async (): Promise<void> => {
    const claimed = await jobs.claim(1 + random(5), ['k'], 600_000);
    runs.push(...claimed);
    count('claim');
  };
  const settle = async (): Promise<void> => {
    const mine = runs.splice(random(Math.max(1, runs.length)), 1 + random(4));
    if (mine.length === 0) return;
    if (random(3) === 0) {
      const [run] = mine.splice(0, 1) as [ClaimedJob];
      const code = await errorCode(
        jobs.plinth.transaction({ tenantId: run.tenant_id, isolation: of(['read committed', 'repeatable read'] as const) }, async (tx) => {
          await tx.query('select 1');
          await tx.query('select plinth_jobs.complete_in($1, $2)', [run.id, run.run_id]);
          for (let n = random(4); n > 0; n--) await tx.query('select 1');
          if (random(4) === 0) throw new Undone();
        }),
      );
      count(`completeIn ${code}`);
      if (code !== 'no error' && code !== 'jobs_lease_lost') runs.push(run);
    }
    const ends: Settlement[] = mine.map(({ tenant_id, id, run_id }) => ({
      tenant_id,
      id,
      run_id,
      outcome: of(['completed', 'completed', 'failed', 'cancelled', 'returned'] as const),
      delay_ms: 0,
    }));
    const code = await errorCode(jobs.plinth.asWorker({}, (tx) => settleJobs(tx, ends)));
    count(`settle ${code}`);
    if (code !== 'no error') runs.push(...mine);
  };

  const actor = async (): Promise<void> => {
    for (let n = 0; n < STEPS; n++) await of([enqueue, enqueue, batch, act, claim, settle, settle])();
  };
  await Promise.all(Array.from({ length: 6 }, actor));

  for (const tenantId of [jobs.a, jobs.b])
    for (const id of batches[tenantId] as string[]) await jobs.plinth.transaction({ tenantId }, async (tx) => tx.jobs.closeBatch(id));
  const drained = async (): Promise<boolean> => {
    await jobs.checkGates();
    await jobs.database.admin.query(`update plinth_jobs.jobs_scheduled set run_at = clock_timestamp() where run_at < 'infinity'`);
    await claim();
    for (const { tenant_id, id, run_id } of runs.splice(0)) await jobs.settle({ tenant_id, id, run_id } as ClaimedJob, 'completed');
    const { rows } = await jobs.database.admin.query(
      `select 1 from plinth_jobs.jobs where status in ('scheduled', 'pending', 'processing') and kind = 'k' and run_at < 'infinity' limit 1`,
    );
    return rows.length === 0;
  };
  for (let n = 0; !(await drained()); n++) if (n > 5_000) throw new Error(`seed ${SEED}: it does not end`);
  await jobs.checkGates();
  await jobs.checkGates();
  console.info(JSON.stringify(Object.fromEntries([...said].sort())));
  const { rows } = await jobs.database.admin.query(
    `select (select count(*)::int from plinth_jobs.jobs where status in ('scheduled', 'pending', 'processing') and kind = 'k') as live,
       (select count(*)::int from plinth_jobs.gates where finished_at is null) as gates, (select count(*)::int from plinth_jobs.gate_parts where status is null) as parts,
       (select count(*)::int from plinth_jobs.gate_checks) as checks, (select count(*)::int from plinth_jobs.unique_keys) as keys,
       (select count(*)::int from plinth_jobs.holds) as holds, (select count(*)::int from plinth_jobs.cancel_requests) as requests,
       (select count(*)::int from (select id from plinth_jobs.jobs group by tenant_id, id having count(*) > 1) d) as doubled,
       (select count(*)::int from plinth_jobs.gates g where g.opens = 'batch' and (select count(*) from plinth_jobs.jobs j where j.kind like 'cb.%' and j.payload -> 'batch' ->> 'id' = g.id::text) <> 2) as calls,
       (select count(*)::int from plinth_jobs.gates g join plinth_jobs.jobs j on j.tenant_id = g.tenant_id and j.id = g.id and j.started_at is not null
        join plinth_jobs.gate_parts p on p.tenant_id = g.tenant_id and p.gate_id = g.id where g.on_failure <> 'run' and p.ended_at > j.started_at) as early`,
  );
  expect(rows[0], `seed ${SEED}`).toEqual({ live: 0, gates: 0, parts: 0, checks: 0, keys: 0, holds: 0, requests: 0, doubled: 0, calls: 0, early: 0 });
});
