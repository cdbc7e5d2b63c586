import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { createPlinth } from '../index.ts';
import { MOST_EFFECTS } from './effects.ts';
import { toPlinthError, toProblem } from './errors.ts';

const database = await testDatabase('transaction');
const { plinth, tenantA, tenantB, admin } = database;
beforeAll(async () => {
  await admin.query(
    'create schema shop; create table shop.orders (id int primary key); grant usage on schema shop to plinth_app; grant all on shop.orders to plinth_app',
  );
});
afterAll(() => database.drop());

const count = async (action: string): Promise<number> =>
  (await admin.query<{ n: number }>('select count(*)::int as n from plinth_audit.entries where action = $1', [action])).rows[0]?.n ?? -1;
const orders = async (): Promise<number[]> => (await admin.query<{ id: number }>('select id from shop.orders order by 1')).rows.map(({ id }) => id);

describe('plinth.transaction', () => {
  test('commits business row and effects together, under one transaction id', async () => {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'together.audited' });
      await tx.query('insert into shop.orders values ($1)', [1]);
      tx.jobs.enqueue('together', { order: 1 });
    });
    const { rows } = await admin.query(`select count(distinct xact)::int as transactions, array_agg(kind order by kind) as kinds
      from plinth.trace((select correlation_id from plinth_audit.entries where action = 'together.audited'))`);
    expect(rows).toEqual([{ transactions: 1, kinds: ['audit', 'job'] }]);
  });

  test('is READ COMMITTED unless asked otherwise, whatever the default of the database', async () => {
    const byDefault = (level: string) =>
      admin.query(`do $$ begin execute format('alter database %I set default_transaction_isolation = ${level}', current_database()); end $$`);
    await byDefault(`''repeatable read''`);
    const other = createPlinth({ database: { url: database.serverUrl } });
    try {
      const levelOf = (isolation?: 'serializable') =>
        other.transaction({ tenantId: tenantA, isolation }, (tx) => tx.query<{ level: string }>(`select current_setting('transaction_isolation') as level`));
      expect(await levelOf()).toEqual([{ level: 'read committed' }]);
      expect(await levelOf('serializable')).toEqual([{ level: 'serializable' }]);
    } finally {
      await byDefault('default');
      await other.close();
    }
  });

  test('writes nothing when the body throws', async () => {
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query('insert into shop.orders values ($1)', [2]);
      tx.audit.record({ action: 'body.threw' });
      await tx.flush();
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await count('body.threw')).toBe(0);
    expect(await orders()).not.toContain(2);
  });

  test('names the effect that failed and writes neither it nor anything else', async () => {
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query('insert into shop.orders values ($1)', [3]);
      tx.audit.record({ action: 'first.fine' });
      tx.audit.record({ action: 'x'.repeat(201) });
      tx.audit.record({ action: 'third.fine' });
    });
    await expect(failing).rejects.toMatchObject({
      code: 'kernel_effect_failed',
      message: expect.stringMatching(/^Effect 2 of 3, audit.record\("x+"\), failed: /),
      detail: { effect_index: 1, effect_code: 'kernel_invalid_input' },
    });
    expect(await count('first.fine')).toBe(0);
    expect(await orders()).not.toContain(3);
  });

  test('does not pretend to commit when a statement had failed and the error was swallowed', async () => {
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query('insert into shop.orders values ($1)', [4]);
      await tx.query('select nonsense').catch(() => {});
    });
    await expect(failing).rejects.toMatchObject({ code: 'kernel_conflict' });
    expect(await orders()).not.toContain(4);
  });

  test("keeps the driver error of the caller's own statements", async () => {
    await expect(plinth.transaction({ tenantId: tenantA }, (tx) => tx.query('insert into shop.orders values (1)'))).rejects.toMatchObject({
      code: '23505',
      constraint: 'orders_pkey',
    });
  });

  test('without a tenant shows no rows and refuses effects with the way out', async () => {
    expect(await plinth.transaction({}, (tx) => tx.query('select count(*)::int as n from plinth.audit_logs'))).toEqual([{ n: 0 }]);
    const failing = plinth.transaction({}, async (tx) => void tx.audit.record({ action: 'nobody.there' }));
    await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', status: 400, wayOut: expect.stringContaining('tenantId') });
  });

  test('tells hooks and wakes only after COMMIT', async () => {
    const heard: string[] = [];
    const stop = plinth.wake.on('jobs', () => heard.push('signal'));
    await plinth
      .transaction({ tenantId: tenantA }, async (tx) => {
        tx.jobs.enqueue('rolled.back', {});
        tx.afterCommit(() => heard.push('hook'));
        await tx.flush();
        throw new Error('no');
      })
      .catch(() => {});
    expect(heard).toEqual([]);
    await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.jobs.enqueue('committed', {});
      tx.afterCommit(() => heard.push('hook'));
    });
    stop();
    expect(heard.sort()).toEqual(['hook', 'signal']);
  });

  test('bounds what it holds back', async () => {
    const failing = plinth.transaction({ tenantId: tenantA }, async (tx) => {
      for (let i = 0; i <= MOST_EFFECTS; i++) tx.audit.record({ action: 'too.many' });
    });
    await expect(failing).rejects.toThrow(/flush/);
  });

  test('asReader sees every tenant and writes nothing; asWorker sees only what cards allow', async () => {
    await plinth.transaction({ tenantId: tenantB }, async (tx) => void tx.audit.record({ action: 'seen.by.reader' }));
    expect(await plinth.asReader({}, (tx) => tx.query(`select count(*)::int as n from plinth.audit_logs where action = 'seen.by.reader'`))).toEqual([{ n: 1 }]);
    await expect(plinth.asReader({}, (tx) => tx.query('insert into shop.orders values (9)'))).rejects.toMatchObject({ code: '42501' });
    await expect(plinth.asWorker({}, (tx) => tx.query('select 1 from plinth_audit.entries'))).rejects.toMatchObject({ code: '42501' });
  });

  test('holds no transaction open on the server before its first statement', async () => {
    const states = async (): Promise<string[]> =>
      (await admin.query<{ state: string }>(`select state from pg_stat_activity where application_name = 'lazy begin'`)).rows.map(({ state }) => state);
    const url = new URL(database.serverUrl);
    url.searchParams.set('application_name', 'lazy begin');
    const lazy = createPlinth({ database: new pg.Pool({ connectionString: url.href, max: 1 }) });
    const failing = lazy.transaction({ tenantId: tenantA }, async (tx) => {
      expect(await states()).toEqual(['idle']);
      expect(await tx.query(`select current_setting('plinth.tenant_id') as tenant`)).toEqual([{ tenant: tenantA }]);
      expect(await states()).toEqual(['idle in transaction']);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await states()).toEqual(['idle']);
    await lazy.transaction({ tenantId: tenantA }, async (tx) => {
      expect(await states()).toEqual(['idle']);
      tx.audit.record({ action: 'begun.late' });
    });
    expect(await count('begun.late')).toBe(1);
    await lazy.pool.end();
  });

  test('a thousand transactions leave no connection behind', async () => {
    await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        plinth.transaction({ tenantId: tenantA }, (tx) => tx.query(i % 10 === 0 ? 'select 1 / 0' : 'select 1')).catch(() => {}),
      ),
    );
    expect(plinth.pool.totalCount - plinth.pool.idleCount).toBe(0);
  });
});

describe('effects by prepared inserts', () => {
  const oneConnection = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
  afterAll(async () => {
    await Promise.all([oneConnection.close(), unprepared.close()]);
  });

  test('write the same row as the document does, whatever is given or left out', async () => {
    const correlationId = '018f0000-0000-7000-8000-0000000000cc';
    const rows: unknown[] = [];
    for (const one of [oneConnection, unprepared]) {
      const contexts = [
        { tenantId: tenantA, correlationId },
        {
          tenantId: tenantA,
          correlationId,
          causationId: correlationId,
          requestId: 'r-1',
          reason: 'asked',
          ip: '::1',
          userAgent: "it's \\ me",
          actor: { type: 'user', id: 'ana' },
        },
      ] as const;
      const ids: string[] = [];
      for (const context of contexts)
        for (const entry of [
          { action: 'same.row' },
          {
            action: 'same.row',
            entityType: 'order',
            entityId: "o'1",
            before: null,
            after: { a: 'ü "\u2028', b: [1, null] },
            severity: 'warning',
            reason: 'why',
            metadata: {},
            parentId: correlationId,
          },
          { action: 'same.row', complianceFlags: ['gdpr', 'a "b"'] },
        ] as const)
          await one.transaction(context, async (tx) => void ids.push(tx.audit.record(entry)));
      const { rows: written } = await admin.query('select * from plinth_audit.entries where id = any ($1) order by id', [ids]);
      expect(written).toHaveLength(6);
      rows.push(written.map(({ id: _id, xact: _xact, created_at: _at, ...rest }) => rest));
    }
    expect(rows[0]).toEqual(rows[1]);
  });

  test('those of several modules are written by one statement, and the one that failed is named', async () => {
    const write = (type: string): Promise<void> =>
      oneConnection.transaction({ tenantId: tenantA }, async (tx) => {
        tx.audit.record({ action: 'of.several' });
        tx.events.append({ type: 'order', id: 'several' }, [{ type, data: { text: type } }]);
        tx.jobs.enqueue('of.several');
      });
    await write('of.several');
    await expect(write(`of.${'x'.repeat(190)}.y`)).resolves.toBeUndefined();
    const tooLarge = oneConnection.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'of.several' });
      tx.events.publish('of.several', { text: 'x'.repeat(1_100_000) });
      tx.jobs.enqueue('of.several');
    });
    await expect(tooLarge).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect_index: 1, effect: 'events.publish("of.several")' } });
    expect(await count('of.several')).toBe(2);
    const { rows } = await oneConnection.pool.query(`select name from pg_prepared_statements where name like 'plinth_audit%'`);
    expect(rows).toContainEqual({ name: 'plinth_audit+events_alone+jobs' });
    const written = `select (select count(*) from plinth_events.events where aggregate_id = 'several')::int as events, (select count(*) from plinth_jobs.jobs where kind = 'of.several')::int as jobs`;
    expect((await admin.query(written)).rows).toEqual([{ events: 2, jobs: 2 }]);
  });

  test('a failed one is named, rolls back, and the connection writes the next', async () => {
    const failing = oneConnection.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query('insert into shop.orders values ($1)', [40]);
      tx.audit.record({ action: '' });
    });
    await expect(failing).rejects.toMatchObject({ code: 'kernel_effect_failed', detail: { effect_index: 0, effect_code: 'kernel_invalid_input' } });
    expect(await orders()).not.toContain(40);
    await oneConnection.transaction({ tenantId: tenantB }, async (tx) => void tx.audit.record({ action: 'after.failure' }));
    expect(await count('after.failure')).toBe(1);
  });

  test('of a transaction that sends nothing else see its role, tenant and limits, which leave with them in one message; elsewhere its whole context', async () => {
    await admin.query(`create table shop.seen (role text, settings text[]); grant insert on shop.seen to plinth_app, plinth_worker;
      create function shop.see() returns trigger language plpgsql as $$ begin
        insert into shop.seen select current_user, array_agg(current_setting(name, true))
          from unnest('{plinth.tenant_id,plinth.actor_id,plinth.reason,plinth.roles,plinth.ip,statement_timeout,synchronous_commit,transaction_isolation}'::text[]) as name;
        return null; end $$;
      create trigger see after insert on plinth_audit.entries for each row when (new.action = 'seen.settings') execute function shop.see()`);
    const reason = `it's \\ "so"`;
    const given = { actor: { type: 'user', id: 'ana' }, reason, roles: ['a', 'b'], ip: '::1' } as const;
    const inputs = [
      { tenantId: tenantA },
      { tenantId: tenantA, ...given, timeoutMs: 5_000, durable: false },
      { tenantId: tenantB, isolation: 'serializable' },
      { tenantId: tenantB, ...given, isolation: 'serializable' },
    ] as const;
    for (const input of inputs) await oneConnection.transaction(input, async (tx) => void tx.audit.record({ action: 'seen.settings' }));
    const { rows } = await admin.query('select * from shop.seen');
    await admin.query('drop trigger see on plinth_audit.entries');
    const [durable] = (await admin.query<{ synchronous_commit: string }>('show synchronous_commit')).rows;
    const unset = ['', '', ''];
    const whole = ['ana', reason, 'a,b', '::1'];
    expect(rows.map(({ role, settings }) => [role, ...settings.map((value: string | null) => value ?? '')])).toEqual([
      ['plinth_app', tenantA, '', ...unset, '0', durable?.synchronous_commit, 'read committed'],
      ['plinth_app', tenantA, '', ...unset, '5s', 'off', 'read committed'],
      ['plinth_app', tenantB, 'plinth', ...unset, '0', durable?.synchronous_commit, 'serializable'],
      ['plinth_app', tenantB, ...whole, '0', durable?.synchronous_commit, 'serializable'],
    ]);
    const after = await oneConnection.pool.query(`select current_user::text as role, nullif(current_setting('plinth.reason', true), '') as reason`);
    expect(after.rows).toEqual([{ role: new URL(database.serverUrl).username, reason: null }]);
  });

  test('are not written in a role that the connection may not take, and the connection goes on', async () => {
    const record = (role?: string): Promise<void> =>
      oneConnection.transaction({ tenantId: tenantA, role }, async (tx) => void tx.audit.record({ action: 'in.a.role' }));
    for (const role of ['plinth_owner', 'nobody_at_all', '"Quoted"']) await expect(record(role)).rejects.toThrow();
    await record();
    expect(await count('in.a.role')).toBe(1);
  });

  test('come back after somebody dropped the prepared statements of the connection', async () => {
    await oneConnection.pool.query('deallocate all');
    const audited = (): Promise<void> => oneConnection.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'deallocated' }));
    await audited().catch(() => {});
    await audited();
    expect(await count('deallocated')).toBeGreaterThan(0);
  });

  test('cannot be written for another tenant than that of the transaction', async () => {
    const forged = oneConnection.transaction({ tenantId: tenantA }, async (tx) => {
      await tx.query(`set local plinth.tenant_id = '${tenantB}'`);
      tx.audit.record({ action: 'forged.tenant' });
    });
    await expect(forged).rejects.toThrow();
    expect(await count('forged.tenant')).toBe(0);
  });
});

describe('a prepared query', () => {
  const oneConnection = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
  afterAll(async () => {
    await Promise.all([oneConnection.close(), unprepared.close()]);
  });
  const text = 'select id::text as id, o.* from shop.orders as o where id = $1';
  const read = (of: typeof oneConnection): Promise<unknown[]> => of.transaction({ tenantId: tenantA }, (tx) => tx.queryPrepared(text, [-1]));
  const kept = async (of: typeof oneConnection): Promise<number> =>
    (await of.pool.query('select from pg_prepared_statements where statement = $1', [text])).rowCount ?? 0;

  test('stays on its connection, where it may', async () => {
    for (const one of [oneConnection, unprepared]) for (let time = 0; time < 3; time++) expect(await read(one)).toEqual([]);
    expect([await kept(oneConnection), await kept(unprepared)]).toEqual([1, 0]);
  });

  test.each([
    ['somebody dropped it', () => oneConnection.pool.query('deallocate all')],
    ['a migration changed what it returns', () => admin.query('alter table shop.orders add column if not exists note text')],
  ])('costs one failure and its connection after %s', async (_what, happens) => {
    await read(oneConnection);
    await happens();
    await expect(read(oneConnection)).rejects.toThrow();
    expect(await read(oneConnection)).toEqual([]);
    expect(await kept(oneConnection)).toBe(1);
  });
});

describe('a look', () => {
  const oneConnection = createPlinth({ database: { url: database.serverUrl, max: 1 } });
  const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
  afterAll(async () => {
    await Promise.all([oneConnection.close(), unprepared.close()]);
  });

  test.each([
    ['as one message', oneConnection],
    ['where nothing may stay prepared', unprepared],
  ])('is a read-only transaction of plinth_worker with settings of its own, %s', async (_how, one) => {
    const text = `select $1::text as given, $2::text as nothing, current_user::text as role, current_setting('transaction_read_only') as ro,
      current_setting('enable_sort') as sort, current_setting('statement_timeout') as most`;
    const looked = () => one.lookAsWorker({ text, values: ['x', null], settings: { enable_sort: 'off' }, timeoutMs: 1_234 });
    for (let time = 0; time < 2; time++)
      expect(await looked()).toEqual([{ given: 'x', nothing: null, role: 'plinth_worker', ro: 'on', sort: 'off', most: '1234ms' }]);
    const { rows } = await one.pool.query(
      `select current_user::text as role, current_setting('enable_sort') as sort, pg_current_xact_id_if_assigned() as xact`,
    );
    expect(rows).toMatchObject([{ sort: 'on', xact: null }]);
    expect(rows[0].role).not.toBe('plinth_worker');
  });

  test.each([
    ['as one message', oneConnection],
    ['where nothing may stay prepared', unprepared],
  ])('that fails leaves its connection usable, %s', async (_how, one) => {
    await expect(one.lookAsWorker({ text: 'select 1 / $1::int as n', values: ['0'] })).rejects.toMatchObject({ code: '22012' });
    await expect(one.lookAsWorker({ text: 'select pg_sleep($1::int)', values: ['5'], timeoutMs: 20 })).rejects.toMatchObject({ code: '57014' });
    await expect(one.lookAsWorker({ text: 'delete from plinth_kernel.tenants where slug = $1', values: ['x'] })).rejects.toThrow();
    expect(await one.lookAsWorker({ text: 'select $1::int as n', values: ['7'] })).toEqual([{ n: 7 }]);
    await one.pool.query('deallocate all');
    await one.lookAsWorker({ text: 'select $1::int as n', values: ['7'] }).catch(() => {});
    expect(await one.lookAsWorker({ text: 'select $1::int as n', values: ['8'] })).toEqual([{ n: 8 }]);
  });
});

describe('errors', () => {
  test("become problem details without a stack, a cause or another tenant's values", async () => {
    const error = await plinth.transaction({ tenantId: tenantA }, (tx) => tx.query('insert into shop.orders values (1)')).catch(toPlinthError);
    expect(toProblem(error as ReturnType<typeof toPlinthError>, 'c')).toEqual({
      type: '/docs/errors/kernel_conflict',
      status: 409,
      code: 'kernel_conflict',
      title: 'It conflicts with what is stored',
      detail: 'It conflicts with what is stored. Read the current state and try again.',
      way_out: 'Read the current state and try again.',
      correlation_id: 'c',
      constraint: 'orders_pkey',
    });
  });

  test.each([
    ['42501', 'kernel_forbidden', 403],
    ['22P02', 'kernel_invalid_input', 400],
    ['40001', 'kernel_serialization', 409],
    ['08006', 'kernel_unavailable', 503],
    ['53100', 'kernel_unavailable', 503, 'The disk of the database is full'],
    ['53300', 'kernel_unavailable', 503, 'Every connection of the database is taken'],
    ['53400', 'kernel_timeout', 504, expect.stringContaining('temp_file_limit')],
    ['58030', 'kernel_unavailable', 503, 'The database could not read or write a file'],
    ['54000', 'kernel_invalid_input', 400],
    ['25006', 'kernel_read_only', 503],
    ['57014', 'kernel_timeout', 504],
    ['XX000', 'kernel_internal', 500],
  ])('SQLSTATE %s is %s', (code, expected, status, message = expect.any(String)) => {
    expect(toPlinthError(Object.assign(new Error('x'), { code }))).toMatchObject({ code: expected, status, message });
  });
});
