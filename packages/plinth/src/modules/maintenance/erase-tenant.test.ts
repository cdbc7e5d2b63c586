/** Everything of a tenant that is gone is deleted, in every module's tables, and nothing of anybody else. */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { insertRow } from '#testing/exercise-module-rows.ts';
import { eraseTenant, tenantRows } from './erase-tenant.ts';

const NIL = '00000000-0000-0000-0000-000000000000';
let database: TestDatabase;
let gone: string;
let other: string;
beforeAll(async () => {
  database = await testDatabase('erase_tenant');
  ({ tenantA: gone, tenantB: other } = database);
  await fill(other);
});
afterAll(() => database.drop());

const asWorker: Parameters<typeof eraseTenant>[0]['asWorker'] = (body) => database.plinth.asWorker({}, body);
const services = { asWorker };
const options = () => ({ tenantId: gone, reason: 'contract ended' });
const setStatus = (status: string) => database.admin.query('update plinth_kernel.tenants set status = $2 where id = $1', [gone, status]);
const proofs = async () =>
  (
    await database.admin.query(
      `select action, entity_id, reason, after from plinth_audit.entries where tenant_id = $1 and entity_type = 'tenant' order by id`,
      [NIL],
    )
  ).rows;

/** A row in each table of each card; and jobs, which stand in tables of their own by status. Returns the kinds. */
async function fill(tenantId: string): Promise<string[]> {
  const { admin, plinth } = database;
  const kinds = Object.values(plinth.modules).flatMap((card) =>
    Object.entries(card.tables).flatMap(([table, { tenancy }]) => (tenancy === 'tenant' ? [[card.name, table] as const] : [])),
  );
  const client = await admin.connect();
  try {
    await client.query('begin; set local role plinth_owner');
    for (const [module, table] of kinds) await insertRow(client as unknown as pg.Client, plinth.modules, `plinth_${module}`, table, { tenantId });
    await client.query('commit');
  } finally {
    await client.query('rollback');
    client.release();
  }
  await plinth.transaction({ tenantId }, async (tx) => {
    tx.jobs.enqueueMany(
      'k',
      Array.from({ length: 12 }, () => ({})),
    );
    tx.jobs.enqueue('k', {}, { delayMs: 60_000, uniqueKey: 'one' });
    tx.events.publish('order.created', { n: 1 });
  });
  return kinds.map((kind) => kind.join('.')).sort();
}

beforeEach(async () => {
  await database.admin.query('delete from plinth_kernel.retention_holds');
  await setStatus('closed');
  await eraseTenant(services, options());
  await setStatus('active');
});

test('all rows of the tenant go, those of others stay, and the proof is in the log of the installation', async () => {
  const kinds = await fill(gone);
  const before = await tenantRows(services, other);
  expect(Object.keys(before)).toEqual(kinds);
  expect(before['jobs.jobs']).toBeGreaterThanOrEqual(13);
  await setStatus('closed');
  const { erased, left } = await eraseTenant(services, { ...options(), batch: 5 });
  expect(left).toEqual({});
  expect(erased).toMatchObject({ 'audit.entries': before['audit.entries'], 'events.events': before['events.events'], 'jobs.jobs': before['jobs.jobs'] });
  expect(await tenantRows(services, gone)).toEqual({});
  expect(await tenantRows(services, other)).toEqual(before);
  expect((await proofs()).slice(-2)).toMatchObject([
    { action: 'tenant.erasure_begun', entity_id: gone, reason: 'contract ended' },
    { action: 'tenant.erased', entity_id: gone, reason: 'contract ended', after: { rows: erased } },
  ]);
  const { rows } = await database.admin.query('select name, slug, status, attributes from plinth_kernel.tenants where id = $1', [gone]);
  expect(rows).toEqual([{ name: 'erased', slug: `erased-${gone}`, status: 'closed', attributes: {} }]);
});

test('nothing goes while the tenant is not closed, is unknown, or is held, also by a hold on every tenant', async () => {
  await fill(gone);
  const before = await tenantRows(services, gone);
  const refused = async (message: RegExp) =>
    expect(await eraseTenant(services, options()).catch((error: unknown) => error)).toMatchObject({
      code: 'kernel_tenant_kept',
      message: expect.stringMatching(message),
    });
  await refused(/is active/);
  await setStatus('suspended');
  await refused(/is suspended/);
  await setStatus('closed');
  for (const tenantId of [gone, NIL]) {
    await database.admin.query(
      `insert into plinth_kernel.retention_holds (tenant_id, kind, entity, reason) values ($1, 'audit.entries', 'order:1', 'matter 7')`,
      [tenantId],
    );
    await refused(/held for .*: matter 7/);
    await expect(asWorker((tx) => tx.query(`select plinth_kernel.retention_erase($1, 'events.events')`, [gone]))).rejects.toMatchObject({
      code: 'kernel_tenant_kept',
    });
    await database.admin.query('update plinth_kernel.retention_holds set released_at = now()');
  }
  expect(await tenantRows(services, gone)).toEqual(before);
  await expect(eraseTenant(services, { ...options(), tenantId: '018f0000-0000-7000-8000-000000000000' })).rejects.toMatchObject({
    message: expect.stringMatching(/unknown here/),
  });
});

test('one that was stopped in the middle goes on, and what others hold is told and goes the next time', async () => {
  await fill(gone);
  await setStatus('closed');
  const stop = new AbortController();
  let batches = 0;
  const stopping: typeof asWorker = async (body) => {
    if ((batches += 1) > 8) stop.abort(new Error('stopped'));
    return asWorker(body);
  };
  await expect(eraseTenant({ asWorker: stopping, signal: stop.signal }, { ...options(), batch: 3 })).rejects.toThrow('stopped');
  expect((await proofs()).at(-1)).toMatchObject({ action: 'tenant.erasure_begun' });

  const holder = await database.plinth.pool.connect();
  try {
    await holder.query('begin; set local role plinth_worker');
    await holder.query('select from plinth_webhooks.deliveries where tenant_id = $1 for update', [gone]);
    expect(Object.keys((await eraseTenant(services, options())).left)).toContain('webhooks.deliveries');
  } finally {
    await holder.query('rollback');
    holder.release();
  }
  expect((await eraseTenant(services, options())).left).toEqual({});
});

test('neither a tenant nor a reader may erase', async () => {
  for (const call of [`plinth_kernel.retention_erase($1, 'events.events')`, 'plinth_kernel.retention_tenant_rows($1)'])
    await expect(database.plinth.transaction({ tenantId: gone }, (tx) => tx.query(`select ${call}`, [gone]))).rejects.toMatchObject({ code: '42501' });
});
