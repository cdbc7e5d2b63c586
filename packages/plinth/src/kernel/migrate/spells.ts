import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import { fail } from '../errors.ts';

/** So long everybody who comes behind a change that waits for a table waits as well, ms. Shorter than deadlock_timeout, so that the server ends no transaction of theirs for it. */
const WAIT_MS = 200;
const PAUSE_MS = { shortest: 500, longest: 5_000 };
/** A backup may take longer: then it is better to say what is in the way. */
const PATIENCE_MS = 600_000;

/** For a transaction that changes tables. A shorter limit that somebody set for the role or the database stays. */
export const SHORT_WAITS = `select pg_catalog.set_config('lock_timeout', case when s.setting::integer between 1 and ${WAIT_MS} then s.setting else '${WAIT_MS}' end, true)
  from pg_catalog.pg_settings as s where s.name = 'lock_timeout'`;

const BUSY = new Set(['55P03', '40P01']);
export const isBusy = (error: unknown): boolean => {
  const { code, cause } = (error ?? {}) as { code?: string; cause?: { code?: string } };
  return BUSY.has(code ?? cause?.code ?? '');
};

const OLDEST = `select format('%s (pid %s) has used %s for %s s', coalesce(nullif(a.application_name, ''), a.usename), a.pid, l.relation::regclass, floor(extract(epoch from clock_timestamp() - a.xact_start))) as text
  from pg_catalog.pg_locks as l join pg_catalog.pg_stat_activity as a on a.pid = l.pid join pg_catalog.pg_class as c on c.oid = l.relation join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where l.granted and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()) and n.nspname like 'plinth%' and c.relkind in ('r', 'p', 'v')
    and a.pid <> pg_catalog.pg_backend_pid() and a.backend_type <> 'autovacuum worker' order by a.xact_start limit 1`;

export interface Spells {
  /** Hears who is in the way, when a try was given up for it. */
  onWait?: ((holder: string) => void) | undefined;
  patienceMs?: number;
}

/**
 * Runs a transaction that changes tables, again and again in short spells, until nobody is in its way for that moment. One that just waited behind a backup or a report would
 * hold what it has locked already for as long, and with it all that works. `run` begins and ends the transaction, with SHORT_WAITS in it. Errors: kernel_timeout, which names who is in
 * the way; those of `run`.
 */
export async function inSpells<T>(client: pg.ClientBase, run: () => Promise<T>, { onWait, patienceMs = PATIENCE_MS }: Spells = {}): Promise<T> {
  const untilMs = performance.now() + patienceMs;
  for (let restMs = PAUSE_MS.shortest; ; restMs = Math.min(PAUSE_MS.longest, restMs * 2)) {
    try {
      return await run();
    } catch (error) {
      if (!isBusy(error)) throw error;
      const { rows } = await client.query<{ text: string }>(OLDEST);
      const holder = rows[0]?.text ?? 'nobody any more';
      onWait?.(holder);
      if (performance.now() + restMs > untilMs)
        throw fail('timeout', {
          message: `The tables could not be changed because others use them: ${holder}`,
          wayOut: 'Wait for that, or end it with pg_terminate_backend, and run plinth migrate up again. What was applied before this step stays.',
          cause: error,
        });
      await pause(restMs * (0.75 + Math.random() / 2));
    }
  }
}

const TABLES = `select pg_catalog.string_agg('only ' || pg_catalog.format('%I.%I', n.nspname, c.relname), ', ' order by n.nspname, c.relname) as tables
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any ($1) and c.relkind in ('r', 'p') and not c.relispartition and pg_catalog.pg_has_role(c.relowner, 'usage')`;

/** All at once, before the first is changed: what comes then is short. Not partitions, which nothing of it touches. */
export async function lockTables(client: pg.ClientBase, schemas: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ tables: string | null }>(TABLES, [schemas]);
  if (rows[0]?.tables) await client.query(`lock table ${rows[0].tables} in access exclusive mode`);
}
