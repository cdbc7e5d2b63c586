/** How many pages a statement touches, with everything that it calls: what a plan test compares, where time would tell of the machine. */
import type { TestDatabase } from './database.ts';

interface As {
  role: 'plinth_app' | 'plinth_worker' | 'plinth_reader';
  tenantId?: string;
}

/** Runs the statement twice, because the first call of a session also reads the catalogue, and undoes it. */
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
    await client.query(`begin; set local role ${role}${tenantId ? `; set local plinth.tenant_id = '${tenantId}'` : ''}`);
    await ask();
    return await ask();
  } finally {
    await client.query('rollback');
    client.release();
  }
}
