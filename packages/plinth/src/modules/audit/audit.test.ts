import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createHandler, createServices, ensureAdminKey } from '#apps/server/index.ts';
import { uuidV7Source } from '#kernel/ids.ts';
import { testDatabase } from '#testing/database.ts';

const database = await testDatabase('audit');
const { plinth, tenantA, tenantB, admin } = database;
afterAll(() => database.drop());

interface Row {
  action: string;
  entity_id: string | null;
  changes: Record<string, { before: unknown; after: unknown }> | null;
}

const rows = <T = Row>(where: string, values: unknown[] = []): Promise<T[]> =>
  admin.query(`select * from plinth.audit_logs where ${where} order by id`, values).then((result) => result.rows as T[]);

/** One statement of the application, as its role, in its tenant. */
const write = (text: string, tenantId = tenantA): Promise<unknown> =>
  plinth.transaction({ tenantId, actor: { type: 'user', id: 'ana' }, reason: 'stock take' }, (tx) => tx.query(text));

describe('log_audit_event', () => {
  test('runs as seed 003 writes it and takes the rest from the context', async () => {
    const [made] = await plinth.transaction({ tenantId: tenantA, actor: { type: 'service', id: 'cron' }, ip: '203.0.113.9', reason: 'audit' }, (tx) =>
      tx.query<{ id: string }>(
        `select plinth.log_audit_event(p_actor_type := 'user', p_actor_identifier := 'u-1', p_action := 'trip_created', p_resource_type := 'trip', p_resource_id := 'trip-123') as id`,
      ),
    );
    const [row] = await rows<Record<string, unknown>>('id = $1', [made?.id]);
    expect(row).toMatchObject({
      tenant_id: tenantA,
      org_id: tenantA,
      actor_type: 'user',
      actor_id: 'u-1',
      action: 'trip_created',
      entity_type: 'trip',
      entity_id: 'trip-123',
      ip: '203.0.113.9',
      reason: 'audit',
      severity: 'info',
      source: 'api',
    });
  });

  test.each([
    ['no action', `p_actor_type := 'user'`, 'audit_entry_invalid'],
    ['a severity that there is not', `p_action := 'x', p_severity := 'INFO'`, 'audit_entry_invalid'],
    ['an id without a type', `p_action := 'x', p_resource_id := '1'`, 'audit_entry_invalid'],
    ['a state that is a list', `p_action := 'x', p_before := '[1]'`, 'audit_entry_invalid'],
    ['a state that is a text', `p_action := 'x', p_after := '"paid"'`, 'audit_entry_invalid'],
  ])('%s is refused with the way out', async (_, args, code) => {
    await expect(write(`select plinth.log_audit_event(${args})`)).rejects.toMatchObject({ code, status: 422, wayOut: expect.stringMatching(/\w/) });
  });

  test('without a tenant it is refused', async () => {
    await expect(plinth.transaction({}, (tx) => tx.query(`select plinth.log_audit_event(p_action := 'x')`))).rejects.toMatchObject({
      code: 'kernel_tenant_required',
    });
  });
});

test.each([{ before: [1] }, { after: 'paid' }])('tx.audit.record refuses %j as a state, and writes nothing', async (state) => {
  const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'odd.state', ...(state as object) }));
  await expect(failing).rejects.toMatchObject({ code: 'audit_entry_invalid' });
  expect(await rows(`action = 'odd.state'`)).toEqual([]);
});

describe('the log is append only', () => {
  beforeAll(() => plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'kept' })));

  test.each(['update plinth_audit.entries set action = $1', 'delete from plinth_audit.entries where action <> $1', 'truncate plinth_audit.entries -- $1'])(
    '%s is refused to the application',
    async (text) => {
      await expect(plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(text.replace('$1', `'x'`)))).rejects.toMatchObject({ code: '42501' });
    },
  );

  const refused = [`update plinth_audit.entries set action = 'x'`, 'delete from plinth_audit.entries', 'truncate plinth_audit.entries'];
  test.each(refused)('%s is refused even to a superuser', async (text) => {
    await expect(admin.query(text)).rejects.toMatchObject({ code: 'PL403', detail: '{"code":"audit_append_only"}' });
    expect(await rows(`action = 'kept'`)).toHaveLength(1);
  });

  test('so is every partition, also one that is made later', async () => {
    await admin.query(`select plinth_kernel.partition_make('plinth_audit.entries', 'month', now() + interval '2 years')`);
    const { rows: partitions } = await admin.query(`select name from plinth_kernel.partition_list('plinth_audit.entries')`);
    expect(partitions.length).toBeGreaterThan(2);
    for (const { name } of partitions)
      await expect(admin.query(`truncate ${name}`), name).rejects.toMatchObject({ code: 'PL403', detail: '{"code":"audit_append_only"}' });
  });
});

describe('audit_table', () => {
  beforeEach(async () => {
    await admin.query(`drop schema if exists shop cascade; create schema shop; grant usage on schema shop to plinth_app;
      create table shop.orders (id int primary key, tenant_id uuid not null, n int, secret text);
      create table shop.lines (order_id int, no int, note json, primary key (order_id, no));
      grant all on all tables in schema shop to plinth_app`);
    await admin.query(`select plinth.audit_table('shop.orders', '{secret}'), plinth.audit_table('shop.lines', p_entity_type := 'order_line')`);
  });
  const captured = async (type: string): Promise<[string, string | null, unknown][]> =>
    (
      await rows(`source = 'capture' and entity_type = $1 and xact > (select coalesce(max(xact), '0') from plinth_audit.entries where action = 'mark')`, [type])
    ).map(({ action, entity_id, changes }) => [action, entity_id, changes]);
  beforeEach(() => plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'mark' })));

  test('records inserts, updates and deletes with their difference, and who and why', async () => {
    await write(`insert into shop.orders values (1, '${tenantA}', 5, 'x')`);
    await write('update shop.orders set n = 6');
    await write('delete from shop.orders');
    expect(await captured('orders')).toEqual([
      ['orders.inserted', '1', expect.objectContaining({ n: { before: null, after: 5 } })],
      ['orders.updated', '1', { n: { before: 5, after: 6 } }],
      ['orders.deleted', '1', expect.objectContaining({ n: { before: 6, after: null } })],
    ]);
    expect(await rows(`action = 'orders.updated' and entity_id = '1'`)).toMatchObject([
      { actor_type: 'user', actor_id: 'ana', reason: 'stock take', tenant_id: tenantA },
    ]);
  });

  test('never shows a redacted column', async () => {
    await write(`insert into shop.orders values (2, '${tenantA}', 1, 'hunter2')`);
    await write(`update shop.orders set secret = 'hunter3', n = 2`);
    await write('delete from shop.orders');
    const found = await rows(`entity_type = 'orders'`);
    expect(JSON.stringify(found)).not.toMatch(/hunter/);
    expect(JSON.stringify(found)).toMatch(/\[redacted\]/);
  });

  test('a statement over many rows writes one entry a row; one that changes nothing writes none', async () => {
    await write(`insert into shop.orders select g, '${tenantA}', g, null from generate_series(10, 29) g`);
    await write('update shop.orders set n = n');
    await write('update shop.orders set n = n + 1 where id < 15');
    const found = await captured('orders');
    expect(found.map(([action]) => action)).toEqual([
      ...Array.from({ length: 20 }, () => 'orders.inserted'),
      ...Array.from({ length: 5 }, () => 'orders.updated'),
    ]);
  });

  test('a changed primary key shows as a delete and an insert; compound keys are joined; truncate is told', async () => {
    await write(`insert into shop.orders values (3, '${tenantA}', 1, null)`);
    await write('update shop.orders set id = 4');
    expect((await captured('orders')).slice(1).sort()).toEqual([
      ['orders.deleted', '3', expect.anything()],
      ['orders.inserted', '4', expect.anything()],
    ]);
    await write(`insert into shop.lines values (1, 2, '{"a": 1}')`);
    await write('truncate shop.lines');
    expect((await captured('order_line')).map(([action, id]) => [action, id])).toEqual([
      ['order_line.inserted', '1,2'],
      ['order_line.truncated', null],
    ]);
  });

  test('a row is named by its key without the tenant, as entries are that the application records', async () => {
    await admin.query(`create table shop.stock (tenant_id uuid, place text, sku text, n int, primary key (tenant_id, place, sku)); create table shop.settings (tenant_id uuid primary key, n int);
      grant all on shop.stock, shop.settings to plinth_app; select plinth.audit_table('shop.stock', p_entity_type := 'item'), plinth.audit_table('shop.settings')`);
    await write(`insert into shop.stock values ('${tenantA}', 'basel', 'a', 1)`);
    await write(`insert into shop.settings values ('${tenantA}', 1)`);
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'item.counted', entityType: 'item', entityId: 'basel,a' }));
    await write(`update shop.stock set sku = 'b'`);
    const history = await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select action from plinth.audit_history('item', 'basel,a')`));
    expect(history).toEqual([{ action: 'item.deleted' }, { action: 'item.counted' }, { action: 'item.inserted' }]);
    expect(await captured('settings')).toMatchObject([['settings.inserted', tenantA, {}]]);
  });

  test('a row has one name and its values all their digits, whatever form the session shows times, bytes and numbers in', async () => {
    await admin.query(`create table readings (tenant_id uuid, at timestamptz, raw bytea, lasted interval, value float8, primary key (tenant_id, at, raw, lasted));
      grant select, insert, update on readings to plinth_app; select plinth.audit_table('readings')`);
    await write(`insert into readings values ('${tenantA}', '2026-11-22T10:00:00Z', '\\x00ff', '1 day 2 hours', 0.30000000000000004)`);
    await write(`set local timezone = 'Asia/Kolkata'; set local datestyle = 'German'; set local intervalstyle = 'iso_8601'; set local bytea_output = 'escape';
      set local extra_float_digits = 0; update readings set value = value * 2`);
    const written = await rows(`entity_type = 'readings'`);
    expect(written.map(({ entity_id }) => entity_id)).toEqual(Array.from({ length: 2 }, () => '2026-11-22 10:00:00+00,\\x00ff,1 day 02:00:00'));
    expect(written[1]?.changes).toEqual({ value: { before: 0.30000000000000004, after: 0.6000000000000001 } });
  });

  test('rolls back with the business write', async () => {
    await expect(
      plinth.transaction({ tenantId: tenantA }, async (tx) => {
        await tx.query(`insert into shop.orders values (5, '${tenantA}', 1, null)`);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    expect(await captured('orders')).toEqual([]);
  });

  test('a row of another tenant cannot be written in by way of capture', async () => {
    await expect(write(`insert into shop.orders values (6, '${tenantB}', 1, null)`)).rejects.toMatchObject({ code: '42501' });
  });

  test('a table without a tenant column needs a tenant in the context', async () => {
    await expect(plinth.transaction({}, (tx) => tx.query(`insert into shop.lines values (9, 9, null)`))).rejects.toMatchObject({
      code: 'kernel_tenant_required',
    });
  });

  test('is listed, can be changed and can be stopped', async () => {
    const list = async (): Promise<unknown[]> =>
      await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select * from plinth.audited_tables where table_name like 'shop.%' order by 1`));
    expect(await list()).toEqual([
      { table_name: 'shop.lines', entity_type: 'order_line', redacted: [], enabled: true },
      { table_name: 'shop.orders', entity_type: 'orders', redacted: ['secret'], enabled: true },
    ]);
    await admin.query(`select plinth.unaudit_table('shop.orders')`);
    expect(await list()).toHaveLength(1);
    await write(`insert into shop.orders values (7, '${tenantA}', 1, null)`);
    expect(await captured('orders')).toEqual([]);
  });

  test('a partition that is captured by itself is listed, so that capture of it can be stopped', async () => {
    await admin.query(`create table shop.stays (id int primary key) partition by range (id); create table shop.stays_1 partition of shop.stays for values from (0) to (9);
      grant all on shop.stays, shop.stays_1 to plinth_app; select plinth.audit_table('shop.stays_1')`);
    await write('insert into shop.stays_1 values (1)');
    expect(await captured('stays_1')).toMatchObject([['stays_1.inserted', '1', {}]]);
    await admin.query(`select plinth.unaudit_table(table_name::regclass) from plinth.audited_tables where table_name like 'shop.stays%'`);
    await write('insert into shop.stays_1 values (2)');
    expect(await captured('stays_1')).toHaveLength(1);
  });

  test('keys of a type that an extension brings are compared by its own operator', async () => {
    await admin.query(`create extension if not exists ltree; create table shop.places (path ltree primary key, n int); grant all on shop.places to plinth_app;
      select plinth.audit_table('shop.places')`);
    await write(`insert into shop.places values ('europe.basel', 1)`);
    await write('update shop.places set n = 2');
    expect(await captured('places')).toEqual([
      ['places.inserted', 'europe.basel', expect.anything()],
      ['places.updated', 'europe.basel', { n: { before: 1, after: 2 } }],
    ]);
  });

  test('virtual generated columns, whose values a trigger does not see, are left out', async ({ skip }) => {
    const { rows: server } = await admin.query<{ version: number }>(`select current_setting('server_version_num')::int as version`);
    if ((server[0]?.version ?? 0) < 180_000) skip('PostgreSQL 18 brought them');
    await admin.query(`create table shop.sums (id int primary key, n int, twice int generated always as (n * 2) virtual, thrice int generated always as (n * 3) stored);
      grant all on shop.sums to plinth_app; select plinth.audit_table('shop.sums')`);
    await write('insert into shop.sums (id, n) values (1, 2)');
    await write('update shop.sums set n = 3');
    expect((await captured('sums'))[1]).toEqual(['sums.updated', '1', { n: { before: 2, after: 3 }, thrice: { before: 6, after: 9 } }]);
    expect(await rows(`entity_type = 'sums' and after ? 'twice'`)).toEqual([]);
  });

  test('tables whose long names begin alike, and a table under the old name of another, are captured each as it was told', async () => {
    const [one, two] = ['a', 'b'].map((end) => `shop.${'n'.repeat(62)}${end}`);
    await admin.query(`create table ${one} (id int primary key, secret text); create table ${two} (code int primary key, secret text);
      grant insert on all tables in schema shop to plinth_app; select plinth.audit_table('${one}', '{secret}', 'one'), plinth.audit_table('${two}', '{}', 'two')`);
    await write(`insert into ${one} values (1, 'hunter2')`);
    await write(`insert into ${two} values (2, 'open')`);
    await admin.query(`alter table shop.lines rename to moved; create table shop.lines (id int primary key, n int);
      grant insert on shop.lines to plinth_app; select plinth.audit_table('shop.lines', '{n}', 'new_line')`);
    await write('insert into shop.moved values (1, 3, null)');
    await write('insert into shop.lines values (7, 5)');
    const seen = [];
    for (const type of ['one', 'two', 'order_line', 'new_line']) seen.push(...(await captured(type)));
    expect(seen.map(([action, id, changes]) => [action, id, (changes as Row['changes'])?.secret?.after ?? (changes as Row['changes'])?.n?.after])).toEqual([
      ['one.inserted', '1', '[redacted]'],
      ['two.inserted', '2', 'open'],
      ['order_line.inserted', '1,3', undefined],
      ['new_line.inserted', '7', '[redacted]'],
    ]);
  });

  test('a table that is captured anew or no longer leaves no function behind', async () => {
    const functions = async (): Promise<number> =>
      (await admin.query(`select from pg_proc where pronamespace = 'shop'::regnamespace and proname like 'plinth_capture%'`)).rows.length;
    await admin.query(`select plinth.audit_table('shop.orders', '{secret,n}')`);
    expect(await functions()).toBe(2);
    await admin.query(`select plinth.unaudit_table('shop.orders'), plinth.unaudit_table('shop.lines'), plinth.unaudit_table('shop.lines')`);
    expect(await functions()).toBe(0);
  });

  const lost = { code: 'audit_redaction_lost', status: 409, wayOut: expect.stringContaining('plinth.audit_table'), detail: { column: 'secret' } };
  test.each([
    ['renamed', 'rename secret to hidden', '{hidden}'],
    ['renamed, with another under its name,', 'rename secret to hidden; alter table shop.orders add secret bytea', '{secret,hidden}'],
    ['dropped', 'drop secret', '{}'],
    ['dropped and added again', 'drop secret; alter table shop.orders add secret text', '{secret}'],
  ])('a redacted column that was %s refuses every write until it is told anew', async (_, change, redact) => {
    await write(`insert into shop.orders values (1, '${tenantA}', 1, 'hunter2')`);
    await admin.query(`alter table shop.orders ${change}`);
    for (const text of [`insert into shop.orders values (2, '${tenantA}', 1)`, 'update shop.orders set n = 2', 'delete from shop.orders'])
      await expect(write(text), text).rejects.toMatchObject(lost);
    await admin.query(`select plinth.audit_table('shop.orders', '${redact}')`);
    await write('update shop.orders set n = 2');
    const found = await captured('orders');
    expect(found.map(([action]) => action)).toEqual(['orders.inserted', 'orders.updated']);
    expect(JSON.stringify(await rows(`entity_type = 'orders'`))).not.toMatch(/hunter/);
  });

  test('a transaction that began before a redacted column was renamed is refused too', async () => {
    await admin.query(`create table shop.other (id int primary key); grant all on shop.other to plinth_app`);
    const late = plinth.transaction({ tenantId: tenantA, isolation: 'repeatable read' }, async (tx) => {
      await tx.query('select from shop.other');
      await admin.query('alter table shop.orders rename secret to hidden');
      await tx.query(`insert into shop.orders values (9, '${tenantA}', 1, 'hunter2')`);
    });
    await expect(late).rejects.toMatchObject(lost);
  });

  test('a restore that numbers columns anew keeps what was told', async () => {
    await admin.query(`alter table shop.orders drop n; select plinth.audit_table('shop.orders', '{secret}')`);
    const restored = (await admin.query(`select t.tgfoid::regproc::text as name from pg_trigger t where tgrelid = 'shop.orders'::regclass limit 1`)).rows[0]
      ?.name;
    // What pg_dump and psql make of it: another oid, columns without gaps, the function word for word.
    await admin.query(`drop trigger plinth_capture_insert on shop.orders; alter table shop.orders rename to before;
      create table shop.orders (id int primary key, tenant_id uuid not null, secret text); grant all on shop.orders to plinth_app;
      create trigger plinth_capture_insert after insert on shop.orders referencing new table as plinth_new for each statement execute function ${restored}()`);
    await write(`insert into shop.orders values (1, '${tenantA}', 'hunter2')`);
    expect(await captured('orders')).toMatchObject([['orders.inserted', '1', { secret: { after: '[redacted]' } }]]);
    await admin.query('alter table shop.orders rename secret to hidden');
    await expect(write(`insert into shop.orders values (2, '${tenantA}', 'hunter2')`)).rejects.toMatchObject(lost);
  });

  test.each([
    ['a view', `create view shop.v as select 1; select plinth.audit_table('shop.v')`],
    ['a table without a primary key', `create table shop.bare (n int); select plinth.audit_table('shop.bare')`],
    ['a column that is not there', `select plinth.audit_table('shop.orders', '{nope}')`],
    ['a tenant column that is not there', `select plinth.audit_table('shop.orders', p_tenant_column := 'tenant')`],
    ['a tenant column that is no uuid', `select plinth.audit_table('shop.orders', p_tenant_column := 'n')`],
    ['a redaction of the key, which would name the row nevertheless,', `select plinth.audit_table('shop.lines', '{note,no}')`],
  ])('%s is refused', async (_, text) => {
    await expect(admin.query(text)).rejects.toMatchObject({ code: 'PL422', detail: '{"code":"audit_table_unsupported"}' });
  });
});

describe('history and API', () => {
  const handler = createHandler({ plinth: plinth as never, services: createServices({ log: { level: 'silent' } }) });
  const post = async (path: string, headers: Record<string, string>, body: unknown): Promise<Record<string, unknown>> => {
    const response = await handler(
      new Request(`http://localhost/api/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    );
    return { status: response.status, ...((await response.json()) as object) };
  };
  let operator: string | undefined;
  const keyOf = async (tenantId: string): Promise<string> => {
    operator ??= (await ensureAdminKey(plinth)).secret;
    const made = await post(
      '/keys',
      { authorization: `Bearer ${operator}`, 'x-plinth-tenant': tenantId, 'x-plinth-reason': 'test' },
      { name: 'test', scopes: ['audit.*'] },
    );
    return String(made.secret);
  };
  const get = async (key: string, path: string): Promise<{ status: number; body: Record<string, unknown> }> => {
    const response = await handler(new Request(`http://localhost/api/v1${path}`, { headers: { authorization: `Bearer ${key}` } }));
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  let keyA: string;
  let keyB: string;
  beforeAll(async () => {
    keyA = await keyOf(tenantA);
    keyB = await keyOf(tenantB);
    await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      const parent = tx.audit.record({ action: 'import.started', entityType: 'import', entityId: 'i-1', complianceFlags: ['gdpr'] });
      for (let i = 0; i < 5; i++)
        tx.audit.record({ action: 'contact.changed', entityType: 'contact', entityId: 'c/1', before: { n: i }, after: { n: i + 1 }, parentId: parent });
    });
  });

  test('pages through the history of an entity, newest first, with differences', async () => {
    const first = await get(keyA, `/audit/history/contact/${encodeURIComponent('c/1')}?limit=3`);
    const second = await get(keyA, `/audit/history/contact/${encodeURIComponent('c/1')}?limit=3&cursor=${String(first.body.next_cursor)}`);
    const changes = [first, second].flatMap(({ body }) => (body.entries as { changes: unknown }[]).map((entry) => entry.changes));
    expect(changes).toEqual([4, 3, 2, 1, 0].map((n) => ({ n: { before: n, after: n + 1 } })));
    expect(second.body.next_cursor).toBeNull();
    const whole = await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(`select from plinth.audit_history('contact', 'c/1', null)`));
    expect(whole).toHaveLength(5);
  });

  test('shows an entry and its parts; to another tenant it is as if it were not there', async () => {
    const [parent] = await rows<{ id: string }>(`action = 'import.started'`);
    const own = await get(keyA, `/audit/entries/${parent?.id}`);
    expect(own).toMatchObject({ status: 200, body: { action: 'import.started', compliance_flags: ['gdpr'] } });
    expect(((await get(keyA, `/audit/entries/${parent?.id}/children`)).body.entries as unknown[]).length).toBe(5);
    const foreign = await get(keyB, `/audit/entries/${parent?.id}`);
    const missing = await get(keyB, '/audit/entries/018f0000-0000-7000-8000-000000000000');
    expect([foreign.status, foreign.body.code]).toEqual([404, missing.body.code]);
    expect((await get(keyB, `/audit/entries/${parent?.id}/children`)).body.entries).toEqual([]);
  });

  test('shows a part whose id was made by a clock that is behind', async () => {
    const parentId = plinth.newId();
    const behind = uuidV7Source({ now: () => Date.now() - 5_000 })();
    await admin.query(
      `insert into plinth_audit.entries (tenant_id, id, action, parent_id) values ($1, $2, 'skewed.whole', null), ($1, $3, 'skewed.part', $2)`,
      [tenantA, parentId, behind],
    );
    expect((await get(keyA, `/audit/entries/${parentId}/children`)).body.entries).toMatchObject([{ action: 'skewed.part' }]);
  });

  test('is listed by compliance flag and by the entry that others are a part of', async () => {
    const listed = async (q: string): Promise<unknown[]> => {
      const { body } = await get(keyA, `/lists/audit/entries?q=${encodeURIComponent(q)}`);
      return (body.rows as { action: string }[]).map(({ action }) => action);
    };
    const [parent] = await rows<{ id: string }>(`action = 'import.started'`);
    expect(await listed('compliance_flags:gdpr')).toEqual(['import.started']);
    expect(await listed('compliance_flags:gdpr entity_type:contact')).toEqual([]);
    expect(await listed(`parent_id:${parent?.id}`)).toEqual(Array.from({ length: 5 }, () => 'contact.changed'));
  });

  test('records over REST with the key as actor', async () => {
    expect(
      await post('/audit/entries', { authorization: `Bearer ${keyA}` }, { action: 'report.exported', entity_type: 'report', entity_id: '7' }),
    ).toMatchObject({ status: 200 });
    expect(await rows(`action = 'report.exported'`)).toMatchObject([{ tenant_id: tenantA, actor_type: 'api_key', entity_id: '7' }]);
  });
});
