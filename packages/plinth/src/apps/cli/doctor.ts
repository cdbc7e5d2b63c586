import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { defineCommand } from 'citty';
import pg from 'pg';
import { openHintBus } from '#adapters/bus/hints.ts';
import { databaseFindings } from './doctor-database.ts';
import { type Finding, fault, ok, warning } from './doctor-finding.ts';
import { refusalWayOut } from './doctor-incidents.ts';
import type { Environment } from './environment.ts';
import { readEnvironment, SettingFault } from './environment.ts';
import { opensMetadata, policyInForce, policyInWords } from './environment-egress.ts';
import { installedModules, modulesArgument, variables } from './modules.ts';
import { dim, green, red, say, told } from './output.ts';
import { keptSecrets } from './secrets.ts';
import { devState } from './trace.ts';

/** Why nothing can be written to a folder, or to the one that it would be made in: EACCES, EROFS, ENOTDIR. */
async function unwritable(folder: string): Promise<string | undefined> {
  const found = await stat(folder).catch(() => undefined);
  if (!found && dirname(folder) !== folder) return unwritable(dirname(folder));
  if (!found?.isDirectory()) return 'ENOTDIR';
  return access(folder, constants.W_OK | constants.X_OK).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error.code,
  );
}

async function disk(dataDir: string): Promise<Finding> {
  const refused = await unwritable(resolve(dataDir));
  if (refused)
    return warning(
      'disk',
      `${dataDir} cannot be written to (${refused})`,
      'Give it to the user that Plinth runs as, or point PLINTH_DATA_DIR to a folder that is, a volume where the rest is read-only: what leaves by retention is archived there first, and stays otherwise.',
    );
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

async function examine(environment: Environment): Promise<Finding[]> {
  const running = await devState(environment.dataDir);
  const url = environment.databaseUrl ?? running?.adminUrl;
  if (!url) throw new SettingFault('There is no database to look at: set PLINTH_DATABASE_URL, or start plinth dev in this folder.');
  const development = environment.databaseUrl === undefined;
  const all = await installedModules(environment, { examples: development });
  const client = new pg.Client({ connectionString: url, application_name: 'plinth doctor', connectionTimeoutMillis: 5_000 });
  // It is asked while servers fall: what is under way tells of a connection that is lost.
  client.on('error', () => {});
  const kept = development ? (await keptSecrets(environment.dataDir))?.masterKey : undefined;
  const local = [await disk(environment.dataDir), ...keys(environment, development, kept), outgoing(environment, development), await backplane(environment)];
  try {
    await client.connect();
  } catch (error) {
    const wayOut = development
      ? 'The database of plinth dev in this folder does not run any more: start it again.'
      : (refusalWayOut(error) ?? 'Start the server, and check host, port, user, password and database of PLINTH_DATABASE_URL.');
    return [fault('database', (error as Error).message, wayOut), ...local];
  }
  try {
    return [...(await databaseFindings(client, url, all, development)), ...local];
  } finally {
    await client.end().catch(() => {});
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
