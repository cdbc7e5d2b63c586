/** `plinth dev`, the program behind `npm start`, with a data folder of its own; the tests of the first part build on one another. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { discardPostgres } from 'plinth-embedded';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, type Running, startCommand, stretched } from './command.ts';

const timeout = 240_000;

interface State {
  pid: number;
  origin: string;
  adminKey: string;
  adminUrl: string;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-cli-dev-'));
});
afterAll(async () => {
  await discardPostgres(join(folder, 'postgres')).catch(() => false);
  await rm(folder, { recursive: true, force: true });
});

const dev = (own: Record<string, string> = {}): Running => startCommand(['dev'], { PLINTH_DATA_DIR: folder, PLINTH_PORT: '0', ...own });
const stateOf = async (dataDir: string): Promise<State> => JSON.parse(await readFile(join(dataDir, 'dev.json'), 'utf8')) as State;

/** A row of the first start that every later one must find. */
async function tenants({ origin, adminKey }: State): Promise<string[]> {
  const response = await fetch(`${origin}/api/v1/tenants?limit=200`, { headers: { authorization: `Bearer ${adminKey}` } });
  expect(response.status).toBe(200);
  return ((await response.json()) as { tenants: { slug: string }[] }).tenants.map(({ slug }) => slug);
}

async function post(state: State, path: string, body: unknown): Promise<number> {
  const headers = { authorization: `Bearer ${state.adminKey}`, 'content-type': 'application/json' };
  return (await fetch(`${state.origin}/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
}

/** Whether a process runs. One that has ended and that nobody has collected, as in a container without an init, does not. */
async function runs(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) Z /.test(stat);
}

const postmasterPid = async (): Promise<number> => Number((await readFile(join(folder, 'postgres', 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);

async function stopped(running: Running, signal: NodeJS.Signals, postmaster: number): Promise<void> {
  const { code, stdout, ms } = await running.stop(signal);
  expect(stdout).toContain(`The data are in ${folder}.`);
  expect(code).toBe(0);
  expect(ms).toBeLessThan(stretched(5_000));
  expect(await runs(postmaster)).toBe(false);
  expect(existsSync(join(folder, 'dev.json'))).toBe(false);
}

describe('plinth dev with the embedded PostgreSQL', { timeout }, () => {
  test('the first start makes everything, prints tasks and box, and names the port it took; Ctrl-C stops everything within 5 s', async () => {
    await using taken = await takenPort();
    const running = dev({ PLINTH_PORT: String(taken.port) });
    await running.line(/Ready in /);
    const printed = running.printed();
    expect(printed).toMatch(/✔ Created a database and started PostgreSQL [\d.]+ on 127\.0\.0\.1:\d+ \(.+s\)/);
    expect(printed).toMatch(/✔ Applied \d+ migrations \(.+s\)/);
    expect(printed).toMatch(new RegExp(`✔ Serving on http://127\\.0\\.0\\.1:\\d+, because port ${taken.port} is taken`));
    for (const label of ['Console', 'API', 'API docs', 'Database', 'Admin key', 'Next']) expect(printed).toMatch(new RegExp(`^│ ${label} `, 'm'));
    const state = await stateOf(folder);
    expect(printed).toContain(state.adminKey);
    expect(state).toMatchObject({ pid: running.pid, origin: expect.not.stringContaining(`:${taken.port}`) });
    expect((await fetch(`${state.origin}/readyz`)).status).toBe(200);
    expect((await fetch(`${state.origin}/console/`)).status).toBe(200);
    expect(await post(state, '/tenants', { slug: 'kept', name: 'Kept' })).toBe(200);
    await stopped(running, 'SIGINT', await postmasterPid());
  });

  test('a second start is ready within 3 s and finds the data; killed with SIGKILL, the next one finds them too', async () => {
    const running = await quickest(3, 3_000);
    const state = await stateOf(folder);
    expect(await tenants(state)).toContain('kept');
    expect(await post(state, '/tenants', { slug: 'before-the-kill', name: 'Before the kill' })).toBe(200);
    await running.stop('SIGKILL');

    const again = dev();
    await again.line(/Ready in /);
    expect(again.printed()).toMatch(/✔ (?:Took over the running|Started) PostgreSQL/);
    const found = await stateOf(folder);
    expect(found.adminKey).toBe(state.adminKey);
    expect(await tenants(found)).toEqual(expect.arrayContaining(['kept', 'before-the-kill']));
    await stopped(again, 'SIGTERM', await postmasterPid());
  });
});

describe('plinth dev that is stopped before it is ready', { timeout }, () => {
  test.each([/Node \d+/, /Created a database/])('after %s: everything stops within 5 s, and the next start goes on', async (line) => {
    const own = await mkdtemp(join(tmpdir(), 'plinth-cli-early-'));
    try {
      const running = dev({ PLINTH_DATA_DIR: own });
      await running.line(line);
      const { code, stdout, stderr, ms } = await running.stop('SIGINT');
      expect(stderr).toBe('');
      expect(stdout).toContain('Stopped before it was ready');
      expect(code).toBe(0);
      expect(ms).toBeLessThan(stretched(5_000));
      const next = dev({ PLINTH_DATA_DIR: own });
      await next.line(/Ready in /);
      expect((await next.stop('SIGINT')).code).toBe(0);
    } finally {
      await discardPostgres(join(own, 'postgres')).catch(() => false);
      await rm(own, { recursive: true, force: true });
    }
  });
});

describe('plinth dev when its database fails', { timeout }, () => {
  test('a PostgreSQL that ends by itself ends dev with exit code 1 and names the log; data of another version are told with both ways out', async () => {
    const running = dev();
    await running.line(/Ready in /);
    const { adminUrl } = await stateOf(folder);
    const admin = new pg.Client({ connectionString: adminUrl });
    await admin.connect();
    await admin.query(`update plinth_kernel.migrations set checksum = 'of another version' where module = 'jobs' and number = 1`);
    await admin.end();
    process.kill(await postmasterPid(), 'SIGKILL');
    const { code, stdout } = await running.ended;
    expect(stdout).toContain(`The database ended by itself; see ${join(folder, 'postgres', 'postgres.log')}`);
    expect(code).toBe(1);

    const refused = await dev().ended;
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('was applied and has changed since') });
    expect(refused.stderr).toContain(`remove ${join(folder, 'postgres')} and start again. Else: Restore the file`);
  });
});

/** A start that was ready within the limit; a busy machine is given some tries. */
async function quickest(tries: number, limitMs: number): Promise<Running> {
  const times: number[] = [];
  for (let left = tries; left > 0; left--) {
    const running = dev();
    await running.line(/Ready in /);
    times.push(performance.now() - running.startedAt);
    if ((times.at(-1) ?? 0) <= stretched(limitMs)) return running;
    await running.stop('SIGINT');
  }
  throw new Error(`starts took ${times.map(Math.round).join(', ')} ms`);
}

async function takenPort(): Promise<{ port: number } & AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return { port, [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())) };
}

describe('plinth dev with PLINTH_DATABASE_URL', { timeout }, () => {
  let database: EmptyDatabase;
  let own: string;
  let servedAs: string | undefined;
  beforeAll(async () => {
    database = await emptyDatabase('cli dev');
    own = await mkdtemp(join(tmpdir(), 'plinth-cli-url-'));
  });
  afterAll(async () => {
    if (servedAs) await database.admin.query(`drop role ${servedAs}`);
    await database.drop();
    await rm(own, { recursive: true, force: true });
  });

  test('that database is migrated and served, no other is started, and it goes on when dev stops', async () => {
    const running = dev({ PLINTH_DATA_DIR: own, PLINTH_DATABASE_URL: database.url });
    await running.line(/Ready in /);
    expect(running.printed()).toMatch(/✔ Reached PostgreSQL [\d.]+/);
    expect(existsSync(join(own, 'postgres'))).toBe(false);
    const state = await stateOf(own);
    expect((await fetch(`${state.origin}/readyz`)).status).toBe(200);
    expect(await post(state, '/tenants', { slug: 'theirs', name: 'Theirs' })).toBe(200);
    const serving = await database.admin.query<{ usename: string }>(
      `select distinct usename from pg_stat_activity where datname = current_database() and application_name like 'plinth server%'`,
    );
    servedAs = serving.rows[0]?.usename;
    // Not that of another plinth dev of this cluster, whose password is another.
    expect(serving.rows).toEqual([{ usename: expect.stringMatching(/^plinth_server_[0-9a-f]{8}$/) }]);
    const { code, ms } = await running.stop('SIGINT');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(stretched(5_000));
    expect((await database.admin.query(`select slug from plinth_kernel.tenants where slug = 'theirs'`)).rows).toEqual([{ slug: 'theirs' }]);
  });

  test('its own admin key was revoked: the next start makes a new one and says so, the old one stays refused', async () => {
    await database.admin.query('update plinth_access.operator_keys set revoked_at = now()');
    const { adminKey: old } = JSON.parse(await readFile(join(own, 'secrets.json'), 'utf8')) as State;
    // The receiver of the demo wants the port behind it, and there is none.
    const running = dev({ PLINTH_DATA_DIR: own, PLINTH_DATABASE_URL: database.url, PLINTH_PORT: '65535' });
    await running.line(/The admin key of the last start was revoked; this start made a new one/);
    await running.line(/Ready in /);
    const state = await stateOf(own);
    expect(state.adminKey).not.toBe(old);
    expect(await post(state, '/tenants', { slug: 'later', name: 'Later' })).toBe(200);
    expect(await post({ ...state, adminKey: old }, '/tenants', { slug: 'never', name: 'Never' })).toBe(401);
    expect((await running.stop('SIGINT')).code).toBe(0);
  });

  test('the links that plinth replay prints name the tenant that has the story', async () => {
    const running = dev({ PLINTH_DATA_DIR: own, PLINTH_DATABASE_URL: database.url });
    await running.line(/Ready in /);
    const { origin, adminKey } = await stateOf(own);
    const { code, stdout, stderr } = await command(['replay', 'github', '--rate', '0', '--limit', '20'], { PLINTH_DATA_DIR: own });
    expect(code, `${stdout}${stderr}`).toBe(0);
    const links = [...stdout.matchAll(/^ {2}(\S+)\/console\/trace\/([\w-]+)\?tenant=([\w-]+)$/gm)];
    expect(links.length).toBeGreaterThan(0);
    for (const [, at, id, tenant = ''] of links) {
      expect(at).toBe(origin);
      const headers = { authorization: `Bearer ${adminKey}`, 'x-plinth-tenant': tenant, 'x-plinth-reason': 'test' };
      const { rows } = (await (await fetch(`${origin}/api/v1/traces/${id}`, { headers })).json()) as { rows: unknown[] };
      expect(rows.length).toBeGreaterThan(0);
    }
    expect((await running.stop('SIGINT')).code).toBe(0);
  });

  test('a role that may not install and that row security does not bind is refused, as plinth start does', async () => {
    const role = 'plinth_cli_dev_bypass';
    await database.admin.query(`drop role if exists ${role}; create role ${role} login bypassrls noinherit password 'a';
      grant plinth_app, plinth_worker, plinth_reader to ${role}`);
    try {
      const url = new URL(database.url);
      [url.username, url.password] = [role, 'a'];
      const { code, stdout, stderr } = await dev({ PLINTH_DATA_DIR: own, PLINTH_DATABASE_URL: url.href }).ended;
      expect(stderr).toContain(`role ${role} has BYPASSRLS`);
      expect(stdout).not.toContain('Serving on');
      expect(code).toBe(1);
    } finally {
      await database.admin.query(`drop role ${role}`);
    }
  });

  test('a database that does not answer ends it with a sentence and exit code 1', async () => {
    const { code, stderr } = await dev({ PLINTH_DATA_DIR: own, PLINTH_DATABASE_URL: 'postgres://u@127.0.0.1:1/x' }).ended;
    expect(stderr).toContain('ECONNREFUSED');
    expect(code).toBe(1);
  });
});
