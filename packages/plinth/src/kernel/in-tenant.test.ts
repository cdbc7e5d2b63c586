/** What a transaction across tenants does for one of them: in its context and role, with effects, and then as before. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import type { AnyTransaction } from './transaction.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('in tenant');
});
afterAll(() => database.drop());

const of = (tenantId: string) => ({ tenantId, id: database.plinth.newId(), correlationId: null });
const state = async (tx: AnyTransaction) =>
  (await tx.query<{ role: string; tenant: string }>(`select current_user::text as role, coalesce(current_setting('plinth.tenant_id', true), '') as tenant`))[0];

describe('inTenantOf', () => {
  test('calls that are made at once run one after the other, each with its own role and tenant', async () => {
    const { plinth, tenantA, tenantB } = database;
    await plinth.asWorker({}, async (tx) => {
      const tenants = [tenantA, tenantB, tenantA];
      const seen = await Promise.all(tenants.map((tenantId) => tx.inTenantOf(of(tenantId), async (own) => [await state(own), await state(own)])));
      expect(seen).toEqual(
        tenants.map((tenant) => [
          { role: 'plinth_app', tenant },
          { role: 'plinth_app', tenant },
        ]),
      );
      expect(await state(tx)).toEqual({ role: 'plinth_worker', tenant: '' });
    });
  });

  test('what its body throws comes out, and the transaction goes on as the worker', async () => {
    const { plinth, tenantA, tenantB } = database;
    await plinth.asWorker({}, async (tx) => {
      const failing = tx.inTenantOf(of(tenantA), async (own) => {
        own.jobs.enqueue('never.asked', {});
        throw new Error('not this one');
      });
      await expect(failing).rejects.toThrow('not this one');
      expect(await state(tx)).toEqual({ role: 'plinth_worker', tenant: '' });
      await tx.inTenantOf(of(tenantB), async (own) => void own.jobs.enqueue('was.asked', {}));
    });
    const { rows } = await database.admin.query(`select tenant_id, kind from plinth_jobs.jobs`);
    expect(rows).toEqual([{ tenant_id: tenantB, kind: 'was.asked' }]);
  });

  test('a statement that fails rolls everything back, also what was done for another tenant', async () => {
    const { plinth, tenantA, tenantB } = database;
    const all = plinth.asWorker({}, async (tx) => {
      await tx.inTenantOf(of(tenantA), async (own) => void own.events.publish('tenant.asked', {}));
      await tx.inTenantOf(of(tenantB), (own) => own.query('select 1 / 0')).catch(() => {});
    });
    await expect(all).rejects.toMatchObject({ code: 'kernel_conflict' });
    expect((await database.admin.query(`select from plinth_events.events where type = 'tenant.asked'`)).rowCount).toBe(0);
  });

  test('those who wait for what it wrote are woken after COMMIT, not before', async () => {
    const { plinth, tenantA } = database;
    const heard: string[] = [];
    const forget = plinth.wake.on('tenant.hint', () => heard.push('woken'));
    await plinth.asWorker({}, async (tx) => {
      await tx.inTenantOf(of(tenantA), async (own) => own.signal('tenant.hint'));
      heard.push('before the end');
    });
    await expect.poll(() => heard).toEqual(['before the end', 'woken']);
    forget();
  });

  test('transactions of a tenant have no such thing', async () => {
    await database.plinth.transaction({ tenantId: database.tenantA }, async (tx) => expect(tx).not.toHaveProperty('inTenantOf'));
  });
});
