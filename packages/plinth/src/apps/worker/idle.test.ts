/** What workers cost that have nothing to do: signs of life are all they write, and what they ask is little. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';
import { startWorker } from './index.ts';

const QUEUES = 50;
const WORKERS = 2;
const BEATS = 12;
/** 10 processes may ask 100 times a second, so each ten times between two signs of life; and a busy machine is late with the signs. */
const ASKED_FOR_A_BEAT = 15;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('worker_idle');
});
afterAll(() => database.drop());

/** From now on every row that is written is noted, with its table. */
const NOTE_WRITES = `
  create table public.written (in_table text not null);
  create function public.note() returns trigger language plpgsql security definer as 'begin insert into public.written values (tg_table_schema || ''.'' || tg_table_name); return null; end';
  do $$
  declare _table regclass;
  begin
    for _table in select c.oid from pg_class c where c.relnamespace::regnamespace::text like 'plinth%' and c.relkind in ('r', 'p') and not c.relispartition loop
      execute format('create trigger note after insert or update or delete on %s for each row execute function public.note()', _table);
    end loop;
  end
  $$`;

test('idle workers over fifty queues write nothing but signs of life, and ask little', { timeout: 90_000 }, async () => {
  const { admin, plinth, tenantA, tenantB } = database;
  let done = 0;
  const processes = Array.from({ length: WORKERS }, () => createPlinth({ database: { url: database.serverUrl, max: 4 } }));
  const workers = processes.map((one) =>
    startWorker({
      plinth: one,
      // Schedules of the modules would be work.
      services: { log: { info: () => {}, warn: () => {}, error: () => {} }, enabled: () => false },
      handlers: { k: { summary: 'test', handler: async () => void (done += 1) } },
    }),
  );
  try {
    for (const tenantId of [tenantA, tenantB])
      await plinth.transaction({ tenantId }, async (tx) => {
        for (let n = 0; n < QUEUES; n++) tx.jobs.enqueue('k', {}, { queue: `queue-${n}` });
      });
    await expect.poll(() => done, { timeout: 20_000 }).toBe(2 * QUEUES);
    await expect.poll(async () => (await admin.query('select from plinth_jobs.claims')).rowCount).toBe(0);
    await admin.query(NOTE_WRITES);
    // What the test itself asks is not the workers'.
    let own = 0;
    const number = async (query: string): Promise<number> => {
      own += 1;
      return Number((await admin.query(query)).rows[0].n);
    };
    const beats = (): Promise<number> => number(`select count(*) as n from public.written where in_table = 'plinth_jobs.workers'`);
    const asked = (): Promise<number> => number('select xact_commit + xact_rollback as n from pg_stat_database where datname = current_database()');
    const askedForABeat = async (): Promise<number> => {
      own = 0;
      const [askedBefore, beatsBefore] = [await asked(), await beats()];
      await expect.poll(beats, { timeout: 30_000, interval: 500 }).toBeGreaterThanOrEqual(beatsBefore + BEATS);
      return ((await asked()) - askedBefore - own) / ((await beats()) - beatsBefore);
    };
    // A connection that went idle tells up to 10 s late what it did before: the jobs are counted in a look or two, and not in the next.
    await expect.poll(askedForABeat, { timeout: 45_000, interval: 1 }).toBeLessThan(ASKED_FOR_A_BEAT);
    const { rows } = await admin.query('select distinct in_table from public.written');
    expect(rows).toEqual([{ in_table: 'plinth_jobs.workers' }]);
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()));
    await Promise.all(processes.map((one) => one.close()));
  }
});
