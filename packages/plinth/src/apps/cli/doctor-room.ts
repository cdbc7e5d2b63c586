/** Whether the disk of a server has room, of which it tells nobody before it is full. */
import type pg from 'pg';
import { type Finding, fault, ok } from './doctor-finding.ts';
import { refusalWayOut } from './doctor-incidents.ts';

/** 8 MB beside the tables of the database, which nobody else sees and no log is written of. */
const TRY = `begin; set local temp_tablespaces = ''; create temporary table plinth_doctor (filler text) on commit drop; alter table pg_temp.plinth_doctor alter column filler set storage plain;
  insert into pg_temp.plinth_doctor select pg_catalog.repeat('x', 8000) from pg_catalog.generate_series(1, 1000)`;

/** Nothing where the database takes no writes at all, which is told by itself. */
export async function roomFindings(client: pg.Client): Promise<Finding[]> {
  const check = 'disk of the server';
  try {
    await client.query(TRY);
    return [ok(check, 'room for 8 MB')];
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === '25006') return [];
    if (code === '42501') return [ok(check, 'not tried: the role may make no temporary tables')];
    const wayOut = refusalWayOut(error);
    if (!wayOut) throw error;
    return [fault(check, message, wayOut)];
  } finally {
    await client.query('rollback');
  }
}
