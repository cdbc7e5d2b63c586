/** What the worker does for consumers beside handing them events: async projections of the cards, and parked events that somebody wants to be tried again. */
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { defineModule } from '#kernel/module.ts';
import { createKernel } from '#kernel/plinth.ts';
import { defineProjection } from '#kernel/projection.ts';
import type { Consumer } from '#kernel/work.ts';
import { modules } from '#registry';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { startWorker } from './index.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('worker_consumers');
  await database.admin.query(`create schema shop; grant usage on schema shop to plinth_worker;
    create table shop.counts (tenant_id uuid primary key, n bigint not null); grant select, insert, update on shop.counts to plinth_worker`);
});
afterAll(() => database.drop());

const counts = defineProjection({
  summary: 'Orders of every tenant',
  revision: 3,
  tables: { counts: 'shop.counts' },
  types: ['order.placed'],
  handle: async (tx, events, tables) => {
    for (const event of events)
      await tx.query(`insert into ${tables.counts} as c values ($1, 1) on conflict (tenant_id) do update set n = c.n + 1`, [event.tenantId]);
  },
});

test('async projections are kept up to date and known by their revision; parked events are tried again when somebody asks', { timeout: 60_000 }, async () => {
  const { tenantA: a, tenantB: b, admin } = database;
  let failing = true;
  const handled: string[] = [];
  const fragile: Consumer = {
    summary: 'fails at first',
    onPoison: 'park',
    attempts: 1,
    handle: async (_tx, events) => {
      if (failing && events.some((event) => event.type === 'order.placed')) throw new Error('not yet');
      handled.push(...events.filter((event) => event.type === 'order.placed').map((event) => event.tenantId));
    },
  };
  const shop = defineModule({ name: 'shop', summary: 'A shop', tables: {}, uses: ['events'], projections: { counts }, consumers: { fragile } });
  const plinth = createKernel({ modules: { ...modules, shop } as ModuleMap & typeof modules, database: { url: database.serverUrl, max: 10 } });
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  const worker = startWorker({ plinth, services: { log: silent, enabled: (name) => name === 'shop' }, pollMs: 200 });
  try {
    for (const tenantId of [a, b, a]) await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('order.placed', {}));
    const rows = async (text: string) => (await admin.query<Record<string, unknown>>(text)).rows;
    await expect.poll(() => rows('select sum(n)::int as n, count(*)::int as tenants from shop.counts'), { timeout: 20_000 }).toEqual([{ n: 3, tenants: 2 }]);
    await expect
      .poll(() => rows('select name, status, revision from plinth.projections'), { timeout: 20_000 })
      .toEqual([{ name: 'shop.counts', status: 'live', revision: '3' }]);
    await expect.poll(() => rows(`select count(*)::int as n from plinth.parked_events where status = 'parked'`), { timeout: 20_000 }).toEqual([{ n: 3 }]);
    failing = false;
    await plinth.asWorker({}, (tx) => tx.query(`select plinth.retry_parked_events('shop.fragile')`));
    await expect.poll(() => handled.length, { timeout: 20_000 }).toBe(3);
    await expect.poll(() => rows(`select distinct status from plinth.parked_events`), { timeout: 20_000 }).toEqual([{ status: 'handled' }]);
  } finally {
    await worker.stop();
    await plinth.close();
  }
});

test('an event that is being tried again does not hold up the live feed', { timeout: 60_000 }, async () => {
  const { tenantA: a, tenantB: b } = database;
  const live = Promise.withResolvers<void>();
  let tries = 0;
  const handled: string[] = [];
  const slow: Consumer = {
    summary: 'takes long over what it failed on',
    from: 'now',
    handle: async (_tx, events) => {
      for (const { type } of events) {
        if (type === 'order.slow') {
          tries += 1;
          if (tries < 3) throw new Error('not yet');
          // Until the live feed has gone on, which it could not if it waited for this.
          await live.promise;
        }
        handled.push(type);
        if (type === 'order.live') live.resolve();
      }
    },
  };
  const shop = defineModule({ name: 'store', summary: 'A store', tables: {}, uses: ['events'], consumers: { slow } });
  const plinth = createKernel({ modules: { ...modules, store: shop } as ModuleMap & typeof modules, database: { url: database.serverUrl, max: 10 } });
  await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start('plinth_events.events', 'store.slow', 'now')`));
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  const worker = startWorker({ plinth, services: { log: silent, enabled: (name) => name === 'store' }, pollMs: 200 });
  try {
    await plinth.transaction({ tenantId: a }, async (tx) => void tx.events.publish('order.slow', {}));
    await expect.poll(() => tries, { timeout: 20_000 }).toBe(3);
    await plinth.transaction({ tenantId: b }, async (tx) => void tx.events.publish('order.live', {}));
    await expect.poll(() => handled, { timeout: 20_000 }).toEqual(['order.live', 'order.slow']);
  } finally {
    live.resolve();
    await worker.stop();
    await plinth.close();
  }
});

test('what a handler says of personal fields is not logged: it would outlive an erasure', { timeout: 60_000 }, async () => {
  const keys = createKeyRing({ current: randomBytes(32).toString('base64') });
  const plinth = createKernel({ modules, database: { url: database.serverUrl, max: 6 }, keys });
  const said: Record<string, unknown>[] = [];
  const noted = (fields: object): void => void said.push(fields as Record<string, unknown>);
  const told: string[] = [];
  const consumers: Record<string, Consumer> = {
    'test.quoting': {
      summary: 'quotes what it was given',
      from: 'now',
      handle: async (_tx, events) => {
        told.push(...events.map(({ data }) => String(data.mail)));
        throw new TypeError(`no mailbox ${events[0]?.data.mail}`);
      },
    },
  };
  await plinth.asWorker({}, (tx) => tx.query(`select plinth_kernel.feed_start('plinth_events.events', 'test.quoting', 'now')`));
  const worker = startWorker({ plinth, consumers, services: { log: { info: noted, warn: noted, error: noted }, enabled: () => false }, pollMs: 200 });
  try {
    const schema = { 'x-subject': '/id', properties: { mail: { 'x-personal': true } } };
    await plinth.transaction({ tenantId: database.tenantA }, async (tx) => {
      await tx.query(`select plinth.define_event_type('person.mailed', $1)`, [JSON.stringify(schema)]);
      tx.events.publish('person.mailed', { id: 'ann', mail: 'ann@example.com' });
    });
    await expect.poll(() => said.filter(({ consumer }) => consumer === 'test.quoting').length, { timeout: 20_000 }).toBeGreaterThan(0);
    expect(told).toContain('ann@example.com');
    expect(inspect(said, { depth: 9 })).not.toContain('ann@');
    expect(said.find(({ consumer }) => consumer === 'test.quoting')).toMatchObject({ error: expect.stringContaining('TypeError') });
  } finally {
    await worker.stop();
    await plinth.close();
  }
});
