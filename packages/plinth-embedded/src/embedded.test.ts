import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { needs } from '../../plinth/src/testing/needs.ts';
import { discardPostgres, type EmbeddedPostgres, type StartOptions, startPostgres } from './index.ts';
import { isAlive, waitUntil } from './processes.ts';

let folder: string;
let running: EmbeddedPostgres[];

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'plinth-embedded-')));
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

async function query<Row>(url: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: url });
  // A server that is killed under a client is what some of these tests are about.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(sql)).rows as Row[];
  } finally {
    await client.end();
  }
}

interface Held {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  readonly url: string;
}

/** Starts PostgreSQL from another process, which tests may then kill. */
async function hold(): Promise<Held> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hold.fixture.ts'), join(folder, 'pg')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { ...(JSON.parse(line.toString()) as Omit<Held, 'child'>), child };
}

async function killHard(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

describe('startPostgres', () => {
  test('makes a cluster in an empty folder, and a second start finds the data in it', async () => {
    const first = await start();
    expect(first.origin).toBe('created');
    await query(first.url, 'create table kept (n int); insert into kept values (7)');
    const [settings] = await query(
      first.url,
      "select current_setting('fsync') fsync, current_setting('max_connections') connections, current_setting('server_encoding') encoding",
    );
    expect(settings).toEqual({ fsync: 'on', connections: '200', encoding: 'UTF8' });
    await first.stop();
    expect(await isAlive(first.pid)).toBe(false);

    const second = await start();
    expect(second.origin).toBe('started');
    expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }]);
  });

  test('asks for the password over TCP and keeps it readable by its owner alone', async () => {
    const postgres = await start();
    const wrong = new URL(postgres.url);
    wrong.password = 'guess';
    await expect(query(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
    expect((await readFile(join(folder, 'pg', 'password'), 'utf8')).trim()).toBe(new URL(postgres.url).password);
  });

  test('takes the next free port when the asked one is taken', async () => {
    const other = createServer();
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const taken = typeof address === 'object' && address !== null ? address.port : 0;
    try {
      const postgres = await start({ port: taken });
      expect(postgres.port).toBeGreaterThan(taken);
      expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    } finally {
      other.close();
    }
  });

  test('passes settings and hands the log to onLog', async () => {
    const lines: string[] = [];
    const postgres = await start({ settings: { track_functions: 'all' }, onLog: (line) => lines.push(line) });
    expect(await query(postgres.url, "select current_setting('track_functions') as value")).toEqual([{ value: 'all' }]);
    await postgres.stop();
    expect(lines.some((line) => line.includes('database system is shut down'))).toBe(true);
  });

  test('says what is wrong with a setting that PostgreSQL does not know', async () => {
    await expect(start({ settings: { no_such_setting: 1 } })).rejects.toMatchObject({
      code: 'start_failed',
      message: expect.stringContaining('no_such_setting'),
    });
    expect((await start()).origin).toBe('started');
  });
});

describe('with the programs of the machine', () => {
  const fifteen = needs('postgres15');

  test.runIf(fifteen.available)('PostgreSQL 15 starts the same way', async () => {
    const postgres = await start({ programFolder: fifteen.at });
    expect(postgres.version).toMatch(/^15\./);
    expect(await query(postgres.url, "select current_setting('server_version_num')::int / 10000 as major")).toEqual([{ major: 15 }]);
  });

  test('a folder without PostgreSQL is named', async () => {
    await expect(start({ programFolder: folder })).rejects.toMatchObject({ code: 'binaries_missing', message: expect.stringContaining(folder) });
  });
});

describe('after SIGKILL', () => {
  test('of the server: what was committed is there at the next start', async () => {
    const first = await start();
    await query(first.url, 'create table kept (n int); insert into kept values (1), (2)');
    await first.kill();
    await first.exited;
    const second = await start();
    expect(await query(second.url, 'select count(*)::int as rows from kept')).toEqual([{ rows: 2 }]);
  });

  test('of the postmaster alone: its busy children are ended before the next start', async () => {
    const first = await start();
    const busy = query(first.url, 'select pg_sleep(600)').catch((error: Error) => error);
    const active = async () => (await query(first.url, "select 1 from pg_stat_activity where query like 'select pg_sleep%'")).length > 0;
    expect(await waitUntil(active, 30_000)).toBe(true);
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    const second = await start();
    expect(second.origin).toBe('started');
    expect(await busy).toBeInstanceOf(Error);
  });

  test('of the process that started it: the server that lives on is taken over', async () => {
    const held = await hold();
    await query(held.url, 'create table kept (n int)');
    await killHard(held.child);
    const adopted = await start();
    expect(adopted).toMatchObject({ origin: 'adopted', pid: held.pid, port: held.port });
    expect(await query(adopted.url, 'select * from kept')).toEqual([]);
    await adopted.stop();
    expect(await isAlive(held.pid)).toBe(false);
  });

  test('of the process that started it: other settings stop the old server and start a new one', async () => {
    const held = await hold();
    await killHard(held.child);
    const postgres = await start({ settings: { work_mem: '8MB' } });
    expect(postgres.origin).toBe('started');
    expect(await isAlive(held.pid)).toBe(false);
    expect(await query(postgres.url, 'show work_mem')).toEqual([{ work_mem: '8MB' }]);
  });

  test('of everything: a stale postmaster.pid that names a living stranger does not stop the next start', async () => {
    const first = await start();
    await first.kill();
    const file = join(folder, 'pg', 'data', 'postmaster.pid');
    const lines = (await readFile(file, 'utf8')).split('\n');
    await writeFile(file, [String(process.pid), ...lines.slice(1)].join('\n'));
    expect((await start()).origin).toBe('started');
  });
});

describe('the data folder', () => {
  test('is refused while another live process holds it', async () => {
    const held = await hold();
    await expect(start()).rejects.toMatchObject({
      code: 'data_in_use',
      message: expect.stringContaining(String(held.child.pid)),
    });
    held.child.stdin?.end();
    await once(held.child, 'exit');
    expect((await start()).origin).toBe('started');
  });

  test('is given to one of two that start at the same moment', async () => {
    const [one, two] = await Promise.allSettled([start(), start()]);
    expect([one.status, two.status].sort()).toEqual(['fulfilled', 'rejected']);
  });

  test('holds no half-made cluster when the start is cancelled at any moment', async () => {
    const outcomes: string[] = [];
    for (const timeoutMs of [1, 50, 150, 300, 600, 900]) {
      const outcome = await start({ signal: AbortSignal.timeout(timeoutMs) }).then(
        (postgres) => postgres.kill().then(() => 'started'),
        (error: Error) => error.name,
      );
      outcomes.push(outcome);
      const left = (await readdir(join(folder, 'pg'))).filter((name) => /^(data\..*|owner\.json)$/.test(name));
      expect(left).toEqual([]);
    }
    expect(outcomes[0]).toBe('TimeoutError');
    expect(new Set([...outcomes, 'TimeoutError', 'started']).size).toBe(2);
    const postgres = await start();
    expect(await query(postgres.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('is usable again when the process was killed in the middle of initdb', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'hold.fixture.ts'), join(folder, 'pg')]);
    const inWork = async () => (await readdir(join(folder, 'pg')).catch(() => [])).some((name) => name.startsWith('data.'));
    expect(await waitUntil(inWork, 30_000)).toBe(true);
    await killHard(child);
    expect((await start()).origin).toBe('created');
    expect((await readdir(join(folder, 'pg'))).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('is thrown away with its server once its process is dead, and never before', async () => {
    const held = await hold();
    expect(await discardPostgres(join(folder, 'pg'))).toBe(false);
    await killHard(held.child);
    expect(await discardPostgres(join(folder, 'pg'))).toBe(true);
    expect(await isAlive(held.pid)).toBe(false);
    expect(await readdir(folder)).toEqual([]);
  });

  test('gets a new superuser password when the file with the old one is lost', async () => {
    const first = await start();
    await first.stop();
    await rm(join(folder, 'pg', 'password'));
    const second = await start();
    expect(second.url).not.toBe(first.url);
    expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('of another PostgreSQL version is left alone, and the way out is named', async () => {
    const first = await start();
    await first.stop();
    await writeFile(join(folder, 'pg', 'data', 'PG_VERSION'), '14\n');
    await expect(start()).rejects.toMatchObject({ code: 'data_version', hint: expect.stringContaining('PLINTH_DATA_DIR') });
  });
});
