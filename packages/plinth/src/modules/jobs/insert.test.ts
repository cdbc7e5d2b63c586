import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../../index.ts';

const database = await testDatabase('job insert');
const { admin, tenantA, tenantB } = database;
const prepared = createPlinth({ database: { url: database.serverUrl, max: 1 } });
const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
afterAll(async () => {
  await Promise.all([prepared.close(), unprepared.close()]);
  await database.drop();
});

const correlationId = '018f0000-0000-7000-8000-0000000000cc';
const causationId = '018f0000-0000-7000-8000-0000000000cd';
const deadline = new Date('2100-01-01T00:00:00Z');

test('a prepared insert writes the same job as the document does, whatever is given or left out', async () => {
  const written: unknown[] = [];
  for (const plinth of [prepared, unprepared]) {
    const ids: string[] = [];
    for (const context of [
      { tenantId: tenantA, correlationId },
      { tenantId: tenantB, correlationId, causationId, actor: { type: 'user', id: 'ana' } },
    ] as const)
      await plinth.transaction(context, async (tx) => {
        ids.push(tx.jobs.enqueue('same.row'));
        ids.push(tx.jobs.enqueue('same.row', { text: 'ü "\u2028', list: [1, null], gone: undefined }, { priority: 2, queue: 'other', maxAttempts: 7 }));
        ids.push(tx.jobs.enqueue('same.row', { n: 1e21 }, { name: 'Ana', concurrencyKey: 'one', deadline }));
      });
    const { rows } = await admin.query('select * from plinth_jobs.jobs where id = any ($1) order by seq', [ids]);
    expect(rows.map((row) => row.id)).toEqual(ids);
    expect(rows.map((row) => row.run_id)).toEqual(ids);
    written.push(rows.map(({ id: _id, run_id: _run, seq: _seq, xact: _xact, run_at: _runAt, created_at: _at, ...rest }) => rest));
  }
  expect(written[0]).toEqual(written[1]);
});

test('a job goes into the slot that is open', async () => {
  await admin.query(`select setval('plinth_jobs.open_slot', 2)`);
  const id = await prepared.transaction({ tenantId: tenantA }, async (tx) => tx.jobs.enqueue('in.slot'));
  expect((await admin.query('select tableoid::regclass::text as place from plinth_jobs.jobs where id = $1', [id])).rows).toEqual([
    { place: 'plinth_jobs.jobs_ready_2' },
  ]);
});

test('a job for a tenant that was changed in between is refused, with all of its transaction', async () => {
  const failing = prepared.transaction({ tenantId: tenantA }, async (tx) => {
    tx.audit.record({ action: 'beside.the.job' });
    await tx.query(`set local plinth.tenant_id = '${tenantB}'`);
    tx.jobs.enqueue('of.another');
  });
  await expect(failing).rejects.toMatchObject({ code: 'kernel_forbidden' });
  const counted = `select (select count(*) from plinth_jobs.jobs where kind = 'of.another') + (select count(*) from plinth_audit.entries where action = 'beside.the.job') as n`;
  expect((await admin.query(counted)).rows).toEqual([{ n: '0' }]);
});
