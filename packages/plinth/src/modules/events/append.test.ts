/** Appending: what is promised of versions, keys and several streams, through the transaction and through SQL. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import type { Plinth, Tx } from '../../index.ts';
import type { Append, AppendOptions } from './append.ts';
import { appendNow, MOST_APPENDED } from './append.ts';
import type { ExpectedVersion } from './row.ts';

let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;

beforeAll(async () => {
  database = await testDatabase('append');
  plinth = database.plinth;
  a = database.tenantA;
  b = database.tenantB;
});
afterAll(() => database.drop());

const asTenant = <T>(tenantId: string, body: (tx: Tx) => Promise<T>): Promise<T> => plinth.transaction({ tenantId }, body);
const order = (id: string) => ({ type: 'order', id });
const noted = (...notes: (string | number)[]) => notes.map((n) => ({ type: 'order.noted', data: { n } }));
const now = (tenantId: string, appends: Append[], options?: AppendOptions) => asTenant(tenantId, (tx) => appendNow(tx, appends, options));
const versions = (tenantId: string, id: string): Promise<[number, unknown][]> =>
  asTenant(tenantId, async (tx) =>
    (await tx.query<{ version: string; payload: { n: unknown } }>(`select version, payload from plinth.get_aggregate_events('order', $1)`, [id])).map(
      (row): [number, unknown] => [Number(row.version), row.payload.n],
    ),
  );

describe('an append', () => {
  test('of several events gives them the next versions, in their order', async () => {
    expect((await now(a, [{ stream: order('batch'), events: noted('x', 'y'), expectedVersion: 'none' }])).events.map(({ version }) => version)).toEqual([1, 2]);
    await asTenant(a, async (tx) => {
      const ids = tx.events.append(order('batch'), noted('z', 'w'), { expectedVersion: 2 });
      expect(new Set(ids).size).toBe(2);
    });
    expect(await versions(a, 'batch')).toEqual([
      [1, 'x'],
      [2, 'y'],
      [3, 'z'],
      [4, 'w'],
    ]);
    expect(await versions(b, 'batch')).toEqual([]);
  });

  test('leaves with its transaction, and an error at COMMIT names it', async () => {
    await expect(
      asTenant(a, async (tx) => {
        tx.events.append(order('gone'), noted(1, 2));
        await tx.flush();
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await now(a, [{ stream: order('gone'), events: noted(3), expectedVersion: 'none' }]);
    await expect(
      asTenant(a, async (tx) => {
        tx.events.append(order('fine'), noted(1));
        tx.events.append(order('gone'), noted(4, 5), { expectedVersion: 7 });
      }),
    ).rejects.toMatchObject({
      status: 409,
      detail: { effect: 'events.append("order:gone")', effect_index: 1, effect_code: 'events_version_conflict', expected: 7, actual: 1 },
    });
    expect(await versions(a, 'fine')).toEqual([]);
    expect(await versions(a, 'gone')).toEqual([[1, 3]]);
  });

  test('is checked against the schemas of its types, also in SQL', async () => {
    await asTenant(a, (tx) => tx.query(`select plinth.define_event_type('order.typed', '{"type":"object","required":["n"]}')`));
    const bad = [{ type: 'order.typed', data: { n: 1 } }, { type: 'order.typed' }];
    const second = { code: 'events_payload_rejected', detail: { event_index: 1 }, message: expect.stringMatching(/event 2 of/) };
    await expect(now(a, [{ stream: order('typed'), events: bad }])).rejects.toMatchObject(second);
    const sql = (events: object) => asTenant(a, (tx) => tx.query(`select * from plinth.append_events('typed', 'order', $1)`, [JSON.stringify(events)]));
    const all = [
      { aggregate_type: 'order', aggregate_id: 'checked', expected_version: 'none' },
      { aggregate_type: 'order', aggregate_id: 'typed', events: [{ event_type: 'order.typed', payload: { n: 1 } }, { event_type: 'order.typed' }] },
    ];
    await expect(asTenant(a, (tx) => tx.query('select * from plinth.append_to_streams($1)', [JSON.stringify(all)]))).rejects.toMatchObject(second);
    all[1]?.events?.splice(1);
    expect(await asTenant(a, (tx) => tx.query('select version from plinth.append_to_streams($1)', [JSON.stringify(all)]))).toEqual([{ version: '1' }]);
    expect(await errorCode(sql([{ event_type: 'order.typed', payload: { n: 1 }, type_version: 4 }]))).toBe('events_type_unknown');
    expect(await sql([{ event_type: 'order.typed', payload: { n: 1 } }])).toMatchObject([{ version: '2', duplicate: false }]);
    await asTenant(a, (tx) => tx.query(`select plinth.define_event_type('order.typed', '{"type":"object","required":["n"]}', 'warn')`));
    await sql([{ event_type: 'order.typed' }]);
    expect(await asTenant(a, (tx) => tx.query('select fault from plinth.event_schema_warnings'))).toEqual([{ fault: 'the payload must have n' }]);
  });

  test('that makes no sense is refused where it is asked for', async () => {
    const refused = (appends: unknown, options?: AppendOptions) => errorCode(asTenant(a, async (tx) => tx.events.appendAll(appends as Append[], options)));
    for (const appends of [
      [],
      [{ stream: order('x'), events: [] }],
      [{ stream: order('x'), events: [], expectedVersion: 'none' }],
      [{ events: noted(1) }],
      [{ stream: { type: 'order', id: '' }, events: noted(1) }],
      [{ stream: order('x'), events: [{ type: 'a b' }] }],
      [{ stream: order('x'), events: [{ data: {} }] }],
      [{ stream: order('x'), events: noted(1), expectedVersion: 1.5 }],
      [{ stream: order('x'), events: noted(1), expectedVersion: -1 }],
      [{ stream: order('x'), events: Array.from({ length: MOST_APPENDED + 1 }, () => ({ type: 'x' })) }],
    ])
      expect(await refused(appends)).toBe('events_event_invalid');
    expect(await refused([{ stream: order('x'), events: noted(1) }], { idempotencyKey: '' })).toBe('events_event_invalid');
    expect(await errorCode(asTenant(a, async (tx) => tx.events.expect(order('x'), 'any' as 'none')))).toBe('events_event_invalid');
    const sql = (appends: unknown) => errorCode(asTenant(a, (tx) => tx.query('select * from plinth.append_to_streams($1)', [JSON.stringify(appends)])));
    const events = [{ event_type: 'x' }];
    for (const appends of [
      null,
      {},
      [],
      [1],
      [[{ aggregate_type: 'order', aggregate_id: 'x', events }]],
      [{ aggregate_type: 'order', aggregate_id: 'x' }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events, expectedVersion: 3 }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events: [{ event_type: 'x', data: { lost: true } }] }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events: {} }],
      [{ aggregate_type: 'order', events }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events: [{ event_type: 'a b' }] }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events: [{ event_type: 'x', payload: [] }] }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events, expected_version: 'some' }],
      [{ aggregate_type: 'order', aggregate_id: 'x', events, expected_version: 1.5 }],
      [
        { aggregate_type: 'order', aggregate_id: 'x', events },
        { aggregate_type: 'order', aggregate_id: 'y' },
      ],
    ])
      expect([appends, await sql(appends)]).toEqual([appends, 'events_event_invalid']);
  });
});

describe('an expected version', () => {
  const matrix: [at: number, expected: ExpectedVersion, passes: boolean][] = [
    [0, 'any', true],
    [0, 'none', true],
    [0, 'exists', false],
    [0, 0, true],
    [0, 1, false],
    [2, 'any', true],
    [2, 'none', false],
    [2, 'exists', true],
    [2, 0, false],
    [2, 1, false],
    [2, 2, true],
    [2, 3, false],
  ];
  const number = { any: null, none: 0, exists: -1 };
  const told = (expected: ExpectedVersion, at: number): unknown =>
    expect.stringMatching(
      expected === 'exists'
        ? /does not exist$/
        : expected === 'none' || expected === 0
          ? `exists already, at version ${at}$`
          : `is at version ${at}, not ${expected}$`,
    );
  test.each(matrix)('of a stream at %s that is %s: %s, for one event and for two, in TypeScript and in SQL', async (at, expected, passes) => {
    for (const count of [1, 2]) {
      for (const way of ['transaction', 'sql', 'sql of several'] as const) {
        const id = `${at} ${expected} ${count} ${way}`;
        const events = Array.from({ length: count }, () => ({ event_type: 'order.noted', payload: { n: 'new' } }));
        if (at > 0) await now(a, [{ stream: order(id), events: noted(...Array.from({ length: at }, () => 'old')) }]);
        const append = (): Promise<unknown> => {
          if (way === 'transaction') return now(a, [{ stream: order(id), events: noted(...events.map(() => 'new')), expectedVersion: expected }]);
          const inNumbers = typeof expected === 'number' ? expected : number[expected];
          return asTenant(a, (tx) =>
            way === 'sql'
              ? tx.query(`select * from plinth.append_events($1, 'order', $2, $3)`, [id, JSON.stringify(events), inNumbers])
              : tx.query('select * from plinth.append_to_streams($1)', [
                  JSON.stringify([{ aggregate_type: 'order', aggregate_id: id, expected_version: expected, events }]),
                ]),
          );
        };
        if (passes) await append();
        else
          await expect(append()).rejects.toMatchObject({ code: 'events_version_conflict', status: 409, detail: { actual: at }, message: told(expected, at) });
        expect(await versions(a, id)).toHaveLength(at + (passes ? count : 0));
      }
    }
  });

  test('of one writer among 16 that retry leaves no gap and no duplicate', async () => {
    let conflicts = 0;
    const rounds = 8;
    const client = async (n: number): Promise<void> => {
      for (let done = 0; done < rounds; ) {
        const at = (await versions(a, 'contended')).length;
        const result = await errorCode(
          now(a, [{ stream: order('contended'), events: noted(`${n}.${done}`, `${n}.${done}+`), expectedVersion: at === 0 ? 'none' : at }]),
        );
        if (result === 'no error') done++;
        else {
          expect(result).toBe('events_version_conflict');
          conflicts++;
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, n) => client(n)));
    const rows = await versions(a, 'contended');
    console.log(`16 clients, ${rows.length} events, ${conflicts} conflicts`);
    expect(rows.map(([version]) => version)).toEqual(Array.from({ length: 16 * rounds * 2 }, (_, n) => n + 1));
    expect(new Set(rows.map(([, n]) => n)).size).toBe(rows.length);
    // The two events of one append are next to each other.
    for (let index = 0; index < rows.length; index += 2) expect(rows[index + 1]?.[1]).toBe(`${String(rows[index]?.[1])}+`);
    expect(conflicts).toBeGreaterThan(0);
  });
});

describe('an append to several streams', () => {
  test('is all or nothing, and what was only checked holds', async () => {
    await now(a, [{ stream: order('limit'), events: noted('limit') }]);
    const done = await now(a, [
      { stream: order('left'), events: noted(1, 2), expectedVersion: 'none' },
      { stream: order('limit'), events: [], expectedVersion: 1 },
      { stream: order('right'), events: noted(1) },
      { stream: order('left'), events: noted(3), expectedVersion: 2 },
    ]);
    expect(done.events.map(({ stream, version }) => `${stream.id}@${version}`)).toEqual(['left@1', 'left@2', 'right@1', 'left@3']);
    const fails = (appends: Append[]) => errorCode(now(a, [{ stream: order('left'), events: noted('no') }, ...appends]));
    expect(await fails([{ stream: order('limit'), events: [], expectedVersion: 2 }])).toBe('events_version_conflict');
    expect(await fails([{ stream: order('nobody'), events: [], expectedVersion: 'exists' }])).toBe('events_version_conflict');
    expect(await fails([{ stream: order('right'), events: noted(2), expectedVersion: 'none' }])).toBe('events_version_conflict');
    expect(await versions(a, 'left')).toHaveLength(3);
    expect(await versions(a, 'limit')).toHaveLength(1);
  });

  test('that checks that a stream does not exist keeps others from beginning it, and leaves none behind', async () => {
    const events = { stream: order('unique-winner'), events: noted(1) };
    const holder = plinth.transaction({ tenantId: a }, async (tx) => {
      await appendNow(tx, [events, { stream: order('reserved'), events: [], expectedVersion: 'none' }]);
      const rival = errorCode(now(a, [{ stream: order('reserved'), events: noted(1), expectedVersion: 'none' }]));
      await waitsForLock();
      return { rival };
    });
    expect(await (await holder).rival).toBe('no error');
    await asTenant(a, async (tx) => tx.events.expect(order('never'), 'none'));
    expect(await errorCode(asTenant(a, async (tx) => tx.events.expect(order('never'), 'exists')))).toBe('events_version_conflict');
    const streams = await asTenant(a, (tx) => tx.query(`select aggregate_id, version from plinth.event_streams where aggregate_id in ('never', 'reserved')`));
    expect(streams).toEqual([{ aggregate_id: 'reserved', version: '1' }]);
    expect(await asTenant(b, (tx) => tx.query('select from plinth.event_streams'))).toEqual([]);
  });

  test('does not wait for another stream that an open transaction appended to', async () => {
    await plinth.transaction({ tenantId: a }, async (tx) => {
      await appendNow(tx, [{ stream: order('slow'), events: noted(1) }]);
      await Promise.all(['quick-1', 'quick-2'].map((id) => now(a, [{ stream: order(id), events: noted(1) }])));
    });
    expect(await versions(a, 'quick-2')).toHaveLength(1);
  });
});

/** Until some session of this database waits for a lock; at most 20 s. */
async function waitsForLock(): Promise<void> {
  const end = performance.now() + 20_000;
  for (;;) {
    const { rows } = await database.admin.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()`,
    );
    if (rows.length > 0) return;
    if (performance.now() > end) throw new Error('nobody waited for a lock');
  }
}

describe('an idempotency key', () => {
  const both = (n: string): Append[] => [
    { stream: order('pay-left'), events: noted(n, `${n}!`), expectedVersion: 0 },
    { stream: order('pay-watch'), events: [], expectedVersion: 'none' },
    { stream: order('pay-right'), events: noted(n) },
  ];

  test('of an append answers with the same ids and versions again, whatever happened since; other content is refused', async () => {
    const first = await now(a, both('x'), { idempotencyKey: 'pay' });
    expect(first.duplicate).toBe(false);
    await now(a, [
      { stream: order('pay-left'), events: noted('later') },
      { stream: order('pay-watch'), events: noted('later') },
    ]);
    expect(await now(a, both('x'), { idempotencyKey: 'pay' })).toEqual({ ...first, duplicate: true });
    for (const other of [both('y'), both('x').slice(0, 1), [...both('x'), { stream: order('more'), events: noted(1) }]])
      expect(await errorCode(now(a, other, { idempotencyKey: 'pay' }))).toBe('events_idempotency_conflict');
    expect(await errorCode(now(a, [{ stream: order('pay-left'), events: noted('x') }], { idempotencyKey: 'pay' }))).toBe('events_idempotency_conflict');
    expect(await versions(a, 'pay-left')).toHaveLength(3);
    expect((await now(b, both('other content'), { idempotencyKey: 'pay' })).duplicate).toBe(false);
  });

  test('means the same in SQL', async () => {
    const append = (n: number) =>
      asTenant(a, (tx) =>
        tx.query(`select version, event_id, duplicate from plinth.append_events('sql-key', 'order', $1, 0, 'sql-key')`, [
          JSON.stringify([
            { event_type: 'order.noted', payload: { n } },
            { event_type: 'order.noted', payload: { n: 2 } },
          ]),
        ]),
      );
    const first = await append(1);
    expect(first).toMatchObject([
      { version: '1', duplicate: false },
      { version: '2', duplicate: false },
    ]);
    expect(await append(1)).toEqual(first.map((row) => ({ ...row, duplicate: true })));
    expect(await errorCode(append(9))).toBe('events_idempotency_conflict');
    // One event is the same content whichever way it is written.
    const one = await now(a, [{ stream: order('one-key'), events: noted(1) }], { idempotencyKey: 'one-key' });
    const [again] = await asTenant(a, (tx) =>
      tx.query<{ id: string }>(`select plinth.append_event('one-key', 'order', 'order.noted', '{"n":1}', p_idempotency_key := 'one-key') as id`),
    );
    expect(again?.id).toBe(one.events[0]?.id);
  });

  test('of 16 at once writes once, and all get its ids', async () => {
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => now(a, [{ stream: order('raced'), events: noted(1, 2, 3), expectedVersion: 'none' }], { idempotencyKey: 'raced' })),
    );
    expect(new Set(answers.map(({ events }) => JSON.stringify(events))).size).toBe(1);
    expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    expect(await versions(a, 'raced')).toHaveLength(3);
  });

  test('of a conflict names the append among the effects of its transaction', async () => {
    await now(a, [{ stream: order('named'), events: noted(1, 2) }], { idempotencyKey: 'named' });
    await expect(
      asTenant(a, async (tx) => {
        tx.events.append(order('named'), noted(1, 2), { idempotencyKey: 'named' });
        tx.events.append(order('named-too'), noted(1, 2), { expectedVersion: 4 });
      }),
    ).rejects.toMatchObject({ detail: { effect: 'events.append("order:named-too")', effect_code: 'events_version_conflict' } });
  });
});
