/** What one gets with `npm install plinth`: consumers of one's own, through the package's public entry points and nothing else. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Consumer, Plinth, RelayMessage, Tx } from 'plinth';
import { consumeOnce, consumeParked, createPlinth, relayTo, unavailable } from 'plinth';
import { defineModule } from 'plinth/module';
import type { Worker } from 'plinth/worker';
import { startWorker } from 'plinth/worker';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { shop, TABLES } from './shop.ts';

const FEED = 'plinth_events.events';
const silent = { log: { info: () => {}, warn: () => {}, error: () => {} } };

let database: TestDatabase;
let plinth: Plinth<[typeof shop]>;
let worker: Worker | undefined;
beforeAll(async () => {
  database = await testDatabase('package');
  await database.admin.query(TABLES);
  plinth = createPlinth({ database: { url: database.serverUrl }, modules: [shop] });
});
afterEach(async () => {
  await worker?.stop({ graceMs: 0 });
  worker = undefined;
  await database.admin.query('truncate shop.seen');
  await database.admin.query('select plinth_kernel.feed_stop($1, c.consumer) from plinth_kernel.feed_consumers as c where c.consumer like $2', [
    FEED,
    'reader.%',
  ]);
});
afterAll(async () => {
  await plinth?.close();
  await database?.drop();
});

const rows = async <Row>(text: string, values: unknown[] = []): Promise<Row[]> => (await database.admin.query(text, values)).rows as Row[];
const seen = () => rows<{ tenant_id: string; event_id: string; note: string }>('select tenant_id, event_id, note from shop.seen order by event_id');

/** An event in each of the two tenants; their ids in the order of the tenants. */
const publish = (type: string, data: Record<string, unknown> = {}): Promise<string[]> =>
  Promise.all(
    [database.tenantA, database.tenantB].map((tenantId) =>
      plinth.transaction({ tenantId }, async (tx) => tx.events.publish(type, data, { stream: { type: 'order', id: String(data.order ?? 'x') } })),
    ),
  );

/** Writes a row for each event, and fails on request after it has. */
const writing = (failing: () => boolean): Consumer<Tx> => ({
  summary: 'Writes down what it sees',
  from: 'now',
  onPoison: 'park',
  attempts: 1,
  handle: async (tx, events) => {
    for (const event of events) await tx.query('insert into shop.seen (tenant_id, event_id, note) values ($1, $2, $3)', [event.tenantId, event.id, event.type]);
    if (failing()) throw new Error('not today');
  },
});

test('a consumer that fails after it has written is rolled back, its events are parked, and it writes once when they are tried again', async () => {
  let bad = true;
  const consumer = writing(() => bad);
  await consumeOnce(plinth, 'reader.parking', consumer);
  const ids = await publish('reader.called');
  worker = startWorker({ plinth, services: silent, consumers: { 'reader.parking': consumer } });
  const parked = () => rows<{ id: string }>(`select id from plinth.parked_events where consumer = 'reader.parking' and status = 'parked'`);
  await expect.poll(async () => (await parked()).length, { timeout: 30_000 }).toBe(2);
  expect(await seen()).toEqual([]);
  await worker.stop();
  bad = false;
  await plinth.asWorker({}, (tx) => tx.query(`select plinth.retry_parked_events('reader.parking')`));
  expect(await consumeParked(plinth, 'reader.parking', consumer)).toBe(2);
  expect((await seen()).map(({ event_id }) => event_id).sort()).toEqual([...ids].sort());
});

test('what a worker had written that was killed is not there, and another writes it once', { timeout: 120_000 }, async () => {
  const ids = await publish('reader.called');
  const child = spawn(process.execPath, ['--no-warnings', join(import.meta.dirname, 'killed.fixture.ts')], {
    env: { ...process.env, PLINTH_DATABASE_URL: database.serverUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = await once(child.stdout, 'data');
  expect(String(text)).toContain('written');
  child.kill('SIGKILL');
  await once(child, 'close');
  expect(await seen()).toEqual([]);
  worker = startWorker({ plinth, services: silent, consumers: { 'reader.killed': { ...writing(() => false), from: 'beginning' } } });
  const called = async () => (await seen()).filter(({ note }) => note === 'reader.called').map(({ event_id }) => event_id);
  await expect.poll(called, { timeout: 60_000 }).toEqual(expect.arrayContaining(ids));
  expect(new Set(await called()).size).toBe((await called()).length);
});

test('a consumer on a card does for each event, once and in its tenant, what the modules offer: the job runs, and the trace shows why', async () => {
  const ids = await publish('order.paid', { order: 'paid-1', cents: 5 });
  worker = startWorker({ plinth, services: silent });
  const jobs = () =>
    rows<{ tenant_id: string; causation_id: string }>(
      `select tenant_id, causation_id from plinth_jobs.jobs where kind = 'shop.invoice' and status = 'completed' and payload ->> 'order' = 'paid-1' order by tenant_id`,
    );
  const wanted = [
    { tenant_id: database.tenantA, causation_id: ids[0] },
    { tenant_id: database.tenantB, causation_id: ids[1] },
  ].sort((one, two) => (one.tenant_id < two.tenant_id ? -1 : 1));
  await expect.poll(jobs, { timeout: 30_000 }).toEqual(wanted);
  const entries = await rows(
    `select tenant_id, causation_id from plinth_audit.entries where action = 'invoice.asked' and entity_id = 'paid-1' order by tenant_id`,
  );
  expect(entries).toEqual(wanted);
});

test('what an own consumer does in a tenant rolls back with its batch, and one tenant does not see the rows of another', async () => {
  let bad = true;
  const saw: { of: string; tenants: string[] }[] = [];
  const consumer: Consumer<Tx> = {
    summary: 'Asks for a job',
    from: 'now',
    handle: async (tx, events) => {
      for (const event of events)
        await tx.inTenantOf(event, async (own) => {
          own.jobs.enqueue('reader.work', { of: event.id });
          await own.flush();
          const found = await own.query<{ tenant_id: string }>('select distinct tenant_id from plinth.events');
          saw.push({ of: event.tenantId, tenants: found.map(({ tenant_id }) => tenant_id) });
        });
      // As the worker again: every tenant's rows.
      expect(await tx.query('select distinct tenant_id from plinth_events.events')).toHaveLength(2);
      if (bad) throw new Error('not today');
    },
  };
  await consumeOnce(plinth, 'reader.working', consumer);
  const ids = await publish('reader.called');
  const asked = async () =>
    (await rows<{ of: string }>(`select payload ->> 'of' as of from plinth_jobs.jobs where kind = 'reader.work'`)).map(({ of }) => of).sort();
  await expect(consumeOnce(plinth, 'reader.working', consumer)).rejects.toThrow('not today');
  expect(await asked()).toEqual([]);
  bad = false;
  worker = startWorker({ plinth, services: silent, consumers: { 'reader.working': consumer } });
  await expect.poll(asked, { timeout: 30_000 }).toEqual([...ids].sort());
  for (const { of, tenants } of saw) expect(tenants).toEqual([of]);
});

test('a bus of one own gets every event in the order of its stream, again after it could not be reached, and no event is blamed', async () => {
  const sent: RelayMessage[] = [];
  let down = true;
  const bus = {
    name: 'archive',
    publish: async (messages: readonly RelayMessage[]) => {
      if (down) throw unavailable('The archive is closed');
      sent.push(...messages);
    },
  };
  const consumer = relayTo(bus, { from: 'now' });
  await consumeOnce(plinth, 'reader.archive', consumer);
  for (const n of [1, 2, 3]) await publish('order.moved', { order: 'moved', n });
  await expect(consumeOnce(plinth, 'reader.archive', consumer)).rejects.toMatchObject({ code: 'kernel_unavailable' });
  const [state] = await plinth.asReader({}, (tx) => tx.query(`select status, failures, last_error from plinth.consumers where consumer = 'reader.archive'`));
  expect(state).toEqual({ status: 'failing', failures: 0, last_error: 'The archive is closed' });
  down = false;
  worker = startWorker({ plinth, services: silent, consumers: { 'reader.archive': consumer } });
  await expect.poll(() => sent.length, { timeout: 30_000 }).toBe(6);
  for (const tenantId of [database.tenantA, database.tenantB])
    expect(sent.filter((message) => message.tenantId === tenantId).map(({ cloudEvent }) => (cloudEvent.data as { n: number }).n)).toEqual([1, 2, 3]);
});

test('names that are in use are refused before anything runs', () => {
  const none = { summary: 'Nothing', tables: {} };
  const make = (...modules: Parameters<typeof defineModule>[0][]) =>
    createPlinth({ database: { url: database.serverUrl }, modules: modules.map((card) => defineModule(card)) });
  expect(() => make({ ...none, name: 'audit' })).toThrow(expect.objectContaining({ code: 'kernel_module_taken' }));
  expect(() => make({ ...none, name: 'shop' }, { ...none, name: 'shop' })).toThrow(expect.objectContaining({ code: 'kernel_module_taken' }));
  expect(() => make({ ...none, name: 'query' })).toThrow(expect.objectContaining({ code: 'kernel_module_invalid', message: expect.stringContaining('query') }));
  expect(() => make({ ...none, name: 'shop', uses: ['events', 'stock'] })).toThrow('shop uses stock, and there is no such module');
  const totals = { summary: 'Another', handle: async () => {} };
  expect(() => make({ ...shop, consumers: { totals } })).toThrow('shop has a consumer and a projection of the name totals');
  for (const name of ['shop.totals', 'shop.emails', 'shop.open', 'shop.invoices', 'shop.totals~rebuild', 'relay.redis'])
    expect(() => startWorker({ plinth, relay: { redis: { url: 'redis://localhost:1' } }, consumers: { [name]: totals } })).toThrow(
      expect.objectContaining({ code: 'kernel_consumer_taken' }),
    );
});
