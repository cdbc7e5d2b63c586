/** What `plinth doctor` finds in a database that answers: the server's settings, row security, the installation, consumers and projections. */
import type pg from 'pg';
import { readiness } from '#apps/server/index.ts';
import { Client } from '#kernel/database.ts';
import type { MigrationPlan } from '#kernel/migrate/index.ts';
import { readPlan } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { createKernel } from '#kernel/plinth.ts';
import { type Finding, fault, ok, warning } from './doctor-finding.ts';
import { incidentFindings } from './doctor-incidents.ts';
import { roomFindings } from './doctor-room.ts';
import { sessionFindings } from './doctor-sessions.ts';
import { ownerFindings, settingFindings } from './doctor-settings.ts';
import { workFindings } from './doctor-work.ts';

interface ServerFacts {
  number: number;
  version: string;
  fsync: string;
  full_page_writes: string;
  synchronous_commit: string;
  max_connections: number;
  prepared: number;
  autovacuum: string;
  skew_ms: number;
  connections: number;
  oldest_write_s: number | null;
  read_only: string;
  standby: boolean;
  row_security: string;
}

const FACTS = `select current_setting('server_version_num')::int as number, current_setting('server_version') as version, current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit, current_setting('max_connections')::int as max_connections, current_setting('max_prepared_transactions')::int as prepared,
  current_setting('autovacuum') as autovacuum, (extract(epoch from clock_timestamp()) * 1000 - $1::float8)::float8 as skew_ms,
  current_setting('transaction_read_only') as read_only, pg_is_in_recovery() as standby, current_setting('row_security') as row_security,
  (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
  (select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity where backend_xid is not null and datname = current_database()) as oldest_write_s`;

/** Whether anything can be written, by whoever serves. */
function writable({ read_only, standby, row_security }: ServerFacts): Finding {
  const check = 'writable';
  if (standby) return fault(check, 'a standby', 'Name the primary in PLINTH_DATABASE_URL.');
  if (read_only === 'on') return fault(check, 'read-only', 'Reset default_transaction_read_only of the database and of the role.');
  return row_security === 'on'
    ? ok(check, 'yes')
    : fault(check, 'row_security off', 'Reset row_security of the database and of the role: with it every query fails.');
}

function judge(facts: ServerFacts): Finding[] {
  return [
    facts.number >= 150_000
      ? ok('version', `PostgreSQL ${facts.version}`)
      : fault('version', `PostgreSQL ${facts.version}`, 'Plinth needs PostgreSQL 15 or newer.'),
    facts.fsync === 'on' && facts.full_page_writes === 'on'
      ? ok('durability', `fsync on, synchronous_commit ${facts.synchronous_commit}`)
      : fault('durability', `fsync ${facts.fsync}, full_page_writes ${facts.full_page_writes}`, 'A crash can lose or corrupt data: set both to on.'),
    writable(facts),
    facts.autovacuum === 'on' ? ok('autovacuum', 'on') : fault('autovacuum', facts.autovacuum, 'Set autovacuum = on; tables bloat without it.'),
    facts.connections < facts.max_connections * 0.8
      ? ok('connections', `${facts.connections} of ${facts.max_connections}`)
      : warning('connections', `${facts.connections} of ${facts.max_connections}`, 'Raise max_connections or put a session pooler in front.'),
    Math.abs(facts.skew_ms) < 2000
      ? ok('clock', `${Math.round(facts.skew_ms)} ms from the database`)
      : warning('clock', `${Math.round(facts.skew_ms)} ms from the database`, 'Synchronise the clocks (NTP): ids and times of this machine are off.'),
    (facts.oldest_write_s ?? 0) < 300
      ? ok('long writes', 'none open longer than 5 minutes')
      : warning(
          'long writes',
          `a transaction has been writing for ${Math.round(facts.oldest_write_s ?? 0)} s`,
          'It holds back vacuum and delays its own events: find it in pg_stat_activity.',
        ),
  ];
}

interface ConsumerFacts {
  consumer: string;
  status: string;
  waiting: number;
  waiting_capped: boolean;
  lag_s: number;
  failures: number;
  last_error: string | null;
  pause_reason: string | null;
  parked: number;
}

const CONSUMERS = `select consumer, status, waiting::int, waiting_capped, lag_s, failures, last_error, pause_reason, parked::int from plinth.consumers order by consumer limit 200`;

/** A consumer that is this far behind is not just busy, s. */
const LONG_LAG_S = 300;

/** What is wrong with a consumer; nothing is said of one that keeps up. */
function consumerFindings(one: ConsumerFacts): Finding[] {
  const check = `consumer ${one.consumer}`;
  const waits = `${one.waiting.toLocaleString('en')}${one.waiting_capped ? ' or more' : ''} events wait, the oldest for ${Math.round(one.lag_s)} s`;
  return [
    ...(one.status === 'paused'
      ? [warning(check, `paused: ${one.pause_reason}; ${waits}`, 'Let it go on with plinth.resume_consumer(...) when the reason is gone.')]
      : []),
    ...(one.status === 'failing'
      ? [
          warning(
            check,
            `fails: ${one.last_error}; ${waits}`,
            one.failures > 0
              ? 'Correct its handler, or let the tenant go on without the event: plinth.park_failing_event(...), see plinth.parked_events.'
              : 'It goes on by itself when what it needs can be reached again.',
          ),
        ]
      : []),
    ...(one.status === 'behind' && one.lag_s > LONG_LAG_S ? [warning(check, waits, 'See whether a worker with its module runs, and start more of them.')] : []),
    ...(one.parked > 0
      ? [
          warning(
            check,
            `${one.parked} events were put aside`,
            'Try them again with plinth.retry_parked_events(...), or give them up with plinth.discard_parked_event(...).',
          ),
        ]
      : []),
  ];
}

const STALE = `select name, erasures::int, revision is not distinct from declared_revision as erased_only from plinth.projections where status = 'stale' order by name limit 200`;

/** Tables that do not show what they should. */
const staleFinding = ({ name, erasures, erased_only }: { name: string; erasures: number; erased_only: boolean }): Finding =>
  warning(
    `projection ${name}`,
    erased_only ? `may hold personal fields of ${erasures} erased data subjects` : 'its tables were made by another revision of its code, or by several',
    `Make it anew: plinth projections rebuild ${name}.`,
  );

/** Whether anything is written is told of the server itself. */
const told = ({ name }: { name: string }): boolean => name !== 'writable';

const readyFindings = (tiers: Awaited<ReturnType<typeof readiness>>['tiers'], development: boolean): Finding[] =>
  Object.entries(tiers).flatMap(([tier, { checks }]) =>
    checks.filter(told).map((one) => {
      if (one.ok) return ok(`${tier}: ${one.name}`, 'as it should be');
      const [seen = '', ...way] = (one.fault ?? '').split('; ');
      // plinth dev installs as a superuser and serves as another role.
      return development && one.name === 'role'
        ? ok(`${tier}: ${one.name}`, 'plinth dev serves as a role of its own')
        : fault(`${tier}: ${one.name}`, seen, way.join('; ') || 'Correct it and run plinth doctor again.');
    }),
  );

/** Functions and views of another version serve; which is right only people know. */
function versionFinding({ stale, unknown, otherModules }: MigrationPlan): Finding {
  const check = 'functions and views';
  const others = otherModules.length > 0 ? `; modules unknown here: ${otherModules.join(', ')}` : '';
  if (stale.length === 0) return ok(check, `of this version${others}`);
  return warning(
    check,
    `of another version than here: ${stale.join(', ')}${others}`,
    unknown.length > 0
      ? `The database is of a newer Plinth, which applied ${unknown.map((row) => `${row.module}/${row.name}`).join(', ')}: upgrade this one.`
      : 'Run plinth migrate up with the version that is to serve.',
  );
}

/** A check that stands alone: what keeps it from looking is its finding. */
const alone = (check: string, look: () => Promise<Finding[]>): Promise<Finding[]> =>
  look().catch((error: unknown) => [fault(check, (error as Error).message, 'Correct that, and run plinth doctor again.')]);

const OPEN_TABLES = `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname like 'plinth\\_%' and c.relkind in ('r', 'p') and not (c.relrowsecurity and c.relforcerowsecurity)
    and ((n.nspname, c.relname) = ('plinth_kernel', 'tenants') or exists (select from pg_attribute where attrelid = c.oid and attname = 'tenant_id' and not attisdropped))
  order by 1 limit 20`;

/** Tables of Plinth's schemas, partitions included, that show every tenant's rows to whoever may read them. */
async function tenancyFindings(client: pg.Client): Promise<Finding[]> {
  const check = 'row security';
  const { rows } = await client.query<{ name: string }>(OPEN_TABLES);
  if (rows.length === 0) return [ok(check, 'forced on every table with rows of tenants')];
  const names = rows.map(({ name }) => name).join(', ');
  return [fault(check, `not enabled or not forced on ${names}`, 'For each: alter table ... enable row level security, force row level security.')];
}

/** What readiness looks at (reachable, migrated, role, partitions), the version, the work, the consumers of the feed and the projections, as findings. */
async function served(url: string, all: ModuleMap, development: boolean): Promise<Finding[]> {
  const plinth = createKernel({ modules: all, database: { url, max: 2, applicationName: 'plinth doctor' } });
  const read = <Row>(text: string): Promise<Row[]> => plinth.asReader({ timeoutMs: 10_000 }, (tx) => tx.query<Row>(text));
  try {
    const state = await readiness(plinth as never, {});
    // What it says of role and partitions keeps nobody from reading.
    const migrated = Object.values(state.tiers).some(({ checks }) => checks.some((one) => one.name === 'migrated' && one.ok));
    return [
      ...readyFindings(state.tiers, development),
      ...(migrated ? await alone('functions and views', async () => [versionFinding(await planAsReader(url, all))]) : []),
      ...(migrated ? await alone('work', () => workFindings(plinth)) : []),
      ...(migrated ? await alone('consumers', async () => (await read<ConsumerFacts>(CONSUMERS)).flatMap(consumerFindings)) : []),
      ...(migrated ? await alone('projections', async () => (await read<Parameters<typeof staleFinding>[0]>(STALE)).map(staleFinding)) : []),
    ];
  } finally {
    await plinth.close();
  }
}

async function planAsReader(url: string, all: ModuleMap): Promise<MigrationPlan> {
  const client = new Client({ connectionString: url, application_name: 'plinth doctor' });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query('begin read only; set local role plinth_reader');
    return await readPlan(client, all);
  } finally {
    await client.end();
  }
}

/** Everything that a database which answers can be asked. */
export async function databaseFindings(client: pg.Client, url: string, all: ModuleMap, development: boolean): Promise<Finding[]> {
  return [
    ...(await alone('server', async () => (await client.query<ServerFacts>(FACTS, [Date.now()])).rows.flatMap(judge))),
    ...(await alone('disk of the server', () => roomFindings(client))),
    ...(await alone('incidents', () => incidentFindings(client))),
    ...(await alone('settings', () => settingFindings(client))),
    ...(await alone('sessions', () => sessionFindings(client, url))),
    ...(await alone('owner', () => ownerFindings(client, Object.keys(all)))),
    ...(await alone('row security', () => tenancyFindings(client))),
    ...(await served(url, all, development)),
  ];
}
