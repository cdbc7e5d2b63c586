import { statfs } from 'node:fs/promises';
import { defineCommand } from 'citty';
import pg from 'pg';
import { openHintBus } from '#adapters/bus/hints.ts';
import { readiness } from '#apps/server/index.ts';
import type { MigrationPlan } from '#kernel/migrate/index.ts';
import { readPlan } from '#kernel/migrate/index.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Environment } from './environment.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { opensMetadata, policyInForce, policyInWords } from './environment-egress.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, green, red, say, told } from './output.ts';
import { keptSecrets } from './secrets.ts';
import { devState } from './trace.ts';

interface Finding {
  check: string;
  state: 'ok' | 'warning' | 'fault';
  /** What was seen. */
  seen: string;
  wayOut?: string;
}

const ok = (check: string, seen: string): Finding => ({ check, state: 'ok', seen });
const fault = (check: string, seen: string, wayOut: string): Finding => ({ check, state: 'fault', seen, wayOut });
const warning = (check: string, seen: string, wayOut: string): Finding => ({ check, state: 'warning', seen, wayOut });

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
}

const FACTS = `select current_setting('server_version_num')::int as number, current_setting('server_version') as version, current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit, current_setting('max_connections')::int as max_connections, current_setting('max_prepared_transactions')::int as prepared,
  current_setting('autovacuum') as autovacuum, (extract(epoch from clock_timestamp()) * 1000 - $1::float8)::float8 as skew_ms,
  (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as connections,
  (select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity where backend_xid is not null and datname = current_database()) as oldest_write_s`;

function judge(facts: ServerFacts): Finding[] {
  return [
    facts.number >= 150_000
      ? ok('version', `PostgreSQL ${facts.version}`)
      : fault('version', `PostgreSQL ${facts.version}`, 'Plinth needs PostgreSQL 15 or newer.'),
    facts.fsync === 'on' && facts.full_page_writes === 'on'
      ? ok('durability', `fsync on, synchronous_commit ${facts.synchronous_commit}`)
      : fault('durability', `fsync ${facts.fsync}, full_page_writes ${facts.full_page_writes}`, 'A crash can lose or corrupt data: set both to on.'),
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

async function disk(dataDir: string): Promise<Finding> {
  const free = await statfs(dataDir).then(
    (stats) => stats.bavail * stats.bsize,
    () => undefined,
  );
  if (free === undefined)
    return warning('disk', `${dataDir} does not exist yet`, 'It is made at the first start; archives and the embedded database go there.');
  const gib = free / 2 ** 30;
  return gib >= 2
    ? ok('disk', `${gib.toFixed(1)} GiB free for ${dataDir}`)
    : warning('disk', `${gib.toFixed(1)} GiB free for ${dataDir}`, 'Make room, or point PLINTH_DATA_DIR elsewhere.');
}

const BUS_LIMIT_MS = 3_000;

/** What brings hints of other processes to /realtime. */
async function backplane({ realtimeBackplane: url }: Environment): Promise<Finding> {
  const check = 'realtime backplane';
  if (url === undefined) return ok(check, 'PostgreSQL, a connection a server process');
  if (url === false) return ok(check, 'none: servers look once a second');
  const name = url.startsWith('redis') ? 'Redis' : 'NATS';
  const silent = { warn: () => {} };
  const way = 'Start it, or correct PLINTH_REALTIME_BACKPLANE; until then servers hear of each other once a second only.';
  try {
    const bus = await openHintBus(url, silent);
    try {
      await bus.reached(BUS_LIMIT_MS);
      return ok(check, `${name} answers`);
    } finally {
      await bus.close();
    }
  } catch (error) {
    return warning(check, (error as Error).message, way);
  }
}

const MASTER_KEY_BYTES = 32;

function masterKeyFinding(given: string | undefined, development: boolean, kept: string | undefined): Finding {
  const check = 'master key';
  if (given !== undefined)
    return Buffer.from(given, 'base64').length >= MASTER_KEY_BYTES
      ? ok(check, 'set')
      : fault(check, 'shorter than 32 bytes', 'Set PLINTH_MASTER_KEY to 32 random bytes in base64: openssl rand -base64 32.');
  if (!development)
    return warning(check, 'not set', 'Set PLINTH_MASTER_KEY to 32 random bytes in base64 (openssl rand -base64 32); modules that encrypt will need it.');
  return ok(check, kept === undefined ? 'not set; plinth dev makes one at its first start' : 'that of plinth dev, in secrets.json of the data folder');
}

function keys(environment: Environment, development: boolean, kept: string | undefined): Finding[] {
  const { jwt, sessionSecret } = environment;
  return [
    masterKeyFinding(environment.masterKey, development, kept),
    ...(jwt?.secret && Buffer.byteLength(jwt.secret) < 32 ? [fault('JWT secret', 'shorter than 32 bytes', 'Set PLINTH_JWT_SECRET to at least 32 bytes.')] : []),
    ...(jwt?.jwksUrl && !jwt.audience
      ? [
          warning(
            'JWT audience',
            'not set',
            'Any token of this identity provider that names a tenant is taken, whatever it was made for: set PLINTH_JWT_AUDIENCE.',
          ),
        ]
      : []),
    ...(sessionSecret || development
      ? []
      : [
          warning(
            'session secret',
            'not set',
            'Sign-ins to the console end with the process and hold at that process only: set PLINTH_SESSION_SECRET (openssl rand -base64 32).',
          ),
        ]),
    ...(['PLINTH_CONTENT_URL', 'PLINTH_OLAP_URL', 'PLINTH_QUEUE_URL', 'PLINTH_NOTIFICATIONS_URL'] as const).flatMap((name) =>
      process.env[name]
        ? [warning('tiers', `${name} is set`, 'Tiers in databases of their own are not served by this version yet; everything stays in the main database.')]
        : [],
    ),
  ];
}

/** What tenants can make servers and workers call. */
function outgoing({ egress }: Environment, development: boolean): Finding {
  const check = 'outgoing requests';
  const policy = policyInForce(egress, development);
  const words = policyInWords(policy, egress.authorities.length);
  const opened = opensMetadata(policy);
  return opened.length === 0
    ? ok(check, words)
    : warning(
        check,
        `${words}; that opens ${opened.join(', ')}`,
        'A tenant can read the credentials of the machine from a metadata service: name narrower ranges in PLINTH_EGRESS_ALLOW_CIDRS.',
      );
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
    erased_only ? `may hold personal fields of ${erasures} erased data subjects` : 'its tables were made by another revision of its code',
    `Make it anew: plinth projections rebuild ${name}.`,
  );

const readyFindings = (tiers: Awaited<ReturnType<typeof readiness>>['tiers'], development: boolean): Finding[] =>
  Object.entries(tiers).flatMap(([tier, { checks }]) =>
    checks.map((one) => {
      if (one.ok) return ok(`${tier}: ${one.name}`, 'as it should be');
      const [seen = '', ...way] = (one.fault ?? '').split('; ');
      // plinth dev installs as a superuser and serves as another role.
      return development && one.name === 'role'
        ? ok(`${tier}: ${one.name}`, 'plinth dev serves as plinth_server')
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

/** What readiness looks at (reachable, migrated, role, partitions), the version, the consumers of the feed and the projections, as findings. */
async function served(url: string, all: ModuleMap, development: boolean): Promise<Finding[]> {
  const plinth = createKernel({ modules: all, database: { url, max: 2, applicationName: 'plinth doctor' } });
  try {
    const state = await readiness(plinth as never, {});
    const migrated = Object.values(state.tiers).some(({ checks }) => checks.some((one) => one.name === 'migrated' && one.ok));
    const version = migrated ? [versionFinding(await planAsReader(url, all))] : [];
    const consumers = state.ready ? await plinth.asReader({ timeoutMs: 10_000 }, (tx) => tx.query<ConsumerFacts>(CONSUMERS)) : [];
    const stale = state.ready ? await plinth.asReader({ timeoutMs: 10_000 }, (tx) => tx.query<Parameters<typeof staleFinding>[0]>(STALE)) : [];
    return [...readyFindings(state.tiers, development), ...version, ...consumers.flatMap(consumerFindings), ...stale.map(staleFinding)];
  } finally {
    await plinth.close();
  }
}

async function planAsReader(url: string, all: ModuleMap): Promise<MigrationPlan> {
  const client = new pg.Client({ connectionString: url, application_name: 'plinth doctor' });
  await client.connect();
  try {
    await client.query('begin read only; set local role plinth_reader');
    return await readPlan(client, all);
  } finally {
    await client.end();
  }
}

async function examine(environment: Environment): Promise<Finding[]> {
  const running = await devState(environment.dataDir);
  const url = environment.databaseUrl ?? running?.adminUrl;
  if (!url) throw new SettingFault('There is no database to look at: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  const development = environment.databaseUrl === undefined;
  const all = await installedModules(environment, { examples: development });
  const client = new pg.Client({ connectionString: url, application_name: 'plinth doctor', connectionTimeoutMillis: 5_000 });
  const kept = development ? (await keptSecrets(environment.dataDir))?.masterKey : undefined;
  const local = [await disk(environment.dataDir), ...keys(environment, development, kept), outgoing(environment, development), await backplane(environment)];
  try {
    await client.connect();
  } catch (error) {
    return [fault('database', (error as Error).message, 'Start the server, and check host, port, user and password of PLINTH_DATABASE_URL.'), ...local];
  }
  try {
    const { rows } = await client.query<ServerFacts>(FACTS, [Date.now()]);
    return [...rows.flatMap(judge), ...(await served(url, all, development)), ...local];
  } finally {
    await client.end();
  }
}

export const doctor = defineCommand({
  meta: { name: 'doctor', description: 'Look at database, roles, partitions, clock, disk and keys, and name the way out of each fault.' },
  args: { ...modulesArgument, json: { type: 'boolean', description: 'For programs' } },
  run: ({ args }) =>
    told(async () => {
      const findings = await examine(readEnvironment(variables(args)));
      if (findings.some((finding) => finding.state === 'fault')) process.exitCode = 1;
      if (args.json) return say(JSON.stringify({ ok: process.exitCode !== 1, findings }));
      const mark = { ok: green('✔'), warning: '!', fault: red('✘') };
      const width = Math.max(...findings.map((finding) => finding.check.length));
      for (const { check, state, seen, wayOut } of findings) {
        say(`  ${mark[state]} ${check.padEnd(width)}  ${seen}`);
        if (wayOut) say(`    ${' '.repeat(width)}  ${dim(`→ ${wayOut}`)}`);
      }
    })(undefined),
});
