/**
 * The main job, end to end and in short: real webhooks of GitHub through one transaction each, into audit entry, event, job and signed
 * webhook, on a PostgreSQL, a server, a worker and a receiver of its own; and once more while those are killed at random moments.
 */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { command, json, startCommand } from './cli/command.ts';

interface Result {
  verdict: Record<
    | 'payloads'
    | 'acknowledged'
    | 'recorded'
    | 'rows'
    | 'upserts'
    | 'entries'
    | 'events'
    | 'jobs'
    | 'summarised'
    | 'attempts'
    | 'verified'
    | 'lost'
    | 'twice'
    | 'halfDone'
    | 'notOnce',
    number
  >;
  kills: Record<string, number>;
  seed: number;
  adds_up: boolean;
}

// A machine with nothing else to do needs a tenth of it.
const timeout = 600_000;
/** Payloads among the examples that the subscription `github.*.opened` delivers. */
const OPENED = 8;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plinth-replay-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const replay = (...args: string[]) => command(['replay', 'github', '--rate', '0', '--json', ...args], { PLINTH_DATA_DIR: folder });

test('every payload becomes one record, business row, entry, event and job, and what is subscribed to arrives with a signature that verifies', {
  timeout,
}, async () => {
  const ended = await replay('--limit', '80');
  const { verdict, adds_up } = json<Result>(ended);
  const whole = { payloads: 80, acknowledged: 80, recorded: 80, upserts: 80, entries: 80, events: 80, jobs: 80, summarised: 80 };
  expect(verdict).toMatchObject({ ...whole, verified: OPENED, lost: 0, twice: 0, halfDone: 0, notOnce: 0 });
  expect(verdict.attempts).toBeGreaterThanOrEqual(OPENED);
  // Several payloads are about one repository, issue or pull request.
  expect(verdict.rows).toBeGreaterThan(0);
  expect(verdict.rows).toBeLessThan(80);
  expect(adds_up).toBe(true);
  expect(ended.code).toBe(0);
});

test('without a running npm start the stories are told in the terminal, for their database goes with the run', { timeout }, async () => {
  const { code, stdout } = await command(['replay', 'github', '--rate', '0', '--limit', '10'], { PLINTH_DATA_DIR: folder });
  expect(code).toBe(0);
  expect(stdout.match(/^Trace [0-9a-f-]{36} /gm)).toHaveLength(3);
  // Of each: row, entry, event and job of one transaction, and what they caused.
  for (const kind of ['payload', 'audit', 'event', 'job', 'delivery attempt'])
    expect(stdout.match(new RegExp(`ms +${kind} +github\\.`, 'g'))?.length, kind).toBeGreaterThanOrEqual(3);
  expect(stdout).toContain('While npm start runs');
});

test('server, worker and Postgres are killed meanwhile: nothing is lost, half done or done twice', { timeout }, async () => {
  const seed = String(Date.now() % 1_000_000_007);
  console.info(`replay --crash with seed ${seed}`);
  const ended = await replay('--crash', '--limit', '120', '--seed', seed);
  const { verdict, kills, adds_up, ...result } = json<Result>(ended);
  expect({ seed: result.seed, adds_up, lost: verdict.lost, verified: verdict.verified, halfDone: verdict.halfDone, notOnce: verdict.notOnce }).toEqual({
    seed: Number(seed),
    adds_up: true,
    lost: 0,
    verified: OPENED,
    halfDone: 0,
    notOnce: 0,
  });
  for (const part of ['server', 'worker', 'postgres']) expect(kills[part], part).toBeGreaterThanOrEqual(1);
  expect(ended.code).toBe(0);
});

test('Ctrl-C in the middle ends everything that it started and leaves no data', { timeout }, async () => {
  const running = startCommand(['replay', 'github', '--rate', '20'], { PLINTH_DATA_DIR: folder });
  await running.line(/Replaying against a PostgreSQL, server and worker of its own/);
  await running.line(/[1-9]\d* of 329 acknowledged/);
  const { code, stderr } = await running.stop('SIGINT');
  expect(stderr).toContain('Stopped before the end');
  expect(code).toBe(1);
  expect(await readdir(folder)).toEqual([]);
});
