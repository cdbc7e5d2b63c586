import type pg from 'pg';
import { Client } from '#kernel/database.ts';
import { type Finding, ok, warning } from './doctor-finding.ts';

const WHO = 'select pg_catalog.pg_backend_pid() as pid';

/** Two connections that are open at the same time and have one session are those of a pooler that hands sessions on between transactions. A busy one may hand out another. */
export async function sessionFindings(client: pg.Client, url: string): Promise<Finding[]> {
  const check = 'sessions';
  const other = new Client({ connectionString: url, application_name: 'plinth doctor' });
  other.on('error', () => {});
  try {
    await other.connect();
    const mine = await client.query<{ pid: number }>(WHO);
    const its = await other.query<{ pid: number }>(WHO);
    if (mine.rows[0]?.pid !== its.rows[0]?.pid) return [ok(check, 'one for each connection')];
    return [
      warning(
        check,
        'shared by connections: a pooler in transaction mode',
        'Nobody hears of what others commit before he looks, and a dead worker is found when its lease ends: name the server itself in PLINTH_DATABASE_URL, or a pooler by session.',
      ),
    ];
  } finally {
    await other.end();
  }
}
