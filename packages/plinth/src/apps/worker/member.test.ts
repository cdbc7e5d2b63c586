/** What others know of a worker. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('member');
});
afterAll(() => database.drop());
const start = workersOf(() => database);

test('a worker tells which kinds it handles and from which queues it takes, so that a job that none takes can say so', async () => {
  start(async () => {}, { queues: ['mail'] });
  const known = async () => (await database.admin.query('select kinds, queues from plinth_jobs.workers')).rows;
  await expect.poll(known).toEqual([{ kinds: expect.arrayContaining(['k']), queues: ['mail'] }]);
  const { plinth, tenantA: tenantId } = database;
  const explain = async (queue: string) => {
    const id = await plinth.transaction({ tenantId }, async (tx) => tx.jobs.enqueue('k', {}, { queue, delayMs: 60_000 }));
    const [row] = await plinth.transaction({ tenantId }, (tx) =>
      tx.query<{ causes: unknown }>(`select jsonb_path_query_array(plinth.explain_job($1), '$.obstacles[*].cause') as causes`, [id]),
    );
    return row?.causes;
  };
  await database.admin.query(`insert into plinth_jobs.kinds (kind, summary, timeout_ms) values ('k', 'test', 1) on conflict do nothing`);
  expect(await explain('mail')).toEqual(['scheduled']);
  expect(await explain('default')).toEqual(['scheduled', 'no_worker']);
});
