/**
 * What a test may need beyond this repository, and what is said when it is not there. Nothing is passed over in
 * silence: `needs()` records the reason, tools/test.ts prints it at the end with the way out, and in CI it is a failure.
 */
import { appendFileSync, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export type Need = 'chromium' | 'nats' | 'pgbouncer' | 'postgres15' | 'prisma' | 'redis' | 'root';

export interface Availability {
  readonly available: boolean;
  /** The program's path, or the URL of a server; an empty string when it is not there. */
  readonly at: string;
}

interface Finding {
  readonly find: () => string;
  readonly reason: string;
  readonly wayOut: string;
}

const findings: Record<Need, Finding> = {
  chromium: {
    // The same browser without windows first: it takes a quarter less time.
    find: () => process.env.PLINTH_CHROMIUM ?? firstExisting('/usr/bin/chromium-headless-shell', '/usr/bin/chromium') ?? onPath('chromium', 'google-chrome'),
    reason: 'no Chromium was found',
    wayOut: 'install it (Debian: apt-get install chromium-headless-shell, or chromium) or set PLINTH_CHROMIUM to its path',
  },
  nats: {
    find: () => onPath('nats-server') || (firstExisting('/usr/sbin/nats-server') ?? ''),
    reason: 'no NATS server was found',
    wayOut: 'install it (Debian: apt-get install nats-server)',
  },
  pgbouncer: {
    find: () => onPath('pgbouncer') || (firstExisting('/usr/sbin/pgbouncer') ?? ''),
    reason: 'no PgBouncer was found',
    wayOut: 'install it (Debian: apt-get install pgbouncer)',
  },
  postgres15: {
    find: () => process.env.PLINTH_POSTGRES15_BIN ?? firstExisting('/usr/lib/postgresql/15/bin') ?? '',
    reason: 'no PostgreSQL 15 was found',
    wayOut: 'install it (Debian 12: apt-get install postgresql-15) or set PLINTH_POSTGRES15_BIN to its bin folder',
  },
  prisma: {
    find: () => firstExisting(fileURLToPath(new URL('../../../../test/prisma/generated/client.ts', import.meta.url))) ?? '',
    reason: 'the Prisma client is not generated (it weighs 300 MB and is not part of the main installation)',
    wayOut: 'npm install --prefix test/prisma --ignore-scripts && npm run --prefix test/prisma generate',
  },
  redis: {
    find: () => process.env.PLINTH_REDIS_URL ?? onPath('redis-server'),
    reason: 'no Redis was found',
    wayOut: 'install it (Debian: apt-get install redis-server) or set PLINTH_REDIS_URL',
  },
  root: {
    find: () => (process.getuid?.() === 0 && process.platform === 'linux' ? 'root' : ''),
    reason: 'these tests change users, which only root may do',
    wayOut: 'run npm test as root, for example in a container',
  },
};

/**
 * Whether something optional is there, for `test.runIf(needs('redis').available)`. When it is not, the test file and
 * the reason are recorded for the end of the run.
 */
export function needs(need: Need): Availability {
  const { find, reason, wayOut } = findings[need];
  const at = find();
  const record = process.env.PLINTH_NOT_RUN_FILE;
  if (at === '' && record !== undefined) {
    const file = expect.getState().testPath ?? 'unknown';
    appendFileSync(record, `${JSON.stringify({ need, file, reason, wayOut })}\n`);
  }
  return { available: at !== '', at };
}

function firstExisting(...paths: string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}

function onPath(...programs: readonly string[]): string {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = programs.flatMap((program) => folders.map((folder) => join(folder, program)));
  return candidates.find((candidate) => existsSync(candidate)) ?? '';
}
