import { afterAll, expect, test } from 'vitest';
import type { PrismaTransaction } from '../../packages/plinth/src/adapters/database/joined.ts';
import { testDatabase } from '../../packages/plinth/src/testing/database.ts';
import { needs } from '../../packages/plinth/src/testing/needs.ts';

const prisma = needs('prisma');

interface Transaction extends PrismaTransaction {
  order: { create(input: { data: { id: number } }): Promise<unknown> };
}
interface Client {
  $transaction<T>(body: (transaction: Transaction) => Promise<T>): Promise<T>;
  $disconnect(): Promise<void>;
}

const database = await testDatabase('prisma');
const { plinth, tenantA, admin } = database;
afterAll(() => database.drop());

/** The generated client and its adapter, which exist only where test/prisma was installed. */
async function openClient(): Promise<Client> {
  const role = `prisma_${process.pid}_${Date.now().toString(36)}`;
  await admin.query(`create role ${role} login password 'app' in role plinth_app`);
  await admin.query(`create table if not exists public.orders (id int primary key); grant all on public.orders to ${role}`);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'app';
  const { PrismaClient } = (await import(prisma.at)) as { PrismaClient: new (options: object) => Client };
  const { PrismaPg } = (await import(new URL('./node_modules/@prisma/adapter-pg/dist/index.mjs', import.meta.url).href)) as {
    PrismaPg: new (options: object) => object;
  };
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url.href }) });
}

const written = async (id: number): Promise<unknown> => {
  const { rows } = await admin.query(
    `select (select count(*)::int from public.orders where id = $1) as orders, (select count(*)::int from plinth_audit.entries where entity_id = $1::text and tenant_id = $2) as entries`,
    [id, tenantA],
  );
  return rows[0];
};

test.runIf(prisma.available)('a Prisma transaction commits and rolls back with the effects that joined it, and tells errors of ours', async () => {
  const client = await openClient();
  const place = (id: number, end: () => void) =>
    client.$transaction(async (transaction) => {
      await transaction.order.create({ data: { id } });
      await plinth.join(transaction, { tenantId: tenantA }, async (tx) => {
        tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(id), after: { note: `it's` } });
        await tx.flush();
        expect(await tx.query('select action from plinth.audit_logs where entity_id = $1', [String(id)])).toEqual([{ action: 'order.placed' }]);
      });
      end();
    });
  try {
    await place(1, () => {});
    expect(await written(1)).toEqual({ orders: 1, entries: 1 });
    await expect(
      place(2, () => {
        throw new Error('card declined');
      }),
    ).rejects.toThrow('card declined');
    expect(await written(2)).toEqual({ orders: 0, entries: 0 });
    const joined = (body: (tx: Parameters<Parameters<typeof plinth.join>[2]>[0]) => unknown) =>
      client.$transaction(async (transaction) => {
        await transaction.order.create({ data: { id: 3 } });
        await plinth.join(transaction, { tenantId: tenantA }, async (tx) => void (await body(tx)));
      });
    await expect(joined((tx) => tx.audit.record({ action: '' }))).rejects.toMatchObject({
      code: 'kernel_effect_failed',
      detail: { effect: 'audit.record("")', effect_code: 'kernel_invalid_input' },
    });
    await expect(joined((tx) => tx.query(`select plinth.log_audit_event(p_actor_type := 'user')`))).rejects.toMatchObject({
      code: 'audit_entry_invalid',
      detail: { field: 'p_action' },
    });
    await expect(joined((tx) => tx.query('select 1 / 0'))).rejects.toMatchObject({ code: '22012' });
    await expect((async () => plinth.join(client as never, { tenantId: tenantA }, async () => {}))()).rejects.toThrow(/not a transaction/);
    expect(await written(3)).toEqual({ orders: 0, entries: 0 });
  } finally {
    await client.$disconnect();
  }
});
