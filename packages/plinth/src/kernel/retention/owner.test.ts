import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EmptyDatabase, emptyDatabase } from '#testing/database.ts';
import { ownerAccess } from './owner.ts';

let database: EmptyDatabase;
beforeAll(async () => {
  database = await emptyDatabase('owner');
});
afterAll(() => database.drop());

test('a statement of the owner may take as long as its caller says, whatever the limits of the database are', async () => {
  const { admin, name, url } = database;
  const { rows } = await admin.query<{ name: string }>(`select name from pg_settings where name in ('statement_timeout', 'transaction_timeout')`);
  for (const limit of rows) await admin.query(`alter database ${name} set ${limit.name} = '100ms'`);
  await ownerAccess(url).run('select pg_sleep(0.3)', 20_000);
  await expect(ownerAccess(url).run('select pg_sleep(20)', 100)).rejects.toMatchObject({ code: '57014' });
});
