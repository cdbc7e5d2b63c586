/** Whatever a personal field went through, no copy of it is left behind: exports, traces and archives hold what is stored, and the database holds nothing else. */
import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createEgress, developmentPolicy } from '#adapters/http/egress.ts';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { archivedRows } from '#kernel/retention/archive.ts';
import { runRetention } from '#kernel/retention/engine.ts';
import { idAt, retentionPlace } from '#kernel/retention/retention.fixture.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { Fold } from '#modules/events';
import { loadAggregate } from '#modules/events';
import { dispatcher } from '#modules/webhooks';
import { webhookReceiver } from '#testing/webhook-receiver.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const CANARY = 'Canary-Lovelace-1815';
const TYPE = 'person.met';
const ENCRYPTED = /\$encrypted/;
const keys = createKeyRing({ current: Buffer.alloc(32, 3).toString('base64') });
const egress = createEgress({ policy: developmentPolicy });
let server: TestServer;
let plinth: Plinth;
let correlation: string;

const post = async (path: string, body: unknown, headers: Record<string, string> = {}) =>
  server.call(path, { method: 'POST', key: server.keyA, body, headers });
const met = (person: string) => ({ person, name: `${CANARY} ${person}`, mails: [{ mail: `${CANARY}@example.com` }] });

/** Tables of the whole database that hold the text, as a dump of it would. */
async function holding(text: string): Promise<string[]> {
  const { admin } = server.database;
  const { rows } = await admin.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind = 'r' and n.nspname not in ('information_schema', 'pg_catalog') order by 1`,
  );
  const found: string[] = [];
  for (const { name } of rows) {
    const held = await admin.query(`select from ${name} as t where t::text like $1 or t::text like $2 limit 1`, [
      `%${text}%`,
      `%${Buffer.from(text).toString('hex')}%`,
    ]);
    if (held.rowCount) found.push(name);
  }
  return found;
}

/** Sends what there is to an endpoint that answers with what it got. */
async function toldToAnEcho(): Promise<void> {
  const receiver = await webhookReceiver();
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const runtime = { plinth, services: { clock: plinth.clock, log, adapters: { egress }, enabled: () => true }, wake: plinth.wake };
  const part = dispatcher({})(runtime as unknown as WorkerRuntime);
  receiver.answer = (response, got) => response.writeHead(200, { 'x-echo': encodeURIComponent(got.body) }).end(got.body);
  try {
    const made = await post('/api/v1/webhooks/subscriptions', { name: 'echo', patterns: ['person.#'], url: receiver.url, reveal: true });
    expect(made.status, made.text).toBe(200);
    expect((await post('/api/v1/events', { type: TYPE, data: met('ada') })).status).toBe(200);
    const consumer = (plinth.modules as ModuleMap).webhooks?.consumers?.['fan-out'];
    if (!consumer) throw new Error('no fan-out');
    while ((await consumeOnce(plinth, 'webhooks.fan-out', consumer)) > 0);
    const rowsOf = async (table: string) => (await server.database.admin.query(`select from plinth_webhooks.${table}`)).rowCount;
    // Everything that was published so far, for nobody has read it before.
    await vi.waitFor(async () => expect(await rowsOf('deliveries')).toBe(0), { timeout: 20_000 });
    expect(receiver.received.length).toBeGreaterThan(1);
    expect(await rowsOf('attempts')).toBe(receiver.received.length);
    for (const { body } of receiver.received) expect(body).toContain(CANARY);
  } finally {
    await part.stop();
    await receiver.close();
  }
}

beforeAll(async () => {
  server = await testServer('personal_copies', { keys, adapters: { egress } });
  plinth = createPlinth({ database: { url: server.database.serverUrl, max: 4 }, keys });
  const personal = { type: 'string', maxLength: 60, 'x-personal': true };
  const schema = {
    type: 'object',
    'x-subject': '/person',
    properties: { person: { type: 'string' }, name: personal, mails: { type: 'array', items: { type: 'object', properties: { mail: personal } } } },
  };
  for (const [name, mode] of [
    [TYPE, 'reject'],
    ['person.warned', 'warn'],
  ])
    expect((await server.call(`/api/v1/event-types/${name}`, { method: 'PUT', key: server.keyA, body: { schema, mode } })).status).toBe(200);
  correlation = plinth.newId();
  // Every way in, also those that are refused or do not fit.
  const headers = { 'x-correlation-id': correlation };
  const long = { person: 'ada', name: CANARY.repeat(4) };
  const append = { events: [{ type: TYPE, data: met('ada') }] };
  const cloudEvent = { specversion: '1.0', source: 's', id: '1', type: TYPE, data: met('ada') };
  const stream = { type: 'person', id: 'two' };
  expect((await post('/api/v1/events', { type: TYPE, data: met('ada'), idempotency_key: 'k' }, { ...headers, 'idempotency-key': 'once' })).status).toBe(200);
  expect((await post('/api/v1/events/streams/person/one', append, headers)).status).toBe(200);
  expect((await post('/api/v1/events/streams', { appends: [{ stream, ...append }] }, headers)).status).toBe(200);
  expect((await post('/api/v1/events/cloudevents', cloudEvent, { ...headers, 'content-type': 'application/cloudevents+json' })).status).toBe(200);
  expect((await post('/api/v1/events', { type: 'person.warned', data: long }, headers)).status).toBe(200);
  expect((await post('/api/v1/events', { type: TYPE, data: long }, { 'idempotency-key': 'refused' })).status).toBe(422);
  await toldToAnEcho();
});
afterAll(async () => {
  egress.close();
  await plinth.close();
  await server.close();
});

describe('what is stored is all that is shown', () => {
  test.each(['csv', 'ndjson'])('by the export of the list as %s, also to whoever may read personal fields', async (format) => {
    const { status, text } = await server.call(`/api/v1/exports/events/events?format=${format}&q=event_type:${TYPE}`, { key: server.keyA });
    expect(status).toBe(200);
    expect(text).toMatch(ENCRYPTED);
    expect(text).not.toContain(CANARY);
  });

  test('by a record of the list and the trace', async () => {
    const { rows } = await server.database.admin.query<{ id: string }>('select id from plinth_events.events where type = $1 limit 1', [TYPE]);
    for (const path of [`/api/v1/traces/${correlation}`, `/api/v1/lists/events/events/${rows[0]?.id}`]) {
      const { status, text } = await server.call(path, { key: server.keyA });
      expect(status, path).toBe(200);
      expect(text, path).toMatch(ENCRYPTED);
      expect(text, path).not.toContain(CANARY);
    }
  });

  test('by the archive of a month that left', async () => {
    const { database } = server;
    const place = await retentionPlace(database);
    onTestFinished(() => rm(place.folder, { recursive: true }));
    await database.admin.query(
      `begin; set local role plinth_owner; select plinth_kernel.partition_make('plinth_events.events', 'month', '2010-01-15'); commit`,
    );
    await database.admin.query(
      `insert into plinth_events.events (tenant_id, shard, id, type, payload) select tenant_id, shard, ${idAt(`'2010-01-15'::timestamptz`)}, type, payload from plinth_events.events where type = $1 limit 1`,
      [TYPE],
    );
    // No reader holds it back.
    await database.admin.query(
      `select plinth_kernel.feed_stop('plinth_events.events', consumer) from (select distinct consumer from plinth_kernel.feed_consumers) as c`,
    );
    expect(await runRetention(place.services(), { kinds: ['events.events'] })).toMatchObject({ partitionsDropped: 1, failures: [] });
    const { rows } = await database.admin.query<{ archive_key: string }>('select archive_key from plinth_kernel.retention_partitions');
    const archived = await Array.fromAsync(archivedRows(place.storage, rows[0]?.archive_key ?? ''));
    expect(archived.map(({ payload }) => payload)).toEqual([expect.stringMatching(ENCRYPTED)]);
    expect(JSON.stringify(archived)).not.toContain(CANARY);
  });
});

test('after an erasure, and before it, nothing in the database holds it, nor what the server logged; readers get the tombstone', async () => {
  const names: Fold<{ names: unknown[] }> = {
    name: 'names',
    initial: () => ({ names: [] }),
    reduce: (state, { data }) => ({ names: [...state.names, data.name] }),
    snapshotEvery: 1,
  };
  const load = () => plinth.transaction({ tenantId: server.database.tenantA }, (tx) => loadAggregate(tx, { type: 'person', id: 'one' }, names));
  expect((await load()).state.names).toEqual([`${CANARY} ada`]);
  expect(await holding(CANARY)).toEqual([]);
  // The search finds what is there.
  expect(await holding(TYPE)).not.toEqual([]);
  expect((await post('/api/v1/events/subjects/erase', { subject: 'ada', reason: 'asked' })).status).toBe(200);
  expect((await load()).state.names).toEqual([{ $shredded: true }]);
  // At-least-once producers go on for a while.
  expect((await post('/api/v1/events', { type: TYPE, data: met('ada'), idempotency_key: 'k' })).body).toMatchObject({ duplicate: true });
  expect((await post('/api/v1/events', { type: TYPE, data: met('ada') })).status).toBe(200);
  expect(await holding(CANARY)).toEqual([]);
  expect(server.logged.join('')).not.toContain(CANARY);
  const { text } = await server.call('/api/v1/events/streams/person/one', { key: server.keyA });
  expect(text).toContain('$shredded');
});
