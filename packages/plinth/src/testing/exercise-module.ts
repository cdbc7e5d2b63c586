import assert from 'node:assert/strict';
import pg from 'pg';
import { identifier, literal } from '#kernel/database.ts';
import type { EffectInsert } from '#kernel/effects.ts';
import { migrateUp } from '#kernel/migrate/index.ts';
import type { AnyModule, ModuleMap, TableCard } from '#kernel/module.ts';
import { brokenActions } from './exercise-module-actions.ts';
import { catalogPicture, commentless, contextLeftOut, keysWithoutTenant, relationsOf, viewsOver } from './exercise-module-catalog.ts';
import { exerciseRetention } from './exercise-module-retention.ts';
import { insertRow, insertStatement } from './exercise-module-rows.ts';

/**
 * What every module promises, tested from its card alone:
 *
 * - the tables on the card are the tables in the catalog;
 * - row security is enabled and forced on every table and partition, and partitions are granted to nobody;
 * - a tenant sees none of another's rows, in tables and in views, cannot change them and cannot write in its name;
 * - without a tenant there are no rows;
 * - primary and unique keys start with tenant_id;
 * - tables, public views and public functions have comments;
 * - a prepared insert of effects brings what else would be read from the context;
 * - actions on rows name procedures that take the id of the row and what their fields ask for;
 * - retention removes exactly the old rows;
 * - migrating again changes nothing.
 *
 * Example: `for (const { name, run } of exerciseModule(card, { url: () => url, modules })) test(name, run);`
 */
export interface ModulePromise {
  name: string;
  run: () => Promise<void>;
}

export interface ExercisePlace {
  /** Superuser on a migrated database that the test owns; asked when a promise runs, so the database may be made later. */
  url: () => string;
  /** Every module of that database. */
  modules: ModuleMap;
}

const tenantA = '00000000-0000-7000-8000-00000000000a';
const tenantB = '00000000-0000-7000-8000-00000000000b';

export function exerciseModule(card: AnyModule, place: ExercisePlace): ModulePromise[] {
  const schema = `plinth_${card.name}`;
  const tables = Object.entries(card.tables);
  const promise = (name: string, body: (client: pg.Client) => Promise<void>): ModulePromise => ({ name, run: () => withClient(place.url(), body) });
  return [
    promise('the tables on the card are the tables in the catalog', async (client) => {
      const live = (await relationsOf(client, schema)).filter((relation) => !relation.partition).map((relation) => relation.name);
      assert.deepEqual(live.sort(), tables.map(([table]) => table).sort());
    }),
    promise('row security is enabled and forced on every table and partition, and partitions are granted to nobody', async (client) => {
      const relations = await relationsOf(client, schema);
      assert.ok(relations.length >= tables.length, 'looked at too few tables');
      for (const relation of relations) {
        assert.ok(relation.enabled && relation.forced, `${schema}.${relation.name}: row security is not enabled and forced`);
        if (relation.partition) assert.deepEqual(relation.grantees, [], `${schema}.${relation.name} is a partition and granted to ${relation.grantees}`);
      }
    }),
    ...tables
      .filter(([, tableCard]) => tableCard.tenancy === 'tenant')
      .flatMap(([table, tableCard]) => tenancyPromises(promise, place, schema, table, tableCard)),
    promise('primary and unique keys of tenant tables start with tenant_id', async (client) => {
      const names = tables.filter(([, tableCard]) => tableCard.tenancy === 'tenant').map(([table]) => table);
      assert.deepEqual(await keysWithoutTenant(client, schema, names), []);
    }),
    promise('tables, public views and public functions have comments', async (client) => {
      assert.deepEqual(await commentless(client, schema), []);
    }),
    ...(card.effectInsert ? [contextPromise(promise, card.effectInsert)] : []),
    promise('actions on rows name procedures that take the id of the row and what their fields ask for', async () => {
      assert.deepEqual(brokenActions(card), []);
    }),
    ...tables.filter(([, tableCard]) => tableCard.keep !== 'forever').map(([table]) => retentionPromise(promise, place, card, table)),
    promise('migrating again changes nothing', async (client) => {
      const before = await catalogPicture(client);
      const migration = { url: place.url(), modules: place.modules };
      assert.deepEqual(await migrateUp(migration), { applied: [], repeatables: false });
      await client.query(`update plinth_kernel.repeatables set checksum = ''`);
      assert.deepEqual(await migrateUp(migration), { applied: [], repeatables: true });
      assert.deepEqual(await catalogPicture(client), before);
    }),
  ];
}

/** A message of such inserts alone has no context but the tenant (docs/adr/0011). */
const contextPromise = (promise: Make, insert: EffectInsert): ModulePromise =>
  promise('a prepared insert of effects brings what else would be read from the context', async (client) => {
    assert.deepEqual(await contextLeftOut(client, insert), []);
  });

const retentionPromise = (promise: Make, place: ExercisePlace, card: AnyModule, table: string): ModulePromise =>
  promise(`${table}: retention removes exactly the old rows`, async (client) => {
    await client.query('begin');
    try {
      await client.query('set local role plinth_owner');
      await client.query(`insert into plinth_kernel.tenants (id, slug, name) values ($1, 'exercise-a', 'exercise-a')`, [tenantA]);
      await client.query(`set local plinth.tenant_id = ${literal(tenantA)}`);
      await exerciseRetention(client, place.modules, card, table, tenantA);
    } finally {
      await client.query('rollback');
    }
  });

async function withClient(url: string, body: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'exercise module' });
  await client.connect();
  try {
    await body(client);
  } finally {
    await client.end();
  }
}

/** Runs `body` in a transaction that holds one row of each tenant and is rolled back. */
async function withTwoTenants(client: pg.Client, place: ExercisePlace, schema: string, table: string, body: () => Promise<void>): Promise<void> {
  await client.query('begin');
  try {
    await client.query('set local role plinth_owner');
    for (const [tenantId, slug] of [
      [tenantA, 'exercise-a'],
      [tenantB, 'exercise-b'],
    ] as const) {
      await client.query('insert into plinth_kernel.tenants (id, slug, name) values ($1, $2, $2) on conflict do nothing', [tenantId, slug]);
      await client.query(`set local plinth.tenant_id = ${literal(tenantId)}`);
      await insertRow(client, place.modules, schema, table, { tenantId });
    }
    await body();
  } finally {
    await client.query('rollback');
  }
}

const actAs = (client: pg.Client, tenantId: string): Promise<unknown> =>
  client.query(`set local role plinth_app; set local plinth.tenant_id = ${literal(tenantId)}`);

const countOf = async (client: pg.Client, relation: string, where: string): Promise<number> =>
  (await client.query<{ n: number }>(`select count(*)::int as n from ${relation} where ${where}`)).rows[0]?.n ?? 0;

/** Runs a statement that must be refused, and returns its SQLSTATE; undefined when it was let in. */
async function refusal(client: pg.Client, text: string): Promise<string | undefined> {
  await client.query('savepoint attempt');
  try {
    await client.query(text);
    return undefined;
  } catch (error) {
    return error instanceof pg.DatabaseError ? error.code : String(error);
  } finally {
    await client.query('rollback to savepoint attempt');
  }
}

type Make = (name: string, body: (client: pg.Client) => Promise<void>) => ModulePromise;

function tenancyPromises(promise: Make, place: ExercisePlace, schema: string, table: string, card: TableCard): ModulePromise[] {
  const name = `${identifier(schema)}.${identifier(table)}`;
  const grants = card.grants?.app ?? ['select', 'insert', 'update', 'delete'];
  const ofA = `tenant_id = ${literal(tenantA)}`;
  return [
    promise(`${table}: a tenant sees its own rows and none of another's, in the table and in every view over it`, (client) =>
      withTwoTenants(client, place, schema, table, async () => {
        const relations = [...(grants.includes('select') ? [name] : []), ...(await viewsOver(client, schema, table))];
        for (const relation of relations) {
          await actAs(client, tenantB);
          assert.equal(await countOf(client, relation, ofA), 0, `${relation} shows another tenant's rows`);
        }
        await actAs(client, tenantA);
        if (grants.includes('select')) assert.ok((await countOf(client, name, ofA)) > 0, `${name} hides a tenant's own rows`);
      }),
    ),
    promise(`${table}: a tenant can neither write in another's name nor change another's rows`, (client) =>
      withTwoTenants(client, place, schema, table, async () => {
        // Made as the owner, so that what it refers to is there and only its own tenant_id can be refused.
        const forged = await insertStatement(client, place.modules, schema, table, { tenantId: tenantA });
        await actAs(client, tenantB);
        assert.equal(await refusal(client, forged), '42501', `${name}: an insert with another's tenant_id was not refused`);
        if (grants.includes('update')) {
          const moved = await refusal(client, `update ${name} set tenant_id = ${literal(tenantA)} where tenant_id = ${literal(tenantB)}`);
          assert.notEqual(moved, undefined, 'a row could be moved to another tenant');
          assert.equal((await client.query(`update ${name} set tenant_id = tenant_id where ${ofA}`)).rowCount, 0);
        }
        if (grants.includes('delete')) assert.equal((await client.query(`delete from ${name} where ${ofA}`)).rowCount, 0);
      }),
    ),
    promise(`${table}: without a tenant there are no rows`, (client) =>
      withTwoTenants(client, place, schema, table, async () => {
        const relations = [...(grants.includes('select') ? [name] : []), ...(await viewsOver(client, schema, table))];
        await client.query(`set local role plinth_app; set local plinth.tenant_id = ''`);
        for (const relation of relations) assert.equal(await countOf(client, relation, 'true'), 0, `${relation} shows rows without a tenant`);
      }),
    ),
  ];
}
