/** What the front pages of the repository and of the package, and the page for who begins, show is true: their examples run, and what they write is found under one correlation id. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type TestDatabase, testDatabase } from '../packages/plinth/src/testing/database.ts';
import { read } from '../tools/repo.ts';
import { readmeExamples, runExample } from './readme-examples.ts';

const examples = ['README.md', 'packages/plinth/README.md', 'docs/your-application.md'].flatMap((page) =>
  readmeExamples(read(page)).map((example) => ({ ...example, page })),
);
let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('readme');
});
afterAll(() => database.drop());

test('there are examples in TypeScript and SQL', () => {
  expect(examples.map(({ kind }) => kind)).toEqual(['setup', 'ts', 'sql', 'setup', 'ts', 'setup', 'ts', 'sql', 'ts', 'ts']);
});

test.each(examples.map((example) => [example.page, example.kind, example.line, example] as const))(
  '%s: the %s example at line %i runs',
  async (_page, _kind, _line, example) => {
    await runExample(example, database);
  },
);

test('each order has its audit entry, its event and its job, committed together', async () => {
  const { rows } = await database.admin.query(
    `select o.id, a.n as entries, e.n as events, j.n as jobs, a.xact = e.xact and e.xact = j.xact as together from orders o
     cross join lateral (select count(*)::int as n, min(xact::text) as xact from plinth_audit.entries where entity_id = o.id) a
     cross join lateral (select count(*)::int as n, min(xact::text) as xact from plinth_events.events where payload ->> 'id' = o.id) e
     cross join lateral (select count(*)::int as n, min(xact::text) as xact from plinth_jobs.jobs where payload ->> 'id' = o.id) j order by 1`,
  );
  expect(rows).toEqual([
    { id: '1001', entries: 1, events: 1, jobs: 1, together: true },
    { id: '1002', entries: 1, events: 1, jobs: 1, together: true },
  ]);
});

test('a ticket of SQL alone has the tenant, the actor and the correlation that it was told, in all of its records', async () => {
  const { rows } = await database.admin.query(
    `select a.tenant_id, a.actor_type, a.actor_id, e.correlation_id = a.correlation_id and j.correlation_id = a.correlation_id as one_story
     from plinth_audit.entries a
     join plinth_events.events e on e.payload ->> 'id' = a.entity_id join plinth_jobs.jobs j on j.payload ->> 'id' = a.entity_id
     where a.action = 'ticket.opened' and a.entity_id = 'T-2'`,
  );
  expect(rows).toEqual([{ tenant_id: database.tenantA, actor_type: 'user', actor_id: 'ann', one_story: true }]);
});
