/** Kinds of job that serve the whole installation are not a tenant's to run: it would see what they report, and keep the others waiting. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SYSTEM_TENANT } from '#modules/jobs';
import { modules } from '#registry';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { definitionsOf } from './definitions.ts';
import { workersOf } from './started.fixture.ts';

let database: TestDatabase;
const start = workersOf(() => database);
beforeAll(async () => {
  database = await testDatabase('installation_jobs');
});
afterAll(() => database.drop());

const CARDS = Object.values(modules).flatMap((card) => Object.entries(('jobs' in card ? card.jobs : undefined) ?? {}));

test('what the cards have on a schedule, or run across tenants, says so', () => {
  const kinds = CARDS.filter(([, { installation }]) => installation !== true).map(([kind]) => kind);
  expect(CARDS.length).toBeGreaterThan(5);
  expect(kinds).toEqual(['jobs.redrive']);
});

test('enqueued by a tenant they fail for good and are not run; of the system tenant they run', async () => {
  const ran: (string | undefined)[] = [];
  const kind = 'of.all';
  start(async () => {}, { others: { [kind]: { summary: 'test', installation: true, handler: async (run) => void ran.push(run.tenantId) } } });
  const enqueue = (tenantId: string): Promise<string> => database.plinth.transaction({ tenantId }, (tx) => Promise.resolve(tx.jobs.enqueue(kind)));
  const refused = [await enqueue(database.tenantA), await enqueue(database.tenantB)];
  const own = await enqueue(SYSTEM_TENANT);
  const read = async (ids: string[]) =>
    (await database.admin.query('select status, attempts, error from plinth.background_jobs where id = any ($1)', [ids])).rows;
  await expect.poll(() => read([own])).toMatchObject([{ status: 'completed' }]);
  const failed = { status: 'failed', attempts: 1, error: `JobFailure: jobs of kind ${kind} serve the whole installation and are not run for a tenant` };
  await expect.poll(() => read(refused)).toEqual([failed, failed]);
  expect(ran).toEqual([undefined]);
});

test('that holds for every one of the cards', async () => {
  const definitions = definitionsOf(
    modules,
    () => true,
    {},
    async () => {},
  );
  for (const [kind, { installation }] of CARDS) {
    if (!installation) continue;
    const run = { kind, tenantId: database.tenantA } as Parameters<NonNullable<(typeof definitions)[string]>['handler']>[0];
    await expect(definitions[kind]?.handler(run)).rejects.toThrow(`jobs of kind ${kind} serve the whole installation`);
  }
});
