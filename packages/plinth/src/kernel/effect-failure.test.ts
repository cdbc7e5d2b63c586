import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../index.ts';

const database = await testDatabase('effect_failure');
const { plinth, tenantA, admin } = database;
afterAll(() => database.drop());

const long = 'x'.repeat(201);

test.each([
  ['of its own', plinth],
  ['that is joined', undefined],
])('the effect that failed is named, and none that builds on what the transaction %s had written before', async (how, own) => {
  const stream = { type: 'order', id: how };
  const outer = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const run: typeof plinth.transaction = own ? own.transaction : (input, body) => outer.transaction({}, (tx) => plinth.join(tx, input, body));
  const failing = run({ tenantId: tenantA }, async (tx) => {
    tx.events.append(stream, [{ type: 'order.placed' }]);
    await tx.flush();
    // Alone these two conflict: in their own transaction the version is 1.
    tx.events.append(stream, [{ type: 'order.paid' }], { expectedVersion: 1 });
    tx.events.append(stream, [{ type: 'order.sent' }], { expectedVersion: 2 });
    tx.audit.record({ action: long });
  });
  await expect(failing).rejects.toMatchObject({
    code: 'kernel_effect_failed',
    detail: { effect: `audit.record("${long}")`, effect_index: 2, effect_code: 'kernel_invalid_input' },
  });
  await outer.close();
  expect((await admin.query('select from plinth_events.events where aggregate_id = $1', [how])).rowCount).toBe(0);
});

test('a failure inside of a savepoint is told, though the transaction holds what its effects need since before', { timeout: 20_000 }, async () => {
  const stream = { type: 'order', id: 'savepoint' };
  await plinth.transaction({ tenantId: tenantA }, async (tx) => {
    tx.events.append(stream, [{ type: 'order.placed' }]);
    await tx.flush();
    await tx.query('savepoint one');
    tx.events.append(stream, [{ type: 'order.paid' }]);
    tx.events.append(stream, [{ type: 'order.sent' }], { expectedVersion: 7 });
    await expect(tx.flush()).rejects.toMatchObject({ code: 'events_version_conflict' });
    await tx.query('rollback to savepoint one');
  });
  expect((await admin.query(`select from plinth_events.events where aggregate_id = 'savepoint'`)).rowCount).toBe(1);
});

test('what a transaction may not write because it is read only is told as that', async () => {
  const failing = plinth.transaction({ tenantId: tenantA, readOnly: true }, async (tx) => void tx.audit.record({ action: 'read.only' }));
  await expect(failing).rejects.toMatchObject({ code: 'kernel_read_only', wayOut: expect.stringContaining('readOnly') });
});

test('a text that no index can hold is refused as input', async () => {
  const letters = (from: number): string => Array.from({ length: 500 }, (_, n) => String.fromCodePoint(0x4e00 + ((from + n * 7919) % 20_000))).join('');
  const failing = plinth.transaction(
    { tenantId: tenantA },
    async (tx) => void tx.audit.record({ action: 'too.long', entityType: letters(1), entityId: letters(2) }),
  );
  await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', status: 400, detail: { effect_code: 'kernel_invalid_input' } });
});

test('a role whose name has to be quoted serves, with effects and without', async () => {
  const role = `The App ${process.pid}`;
  await admin.query(`create role "${role}" in role plinth_app; grant "${role}" to plinth_test_server`);
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 }, appRole: role });
  try {
    const ran = one.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'as.named' });
      return tx.query('select current_user::text as role');
    });
    expect(await ran).toEqual([{ role }]);
    await one.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'as.named' }));
    expect((await admin.query(`select from plinth_audit.entries where action = 'as.named'`)).rowCount).toBe(2);
  } finally {
    await one.close();
    await admin.query(`drop role "${role}"`);
  }
});

test('a database that is away, full or takes no writes is told as that, and no effect is blamed for it', async () => {
  for (const [code, known] of [
    ['57P01', 'kernel_unavailable'],
    ['53100', 'kernel_unavailable'],
    ['25006', 'kernel_read_only'],
  ]) {
    await admin.query(`create or replace function public.faulty() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '${code}'; end $$;
      create or replace trigger faulty before insert on plinth_audit.entries for each row execute function public.faulty()`);
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      for (let n = 0; n < 3; n++) tx.audit.record({ action: 'order.placed' });
      await tx.flush();
    });
    await expect(failing, code).rejects.toMatchObject({ code: known });
  }
  await admin.query('drop function public.faulty() cascade');
});
