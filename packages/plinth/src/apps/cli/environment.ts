import { resolve } from 'node:path';
import type { JwtOptions } from '#apps/server/index.ts';
import type { WorkerOptions } from '#apps/worker/index.ts';
import { namesSeveralHosts } from '#kernel/database.ts';
import type { KeyRing } from '#kernel/keys.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { EgressSettings } from './environment-egress.ts';
import { egressSettingsOf } from './environment-egress.ts';
import { flagOf, listOf, SettingFault } from './setting.ts';

export { SettingFault } from './setting.ts';

/** What the environment says (docs/environment.md); read here and nowhere else. */
export interface Environment {
  /** Unset: the embedded server. */
  databaseUrl: string | undefined;
  /** Of a role that may act as plinth_owner: detaches partitions without blocking and vacuums. */
  maintenanceUrl: string | undefined;
  dataDir: string;
  /** File with modules of the application. */
  modulesFile: string | undefined;
  port: number;
  host: string;
  /** Where `plinth worker` answers /livez, /readyz and /metrics; undefined: nowhere. */
  workerPort: number | undefined;
  /** Of a worker: how many jobs at a time, and of which queues. */
  work: Pick<WorkerOptions<ModuleMap>, 'concurrency' | 'queues'>;
  adminKey: string | undefined;
  masterKey: string | undefined;
  /** Master keys that are being replaced, with commas between. */
  masterKeysOld: readonly string[];
  natsUrl: string | undefined;
  redisUrl: string | undefined;
  /** Systems that events are passed on to. */
  relay: readonly Relayed[];
  /** What brings hints of other processes to /realtime: a URL of NATS or Redis; undefined: PostgreSQL; false: nothing, so that it polls. */
  realtimeBackplane: string | false | undefined;
  /** Undefined: no JWT is taken. */
  jwt: JwtOptions | undefined;
  /** Signs sign-ins to the console. */
  sessionSecret: string | undefined;
  /** Folder of the built console. Unset: that of the package or the clone. */
  consoleDir: string | undefined;
  /** X-Forwarded-For and X-Forwarded-Proto are believed. */
  trustProxy: boolean;
  /** Origin of this server as others reach it; links that are sent begin with it. */
  publicUrl: string | undefined;
  /** Origins whose pages may embed the customer portal. */
  portalOrigins: readonly string[];
  /** What may be called for tenants: webhooks, key sets. */
  egress: EgressSettings;
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined;
}

export const portOf = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new SettingFault(`${name} is ${JSON.stringify(text)}: give a number from 0 to 65535.`);
  return port;
};

/** PLINTH_WORKER_CONCURRENCY: a number, or a least and a most. PLINTH_WORKER_QUEUES: names with commas between. */
function workOf(text: (name: string) => string | undefined): Environment['work'] {
  const asked = text('PLINTH_WORKER_CONCURRENCY');
  const queues = listOf(text('PLINTH_WORKER_QUEUES'));
  const long = queues.find((queue) => queue.length > 100);
  if (long) throw new SettingFault(`PLINTH_WORKER_QUEUES names ${JSON.stringify(long)}: a queue has 1 to 100 characters.`);
  const [, least, most = least] = /^(\d+)(?:-(\d+))?$/.exec(asked ?? '10') ?? [];
  const [min, max] = [Number(least), Number(most)];
  if (!(min >= 1 && min <= max && max <= 10_000))
    throw new SettingFault(`PLINTH_WORKER_CONCURRENCY is ${JSON.stringify(asked)}: give a number from 1 to 10000, or a least and a most such as 5-50.`);
  return { concurrency: min === max ? min : { min, max }, queues: queues.length > 0 ? queues : undefined };
}

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

const RELAYED = ['nats', 'redis'] as const;
export type Relayed = (typeof RELAYED)[number];

/** PLINTH_RELAY: names with commas between. Each needs its URL. */
function relayed(text: (name: string) => string | undefined): Relayed[] {
  return listOf(text('PLINTH_RELAY')).map((name) => {
    const known = RELAYED.find((one) => one === name);
    if (!known)
      throw new SettingFault(`PLINTH_RELAY is ${JSON.stringify(text('PLINTH_RELAY'))}: give one of ${RELAYED.join(', ')}, or both with a comma between.`);
    const url = `PLINTH_${known.toUpperCase()}_URL`;
    if (!text(url)) throw new SettingFault(`PLINTH_RELAY names ${known}, and ${url} is not set.`);
    return known;
  });
}

const BUS_URL = /^(nats|tls|redis|rediss):\/\/[^\s/]+/;

/** PLINTH_REALTIME_BACKPLANE: postgres, none, a URL, or nats or redis for the bus whose URL is set anyway. */
function backplaneOf(text: (name: string) => string | undefined): string | false | undefined {
  const asked = text('PLINTH_REALTIME_BACKPLANE');
  if (asked === undefined || asked === 'postgres') return undefined;
  if (asked === 'none') return false;
  const named = asked === 'nats' || asked === 'redis' ? `PLINTH_${asked.toUpperCase()}_URL` : undefined;
  const url = named ? text(named) : asked;
  if (!url) throw new SettingFault(`PLINTH_REALTIME_BACKPLANE names ${asked}, and ${named} is not set.`);
  if (!url.split(',').every((one) => BUS_URL.test(one)))
    throw new SettingFault(
      `${named ?? 'PLINTH_REALTIME_BACKPLANE'} is ${JSON.stringify(url.replace(/\/\/[^@/]*@/g, '//...@'))}: give postgres, none, or a URL such as nats://localhost:4222 or redis://localhost:6379.`,
    );
  return url;
}

/** A URL that pg can connect to. It is not repeated in the sentence: a password may be in it. */
export function databaseUrlOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined || (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text) && !namesSeveralHosts(text))) return text;
  if (namesSeveralHosts(text))
    throw new SettingFault(`${name} names several hosts: give one that leads to the primary, a name in DNS, an address that moves along or a pooler.`);
  throw new SettingFault(`${name} is no URL of a PostgreSQL: give one such as postgres://user:password@localhost:5432/database.`);
}

/** An origin as browsers write it. */
function originOf(name: string, text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  if (!/^https?:/.test(origin)) throw new SettingFault(`${name} is ${JSON.stringify(text)}: give an origin such as https://app.example.com.`);
  return origin;
}

/** PLINTH_JWT_*: which tokens are taken, and which of their claims say who is calling. */
function jwtOf(text: (name: string) => string | undefined): JwtOptions | undefined {
  const [secret, jwksUrl] = [text('PLINTH_JWT_SECRET'), text('PLINTH_JWKS_URL')];
  if (secret && jwksUrl) throw new SettingFault('PLINTH_JWT_SECRET and PLINTH_JWKS_URL are both set: give one of them.');
  if (!secret && !jwksUrl) return undefined;
  if (jwksUrl && !URL.canParse(jwksUrl)) throw new SettingFault('PLINTH_JWKS_URL is no URL: give one such as https://id.example.com/.well-known/jwks.json.');
  const claim = (name: string): string[] | undefined => {
    const names = listOf(text(name));
    return names.length > 0 ? names : undefined;
  };
  return {
    secret,
    jwksUrl,
    issuer: text('PLINTH_JWT_ISSUER'),
    audience: text('PLINTH_JWT_AUDIENCE'),
    claims: { tenant: claim('PLINTH_JWT_CLAIM_TENANT'), user: claim('PLINTH_JWT_CLAIM_USER'), roles: claim('PLINTH_JWT_CLAIM_ROLES') },
  };
}

function sessionSecretOf(text: string | undefined): string | undefined {
  if (text !== undefined && Buffer.byteLength(text) < 32)
    throw new SettingFault('PLINTH_SESSION_SECRET is shorter than 32 bytes: openssl rand -base64 32 makes one.');
  return text;
}

export function readEnvironment(env: Record<string, string | undefined> = process.env): Environment {
  const text = (name: string): string | undefined => env[name] || undefined;
  const level = text('PLINTH_LOG_LEVEL');
  if (level && !LEVELS.includes(level as (typeof LEVELS)[number]))
    throw new SettingFault(`PLINTH_LOG_LEVEL is ${JSON.stringify(level)}: give one of ${LEVELS.join(', ')}.`);
  return {
    databaseUrl: databaseUrlOf('PLINTH_DATABASE_URL', text('PLINTH_DATABASE_URL')),
    maintenanceUrl: databaseUrlOf('PLINTH_MAINTENANCE_URL', text('PLINTH_MAINTENANCE_URL')),
    dataDir: resolve(text('PLINTH_DATA_DIR') ?? '.plinth'),
    modulesFile: text('PLINTH_MODULES'),
    port: portOf('PLINTH_PORT', text('PLINTH_PORT')) ?? 4400,
    host: text('PLINTH_HOST') ?? '127.0.0.1',
    workerPort: portOf('PLINTH_WORKER_PORT', text('PLINTH_WORKER_PORT')),
    work: workOf(text),
    adminKey: text('PLINTH_ADMIN_KEY'),
    masterKey: text('PLINTH_MASTER_KEY'),
    masterKeysOld: listOf(text('PLINTH_MASTER_KEY_OLD')),
    natsUrl: text('PLINTH_NATS_URL'),
    redisUrl: text('PLINTH_REDIS_URL'),
    relay: relayed(text),
    realtimeBackplane: backplaneOf(text),
    jwt: jwtOf(text),
    sessionSecret: sessionSecretOf(text('PLINTH_SESSION_SECRET')),
    consoleDir: text('PLINTH_CONSOLE_DIR'),
    trustProxy: flagOf('PLINTH_TRUST_PROXY', text('PLINTH_TRUST_PROXY')),
    publicUrl: text('PLINTH_PUBLIC_URL') && originOf('PLINTH_PUBLIC_URL', text('PLINTH_PUBLIC_URL') ?? ''),
    portalOrigins: listOf(text('PLINTH_PORTAL_ORIGINS')).map((origin) => originOf('PLINTH_PORTAL_ORIGINS', origin)),
    egress: egressSettingsOf(text),
    logLevel: level as Environment['logLevel'],
  };
}

/** Undefined: personal fields stay closed to this process. */
export const keysOf = ({ masterKey, masterKeysOld }: Pick<Environment, 'masterKey' | 'masterKeysOld'>): KeyRing | undefined =>
  masterKey === undefined ? undefined : createKeyRing({ current: masterKey, old: masterKeysOld });
