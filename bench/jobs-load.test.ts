import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';
import type { BenchContext } from './harness.ts';
import { capsHeld, fill, jain, makeTenants, shares } from './jobs/fairness.ts';
import { churn, paced } from './jobs/load.ts';
import { capTenant, hotBytes, ours, startJobWorker, workOff } from './jobs/ours.ts';
import { drain, preload } from './jobs/rates.ts';
import type { Contestant } from './peers/queue.ts';

const database = await testDatabase('jobs_load');
const admin = new pg.Client({ connectionString: database.url });
let queue: Contestant;
let context: BenchContext;

beforeAll(async () => {
  await admin.connect();
  const { url, serverUrl, plinth, tenantA, tenantB } = database;
  context = { url, serverUrl, admin, plinth, tenantId: tenantA, otherTenantId: tenantB, rounds: 1, quick: true, args: {} };
  queue = ours(context);
});
afterAll(async () => {
  await queue.close();
  await admin.end();
  await database.drop();
});

/** Statuses of all jobs; what ran is stored a moment after it has run. */
const statuses = async (): Promise<Record<string, number>> => {
  const { rows } = await admin.query<{ status: string; jobs: number }>('select status, count(*)::int as jobs from plinth.background_jobs group by status');
  return Object.fromEntries(rows.map(({ status, jobs }) => [status, jobs]));
};

describe('under load', () => {
  let expected = 0;

  test('each of some thousands of jobs runs once, whatever the number of slots', async () => {
    for (const worker of queue.workers) {
      const jobs = worker.name.includes(' 1 slot') ? 100 : 1_000;
      await preload(queue, jobs);
      // Fails when a job runs twice or not at all.
      await drain(worker, jobs);
      expected += jobs;
    }
    expect(await statuses()).toEqual({ completed: expected });
  });

  test('the hot tables stay small while jobs go through', async () => {
    const sizes: number[] = [];
    await churn(queue, {
      jobs: 5_000,
      mostWaiting: 2_000,
      everyMs: 100,
      async onSample() {
        sizes.push(await hotBytes(admin));
      },
    });
    expected += 5_000;
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeGreaterThan(0);
    expect(Math.max(...sizes)).toBeLessThan(64 * 2 ** 20);
    expect(await statuses()).toEqual({ completed: expected });
  });

  test('jobs are started and stored while another session holds a snapshot', async () => {
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    try {
      await holder.query('begin isolation level repeatable read');
      await holder.query('select count(*) from plinth.background_jobs');
      await paced(queue, 200, 2_000);
      expected += 400;
      // How fast is for the benchmark on a quiet machine; here they must all get through before the snapshot is given up.
      expect(await statuses()).toEqual({ completed: expected });
    } finally {
      await holder.end();
    }
  });
});

describe('tenants', () => {
  test('of very different backlogs get equal shares while all want more than there is', async () => {
    const tenants = await makeTenants(context, 'zipf', 30);
    for (const [index, tenantId] of tenants.entries()) await fill(context.plinth, tenantId, Math.max(80, Math.ceil(1_000 / (index + 1))));
    expect(jain(await shares(context, tenants, 1_200, 16))).toBeGreaterThanOrEqual(0.95);
    await workOff(context);
  });

  test('never run more at once than their caps, with two workers', async () => {
    expect(await capsHeld(context, await makeTenants(context, 'capped', 10), 2, 500)).toMatchObject({ claims: 500, exceeded: 0 });
    await workOff(context);
  });

  test('do not wait for one with a backlog at its cap', async () => {
    const small = await makeTenants(context, 'small', 20);
    const [big = ''] = await makeTenants(context, 'big', 1);
    await capTenant(context, big, 2);
    await fill(context.plinth, big, 5_000);
    for (const tenantId of small) await fill(context.plinth, tenantId, 5);
    const gate = Promise.withResolvers<void>();
    const ran = { big: 0, small: 0 };
    const worker = startJobWorker(
      context.plinth,
      async (run) => {
        ran[run.tenantId === big ? 'big' : 'small'] += 1;
        if (run.tenantId === big) await gate.promise;
      },
      { concurrency: 4 },
    );
    try {
      await expect.poll(() => ran, { timeout: 20_000 }).toEqual({ big: 2, small: 100 });
    } finally {
      gate.resolve();
      await worker.stop();
    }
  });
});
