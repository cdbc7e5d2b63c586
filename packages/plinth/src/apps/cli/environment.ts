import { resolve } from 'node:path';

/** What the environment says (design.md section 2); read here and nowhere else. */
export interface Environment {
  /** Unset: the embedded server. */
  databaseUrl: string | undefined;
  /** Of a role that may act as plinth_owner: detaches partitions without blocking and vacuums. */
  maintenanceUrl: string | undefined;
  dataDir: string;
  port: number;
  host: string;
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
  jwtSecret: string | undefined;
  jwksUrl: string | undefined;
  /** Origin of this server as others reach it; links that are sent begin with it. */
  publicUrl: string | undefined;
  /** Origins whose pages may embed the customer portal. */
  portalOrigins: readonly string[];
  logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined;
}

/** A setting or argument that cannot be used; the sentence names it and the way out. The exit code is 2. */
export class SettingFault extends Error {}

const portOf = (text: string | undefined): number => {
  if (text === undefined || text === '') return 4400;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new SettingFault(`PLINTH_PORT is ${JSON.stringify(text)}: give a number from 0 to 65535.`);
  return port;
};

const LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;

const RELAYED = ['nats', 'redis'] as const;
export type Relayed = (typeof RELAYED)[number];

/** PLINTH_RELAY: names with commas between. Each needs its URL. */
function relayed(text: (name: string) => string | undefined): Relayed[] {
  const names = (text('PLINTH_RELAY') ?? '').split(',').filter((name) => name.trim() !== '');
  return names.map((name) => {
    const known = RELAYED.find((one) => one === name.trim());
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

/** An origin as browsers write it. */
function originOf(name: string, text: string): string {
  const origin = URL.canParse(text) ? new URL(text).origin : 'null';
  if (!/^https?:/.test(origin)) throw new SettingFault(`${name} is ${JSON.stringify(text)}: give an origin such as https://app.example.com.`);
  return origin;
}

export function readEnvironment(env: Record<string, string | undefined> = process.env): Environment {
  const text = (name: string): string | undefined => env[name] || undefined;
  const level = text('PLINTH_LOG_LEVEL');
  if (level && !LEVELS.includes(level as (typeof LEVELS)[number]))
    throw new SettingFault(`PLINTH_LOG_LEVEL is ${JSON.stringify(level)}: give one of ${LEVELS.join(', ')}.`);
  return {
    databaseUrl: text('PLINTH_DATABASE_URL'),
    maintenanceUrl: text('PLINTH_MAINTENANCE_URL'),
    dataDir: resolve(text('PLINTH_DATA_DIR') ?? '.plinth'),
    port: portOf(text('PLINTH_PORT')),
    host: text('PLINTH_HOST') ?? '127.0.0.1',
    adminKey: text('PLINTH_ADMIN_KEY'),
    masterKey: text('PLINTH_MASTER_KEY'),
    masterKeysOld: (text('PLINTH_MASTER_KEY_OLD') ?? '').split(',').filter((key) => key.trim() !== ''),
    natsUrl: text('PLINTH_NATS_URL'),
    redisUrl: text('PLINTH_REDIS_URL'),
    relay: relayed(text),
    realtimeBackplane: backplaneOf(text),
    jwtSecret: text('PLINTH_JWT_SECRET'),
    jwksUrl: text('PLINTH_JWKS_URL'),
    publicUrl: text('PLINTH_PUBLIC_URL') && originOf('PLINTH_PUBLIC_URL', text('PLINTH_PUBLIC_URL') ?? ''),
    portalOrigins: (text('PLINTH_PORTAL_ORIGINS') ?? '')
      .split(',')
      .filter((origin) => origin.trim() !== '')
      .map((origin) => originOf('PLINTH_PORTAL_ORIGINS', origin.trim())),
    logLevel: level as Environment['logLevel'],
  };
}
