import type pg from 'pg';
import { sharesSessions } from '#kernel/database.ts';
import { type Finding, ok, warning } from './doctor-finding.ts';

export async function sessionFindings(client: pg.Client, url: string): Promise<Finding[]> {
  const check = 'sessions';
  if (!(await sharesSessions(client, url))) return [ok(check, 'one for each connection')];
  return [
    warning(
      check,
      'shared by connections: a pooler in transaction mode',
      'Nobody hears of what others commit before he looks, and a dead worker is found when its lease ends: name the server itself in PLINTH_DATABASE_URL, or a pooler by session.',
    ),
  ];
}
