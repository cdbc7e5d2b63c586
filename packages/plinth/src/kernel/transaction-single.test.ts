/** Transactions of a single statement, whose COMMIT leaves with it. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../index.ts';

const database = await testDatabase('single');
const { plinth, tenantA, tenantB, admin } = database;
beforeAll(() => admin.query('create table public.notes (id int primary key, tenant text); grant all on public.notes to plinth_app, plinth_worker'));
beforeEach(() => admin.query('truncate public.notes'));
afterAll(() => database.drop());

const INSERT = `insert into public.notes values ($1, current_setting('plinth.tenant_id', true)) returning id`;
const notes = async (): Promise<unknown[]> => (await admin.query('select id, tenant from public.notes order by id')).rows;

test('has committed, and holds nothing, when its rows are read', async () => {
  const seen = await plinth.transaction({ tenantId: tenantA, single: true }, async (tx) => {
    const rows = await tx.query(INSERT, [1]);
    // Were it open, this would wait for its row.
    await admin.query(`insert into public.notes values (1, 'later') on conflict (id) do update set tenant = notes.tenant || ' seen'`);
    return rows;
  });
  expect(seen).toEqual([{ id: 1 }]);
  expect(await notes()).toEqual([{ id: 1, tenant: `${tenantA} seen` }]);
});

test('has its context, role and limits, and leaves none of them on the connection', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const asked = `select current_user as role, current_setting('plinth.tenant_id', true) as tenant, current_setting('statement_timeout') as most`;
  try {
    for (const tenantId of [tenantA, tenantB])
      expect(await one.asWorker({ tenantId, single: true, timeoutMs: 4_321 }, (tx) => tx.query(asked))).toEqual([
        { role: 'plinth_worker', tenant: tenantId, most: '4321ms' },
      ]);
    expect((await one.pool.query(asked)).rows).toEqual([{ role: new URL(database.serverUrl).username, tenant: expect.toBeOneOf([null, '']), most: '0' }]);
  } finally {
    await one.close();
  }
});

test('a statement that fails throws what the driver throws, writes nothing, and its connection serves others', async () => {
  const one = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  try {
    const pid = (): Promise<unknown> => one.transaction({ single: true }, (tx) => tx.query('select pg_backend_pid()'));
    const before = await pid();
    const failing = one.transaction({ tenantId: tenantA, single: true }, (tx) => tx.query(`${INSERT}, 1 / ($1 - 1)`, [1]));
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    expect(await notes()).toEqual([]);
    expect(await pid()).toEqual(before);
    const swallowed = one.transaction({ tenantId: tenantA, single: true }, async (tx) => void (await tx.query('select 1 / 0').catch(() => {})));
    await expect(swallowed).rejects.toMatchObject({ code: expect.stringMatching(/^kernel_/) });
    expect(await pid()).toEqual(before);
  } finally {
    await one.close();
  }
});

test('a second statement and effects are refused; what the body throws undoes nothing', async () => {
  const second = plinth.transaction({ tenantId: tenantA, single: true }, async (tx) => {
    await tx.query(INSERT, [1]);
    await tx.query(INSERT, [2]);
  });
  await expect(second).rejects.toThrow('single statement');
  const effects = plinth.transaction({ tenantId: tenantA, single: true }, async (tx) => {
    tx.audit.record({ action: 'never.written' });
    await tx.query(INSERT, [3]);
  });
  await expect(effects).rejects.toThrow('single statement');
  const thrown = plinth.transaction({ tenantId: tenantA, single: true }, async (tx) => {
    await tx.query(INSERT, [4]);
    throw new Error('too late');
  });
  await expect(thrown).rejects.toThrow('too late');
  expect(await notes()).toMatchObject([{ id: 1 }, { id: 3 }, { id: 4 }]);
  expect((await admin.query(`select from plinth_audit.entries where action = 'never.written'`)).rowCount).toBe(0);
});

test('through a pool that does not pipeline it is the same', async () => {
  const pool = new pg.Pool({ connectionString: database.serverUrl, max: 1 });
  const other = createPlinth({ database: pool });
  try {
    await other.transaction({ tenantId: tenantA, single: true }, (tx) => tx.query(INSERT, [1]));
    await expect(other.transaction({ tenantId: tenantA, single: true }, (tx) => tx.query(INSERT, [1]))).rejects.toMatchObject({ code: '23505' });
    expect(await other.transaction({ tenantId: tenantB, single: true }, (tx) => tx.query(INSERT, [2]))).toEqual([{ id: 2 }]);
    expect(await notes()).toEqual([
      { id: 1, tenant: tenantA },
      { id: 2, tenant: tenantB },
    ]);
  } finally {
    await other.close();
    await pool.end();
  }
});

test('tells hooks and signals after COMMIT', async () => {
  const told: string[] = [];
  const heard = plinth.wake.next(['single.told'], 10_000);
  await plinth.transaction({ tenantId: tenantA, single: true }, async (tx) => {
    tx.afterCommit(() => told.push('hook'));
    tx.signal('single.told');
    await tx.query(INSERT, [1]);
    expect(told).toEqual([]);
  });
  expect(told).toEqual(['hook']);
  await heard;
});
