/** What `plinth doctor` finds of things that go on in a server now, or for too long: waits for locks, forgotten transactions, WAL that is held, ages. */
import type pg from 'pg';
import { type Finding, ok, warning } from './doctor-finding.ts';

interface Incident {
  check: string;
  /** What it says when there is nothing to say. */
  calm: string;
  /** Rows with the text `seen`, none when all is well. */
  query: string;
  wayOut: string;
}

const INCIDENTS: readonly Incident[] = [
  {
    check: 'locks',
    calm: 'nobody waits for one for longer than 5 s',
    // Those that wait for others that wait are named by who is at the head.
    query: `select pg_catalog.format('%s sessions wait, the first for %s s, behind %s (pid %s, %s): %s', count(*), floor(max(extract(epoch from clock_timestamp() - w.state_change))),
        coalesce(nullif(h.application_name, ''), h.usename, 'a prepared transaction'), coalesce(h.pid, 0), coalesce(h.state, 'see pg_prepared_xacts'), left(coalesce(h.query, ''), 80)) as seen
      from pg_catalog.pg_stat_activity as w cross join lateral unnest(pg_catalog.pg_blocking_pids(w.pid)) as b (pid) left join pg_catalog.pg_stat_activity as h on h.pid = b.pid
      where w.datname = current_database() and w.wait_event_type = 'Lock' and w.state_change < clock_timestamp() - interval '5 seconds'
        and not exists (select from unnest(pg_catalog.pg_blocking_pids(b.pid)))
      group by h.pid, h.application_name, h.usename, h.state, h.query order by count(*) desc limit 3`,
    wayOut: 'Let it end, or end it: select pg_terminate_backend(<pid>), rollback prepared.',
  },
  {
    check: 'prepared transactions',
    calm: 'none is older than 5 minutes',
    query: `select pg_catalog.format('%s, since %s', p.gid, p.prepared) as seen from pg_catalog.pg_prepared_xacts as p
      where p.database = current_database() and p.prepared < clock_timestamp() - interval '5 minutes' order by p.prepared limit 3`,
    wayOut: 'It keeps its locks, holds back vacuum, and survives restarts: commit prepared or rollback prepared.',
  },
  {
    check: 'synchronous replication',
    calm: 'no commit waits for a standby for longer than 5 s',
    query: `select pg_catalog.format('%s commits wait for a standby, the first for %s s; synchronous_standby_names is %s', count(*), floor(max(extract(epoch from clock_timestamp() - a.state_change))),
        current_setting('synchronous_standby_names')) as seen from pg_catalog.pg_stat_activity as a
      where a.wait_event_type = 'IPC' and a.wait_event = 'SyncRep' and a.state_change < clock_timestamp() - interval '5 seconds' having count(*) > 0`,
    wayOut:
      'Everything that is written waits until a standby follows again, or is taken out of synchronous_standby_names (alter system, then select pg_reload_conf()).',
  },
  {
    check: 'replication slots',
    calm: 'none that nobody reads holds more than 1 GB of WAL',
    query: `select pg_catalog.format('%s holds %s of WAL, and nobody reads it', s.slot_name, pg_catalog.pg_size_pretty(w.bytes)) as seen from pg_catalog.pg_replication_slots as s
        cross join lateral (select pg_catalog.pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, s.restart_lsn) as bytes) as w
      where not s.active and w.bytes > 1073741824 order by w.bytes desc limit 3`,
    wayOut: 'It fills the disk: start its reader, or select pg_drop_replication_slot(...); max_slot_wal_keep_size bounds it.',
  },
  {
    check: 'transaction ids',
    calm: 'vacuum freezes them in time',
    query: `select pg_catalog.format('the oldest is %s transactions old', pg_catalog.age(d.datfrozenxid)) as seen from pg_catalog.pg_database as d
      where d.datname = current_database() and pg_catalog.age(d.datfrozenxid) > 1000000000`,
    wayOut: 'The server refuses writes before 2,100 million: see what holds vacuum back (long and prepared transactions, slots), then vacuum (freeze).',
  },
];

export async function incidentFindings(client: pg.Client): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { check, calm, query, wayOut } of INCIDENTS) {
    const { rows } = await client.query<{ seen: string }>(query);
    findings.push(...(rows.length === 0 ? [ok(check, calm)] : rows.map(({ seen }) => warning(check, seen, wayOut))));
  }
  return findings;
}

const REFUSALS: Readonly<Record<string, string>> = {
  '53100': 'The disk of the server is full: see what fills it (slots that nobody reads, WAL that is not archived, old partitions), and free space first.',
  '53300':
    'Every connection is taken: see who holds them in pg_stat_activity (as a superuser, for whom some are reserved), have fewer, or raise max_connections.',
  '25006': 'The server takes no writes: name the primary, or reset default_transaction_read_only of the server, the database and the role.',
  '57P03': 'The server starts, recovers or shuts down: wait, and read its log.',
  '3D000': 'Name a database that exists in PLINTH_DATABASE_URL.',
  '28P01': 'Correct the password in PLINTH_DATABASE_URL.',
  '28000': 'The server does not let this role in from here: see pg_hba.conf, and whether it asks for TLS (sslmode=require).',
};

/** The way out where a server that was reached says why it takes nobody. */
export const refusalWayOut = (error: unknown): string | undefined => REFUSALS[(error as { code?: string } | null)?.code ?? ''];
