import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js';
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { appendNow, readStream, type Tx } from '../../index.ts';
import type { Joinable } from './joined.ts';
import { toQueryable } from './joined.ts';

const database = await testDatabase('joined');
const { plinth, tenantA, tenantB, admin } = database;

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
        await inside(transaction);
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
        await inside(transaction);
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
        await inside(transaction);
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

  test("tells an error of ours by its code, and the database's own by its SQLSTATE", async () => {
    const failing = (text: string) =>
      owner().transact(base + 5, (transaction) => plinth.join(transaction, { tenantId: tenantA }, (tx) => tx.query(text)).then(() => {}));
    await expect(failing(`select plinth.log_audit_event(p_actor_type := 'user')`)).rejects.toMatchObject({
      code: 'audit_entry_invalid',
      status: 422,
      detail: { field: 'p_action' },
      wayOut: expect.stringContaining('past tense'),
    });
    await expect(failing('select 1 / 0')).rejects.toMatchObject({ code: '22012' });
    expect(await written(base + 5)).toEqual({ orders: 0, entries: 0 });
  });

  test('has the context of a join within it alone, and each join only its own', async () => {
    const id = '018f0000-0000-7000-8000-0000000000cc';
    const mine = { tenant: tenantB, actor: '', reason: `the caller's \\ own`, ip: '' };
    await owner().transact(base + 4, async (transaction) => {
      const { query } = toQueryable(transaction);
      await query(`set local plinth.tenant_id = '${tenantB}'`);
      await query(`set local plinth.reason = E'the caller''s \\\\ own'`);
      const seen = () =>
        query(`select current_setting('plinth.tenant_id', true) as tenant, coalesce(current_setting('plinth.actor_id', true), '') as actor,
          current_setting('plinth.reason', true) as reason, coalesce(current_setting('plinth.ip', true), '') as ip`);
      const record = async (tx: Tx): Promise<void> => void tx.audit.record({ action: 'joined.twice', entityType: 'order', entityId: String(base + 4) });
      const ana = {
        tenantId: tenantA,
        actor: { type: 'user', id: 'ana' },
        reason: 'case 77',
        ip: '10.1.1.1',
        requestId: 'r-1',
        causationId: id,
        userAgent: 'x',
        roles: ['r'],
      } as const;
      await plinth.join(transaction, ana, record);
      expect(await seen()).toEqual([mine]);
      await plinth.join(transaction, { tenantId: tenantB, actor: { type: 'user', id: 'bob' } }, record);
      expect(await seen()).toEqual([mine]);
      await plinth.join(transaction, {}, async (tx) => expect(await seen()).toMatchObject([{ tenant: '', actor: tx.context.actor.id, reason: '' }]));
      await expect(plinth.join(transaction, ana, () => Promise.reject(new Error('mine')))).rejects.toThrow('mine');
      expect(await seen()).toEqual([mine]);
    });
    const { rows } = await admin.query(
      `select tenant_id, actor_id, reason, ip, request_id, causation_id, user_agent from plinth_audit.entries where action = 'joined.twice' and entity_id = $1 order by id`,
      [String(base + 4)],
    );
    expect(rows).toEqual([
      { tenant_id: tenantA, actor_id: 'ana', reason: 'case 77', ip: '10.1.1.1', request_id: 'r-1', causation_id: id, user_agent: 'x' },
      { tenant_id: tenantB, actor_id: 'bob', reason: null, ip: null, request_id: null, causation_id: null, user_agent: null },
    ]);
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

test('a rollback to a savepoint from before a join that failed brings the context back', async () => {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(`begin; set local plinth.reason = 'mine'; savepoint before`);
    const failing = plinth.join(client, { tenantId: tenantA, reason: 'case 77' }, (tx) => tx.query('select 1 / 0'));
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    await client.query('rollback to savepoint before');
    const { rows } = await client.query(`select current_setting('plinth.reason') as reason, nullif(current_setting('plinth.tenant_id', true), '') as tenant`);
    expect(rows).toEqual([{ reason: 'mine', tenant: null }]);
  } finally {
    await client.end();
  }
});

test('plugins of Kysely do not change what is read, nor times as texts of Drizzle', async () => {
  const pool = new pg.Pool({ connectionString: url });
  const stream = { type: 'order', id: 'plugged' };
  const place = async (tx: Tx) => {
    const { events } = await appendNow(tx, [{ stream, events: [{ type: 'order.placed', data: { order_id: 7 } }] }]);
    const read = await Array.fromAsync(readStream(tx, stream, { direction: 'backward', limit: 1 }));
    return [events[0]?.stream, ...read.map(({ type, data, occurredAt }) => ({ type, data, dated: occurredAt instanceof Date }))];
  };
  const input = { tenantId: tenantA };
  const plugged = new Kysely<object>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] });
  const expected = [stream, { type: 'order.placed', data: { order_id: 7 }, dated: true }];
  expect(await plugged.transaction().execute((trx) => plinth.join(trx, input, place))).toEqual(expected);
  expect(await drizzle(pool).transaction((trx) => plinth.join(trx, input, place))).toEqual(expected);
  await pool.end();
});

test('a join within a transaction of Plinth leaves that its own context', async () => {
  await plinth.transaction({ tenantId: tenantB, reason: 'outer' }, async (tx) => {
    tx.audit.record({ action: 'joined.within' });
    await plinth.join(tx, { tenantId: tenantA, reason: 'inner' }, async (inner) => void inner.audit.record({ action: 'joined.within' }));
    await tx.flush();
    tx.audit.record({ action: 'joined.within' });
  });
  const { rows } = await admin.query(`select tenant_id, reason from plinth_audit.entries where action = 'joined.within' order by reason`);
  const outer = { tenant_id: tenantB, reason: 'outer' };
  expect(rows).toEqual([{ tenant_id: tenantA, reason: 'inner' }, outer, outer]);
});

test('a database instead of its transaction is refused before anything is sent', async () => {
  const pool = new pg.Pool({ connectionString: url });
  const connection = postgres(url);
  const databases = [pool, connection, new Kysely<object>({ dialect: new PostgresDialect({ pool }) }), drizzle(pool), drizzleJs(connection)];
  for (const one of databases)
    await expect(
      (async () => plinth.join(one as unknown as Joinable, { tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'x' })))(),
    ).rejects.toThrow(/not a transaction/);
  expect(pool.totalCount).toBe(0);
  await connection.end();
});

test('anything else is refused with a sentence', () => {
  expect(() => toQueryable({} as Joinable)).toThrow(/pg, postgres.js, Kysely, Drizzle or Prisma/);
});
