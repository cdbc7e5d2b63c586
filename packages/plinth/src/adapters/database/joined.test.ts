import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import type { Joinable } from './joined.ts';
import { toQueryable } from './joined.ts';

const database = await testDatabase('joined');
const { plinth, tenantA, admin } = database;

/** An application's own login role: owns its tables and is a member of plinth_app. */
let url: string;

interface Owner {
  name: string;
  /** Opens a transaction in the way of the library, inserts one order and runs `inside`; rolls back when that throws. */
  transact(id: number, inside: (transaction: Joinable) => Promise<void>): Promise<unknown>;
  close(): Promise<unknown>;
}

const owners: Owner[] = [];

beforeAll(async () => {
  const role = `app_${process.pid}_${Date.now().toString(36)}`;
  await admin.query(`create role ${role} login password 'app' in role plinth_app`);
  await admin.query(`create schema shop authorization ${role}; create table shop.orders (id int primary key); alter table shop.orders owner to ${role}`);
  const address = new URL(database.url);
  address.username = role;
  address.password = 'app';
  url = address.href;
  owners.push(pgOwner(), postgresJsOwner(), kyselyOwner(), drizzleOwner(), drizzleJsOwner());
});
afterAll(async () => {
  await Promise.all(owners.map((owner) => owner.close()));
  await database.drop();
});

function pgOwner(): Owner {
  const pool = new pg.Pool({ connectionString: url });
  return {
    name: 'pg',
    close: () => pool.end(),
    async transact(id, inside) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await client.query('insert into shop.orders values ($1)', [id]);
        await inside(client);
        await client.query('commit');
      } catch (error) {
        await client.query('rollback');
        throw error;
      } finally {
        client.release();
      }
    },
  };
}

function postgresJsOwner(): Owner {
  const connection = postgres(url, { max: 2 });
  return {
    name: 'postgres.js',
    close: () => connection.end(),
    transact: (id, inside) =>
      connection.begin(async (transaction) => {
        await transaction`insert into shop.orders values (${id})`;
        await inside(transaction);
      }),
  };
}

function kyselyOwner(): Owner {
  const db = new Kysely<{ 'shop.orders': { id: number } }>({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) }) });
  return {
    name: 'Kysely',
    close: () => db.destroy(),
    transact: (id, inside) =>
      db.transaction().execute(async (transaction) => {
        await transaction.insertInto('shop.orders').values({ id }).execute();
        await inside(transaction as unknown as Joinable);
      }),
  };
}

function drizzleOwner(): Owner {
  const pool = new pg.Pool({ connectionString: url });
  const db = drizzle(pool);
  return {
    name: 'Drizzle over pg',
    close: () => pool.end(),
    transact: (id, inside) =>
      db.transaction(async (transaction) => {
        await transaction.execute(sql`insert into shop.orders values (${id})`);
        await inside(transaction as unknown as Joinable);
      }),
  };
}

function drizzleJsOwner(): Owner {
  const connection = postgres(url, { max: 2 });
  const db = drizzleJs(connection);
  return {
    name: 'Drizzle over postgres.js',
    close: () => connection.end(),
    transact: (id, inside) =>
      db.transaction(async (transaction) => {
        await transaction.execute(sql`insert into shop.orders values (${id})`);
        await inside(transaction as unknown as Joinable);
      }),
  };
}

const written = async (id: number): Promise<{ orders: number; entries: number }> => {
  const { rows } = await admin.query<{ orders: number; entries: number }>(
    `select (select count(*)::int from shop.orders where id = $1) as orders, (select count(*)::int from plinth_audit.entries where entity_id = $1::text and tenant_id = $2) as entries`,
    [id, tenantA],
  );
  return rows[0] ?? { orders: -1, entries: -1 };
};

describe.each(['pg', 'postgres.js', 'Kysely', 'Drizzle over pg', 'Drizzle over postgres.js'])('a transaction opened with %s', (name) => {
  const owner = (): Owner => owners.find((candidate) => candidate.name === name) ?? expect.fail(`no owner ${name}`);
  const base = (1 + ['pg', 'postgres.js', 'Kysely', 'Drizzle over pg', 'Drizzle over postgres.js'].indexOf(name)) * 100;

  const place = (id: number) => (transaction: Joinable) =>
    plinth.join(transaction, { tenantId: tenantA, actor: { type: 'user', id: `o'neil` } }, async (tx) => {
      tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(id), after: { id, note: `it's \\ "quoted"` } });
      tx.audit.record({ action: 'order.priced', entityType: 'order', entityId: String(id) });
    });

  test('commits the effects with the business row', async () => {
    await owner().transact(base, place(base));
    expect(await written(base)).toEqual({ orders: 1, entries: 2 });
  });

  test('leaves nothing of ours when the caller rolls back afterwards', async () => {
    const failing = owner().transact(base + 1, async (transaction) => {
      await place(base + 1)(transaction);
      throw new Error('card declined');
    });
    await expect(failing).rejects.toThrow('card declined');
    expect(await written(base + 1)).toEqual({ orders: 0, entries: 0 });
  });

  test('names the effect that failed and rolls the business row back', async () => {
    const failing = owner().transact(base + 2, (transaction) =>
      plinth.join(transaction, { tenantId: tenantA }, async (tx) => {
        tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(base + 2) });
        tx.audit.record({ action: '' });
      }),
    );
    await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect: 'audit.record("")', effect_index: 1 } });
    expect(await written(base + 2)).toEqual({ orders: 0, entries: 0 });
  });

  test('reads its own effects after a flush, and no other tenant', async () => {
    await owner().transact(base + 3, (transaction) =>
      plinth.join(transaction, { tenantId: tenantA }, async (tx) => {
        tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: String(base + 3) });
        await tx.flush();
        const seen = await tx.query<{ tenant_id: string }>('select distinct tenant_id from plinth.audit_logs where entity_type = $1', ['order']);
        expect(seen).toEqual([{ tenant_id: tenantA }]);
      }),
    );
  });
});

test('anything else is refused with a sentence', () => {
  expect(() => toQueryable({} as Joinable)).toThrow(/pg, postgres.js, Kysely, Drizzle or Prisma/);
});
