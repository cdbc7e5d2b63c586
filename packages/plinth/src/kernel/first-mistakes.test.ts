/** What goes wrong on the first day names itself: a database without Plinth, a variable that is not set, a Plinth that was closed. */
import { afterAll, describe, expect, test } from 'vitest';
import { emptyDatabase, testDatabase } from '#testing/database.ts';
import { createPlinth } from '../index.ts';
import { toPlinthError } from './errors.ts';

const database = await testDatabase('first_mistakes');
const empty = await emptyDatabase('without_plinth');
afterAll(() => Promise.all([database.drop(), empty.drop()]));
const { tenantA } = database;

describe('a database in which Plinth is not installed says so, with the way out', () => {
  const told = {
    code: 'kernel_schema_older',
    status: 503,
    message: expect.stringContaining('not installed'),
    wayOut: expect.stringContaining('plinth migrate up'),
  };

  test.each([1, 200])('to a transaction with %i effects', async (effects) => {
    const plinth = createPlinth({ database: { url: empty.url, max: 1 } });
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      for (let n = 0; n < effects; n++) tx.jobs.enqueue('order.receipt', { n });
    });
    await expect(failing).rejects.toMatchObject(told);
    await plinth.close();
  });

  test('where not even the roles are there', () => {
    const fault = Object.assign(new Error('Rolle »plinth_app« existiert nicht'), { code: '22023' });
    expect(toPlinthError(fault)).toMatchObject(told);
  });

  test('and a fault in something else is not taken for it', async () => {
    const states = await Promise.all(
      ['select * from shop.orders', 'select shop.total()', `set role "shop_app"`].map(async (text) => {
        const fault: unknown = await database.admin.query(text).catch((error: unknown) => error);
        return toPlinthError(fault).code;
      }),
    );
    expect(states).toEqual(['kernel_internal', 'kernel_internal', 'kernel_invalid_input']);
  });
});

test.each([
  ['an empty URL, as a variable that is not set gives', { url: '' }],
  ['no database', undefined],
  ['the URL alone', database.serverUrl],
  ['options without a URL', { uri: database.serverUrl }],
])('createPlinth refuses %s instead of connecting to what it finds', (_what, given) => {
  const open = (): unknown => createPlinth({ database: given as unknown as { url: string } });
  expect(open).toThrow(expect.objectContaining({ code: 'kernel_database_unnamed', wayOut: expect.stringContaining('database: { url }') }));
});

test.each(['postgres://u:secret@one,two/app', 'postgresql://127.0.0.1:1,127.0.0.1:2/app'])(
  'createPlinth refuses a list of hosts, which the driver does not take: %s',
  (url) => {
    const open = (): unknown => createPlinth({ database: { url } });
    expect(open).toThrow(expect.objectContaining({ code: 'kernel_database_hosts', message: expect.not.stringContaining('secret') }));
  },
);

test('a Plinth that was closed says that it was', async () => {
  const plinth = createPlinth({ database: { url: database.serverUrl } });
  await plinth.close();
  const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'too.late' }));
  await expect(failing).rejects.toMatchObject({ code: 'kernel_unavailable', message: 'Plinth has been closed' });
});
