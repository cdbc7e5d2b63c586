/** Write-ahead log of a job, from its enqueue to its end and the bookkeeping after it. */
import type pg from 'pg';
import type { Contestant } from '../peers/queue.ts';
import { drain, preload } from './rates.ts';

const position = async (admin: pg.Pool): Promise<bigint> => {
  const { rows } = await admin.query<{ at: string }>(`select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::text as at`);
  return BigInt(rows[0]?.at ?? 0);
};

/** Bytes a job; with `fullPageWrites` off, nothing in it depends on where the last checkpoint fell. */
export async function walBytes(contestant: Contestant, jobs: number, fullPageWrites: boolean): Promise<number> {
  const { admin, workers } = contestant;
  const [worker] = workers;
  if (!admin || !worker) throw new Error(`${contestant.name} writes no log of PostgreSQL`);
  await admin.query(`alter system set full_page_writes = ${fullPageWrites ? 'on' : 'off'}`);
  await admin.query('select pg_catalog.pg_reload_conf()');
  try {
    await admin.query('checkpoint');
    const before = await position(admin);
    await preload(contestant, jobs, 40);
    // drain ends when the worker has stopped, so its last completions are in.
    await drain(worker, jobs);
    return Number((await position(admin)) - before) / jobs;
  } finally {
    await admin.query('alter system reset full_page_writes');
    await admin.query('select pg_catalog.pg_reload_conf()');
  }
}
