/**
 * What one tenant stores, however odd, stops nothing of another: every public SQL function is called by tenant A with the ends of what its parameters'
 * types can hold, and what was accepted is kept. Jobs, events and webhooks of tenant B must go on, maintenance must run to its end, and whoever is
 * refused must hear why. Functions come from the catalog, so those of a module that is added later are covered without a change here.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEgress, developmentPolicy } from '../packages/plinth/src/adapters/http/egress.ts';
import type { Worker } from '../packages/plinth/src/apps/worker/index.ts';
import { startWorker } from '../packages/plinth/src/apps/worker/index.ts';
import { identifier, literal } from '../packages/plinth/src/kernel/database.ts';
import { toPlinthError } from '../packages/plinth/src/kernel/errors.ts';
import type { Log } from '../packages/plinth/src/kernel/log.ts';
import { maintain } from '../packages/plinth/src/modules/maintenance/index.ts';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';
import { seeded } from '../packages/plinth/src/testing/random.ts';
import type { WebhookReceiver } from '../packages/plinth/src/testing/webhook-receiver.ts';
import { webhookReceiver } from '../packages/plinth/src/testing/webhook-receiver.ts';
import { publicFunctions, type SqlFunction, thingsOf } from './sql-things.ts';

const seed = Number(process.env.PLINTH_EXTREMES_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Calls of each function. */
const calls = Number(process.env.PLINTH_EXTREMES_CALLS ?? 10);
/** Functions between two looks at tenant B. */
const APART = 12;
const random = seeded(seed);
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

const texts = [
  '',
  ' ',
  '\\',
  'a\\',
  '%',
  '_',
  "'",
  '"',
  '{',
  '$',
  '$.a',
  '*',
  '#',
  'a.*',
  '0',
  '-1',
  'NaN',
  'infinity',
  '\u0001',
  '👩‍💻',
  'é'.repeat(300),
  'x'.repeat(70_000),
];
const EXTREMES: Record<string, readonly string[]> = {
  text: texts,
  uuid: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '01900000-0000-7000-8000-000000000000'],
  integer: ['0', '-1', '1', '2147483647', '-2147483648'],
  smallint: ['0', '-1', '1', '32767', '-32768'],
  bigint: ['0', '-1', '1', '9223372036854775807', '-9223372036854775808'],
  'double precision': ['0', '-0', '5e-324', '1e-9', '1e308', '1.7976931348623157e308', 'NaN', 'Infinity', '-Infinity'],
  numeric: ['0', '-1', 'NaN', '1e1000', '1e-1000'],
  boolean: ['true', 'false'],
  interval: ['0', '-1 second', '1 microsecond', '178000000 years', '10000 years', '-178000000 years', '1 day', '2147483647 days'],
  'timestamp with time zone': ['infinity', '-infinity', '294276-12-31 23:59:59Z', '4713-01-01 00:00:00Z BC', '1970-01-01Z', '2100-01-01Z'],
  jsonb: [
    'null',
    '{}',
    '[]',
    '""',
    '0',
    '1e1000',
    '{"": ""}',
    '{"a": {"a": {"a": [[[]]]}}}',
    '{"a": "\\\\"}',
    '[null]',
    '{"type": "object"}',
    '{"$ref": "#"}',
    `{"a": "${'x'.repeat(70_000)}"}`,
  ],
  bytea: ['', '\\x00', '\\xff'],
  'text[]': ['{}', '{NULL}', '{""}', '{"\\\\"}', '{a.*}', '{#}', '{a,a}', '{{a},{b}}'],
  'uuid[]': ['{}', '{NULL}', '{00000000-0000-0000-0000-000000000000}'],
  'integer[]': ['{}', '{NULL}', '{0}', '{2147483647}', '{{1},{2}}'],
  'bigint[]': ['{}', '{NULL}', '{9223372036854775807}'],
  'jsonb[]': ['{}', '{NULL}', '{"{}"}'],
};

let database: TestDatabase;
let receiver: WebhookReceiver;
let worker: Worker;
let asA: pg.Client;
/** What tenant A has, by the name of the parameter that it is for. */
let own: Record<string, readonly string[]> = {};
const egress = createEgress({ policy: developmentPolicy });
const pinged = new Set<number>();
const complaints: string[] = [];
const log: Log = {
  debug() {},
  info() {},
  warn() {},
  error: (fields, message) => void complaints.push(`${message}: ${String((fields as { err?: unknown }).err ?? JSON.stringify(fields))}`),
};

beforeAll(async () => {
  console.log(`extreme values: PLINTH_EXTREMES_SEED=${seed}`);
  database = await testDatabase('extremes');
  receiver = await webhookReceiver();
  const { plinth, tenantB } = database;
  const handlers = {
    'extreme.ping': { summary: 'Says that it ran.', handler: async ({ payload }: { payload: Record<string, unknown> }) => void pinged.add(Number(payload.n)) },
  };
  worker = startWorker({ plinth, handlers, services: { log, adapters: { egress } }, pollMs: 100 });
  await things(tenantB, 'own');
  asA = new pg.Client({ connectionString: database.serverUrl });
  await asA.connect();
});
afterAll(async () => {
  await asA.end();
  await worker.stop({ graceMs: 1_000 });
  egress.close();
  await receiver.close();
  await database.drop();
});

const things = (tenantId: string, name: string) => thingsOf(database, tenantId, name, receiver.url);

/** Tenant B's work is done: a job, an event and its webhook. */
async function healthy(n: number): Promise<void> {
  await database.plinth.transaction({ tenantId: database.tenantB, actor: { type: 'user', id: 'bob' } }, async (tx) => {
    tx.jobs.enqueue('extreme.ping', { n });
    tx.events.publish('ping.sent', { n });
  });
  await expect.poll(() => pinged.has(n), { timeout: 30_000, message: `the job of B was run; ${complaints.join('\n')}` }).toBe(true);
  const plan = await maintain({ asWorker: (body) => database.plinth.asWorker({}, body) }, { task: 'retention', dryRun: true });
  expect([plan.failures, plan.error]).toEqual([[], undefined]);
  const came = () => receiver.received.some(({ data }) => data.type === 'ping.sent' && data.data.n === n);
  await expect.poll(came, { timeout: 30_000, message: `the webhook of B came; ${complaints.join('\n')}` }).toBe(true);
}

/** A call with one parameter at an end of what its type holds, or some of them, and the others as they usually are. */
function callOf({ name, names, types, required }: SqlFunction): string {
  const one = Math.floor(random() * types.length);
  const isOdd = random() < 0.8 ? (index: number) => index === one : () => random() < 0.3;
  const given = types.flatMap((type, index) => {
    const parameter = names[index] ?? '';
    const usual = own[parameter];
    const odd = EXTREMES[type] ?? [];
    if (isOdd(index)) return [`${identifier(parameter)} => ${odd.length === 0 ? 'null' : literal(pick(odd))}::${type}`];
    if (index >= required && (!usual || random() < 0.5)) return [];
    const value = usual ? pick(usual) : PLAIN[type];
    return [`${identifier(parameter)} => ${value === undefined ? 'null' : literal(value)}::${type}`];
  });
  return `select * from plinth.${identifier(name)}(${given.join(', ')})`;
}

const PLAIN: Record<string, string> = {
  text: 'one',
  integer: '1',
  smallint: '1',
  bigint: '1',
  jsonb: '{}',
  bytea: '1',
  interval: '1 hour',
  'text[]': '{a}',
  'double precision': '1',
};

/** Undefined: accepted, and committed. */
async function refusal(text: string): Promise<pg.DatabaseError | undefined> {
  await asA.query(
    `begin; set local role plinth_app; set local plinth.tenant_id = ${literal(database.tenantA)}; set local plinth.actor_type = 'user'; set local plinth.actor_id = 'a'; set local statement_timeout = '10s'`,
  );
  try {
    await asA.query(text);
    await asA.query('commit');
    return undefined;
  } catch (error) {
    await asA.query('rollback');
    return error as pg.DatabaseError;
  }
}

test('a limit below 0 is refused in words of ours, or taken for the least', async () => {
  own = await things(database.tenantA, 'limits');
  const limited = (await publicFunctions(database.admin, seed)).filter(({ names }) => names.includes('p_limit'));
  expect(limited.length).toBeGreaterThan(5);
  for (const { name, names, types, required } of limited) {
    const given = names.flatMap((parameter, index) => {
      if (parameter === 'p_limit') return ['p_limit => -1'];
      const value = own[parameter]?.[0] ?? PLAIN[types[index] ?? ''] ?? '';
      return index < required ? [`${identifier(parameter)} => ${literal(value)}::${types[index]}`] : [];
    });
    const error = await refusal(`select * from plinth.${identifier(name)}(${given.join(', ')})`);
    expect(error?.code ?? 'PL', `${name}: ${error?.message}`).toMatch(/^PL/);
  }
});

test('whatever tenant A stores, the work of tenant B goes on, maintenance runs to its end, and A hears what was wrong', async () => {
  const functions = await publicFunctions(database.admin, seed);
  expect(functions.length).toBeGreaterThan(80);
  const unexplained = new Map<string, string>();
  let accepted: string[] = [];
  let kept = 0;
  await healthy(0);
  for (const [index, one] of functions.entries()) {
    for (let nth = 0; nth < calls; nth++) {
      // Calls take away what others need.
      if (nth % 10 === 0) own = await things(database.tenantA, `own${index}x${nth}`);
      const text = callOf(one);
      const error = await refusal(text);
      if (!error) accepted.push(text);
      else if (toPlinthError(error).code === 'kernel_internal')
        unexplained.set(`${one.signature}: ${error.code} ${error.message.slice(0, 200)}`, text.slice(0, 500));
    }
    if (index % APART !== APART - 1 && index < functions.length - 1) continue;
    await healthy(index + 1).catch((error: unknown) => {
      throw new Error(`B stands still, PLINTH_EXTREMES_SEED=${seed}, after\n${accepted.map((text) => text.slice(0, 300)).join('\n')}`, { cause: error });
    });
    kept += accepted.length;
    accepted = [];
  }
  expect(kept, 'calls were accepted').toBeGreaterThan(functions.length);
  for (const task of ['daily', 'weekly', 'monthly'] as const) {
    const report = await maintain({ asWorker: (body) => database.plinth.asWorker({}, body) }, { task });
    expect([task, report.failures, report.error], `PLINTH_EXTREMES_SEED=${seed}`).toEqual([task, [], undefined]);
  }
  await healthy(10_000);
  expect(complaints, `PLINTH_EXTREMES_SEED=${seed}`).toEqual([]);
  expect([...unexplained].sort(), `PLINTH_EXTREMES_SEED=${seed}`).toEqual([]);
}, 300_000);
