import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import type { Tx } from '../index.ts';
import { createPlinth } from '../index.ts';

const database = await testDatabase('transaction_end');
const { tenantA, tenantB, admin } = database;
const logged: { fields: object; message: string }[] = [];
/** One connection: whoever is late meets the next transaction on it. */
const plinth = createPlinth({
  database: { url: database.serverUrl, max: 1 },
  log: { error: (fields, message) => void logged.push({ fields, message }) },
});
beforeAll(() =>
  admin.query('create schema shop; create table shop.notes (text text); grant usage on schema shop to plinth_app; grant all on shop.notes to plinth_app'),
);
afterAll(async () => {
  await plinth.close();
  await database.drop();
});

const insert = (tx: Tx, text: string): Promise<unknown> => tx.query('insert into shop.notes values ($1)', [text]);
const notes = async (): Promise<string[]> => (await admin.query<{ text: string }>('select text from shop.notes order by 1')).rows.map(({ text }) => text);
const count = async (action: string): Promise<number> =>
  (await admin.query<{ n: number }>('select count(*)::int as n from plinth_audit.entries where action = $1', [action])).rows[0]?.n ?? -1;

describe('a transaction that has ended', () => {
  const ways: [string, () => Promise<Tx>][] = [
    ['by COMMIT', () => plinth.transaction({ tenantId: tenantA }, async (tx) => tx)],
    ['by COMMIT of effects', () => plinth.transaction({ tenantId: tenantA }, async (tx) => (tx.audit.record({ action: 'ended' }), tx))],
    ['by an error of its body', () => leaked({}, () => Promise.reject(new Error('mine')))],
    ['by an error of a statement', () => leaked({}, (tx) => tx.query('select 1 / 0'))],
    ['by its time limit', () => leaked({ timeoutMs: 20 }, (tx) => tx.query('select pg_sleep(10)'))],
    ['by being cancelled', () => cancelled()],
    [
      'with the callback of a join',
      () => database.plinth.transaction({ tenantId: tenantB }, (outer) => plinth.join(outer, { tenantId: tenantA }, async (tx) => tx)),
    ],
  ];

  async function leaked(input: object, body: (tx: Tx) => Promise<unknown>): Promise<Tx> {
    let handle: Tx | undefined;
    await plinth
      .transaction({ tenantId: tenantA, ...input }, async (tx) => {
        handle = tx;
        await body(tx);
      })
      .catch(() => {});
    return handle ?? expect.fail('the body did not run');
  }

  function cancelled(): Promise<Tx> {
    const stop = new AbortController();
    return leaked({ signal: stop.signal }, async (tx) => {
      await tx.query('select 1');
      stop.abort(new Error('enough'));
      await tx.query('select 1');
    });
  }

  test.each(ways)("%s takes nothing more, in nobody's transaction", async (_how, end) => {
    const late = await end();
    const ended = { code: 'kernel_transaction_ended', status: 500, wayOut: expect.stringContaining('Await') };
    await plinth.transaction({ tenantId: tenantB }, async (tx) => {
      await tx.query('select 1');
      await expect(insert(late, 'late')).rejects.toMatchObject(ended);
      await expect(late.queryPrepared('select 1')).rejects.toMatchObject(ended);
      await expect(late.flush()).rejects.toMatchObject(ended);
      for (const ask of [
        () => late.audit.record({ action: 'late' }),
        () => late.events.publish('is.late', {}),
        () => late.jobs.enqueue('late'),
        () => late.queue.send('late', {}),
        () => late.signal('late'),
        () => late.afterCommit(() => {}),
      ])
        expect(ask).toThrow(expect.objectContaining(ended));
    });
    expect(await count('late')).toBe(0);
    expect(await notes()).not.toContain('late');
  });

  test('has run what was sent before its end, awaited or not', async () => {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => void insert(tx, 'sent in time'));
    expect(await notes()).toContain('sent in time');
  });

  test('has not lost what was asked for while its last effects were checked: that is refused', async () => {
    const published = Promise.withResolvers<unknown>();
    await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      // Of a type that nobody knows yet, so that COMMIT has to wait for a query.
      tx.events.publish('checked.slowly', {});
      const select = tx.query;
      Object.assign(tx, {
        query: (text: string, values?: readonly unknown[]) => {
          try {
            tx.audit.record({ action: 'too.late' });
            published.resolve('taken');
          } catch (error) {
            published.resolve(error);
          }
          return select(text, values);
        },
      });
    });
    expect(await published.promise).toMatchObject({ code: 'kernel_transaction_ended' });
    expect(await count('too.late')).toBe(0);
  });
});

describe('a hook after COMMIT that throws', () => {
  test('rejects nothing, keeps no other from running, and is logged', async () => {
    const ran: string[] = [];
    const stop = plinth.wake.on('broken', () => {
      throw new Error('a listener broke');
    });
    const result = await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'hooked' });
      tx.signal('broken');
      tx.afterCommit(() => {
        throw new Error('the cache is down');
      });
      tx.afterCommit(async () => {
        throw new Error('the cache is down, later');
      });
      tx.afterCommit(() => void ran.push('last'));
      return tx.context.correlationId;
    });
    stop();
    expect(ran).toEqual(['last']);
    expect(await count('hooked')).toBe(1);
    expect(logged.map(({ fields }) => fields)).toEqual(
      ['a listener broke', 'the cache is down', 'the cache is down, later'].map((message) => ({ err: new Error(message), correlation_id: result })),
    );
  });

  test('does not make a join fail, whose caller would roll back', async () => {
    await database.plinth.transaction({ tenantId: tenantB }, (outer) =>
      plinth.join(outer, { tenantId: tenantA }, async (tx) => {
        tx.audit.record({ action: 'hooked.join' });
        tx.afterCommit(() => {
          throw new Error('no');
        });
      }),
    );
    expect(await count('hooked.join')).toBe(1);
  });
});

describe('an effect', () => {
  const unprepared = createPlinth({ database: { url: database.serverUrl, max: 1, prepare: false } });
  afterAll(() => unprepared.close());

  test.each([
    ['prepared inserts', plinth, 1],
    ['the document, without prepared statements', unprepared, 1],
    ['the document, of many', plinth, 5],
  ])('is what it was when it was asked for, by %s', async (_how, one, times) => {
    const ids: string[] = [];
    await one.transaction({ tenantId: tenantA }, async (tx) => {
      for (let n = 0; n < times; n++) {
        const state = { state: 'paid', at: new Date(0), lines: [{ sku: 'a' }] };
        const complianceFlags = ['gdpr'];
        const deadline = new Date(Date.now() + 3_600_000);
        ids.push(
          tx.audit.record({ action: 'as.asked', before: state, after: state, metadata: state, ...(n % 2 ? { complianceFlags } : {}) }),
          tx.events.publish('as.asked', state, { metadata: state }),
          ...tx.events.append({ type: 'as', id: `${_how} ${n}` }, [
            { type: 'as.asked', data: state },
            { type: 'as.asked', data: state },
          ]),
          tx.jobs.enqueue('as.asked', state, { deadline }),
          ...tx.jobs.enqueueMany('as.asked', [state, state]),
          tx.queue.send('as.asked', state, { headers: state }),
        );
        state.state = 'changed';
        for (const line of state.lines) line.sku = 'changed';
        complianceFlags.push('changed');
        deadline.setTime(0);
      }
    });
    const { rows } = await admin.query<{ value: unknown; flags: string[] | null }>(
      `select value, flags from (
         select id, unnest(array[before, after, metadata]) as value, compliance_flags as flags from plinth_audit.entries
         union all select id, unnest(array[payload, coalesce(metadata, payload)]), null from plinth_events.events
         union all select id, payload, null from plinth_jobs.jobs where deadline is null or deadline > now()
         union all select id, unnest(array[payload, headers]), null from plinth_queue.messages) as written where id = any ($1)`,
      [ids],
    );
    expect(rows).toHaveLength(times * (3 + 2 + 4 + 3 + 2));
    for (const { value, flags } of rows) {
      expect(value).toEqual({ state: 'paid', at: '1970-01-01T00:00:00.000Z', lines: [{ sku: 'a' }] });
      if (flags) expect(flags).toEqual(['gdpr']);
    }
  });

  const loop: Record<string, unknown> = {};
  loop.self = loop;
  test.each<[string, string, (tx: Tx) => unknown]>([
    ['audit.record("order.paid")', 'after', (tx) => tx.audit.record({ action: 'order.paid', after: { total: 10n } })],
    ['audit.record("order.paid")', 'before', (tx) => tx.audit.record({ action: 'order.paid', before: loop })],
    ['events.publish("order.paid")', 'payload', (tx) => tx.events.publish('order.paid', { total: 10n })],
    ['events.append("order:1")', 'metadata', (tx) => tx.events.append({ type: 'order', id: '1' }, [{ type: 'a.b' }, { type: 'order.paid', metadata: loop }])],
    ['jobs.enqueue("order.paid")', 'payload', (tx) => tx.jobs.enqueue('order.paid', { total: 10n })],
    ['jobs.enqueue("order.paid") (job 2 of 2)', 'payload', (tx) => tx.jobs.enqueueMany('order.paid', [{}, loop])],
    ['queue.send("orders")', 'payload', (tx) => tx.queue.send('orders', loop)],
    ['queue.send("orders")', 'headers', (tx) => tx.queue.send('orders', {}, { headers: { total: 10n } })],
  ])('that JSON cannot hold throws where it is asked for: %s, its %s', async (effect, field, ask) => {
    await plinth.transaction({ tenantId: tenantA }, async (tx) => {
      tx.audit.record({ action: 'beside.invalid' });
      expect(() => ask(tx)).toThrow(
        expect.objectContaining({ code: 'kernel_effect_invalid', status: 400, message: expect.stringContaining(effect), detail: { effect, field } }),
      );
    });
    expect(await count('order.paid')).toBe(0);
  });

  test.each([
    ['one', async (tx: Tx) => void tx.audit.record({ action: 'after.failure' })],
    ['one that is checked by a query', async (tx: Tx) => void tx.events.publish('after.failure', {})],
    ['one that is flushed', (tx: Tx) => (tx.audit.record({ action: 'after.failure' }), tx.flush())],
    ['none, but another statement', (tx: Tx) => tx.query('select 1')],
  ])('is not blamed for a failed statement whose error was swallowed: %s', async (_which, then) => {
    const conflict = { code: 'kernel_conflict', status: 409, wayOut: expect.stringContaining('error of the failed statement') };
    const swallowing = async (tx: Tx): Promise<void> => {
      await tx.query('select nonsense').catch(() => {});
      await then(tx);
    };
    await expect(plinth.transaction({ tenantId: tenantA }, swallowing)).rejects.toMatchObject(conflict);
    const joined = database.plinth.transaction({ tenantId: tenantB }, (outer) => plinth.join(outer, { tenantId: tenantA }, swallowing));
    await expect(joined).rejects.toMatchObject(conflict);
    expect(await count('after.failure')).toBe(0);
  });
});
