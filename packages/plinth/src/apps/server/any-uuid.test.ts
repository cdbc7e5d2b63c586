/** Ids that others make: PostgreSQL takes any 128 bits for a UUID, the trace id of OpenTelemetry is random, and tenants have the ids of the application. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

/** Without a version or variant of RFC 9562. */
const TENANT = '11111111-1111-1111-1111-111111111111';
const TRACE = '0af7651916cdf3dd0448eb211c80319c';
const CORRELATION = '0af76519-16cd-f3dd-0448-eb211c80319c';

let server: TestServer;
let key: string;
beforeAll(async () => {
  server = await testServer('any uuid');
  await server.database.admin.query('insert into plinth_kernel.tenants (id, slug, name) values ($1, $2, $3)', [TENANT, 'ones', 'Ones']);
  ({ secret: key } = await server.makeKey(TENANT, ['*']));
});
afterAll(() => server.close());

const traced = { traceparent: `00-${TRACE}-b7ad6b7169203331-01` };
const post = async (path: string, body: unknown): Promise<string> => {
  const answer = await server.call(path, { method: 'POST', key, headers: traced, body });
  expect(answer).toMatchObject({ status: 200, body: { id: expect.any(String) } });
  return (answer.body as { id: string }).id;
};

test('what was written under the trace id of a caller, in a tenant with an id of its own, can be read', async () => {
  const job = await post('/api/v1/jobs', { kind: 'project.greet' });
  const entry = await post('/api/v1/audit/entries', { action: 'project.greeted', entity_type: 'project', entity_id: '7' });
  const event = await post('/api/v1/events', { type: 'project.greeted', data: {}, stream: { type: 'project', id: '7' } });
  for (const path of [`/jobs/${job}`, `/audit/entries/${entry}`, `/events/${event}`])
    expect(await server.call(`/api/v1${path}`, { key })).toMatchObject({ status: 200, text: expect.stringContaining(CORRELATION) });
  const trace = await server.call(`/api/v1/traces/${TRACE}`, { key });
  expect(trace).toMatchObject({ status: 200, body: { correlation_id: CORRELATION, rows: expect.arrayContaining([expect.objectContaining({ id: job })]) } });
  for (const path of ['/me', '/audit/history/project/7', '/events/streams/project/7', '/lists/jobs/jobs', '/keys', '/webhooks/limits', '/maintenance/policies'])
    expect([path, (await server.call(`/api/v1${path}`, { key })).status]).toEqual([path, 200]);
  const tenants = await server.call('/api/v1/tenants', { key: server.operator });
  expect(tenants).toMatchObject({ status: 200, text: expect.stringContaining(TENANT) });
});

test('what is no UUID is refused as one', async () => {
  expect(await server.call('/api/v1/jobs/5', { key })).toMatchObject({ status: 400, text: expect.stringContaining('Invalid UUID') });
});
