import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json } from './command.ts';

let database: TestDatabase;
const correlationId = randomUUID();
beforeAll(async () => {
  database = await testDatabase('cli trace');
  await database.plinth.transaction({ tenantId: database.tenantA, actor: { type: 'user', id: 'ann' }, correlationId }, async (tx) => {
    tx.audit.record({ action: 'order.created', entityType: 'order', entityId: '7' });
    tx.events.publish('order.created', { total: 5 });
    tx.jobs.enqueue('order.confirm', { order: '7' });
  });
});
afterAll(() => database.drop());

const timeout = 120_000;

test('the story of a correlation id: what was committed together has the same letter', { timeout }, async () => {
  const { code, stdout } = await command(['trace', correlationId, '--url', database.url]);
  expect(code).toBe(0);
  expect(stdout).toContain(`Trace ${correlationId}`);
  const lines = stdout.trim().split('\n').slice(1);
  expect(lines).toHaveLength(3);
  expect(lines.every((line) => /^A +\+\d+ ms/.test(line))).toBe(true);
  expect(stdout).toMatch(/order\.confirm/);
});

test('the 32 digits of a trace id are the same id', { timeout }, async () => {
  const { code, stdout } = await command(['trace', correlationId.replaceAll('-', '').toUpperCase(), '--url', database.url]);
  expect([code, stdout]).toEqual([0, expect.stringContaining(`Trace ${correlationId}`)]);
});

test('a long story is told whole: each transaction has letters of its own, and the deepest cause its line', { timeout }, async () => {
  const story = randomUUID();
  let causationId: string | undefined;
  for (let n = 0; n < 30; n++) {
    causationId = await database.plinth.transaction({ tenantId: database.tenantA, correlationId: story, causationId }, async (tx) =>
      tx.events.publish('step.taken', { n }),
    );
  }
  const { stdout } = await command(['trace', story, '--url', database.url]);
  const letters = stdout
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(' ')[0]);
  expect(letters.slice(0, 28)).toEqual([...'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'AA', 'AB']);
  expect(new Set(letters).size).toBe(30);
});

test('what somebody wrote into a record does nothing to the terminal of who reads it', { timeout }, async () => {
  const story = randomUUID();
  await database.plinth.transaction({ tenantId: database.tenantA, correlationId: story }, async (tx) => {
    tx.jobs.enqueue('order.confirm', {}, { name: 'paid\u001b[2J\u001b]0;owned\u0007\nB +0 ms forged \u202edenimret' });
  });
  const { stdout } = await command(['trace', story, '--url', database.url]);
  expect(stdout.trim().split('\n')).toHaveLength(2);
  expect(stdout).toContain('paid\\u001b[2J\\u001b]0;owned\\u0007\\u000aB +0 ms forged \\u202edenimret');
});

test('--json gives the rows', { timeout }, async () => {
  const rows = json<{ kind: string; title: string; xact: string }[]>(await command(['trace', correlationId, '--json'], { PLINTH_DATABASE_URL: database.url }));
  expect(rows).toHaveLength(3);
  expect(new Set(rows.map(({ xact }) => xact)).size).toBe(1);
});

test('a story of more than 10,000 records says that it is cut, and --json says so beside its rows', { timeout }, async () => {
  const story = randomUUID();
  await database.plinth.transaction({ tenantId: database.tenantA, correlationId: story }, (tx) =>
    tx.query(
      "select count(plinth.log_audit_event(p_action := 'row.read', p_resource_type := 'row', p_resource_id := n::text)) from generate_series(1, 10001) n",
    ),
  );
  const [text, data, whole] = await Promise.all([
    command(['trace', story, '--url', database.url]),
    command(['trace', story, '--json', '--url', database.url]),
    command(['trace', correlationId, '--url', database.url]),
  ]);
  for (const { stderr } of [text, data]) expect(stderr).toContain('Only the oldest 10,000 records');
  expect(json<unknown[]>(data)).toHaveLength(10_000);
  expect(whole.stderr).toBe('');
});

test('an id under which nothing is recorded, an id that is none, and no database', { timeout }, async () => {
  const unknown = randomUUID();
  const [nothing, empty, wrong, nowhere] = await Promise.all([
    command(['trace', unknown, '--url', database.url]),
    command(['trace', unknown, '--json', '--url', database.url]),
    command(['trace', 'order-7', '--url', database.url]),
    command(['trace', unknown], { PLINTH_DATA_DIR: 'node_modules/.cache/no-such-folder' }),
  ]);
  expect(nothing).toMatchObject({ code: 1, stdout: '' });
  expect(nothing.stderr).toContain(`Nothing is recorded under ${unknown}.`);
  expect(empty).toMatchObject({ code: 0, stdout: '[]\n' });
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('"order-7" is not a correlation id');
  expect(nowhere.code).toBe(2);
  expect(nowhere.stderr).toContain('No database is named');
});
