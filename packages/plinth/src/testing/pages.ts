/** How many pages a statement touches, with everything that it calls: what a plan test compares, where time would tell of the machine. */
import type { TestDatabase } from './database.ts';

interface As {
  role: 'plinth_app' | 'plinth_worker' | 'plinth_reader';
  tenantId?: string;
}

const OTHERS = `select 1 from pg_catalog.pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_xmin is not null`;
const PATIENCE_MS = 20_000;

/**
 * Runs the statement and undoes it, three times: the first call of a session also reads the catalogue, and of the others the one that read less counts.
 * While somebody else has a snapshot in this database, be it autovacuum, what was deleted meanwhile is looked at again by everybody: that is waited for.
 */
export async function pagesOf({ admin }: Pick<TestDatabase, 'admin'>, { role, tenantId }: As, text: string): Promise<number> {
  const client = await admin.connect();
  const ask = async (): Promise<number> => {
    await client.query('savepoint asked');
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(`explain (analyze, buffers, format json) ${text}`);
    await client.query('rollback to asked');
    const { 'Shared Hit Blocks': hit = 0, 'Shared Read Blocks': read = 0 } = rows[0]?.['QUERY PLAN'][0].Plan ?? {};
    return hit + read;
  };
  try {
    const end = performance.now() + PATIENCE_MS;
    while ((await client.query(OTHERS)).rowCount !== 0 && performance.now() < end) await client.query('select pg_sleep(0.01)');
    await client.query(`begin; set local role ${role}${tenantId ? `; set local plinth.tenant_id = '${tenantId}'` : ''}`);
    await ask();
    return Math.min(await ask(), await ask());
  } finally {
    await client.query('rollback');
    client.release();
  }
}
