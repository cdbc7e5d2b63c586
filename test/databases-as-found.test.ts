/** Plinth in a database that others have set up: their settings, their objects in the search path, their publication, their privileges, their pool. */
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createEgress, developmentPolicy } from '../packages/plinth/src/adapters/http/egress.ts';
import { createHandler, createServices, ensureAdminKey } from '../packages/plinth/src/apps/server/index.ts';
import { startWorker } from '../packages/plinth/src/apps/worker/index.ts';
import { createPlinth, type Plinth } from '../packages/plinth/src/index.ts';
import { toPlinthError } from '../packages/plinth/src/kernel/errors.ts';
import { createLog } from '../packages/plinth/src/kernel/log.ts';
import { migrateUp } from '../packages/plinth/src/kernel/migrate/index.ts';
import { maintain } from '../packages/plinth/src/modules/maintenance/index.ts';
import { modules } from '../packages/plinth/src/registry.gen.ts';
import { type EmptyDatabase, emptyDatabase } from '../packages/plinth/src/testing/database.ts';
import { webhookReceiver } from '../packages/plinth/src/testing/webhook-receiver.ts';

let database: EmptyDatabase;
let plinth: Plinth;
let serverUrl: URL;
const tenants: string[] = [];
const log = createLog({ level: 'silent' });
const correlationId = crypto.randomUUID();

const SETTINGS = [
  `datestyle to 'SQL, DMY'`,
  `timezone to 'Asia/Kolkata'`,
  'bytea_output to escape',
  'extra_float_digits to 0',
  'standard_conforming_strings to off',
  'escape_string_warning to off',
  'default_transaction_isolation to serializable',
  'check_function_bodies to off',
  'plan_cache_mode to force_generic_plan',
  'search_path to others, public',
];

/** What somebody may have made beside pg_catalog, and fits a call better than what is there. */
const OTHERS = `create schema others; grant usage on schema others to public;
  do $body$ declare _one text; begin
    foreach _one in array array['format(text, text)', 'format(text, name)', 'format(text, uuid)', 'num_nulls(text)', 'to_jsonb(uuid)', 'concat(text, text)', 'jsonb_build_object(text, uuid)'] loop
      execute 'create function others.' || _one || ' returns text language plpgsql as $$ begin raise exception ''a function of somebody else was called''; end $$';
    end loop; end $body$;
  create type others.uuid as (x integer); create type others.jsonb as (x integer); create type others.timestamptz as (x integer); create table others.pg_class (oid integer)`;

beforeAll(async () => {
  const { serverRole, serverPassword } = inject('plinthTestRun');
  database = await emptyDatabase('as found');
  await database.admin.query(OTHERS);
  await database.admin.query(`create publication everything for all tables; revoke all on database ${database.name} from public`);
  await database.admin.query(`grant connect on database ${database.name} to ${serverRole}`);
  for (const setting of SETTINGS) await database.admin.query(`alter database ${database.name} set ${setting}`);
  await migrateUp({ url: database.url, modules });
  serverUrl = new URL(database.url);
  serverUrl.username = serverRole;
  serverUrl.password = serverPassword;
  plinth = createPlinth({ database: { url: serverUrl.href }, log });
  for (const slug of ['a', 'b']) {
    const [row] = await plinth.asWorker({}, (tx) =>
      tx.query<{ id: string }>('insert into plinth_kernel.tenants (slug, name) values ($1, $1) returning id', [slug]),
    );
    tenants.push(row?.id ?? '');
  }
});
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

test('one transaction becomes audit entry, event, job and a signed webhook, worked on over a pool that others made', async () => {
  const [tenantId = '', other = ''] = tenants;
  const receiver = await webhookReceiver();
  const egress = createEgress({ policy: developmentPolicy });
  // As the driver is mostly given it: the pool hides the password from whoever copies its options.
  const { hostname: host, port, username: user, password, pathname } = serverUrl;
  const pool = new pg.Pool({ host, port: Number(port), user, password: decodeURIComponent(password), database: pathname.slice(1) });
  const shared = createPlinth({ database: pool, log });
  const ran: unknown[] = [];
  const worker = startWorker({
    plinth: shared,
    services: { log, adapters: { egress } },
    pollMs: 100,
    handlers: { 'found.work': { summary: 'notes what it was given', handler: async (run) => void ran.push(run.payload) } },
  });
  try {
    const [made] = await plinth.transaction({ tenantId }, (tx) =>
      tx.query<{ secret: string }>(`select secret from plinth.subscribe('all', '{order.*}', $1)`, [receiver.url]),
    );
    receiver.secrets.push(made?.secret ?? '');
    await plinth.transaction({ tenantId, correlationId, reason: `it's \\ here` }, async (tx) => {
      tx.audit.record({ action: 'order.placed', entityType: 'order', entityId: '1', after: { path: 'a\\b', total: 0.30000000000000004 } });
      tx.events.publish('order.placed', { text: 'zwölf \\ Boxkämpfer' });
      tx.jobs.enqueue('found.work', { path: 'a\\b' });
    });
    await plinth.transaction({ tenantId: other }, async (tx) => {
      await tx.query(
        `select plinth.publish_event('order.placed', '{"of": "b"}'), plinth.schedule_job('found.work', 'in SQL', '{}', p_run_at := now() + interval '1 hour')`,
      );
      await expect(tx.query(`select plinth.send_message('inbox', '{"x": 1}', p_delay := '1 second')`)).resolves.toHaveLength(1);
    });
    await receiver.waitFor(1);
    expect(receiver.received.map(({ verifiedBy, data }) => [verifiedBy, data.data])).toEqual([[[0], { text: 'zwölf \\ Boxkämpfer' }]]);
    await expect.poll(() => ran, { timeout: 20_000 }).toEqual([{ path: 'a\\b' }]);
    const kinds = () =>
      plinth.transaction({ tenantId, readOnly: true }, (tx) => tx.query<{ kind: string; at: Date }>('select kind, at from plinth.trace($1)', [correlationId]));
    await expect
      .poll(async () => (await kinds()).map(({ kind }) => kind).sort(), { timeout: 20_000 })
      .toEqual(['attempt', 'audit', 'delivery attempt', 'event', 'job']);
    for (const { at } of await kinds()) expect(Math.abs(at.getTime() - Date.now())).toBeLessThan(86_400_000);
  } finally {
    await worker.stop({ graceMs: 0 });
    await shared.close();
    await pool.end();
    egress.close();
    await receiver.close();
  }
});

test('a row outside of the partitions, and a pooler that forgets what was prepared, are told as that in whatever language the server speaks', async () => {
  const old = await database.admin
    .query(`insert into plinth_audit.entries (tenant_id, id, action) values ('${tenants[0]}', '00000000-0000-7000-8000-000000000001', 'x')`)
    .catch((error: Error) => Object.assign(error, { message: 'keine Partition der Relation »entries« für die Zeile gefunden' }));
  expect(toPlinthError(old)).toMatchObject({ code: 'kernel_no_partition', status: 422 });
  const gone = await database.admin.query('execute nobody_prepared_this').catch((error: unknown) => error);
  expect(toPlinthError(gone)).toMatchObject({ code: 'kernel_unavailable', wayOut: expect.stringContaining('prepare') });
});

test('times are told over HTTP, in every list', async () => {
  const [tenantId = ''] = tenants;
  const operator = (await ensureAdminKey(plinth)).secret ?? '';
  const handler = createHandler({ plinth, services: { ...createServices(), log } });
  const get = async (path: string) => {
    const headers = { authorization: `Bearer ${operator}`, 'x-plinth-tenant': tenantId, 'x-plinth-reason': 'test' };
    const answer = await handler(new Request(`http://plinth.test/api/v1${path}`, { headers }), { ip: '192.0.2.1' });
    expect([path, answer.status]).toEqual([path, 200]);
    return (await answer.json()) as Record<string, unknown>;
  };
  const iso = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(await get(`/traces/${correlationId}`)).toMatchObject({ rows: expect.arrayContaining([expect.objectContaining({ kind: 'event', at: iso })]) });
  expect(await get('/lists/audit/entries')).toMatchObject({
    rows: expect.arrayContaining([expect.objectContaining({ action: 'order.placed', created_at: iso })]),
  });
  expect(await get('/events/cloudevents')).toBeTruthy();
  expect(await get('/tenants')).toMatchObject({ tenants: expect.arrayContaining([expect.objectContaining({ slug: 'a', created_at: iso })]) });
  await handler.settle();
});

test.each(['daily', 'weekly', 'monthly'] as const)('maintenance: %s', async (task) => {
  const asWorker = ((body: Parameters<Plinth['asWorker']>[1]) => plinth.asWorker({}, body)) as never;
  expect(await maintain({ asWorker, log }, { task })).toMatchObject({ status: 'completed', failures: [] });
});
