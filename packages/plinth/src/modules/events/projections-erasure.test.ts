/** Tables that keep personal fields in plain text are known to, and are made anew without those of an erased subject. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import { defineModule } from '#kernel/module.ts';
import { createKernel } from '#kernel/plinth.ts';
import { declareProjections, defineProjection, projectionConsumer } from '#kernel/projection.ts';
import { rebuildProjection } from '#kernel/projection-rebuild.ts';
import { modules } from '#registry';
import { testDatabase } from '#testing/database.ts';
import { eraseSubject } from './subjects.ts';

const database = await testDatabase('projections erasure');
const { admin, tenantA, tenantB } = database;

/** Writes who lives where, as it is given it. `keep` runs with every batch. */
const names = (table: string, more: { kind?: 'inline'; stored?: boolean; keep?: () => Promise<void> } = {}) =>
  defineProjection({
    summary: 'Names of people',
    revision: 1,
    tables: { names: `people.${table}` },
    types: ['person.named'],
    kind: more.kind ?? 'async',
    ...(more.stored ? { stored: true } : {}),
    handle: async (tx, events, tables) => {
      for (const { tenantId, data } of events)
        await tx.query(`insert into ${tables.names} (tenant_id, id, name) values ($1, $2, $3) on conflict (tenant_id, id) do update set name = excluded.name`, [
          tenantId,
          data.id,
          typeof data.name === 'string' ? data.name : JSON.stringify(data.name),
        ]);
      await more.keep?.();
    },
  });
let between = async (): Promise<void> => {};
const projections = {
  names: names('names', { keep: () => between() }),
  inline: names('inline', { kind: 'inline' }),
  stored: names('stored', { stored: true }),
  untold: defineProjection({ summary: 'Orders', revision: 1, tables: { orders: 'people.orders' }, types: ['order.placed'], handle: async () => {} }),
};
const plinth = createKernel({
  modules: { ...modules, people: defineModule({ name: 'people', summary: 'People', tables: {}, uses: ['events'], projections }) },
  database: { url: database.serverUrl, max: 6 },
  keys: createKeyRing({ current: randomBytes(32).toString('base64') }),
});
afterAll(async () => {
  await plinth.close();
  await database.drop();
});
beforeAll(async () => {
  await admin.query(`create schema people; grant usage on schema people to plinth_app, plinth_worker`);
  for (const table of ['names', 'inline', 'stored', 'orders'])
    await admin.query(`create table people.${table} (tenant_id uuid not null, id text not null, name text, primary key (tenant_id, id));
      grant select, insert, update, delete on people.${table} to plinth_worker, plinth_app`);
  const schema = { 'x-subject': '/id', properties: { id: { type: 'string' }, name: { 'x-personal': true } } };
  for (const tenantId of [tenantA, tenantB])
    await plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.define_event_type('person.named', $1)`, [JSON.stringify(schema)]));
});

const named = (tenantId: string, id: string, name: string) =>
  plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('person.named', { id, name }, { stream: { type: 'person', id } }));
const erase = (tenantId: string, subject: string) => plinth.transaction({ tenantId }, (tx) => eraseSubject(tx, { subject, reason: 'asked' }));
async function drain(): Promise<void> {
  for (const name of ['names', 'stored', 'untold'] as const)
    while ((await consumeOnce(plinth, `people.${name}`, projectionConsumer(`people.${name}`, projections[name]))) > 0);
}
const rebuild = (name: string) => rebuildProjection(plinth, `people.${name}`, { ownerUrl: database.url });
const states = async () =>
  Object.fromEntries(
    (await admin.query<{ name: string; status: string; erasures: string }>('select name, status, erasures from plinth.projections')).rows.map((row) => [
      row.name.slice('people.'.length),
      `${row.status} ${row.erasures}`,
    ]),
  );
const rows = async (table: string): Promise<unknown[]> => (await admin.query(`select id, name from people.${table} order by id, name`)).rows;

test('an erasure makes stale what was given personal fields and nothing else; a rebuild takes them out and puts the tables in place', async () => {
  const canary = 'Canary-Hopper-1906';
  await declareProjections(plinth);
  await named(tenantA, 'grace', canary);
  await named(tenantB, 'grace', 'Another Grace');
  await named(tenantA, 'alan', 'Alan');
  await drain();
  // Nobody knew this subject.
  await erase(tenantA, 'nobody');
  const live = { names: 'live 0', inline: 'live 0', stored: 'live 0', untold: 'live 0' };
  expect(await states()).toEqual(live);
  expect(await rows('names')).toContainEqual({ id: 'grace', name: canary });
  expect(JSON.stringify(await rows('stored'))).not.toContain(canary);

  await erase(tenantA, 'grace');
  expect(await states()).toEqual({ ...live, names: 'stale 1', inline: 'stale 1' });
  // Of the same revision, with other rows: after an erasure that is how it should be.
  for (const name of ['names', 'inline']) {
    expect(await rebuild(name)).toMatchObject({ swapped: true, erasures: 1, formerRevision: '1', comparison: [{ equal: false }] });
    expect(await rows(name)).toEqual([
      { id: 'alan', name: 'Alan' },
      { id: 'grace', name: 'Another Grace' },
      { id: 'grace', name: '{"$shredded":true}' },
    ]);
  }
  expect(await states()).toEqual(live);
  await named(tenantA, 'alan', 'Alan T.');
  await drain();
  expect(await rows('names')).toContainEqual({ id: 'alan', name: 'Alan T.' });
});

test('an erasure during a rebuild leaves the tables stale, because what was read before it may be in them', async () => {
  await named(tenantB, 'ada', 'Canary-Ada');
  await drain();
  let erased: Promise<unknown> | undefined;
  between = async () => void (await (erased ??= erase(tenantB, 'ada')));
  try {
    expect(await rebuild('names')).toMatchObject({ swapped: true });
  } finally {
    between = async () => {};
  }
  expect((await states()).names).toBe('stale 1');
  expect(await rebuild('names')).toMatchObject({ swapped: true, erasures: 1 });
  expect((await states()).names).toBe('live 0');
  expect(JSON.stringify(await rows('names'))).not.toContain('Canary-Ada');
});

test('an erasure and a first event with personal fields that have not committed keep neither other tenants nor workers waiting', async () => {
  await named(tenantA, 'linus', 'Linus');
  await named(tenantB, 'ken', 'Ken');
  await drain();
  await declareProjections(plinth);
  await admin.query('update plinth_kernel.feed_projections set opened = false, erasures = 0');
  const [written, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const held = plinth.transaction({ tenantId: tenantA }, async (tx) => {
    await eraseSubject(tx, { subject: 'linus', reason: 'asked' });
    tx.events.publish('person.named', { id: 'dennis', name: 'Dennis' });
    await tx.flush();
    written.resolve();
    await released.promise;
  });
  await Promise.race([written.promise, held]);
  try {
    const impatient = { tenantId: tenantB, timeoutMs: 10_000 };
    await plinth.transaction(impatient, (tx) => eraseSubject(tx, { subject: 'ken', reason: 'asked' }));
    await plinth.transaction(impatient, async (tx) => void tx.events.publish('person.named', { id: 'brian', name: 'Brian' }));
    await drain();
    await declareProjections(plinth);
    expect(await states()).toMatchObject({ names: 'stale 1', inline: 'stale 1', untold: 'live 0' });
  } finally {
    released.resolve();
    await held;
  }
  expect(await states()).toMatchObject({ names: 'stale 2', inline: 'stale 2', untold: 'live 0' });
  await declareProjections(plinth);
  expect(await states()).toMatchObject({ names: 'stale 2', inline: 'stale 2', untold: 'live 0' });
  expect((await admin.query('select from plinth_kernel.projection_notes')).rowCount).toBe(0);
});

test('of a rebuild that failed on personal fields the error is kept without its text', async () => {
  await named(tenantB, 'barbara', 'Canary-Barbara');
  between = () => Promise.reject(new TypeError('Canary-Barbara has too many letters'));
  try {
    await expect(rebuild('names')).rejects.toThrow('Canary-Barbara');
  } finally {
    between = async () => {};
  }
  const { rows: kept } = await admin.query<{ error: string }>(`select error from plinth_kernel.feed_projections where name = 'people.names'`);
  expect(kept).toEqual([{ error: expect.stringMatching(/^TypeError: .*personal fields$/) }]);
  expect(await rebuild('names')).toMatchObject({ swapped: true, resumed: true });
});
