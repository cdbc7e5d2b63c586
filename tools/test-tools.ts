/** Programs that some tests need and npm cannot bring. Missing ones are installed where that is allowed. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

interface Tool {
  /** Debian's name of the package. */
  readonly debian: string;
  readonly found: () => boolean;
}

const tools: readonly Tool[] = [
  {
    debian: 'chromium',
    found: () => process.env.PLINTH_CHROMIUM !== undefined || onPath('chromium-headless-shell') || onPath('chromium') || onPath('google-chrome'),
  },
  { debian: 'redis-server', found: () => process.env.PLINTH_REDIS_URL !== undefined || onPath('redis-server') },
  { debian: 'nats-server', found: () => onPath('nats-server') || existsSync('/usr/sbin/nats-server') },
  { debian: 'pgbouncer', found: () => onPath('pgbouncer') || existsSync('/usr/sbin/pgbouncer') },
  {
    debian: 'postgresql-15',
    found: () => process.env.PLINTH_POSTGRES15_BIN !== undefined || existsSync('/usr/lib/postgresql/15/bin'),
  },
];

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/** Names of the Debian packages that are not there. */
export function missingTools(): string[] {
  return tools.filter((tool) => !tool.found()).map((tool) => tool.debian);
}

/**
 * Installs with apt-get as root, in CI, in a container or when PLINTH_INSTALL=1: a machine that somebody lives on is not
 * changed unasked. What cannot be installed is reported by the tests that miss it.
 */
export function offerTools(missing: readonly string[], ci: boolean): void {
  const allowed = ci || process.env.PLINTH_INSTALL === '1' || existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  if (missing.length === 0 || !allowed || process.env.PLINTH_INSTALL === '0') return;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) return;
  const start = performance.now();
  const options = { stdio: 'ignore', timeout: 300_000, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
  spawnSync('apt-get', ['update', '-qq'], options);
  const { status } = spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], options);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const list = missing.join(', ');
  console.log(status === 0 ? `✔ Installed ${list} for tests (${seconds} s)` : `✘ apt-get could not install ${list} (${seconds} s)`);
}
