import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { modules } from '#registry';
import { testDatabase } from '#testing/database.ts';
import type { Page, PageAsk } from './records.ts';
import { createRecords } from './records.ts';

const database = await testDatabase('records');
const { plinth, tenantA, tenantB } = database;
const records = createRecords(modules);
const story = '0192f7e0-aaaa-7bbb-8ccc-ddddeeeeffff';
afterAll(() => database.drop());

const inTenant = <T>(tenantId: string, body: Parameters<typeof plinth.transaction<T>>[1]): Promise<T> => plinth.transaction({ tenantId, readOnly: true }, body);
const page = (q: string, ask: Omit<PageAsk, 'q'> = {}, tenantId = tenantA): Promise<Page> =>
  inTenant(tenantId, (tx) => records.page(tx, 'audit', 'entries', { q, ...ask }));
const actions = async (q: string, tenantId = tenantA): Promise<unknown[]> => (await page(q, { limit: 200 }, tenantId)).rows.map((row) => row.action);
const everything = () => true;

beforeAll(async () => {
  for (const [tenantId, count] of [
    [tenantA, 30],
    [tenantB, 5],
  ] as const) {
    for (let n = 0; n < count; n++) {
      await plinth.transaction({ tenantId, actor: { type: 'user', id: n % 2 ? 'odd' : 'even' }, ...(n === 7 ? { correlationId: story } : {}) }, async (tx) => {
        tx.audit.record({
          action: `order.${n % 3 === 0 ? 'created' : 'paid_100%'}`,
          entityType: 'order',
          entityId: String(n),
          severity: n === 3 ? 'critical' : 'info',
        });
      });
    }
  }
});

describe('every list of every card', () => {
  const all = Object.entries(modules as Record<string, { lists?: object }>).flatMap(([module, card]) =>
    Object.keys(card.lists ?? {}).map((list) => [module, list] as const),
  );

  test('there are lists', () => expect(all.length).toBeGreaterThan(5));

  test.each(all)('%s/%s reads a view that has its columns, its filters, tenant_id and id', async (module, list) => {
    const [meta] = (await inTenant(tenantA, (tx) => records.index(tx, everything, everything))).filter((one) => one.module === module && one.list === list);
    const columns = await inTenant(tenantA, (tx) => records.columns(tx, module, list));
    expect(columns).toEqual(expect.arrayContaining(['id', 'tenant_id', ...(meta?.columns.map(({ name }) => name) ?? ['?']), ...(meta?.filters ?? ['?'])]));
  });

  test('offer the actions that the caller may do, each by the permission of its procedure', async () => {
    const offered = async (mayDo: (permission: string) => boolean) =>
      (await inTenant(tenantA, (tx) => records.index(tx, everything, mayDo))).flatMap((meta) => meta.actions.map(({ procedure }) => procedure));
    const whole = await offered(everything);
    expect(whole).toEqual(expect.arrayContaining(['access.keys.revoke', 'jobs.cancel', 'webhooks.disable']));
    expect(await offered(() => false), 'every action asks for one').toEqual([]);
    expect(await offered((permission) => permission !== 'access.admin')).toEqual(whole.filter((procedure) => procedure !== 'access.keys.revoke'));
  });

  test.each(all)('%s/%s can be paged, counted and filtered by each of its filters', async (module, list) => {
    const [meta] = (await inTenant(tenantA, (tx) => records.index(tx, everything, everything))).filter((one) => one.module === module && one.list === list);
    for (const filter of [...(meta?.filters ?? []).map((name) => `${name}:*`), '-id:*', 'since:1h']) {
      const found = await inTenant(tenantA, (tx) => records.page(tx, module, list, { q: filter, count: true }));
      expect(found.count?.rows, filter).toBeGreaterThanOrEqual(found.rows.length);
    }
  });

  test.each(all)('%s/%s lets nobody page into another tenant', async (module, list) => {
    const { rows } = await inTenant(tenantB, (tx) => records.page(tx, module, list, { allColumns: true, limit: 200 }));
    for (const row of rows) expect(row.tenant_id).toBe(tenantB);
  });
});

describe('pages', () => {
  test('come newest first, without gaps or repetitions, while rows come in', async () => {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const found: Page = await page('', { limit: 7, cursor });
      seen.push(...found.rows.map(({ id }) => id));
      cursor = found.nextCursor ?? undefined;
      if (seen.length < 20) await plinth.transaction({ tenantId: tenantA }, async (tx) => void tx.audit.record({ action: 'late.arrived' }));
    } while (cursor);
    expect(seen).toEqual([...seen].sort().reverse());
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toHaveLength(30);
    await database.admin.query(
      `alter table plinth_audit.entries disable trigger user; delete from plinth_audit.entries where action = 'late.arrived'; alter table plinth_audit.entries enable trigger user`,
    );
  });

  test('the last page has no cursor, also when it is full', async () => {
    expect(await page('', { limit: 30 })).toMatchObject({ nextCursor: null });
    expect((await page('', { limit: 29 })).nextCursor).not.toBeNull();
  });

  test('across tenants come newest first too, each row once, also where two tenants share an id', async () => {
    const shared = plinth.newId();
    const member = (tenantId: string, id: string) => database.admin.query('insert into plinth_access.users (tenant_id, id) values ($1, $2)', [tenantId, id]);
    for (const tenantId of [tenantA, tenantB]) {
      for (const id of ['ann', 'bob', 'cy']) await member(tenantId, id);
      await plinth.transaction({ tenantId }, (tx) =>
        tx.query(`insert into plinth_audit.entries (tenant_id, id, action) values ($1, $2, 'twin.born')`, [tenantId, shared]),
      );
    }
    for (const [module, list, expected] of [
      ['audit', 'entries', 37],
      ['access', 'users', 6],
    ] as const) {
      for (const limit of [1, 4, 100]) {
        const seen: string[] = [];
        let cursor: string | undefined;
        do {
          const found: Page = await plinth.asReader({}, (tx) => records.page(tx, module, list, { limit, cursor }));
          seen.push(...found.rows.map((row) => `${row.id} ${row.tenant_id}`));
          cursor = found.nextCursor ?? undefined;
        } while (cursor);
        expect(seen).toEqual(module === 'audit' ? [...seen].sort().reverse() : [...seen].sort());
        expect(new Set(seen).size, `${module}/${list} by ${limit}`).toBe(expected);
        expect(seen).toHaveLength(expected);
      }
    }
    await database.admin.query(
      `alter table plinth_audit.entries disable trigger user; delete from plinth_audit.entries where action = 'twin.born'; alter table plinth_audit.entries enable trigger user`,
    );
    await expect(plinth.asReader({}, (tx) => records.page(tx, 'audit', 'entries', { cursor: 'x' }))).rejects.toMatchObject({ status: 400 });
  });

  test('counts stop at 1,000', async () => {
    await plinth.transaction({ tenantId: tenantB }, async (tx) => {
      for (let n = 0; n < 1001; n++) tx.audit.record({ action: 'bulk.done' });
    });
    expect(await page('action:bulk.done', { count: true, limit: 1 }, tenantB)).toMatchObject({ count: { rows: 1000, capped: true } });
    expect(await page('', { count: true, limit: 1 })).toMatchObject({ count: { rows: 30, capped: false } });
  });
});

describe('filters', () => {
  test.each([
    ['action:order.created', 10],
    ['-action:order.created', 20],
    ['action:order.created,order.paid_100%', 30],
    ['action:order.*', 30],
    ['action:order.paid_100%', 20],
    ['action:order.paid_1*', 20],
    ['action:order.paid%', 0],
    ['action:"order.created" actor_id:even', 5],
    ['severity:critical', 1],
    ['entity_type:order entity_id:7', 1],
    [`correlation_id:${story}`, 1],
    ['correlation_id:*', 30],
    ['since:1h', 30],
    ['since:1h until:2020-01-01', 0],
    ['until:2020-01-01', 0],
    ['ip:*', 0],
    ['-ip:*', 30],
    ['-severity:critical -action:order.created', 20],
  ])('%s finds %i', async (q, expected) => {
    expect((await actions(q)).length).toBe(expected);
  });

  test('ids can be written whole, in part and without dashes', async () => {
    const [row] = (await page('entity_id:7')).rows;
    const id = row?.id ?? '';
    for (const q of [id, id.replaceAll('-', ''), `id:${id}`, `id:${id.slice(0, 20)}*`, id.slice(0, 30)])
      expect(
        (await page(q)).rows.map((one) => one.id),
        q,
      ).toContain(id);
    expect((await page(id, {}, tenantB)).rows).toEqual([]);
  });

  test.each([
    ['nothing:1', /no filter nothing/],
    ['before:1', /no filter before/],
    ['action>1', /neither a number nor a time/],
    ['correlation_id:x', /is a UUID/],
    ['shoe', /neither an id/],
    ['xact:1', /no filter xact/],
    ['action:a since:soon', /is no time/],
    ['severity>a,b', /takes one value/],
  ])('%s is refused, with the filters there are', async (q, message) => {
    await expect(page(q)).rejects.toThrow(message);
    await expect(page(q)).rejects.toMatchObject({ code: 'kernel_filter_invalid', status: 400 });
  });

  test('a time range reads the partitions of that time and no others', async () => {
    const plan = await inTenant(tenantA, async (tx) => {
      const seen: string[] = [];
      const spy = {
        ...tx,
        context: tx.context,
        query: async (text: string, values?: readonly unknown[]) => {
          if (!text.includes('pg_attribute')) seen.push(JSON.stringify(await tx.query(`explain (format json) ${text}`, values)));
          return tx.query(text, values);
        },
      } as typeof tx;
      await records.page(spy, 'audit', 'entries', { q: 'since:1h' });
      return seen.join();
    });
    const partitions = new Set(plan.match(/entries_\d{4}_\d{2}/g));
    expect(partitions.size).toBeGreaterThan(0);
    // now, the next months that are made ahead, but none of the past
    const past = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() - 1, 1)).toISOString().slice(0, 7).replace('-', '_');
    expect([...partitions].filter((name) => name <= `entries_${past}`)).toEqual([]);
  });
});

describe('the search', () => {
  const find = (q: string, tenantId = tenantA) => inTenant(tenantId, (tx) => records.find(tx, q, everything));

  test('finds a record by id, by the start of it, by correlation id and by entity', async () => {
    const [row] = (await page('entity_id:7')).rows;
    const id = row?.id ?? '';
    for (const q of [id, id.replaceAll('-', '').toUpperCase(), story, story.slice(0, 13), 'order:7']) {
      expect(await find(q), q).toContainEqual(
        expect.objectContaining({ module: 'audit', list: 'entries', id, tenantId: tenantA, correlationId: story, title: 'order.paid_100%' }),
      );
    }
    expect((await find(id.slice(0, 8))).length).toBeGreaterThan(0);
  });

  test('finds nothing of another tenant', async () => {
    const [row] = (await page('entity_id:7')).rows;
    expect(await find(row?.id ?? '', tenantB)).toEqual([]);
    expect(await find(story, tenantB)).toEqual([]);
    expect(await find('order:20', tenantB)).toEqual([]);
  });

  test('operators find it without naming the tenant', async () => {
    const hits = await plinth.asReader({}, (tx) => records.find(tx, story, everything));
    expect(hits).toMatchObject([{ tenantId: tenantA }]);
  });

  test('asks only the lists that may be read, and shrugs at nonsense', async () => {
    expect(await inTenant(tenantA, (tx) => records.find(tx, story, (module) => module !== 'audit'))).toEqual([]);
    for (const q of ['', 'x', '%', "';--", '\0\0', ':', 'a:', ':a', '%%%%%%%%', 'x'.repeat(5000)]) expect(await find(q), q.slice(0, 20)).toEqual([]);
  });
});
