/** What one gets with `npm install plinth`: projections of one's own, inline and async, made anew by the package and by the command. */
import { randomBytes } from 'node:crypto';
import type { Plinth } from 'plinth';
import { cancelRebuild, createKeyRing, createPlinth, PlinthError, rebuildProjection } from 'plinth';
import { startWorker } from 'plinth/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { command, json, startCommand } from '../cli/command.ts';
import { shop, TABLES } from './shop.ts';

/** As a path in the folder that the commands are run in. */
const MODULES = 'test/package/plinth.modules.ts';
const silent = { log: { info: () => {}, warn: () => {}, error: () => {} } };

const MASTER_KEY = randomBytes(32).toString('base64');

let database: TestDatabase;
let plinth: Plinth<[typeof shop]>;
beforeAll(async () => {
  database = await testDatabase('package projections');
  await database.admin.query(TABLES);
  plinth = createPlinth({ database: { url: database.serverUrl }, modules: [shop], keys: createKeyRing({ current: MASTER_KEY }) });
});
afterAll(async () => {
  await plinth?.close();
  await database?.drop();
});

const rows = async <Row>(text: string): Promise<Row[]> => (await database.admin.query(text)).rows as Row[];
const totals = () => rows<{ order_id: string; cents: string }>('select order_id, cents::int from shop.totals order by order_id, cents');
const openOrders = async (tenantId: string) =>
  (await database.admin.query('select order_id from shop.open_orders where tenant_id = $1', [tenantId])).rows.map(({ order_id }) => order_id);
const tell = (tenantId: string, type: string, data: Record<string, unknown>, afterwards = async (): Promise<void> => {}): Promise<void> =>
  plinth.transaction({ tenantId }, async (tx) => {
    tx.events.publish(type, data);
    await tx.flush();
    await afterwards();
  });

test('an inline projection is written in the transaction that publishes, and rolls back with it', async () => {
  const { tenantA, tenantB } = database;
  await tell(tenantA, 'order.placed', { order: 'a1' });
  await tell(tenantB, 'order.placed', { order: 'b1' });
  expect([await openOrders(tenantA), await openOrders(tenantB)]).toEqual([['a1'], ['b1']]);
  const failing = tell(tenantA, 'order.paid', { order: 'a1', cents: 0 }, () =>
    Promise.reject(new PlinthError('shop_closed', { status: 409, title: 'Closed', wayOut: '' })),
  );
  await expect(failing).rejects.toMatchObject({ code: 'shop_closed' });
  expect(await openOrders(tenantA)).toEqual(['a1']);
  await tell(tenantA, 'order.paid', { order: 'a1', cents: 5 });
  expect([await openOrders(tenantA), await openOrders(tenantB)]).toEqual([[], ['b1']]);
});

test('an async projection is written by the worker, and made anew beside the live one by the package', { timeout: 120_000 }, async () => {
  const worker = startWorker({ plinth, services: silent });
  await tell(database.tenantB, 'order.paid', { order: 'b1', cents: 7 });
  const wanted = [
    { order_id: 'a1', cents: 5 },
    { order_id: 'b1', cents: 7 },
  ];
  await expect.poll(totals, { timeout: 30_000 }).toEqual(wanted);
  await worker.stop();
  // What nobody made from events is found, and replaced on request.
  await database.admin.query(`update shop.totals set cents = 1000 where order_id = 'b1'`);
  const kept = await rebuildProjection(plinth, 'shop.totals', { ownerUrl: database.url });
  expect(kept).toMatchObject({ swapped: false, comparison: [{ table: 'shop.totals', equal: false }] });
  expect(await cancelRebuild(plinth, 'shop.totals', 'to look at it', database.url)).toBe(true);
  expect(await rebuildProjection(plinth, 'shop.totals', { ownerUrl: database.url, onDifference: 'swap' })).toMatchObject({ swapped: true, resumed: false });
  expect(await totals()).toEqual(wanted);
  await expect(rebuildProjection(plinth, 'shop.nothing', { ownerUrl: database.url })).rejects.toMatchObject({ code: 'kernel_projection_unknown' });
});

test('commands know the modules that they are told of: a worker runs them, projections lists and rebuilds them for the next worker', {
  timeout: 180_000,
}, async () => {
  const serving = { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_LOG_LEVEL: 'silent' };
  const working = startCommand(['worker', '--modules', MODULES], serving);
  await working.line(/Working/);
  await tell(database.tenantA, 'order.paid', { order: 'a2', cents: 1 });
  await expect.poll(async () => (await totals()).length, { timeout: 60_000 }).toBe(3);
  await working.stop('SIGTERM');
  const own = { ...serving, PLINTH_MODULES: MODULES, PLINTH_MAINTENANCE_URL: database.url, SHOP_REVISION: '2' };
  const [listed, unknown] = await Promise.all([
    command(['projections', 'list', '--json'], own),
    command(['projections', 'rebuild', 'shop.totals'], { ...own, PLINTH_MODULES: '' }),
  ]);
  expect(json<unknown[]>(listed)).toMatchObject([
    { name: 'shop.emails' },
    { name: 'shop.open', kind: 'inline' },
    { name: 'shop.totals', status: 'live', revision: '1', declared_revision: '1' },
  ]);
  expect(unknown.stderr).toContain('There is no projection shop.totals');
  const rebuilt = await command(['projections', 'rebuild', 'shop.totals', '--json'], own);
  expect(json<unknown>(rebuilt)).toMatchObject({ name: 'shop.totals', revision: '2', formerRevision: '1', declaredRevision: '1', swapped: true });
  expect(await totals()).toEqual([
    { order_id: 'a1', cents: 50 },
    { order_id: 'a2', cents: 10 },
    { order_id: 'b1', cents: 70 },
  ]);
});

test('a rebuild by the command reads personal fields with the master key, as the worker did', { timeout: 120_000 }, async () => {
  const { tenantA, tenantB } = database;
  const schema = { type: 'object', 'x-subject': '/customer', properties: { customer: { type: 'string' }, email: { type: 'string', 'x-personal': true } } };
  for (const tenantId of [tenantA, tenantB]) {
    await plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.define_event_type('customer.registered', $1)`, [schema]));
    await tell(tenantId, 'customer.registered', { customer: 'ann', email: `ann@${tenantId}` });
  }
  expect(await rows(`select from plinth_events.events where type = 'customer.registered' and payload::text like '%ann@%'`)).toEqual([]);
  const worker = startWorker({ plinth, services: silent });
  const emails = async () => (await rows<{ email: unknown }>('select email from shop.emails')).map(({ email }) => email).sort();
  const wanted = [`ann@${tenantA}`, `ann@${tenantB}`].sort();
  await expect.poll(emails, { timeout: 30_000 }).toEqual(wanted);
  await worker.stop();
  const variables = { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_MAINTENANCE_URL: database.url, PLINTH_MASTER_KEY: MASTER_KEY };
  const rebuilt = await command(['projections', 'rebuild', 'shop.emails', '--modules', MODULES, '--json'], variables);
  expect(json<unknown>(rebuilt)).toMatchObject({ swapped: true, comparison: [{ table: 'shop.emails', rows: 2, equal: true }] });
  expect(await emails()).toEqual(wanted);
});

test('a database is installed and looked at with own modules: their consumers have a place in the log from then on', { timeout: 120_000 }, async () => {
  const own = { PLINTH_DATABASE_URL: database.url };
  const planned = await command(['migrate', 'plan', '--modules', MODULES, '--json'], own);
  expect(json<unknown>(planned)).toMatchObject({ stale: ['shop'] });
  expect((await command(['migrate', 'up', '--modules', MODULES], own)).code).toBe(0);
  expect(json<unknown>(await command(['migrate', 'plan', '--modules', MODULES, '--json'], own))).toMatchObject({ stale: [] });
  expect(json<unknown>(await command(['migrate', 'plan', '--json'], own))).toMatchObject({ stale: [] });
  const { findings } = json<{ findings: unknown[] }>(await command(['doctor', '--modules', MODULES, '--json'], { PLINTH_DATABASE_URL: database.serverUrl }));
  expect(findings).toContainEqual(expect.objectContaining({ check: 'functions and views', state: 'ok', seen: 'of this version' }));
  expect(await rows(`select distinct consumer from plinth_kernel.feed_cursors where consumer like 'shop.%' order by 1`)).toEqual([
    { consumer: 'shop.emails' },
    { consumer: 'shop.invoices' },
    { consumer: 'shop.totals' },
  ]);
});

test.each([
  ['nowhere.ts', /PLINTH_MODULES is "nowhere.ts", and there is no such file/],
  ['test/package/shop.ts', /whose default export is no list of modules/],
])('%s is refused as a file of modules', async (file, sentence) => {
  const refused = await command(['projections', 'list'], { PLINTH_DATABASE_URL: database.serverUrl, PLINTH_MODULES: file });
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(sentence);
});
