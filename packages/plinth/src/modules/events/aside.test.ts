/** What an event that a consumer fails on does to its own tenant, and that it does nothing to the others: two tenants in one shard. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { consumeAside, consumeOnce, consumeParked } from '#kernel/feed.ts';
import type { Consumer, FeedEvent } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';

const FEED = 'plinth_events.events';
let database: TestDatabase;
let plinth: Plinth;
let a: string;
let b: string;
let seen: string[] = [];
let bad = new Set<string>();
const noteOf = (event: FeedEvent): string => String(event.data.note);

const fussy = (more: Partial<Consumer> = {}): Consumer => ({
  summary: 'fussy',
  from: 'now',
  ...more,
  handle: async (_tx, events) => {
    const worst = events.find((event) => bad.has(noteOf(event)));
    if (worst) throw new Error(`cannot handle ${noteOf(worst)}`);
    seen.push(...events.map(noteOf));
  },
});

beforeAll(async () => {
  database = await testDatabase('aside');
  plinth = database.plinth;
  a = database.tenantA;
  const { rows } = await database.admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (id, slug, name) select o.id, 'shard-mate', 'Shard mate' from (select plinth_kernel.uuid_v7() as id from generate_series(1, 500)) as o
     where plinth_kernel.shard_of(o.id) = plinth_kernel.shard_of($1) limit 1 returning id`,
    [a],
  );
  b = rows[0]?.id ?? '';
});
afterAll(() => database.drop());
afterEach(async () => {
  seen = [];
  bad = new Set();
  await database.admin.query(`select plinth_kernel.feed_stop($1, c.consumer) from plinth_kernel.feed_consumers as c where c.consumer like 'test.%'`, [FEED]);
});

const publish = (tenantId: string, ...notes: string[]): Promise<string[]> =>
  plinth.transaction({ tenantId }, async (tx) =>
    notes.map((note) => tx.events.publish('aside.tested', { note }, { stream: { type: 'aside', id: note.split(' ')[0] ?? '' } })),
  );
/** Until the live feed has nothing to read; what is aside stays there. */
async function read(name: string, consumer: Consumer): Promise<void> {
  for (let quiet = 0; quiet < 2; ) quiet = (await consumeOnce(plinth, name, consumer).catch(() => -1)) === 0 ? quiet + 1 : 0;
}
/** Waits are over. */
const later = (name: string) =>
  database.admin.query(`update plinth_events.parked set retry_at = null where consumer = $1 and ended_at is null and retry_at < 'infinity'`, [name]);
const aside = async (name: string) =>
  (
    await database.admin.query<{ note: string; status: string; attempts: number }>(
      `select e.payload ->> 'note' as note, p.status, p.attempts from plinth_events.parked as p join plinth_events.events as e on e.id = p.event_id
       where p.consumer = $1 and p.ended_at is null order by p.position`,
      [name],
    )
  ).rows;
const only = (prefix: string) => seen.filter((note) => note.startsWith(prefix));

describe('an event that a consumer fails on', () => {
  test('stalls no other tenant of its shard; the later events of its own tenant wait for it and come in order', async () => {
    await read('test.blocks', fussy());
    bad.add('a1 bad');
    await publish(a, 'a1 good', 'a1 bad', 'a1 behind');
    await publish(b, 'b1');
    await read('test.blocks', fussy());
    await publish(a, 'a1 later');
    await publish(b, 'b2');
    await read('test.blocks', fussy());
    expect(seen).toEqual(['a1 good', 'b1', 'b2']);
    expect(await aside('test.blocks')).toMatchObject([
      { note: 'a1 bad', status: 'failing', attempts: 2 },
      { note: 'a1 behind', status: 'waiting' },
      { note: 'a1 later', status: 'waiting' },
    ]);
    // Not before its time, and not those behind it.
    expect(await consumeParked(plinth, 'test.blocks', fussy())).toBe(0);
    for (let tries = 0; tries < 3; tries++) {
      await later('test.blocks');
      expect(await consumeParked(plinth, 'test.blocks', fussy())).toBe(0);
    }
    expect((await aside('test.blocks'))[0]).toMatchObject({ status: 'failing', attempts: 5 });
    bad.clear();
    await later('test.blocks');
    expect(await consumeParked(plinth, 'test.blocks', fussy())).toBe(3);
    expect(only('a1')).toEqual(['a1 good', 'a1 bad', 'a1 behind', 'a1 later']);
    // The tenant is live again.
    await publish(a, 'a1 live');
    await read('test.blocks', fussy());
    expect(seen.at(-1)).toBe('a1 live');
    expect(await aside('test.blocks')).toEqual([]);
    const { rows } = await database.admin.query(`select from plinth_kernel.feed_cursors where consumer = 'test.blocks' and aside`);
    expect(rows).toEqual([]);
  });

  test.each<[string, unknown]>([
    ['an error whose text the database cannot hold', new Error('half\0a text')],
    ['what has no text', Object.create(null)],
    ['nothing', undefined],
  ])('stalls nobody by throwing %s', async (what, thrown) => {
    const name = `test.throws ${what}`;
    const consumer: Consumer = {
      ...fussy(),
      handle: async (_tx, events) => {
        if (events.some((event) => noteOf(event).includes('bad'))) throw thrown;
        seen.push(...events.map(noteOf));
      },
    };
    await read(name, consumer);
    await publish(a, 'a9 bad');
    await publish(b, 'b9');
    await read(name, consumer);
    expect(seen).toEqual(['b9']);
    await later(name);
    await consumeParked(plinth, name, consumer);
    expect(await aside(name)).toEqual([{ note: 'a9 bad', status: 'failing', attempts: 3 }]);
  });

  test('is parked after its tries where the consumer wants that, and its tenant goes on; every bad event of a tenant costs the others nothing', async () => {
    const parks = fussy({ onPoison: 'park', attempts: 3 });
    await read('test.parks', parks);
    for (let n = 1; n <= 4; n++) {
      bad.add(`a2 bad ${n}`);
      await publish(a, `a2 bad ${n}`, `a2 good ${n}`);
      await publish(b, `b${n}`);
      await read('test.parks', parks);
      expect(only('b')).toEqual(Array.from({ length: n }, (_, index) => `b${index + 1}`));
    }
    for (let tries = 0; tries < 12; tries++) {
      await later('test.parks');
      await consumeParked(plinth, 'test.parks', parks);
    }
    expect(only('a2')).toEqual([1, 2, 3, 4].map((n) => `a2 good ${n}`));
    expect(await aside('test.parks')).toEqual([1, 2, 3, 4].map((n) => ({ note: `a2 bad ${n}`, status: 'parked', attempts: 3 })));
  });

  test('stops its shard, and puts nothing aside, where the consumer wants that', async () => {
    const stops = fussy({ onPoison: 'stop' });
    await read('test.stops', stops);
    bad.add('a3 bad');
    await publish(a, 'a3 bad');
    await publish(b, 'b3');
    for (let n = 0; n < 4; n++) {
      await consumeOnce(plinth, 'test.stops', stops).catch(() => undefined);
      await database.admin.query(`update plinth_kernel.feed_cursors set retry_at = null where consumer = 'test.stops'`);
    }
    expect(seen).toEqual([]);
    expect(await aside('test.stops')).toEqual([]);
  });

  test('is the fault of the handler when a hundred tenants of a shard fail: then the shard waits', { timeout: 60_000 }, async () => {
    const all = fussy();
    await read('test.outage', all);
    const { rows: many } = await database.admin.query<{ id: string }>(
      `select o.id from (select plinth_kernel.uuid_v7() as id from generate_series(1, 4000)) as o where plinth_kernel.shard_of(o.id) = plinth_kernel.shard_of($1) limit 130`,
      [a],
    );
    await database.admin.query(
      `insert into plinth_events.events (tenant_id, shard, type, payload) select t.id, plinth_kernel.shard_of(t.id), 'aside.tested', '{"note": "outage"}' from unnest($1::uuid[]) as t (id)`,
      [many.map(({ id }) => id)],
    );
    bad.add('outage');
    for (let n = 0; n < 140; n++) await consumeOnce(plinth, 'test.outage', all).catch(() => undefined);
    const held = await aside('test.outage');
    expect(held).toHaveLength(100);
    const { rows } = await database.admin.query(
      `select failures > 0 as failing, retry_at is not null as waits from plinth_kernel.feed_cursors where consumer = 'test.outage' and failures > 0`,
    );
    expect(rows).toEqual([{ failing: true, waits: true }]);
    bad.clear();
    await database.admin.query(`update plinth_kernel.feed_cursors set retry_at = null where consumer = 'test.outage'`);
    await later('test.outage');
    await read('test.outage', all);
    await consumeParked(plinth, 'test.outage', all);
    expect(seen).toHaveLength(130);
  });

  test('and one that hangs in the middle of its tenant leave the order of every stream, once each, whoever tries and reads', { timeout: 120_000 }, async () => {
    const seed = drawnSeed();
    const random = seeded(seed);
    const moody: Consumer = {
      ...fussy({ batchSize: 7 }),
      handle: async (tx, events) => {
        if (random() < 0.25) throw new Error(`moody, seed ${seed}`);
        for (const event of events) await tx.query('insert into aside.effects (tenant_id, note) values ($1, $2)', [event.tenantId, noteOf(event)]);
      },
    };
    await database.admin.query(
      'create schema aside; create table aside.effects (n bigserial, tenant_id uuid, note text); grant usage on schema aside to plinth_worker; grant insert on aside.effects to plinth_worker; grant usage on sequence aside.effects_n_seq to plinth_worker',
    );
    await read('test.moody', { ...moody, handle: async () => {} });
    const total = 120;
    let done = false;
    const writing = async (tenantId: string): Promise<void> => {
      for (let n = 0; n < total; n++) await publish(tenantId, `s${n % 3} ${n}`);
    };
    const running = async (turn: () => Promise<unknown>): Promise<void> => {
      while (!done) await turn().catch(() => undefined);
    };
    const writers = Promise.all([writing(a), writing(b)]);
    const loops = [
      ...[1, 2].map(() => running(() => consumeOnce(plinth, 'test.moody', moody))),
      ...[1, 2].map(() => running(() => consumeAside(plinth, 'test.moody', moody))),
      running(() => later('test.moody')),
    ];
    try {
      await writers;
      await expect
        .poll(async () => (await database.admin.query<{ n: number }>('select count(*)::int as n from aside.effects')).rows[0]?.n, { timeout: 60_000 })
        .toBe(2 * total);
    } finally {
      done = true;
      await Promise.all(loops);
    }
    const { rows } = await database.admin.query<{ tenant_id: string; stream: string; notes: number[] }>(
      `select tenant_id, split_part(note, ' ', 1) as stream, array_agg(split_part(note, ' ', 2)::int order by n) as notes from aside.effects group by 1, 2`,
    );
    expect(rows, `seed ${seed}`).toHaveLength(6);
    for (const { notes } of rows) expect(notes, `seed ${seed}`).toEqual([...notes].sort((one, other) => one - other));
    for (const { notes } of rows) expect(new Set(notes).size, `seed ${seed}`).toBe(total / 3);
  });
});

test('what a tenant gives up in a transaction that it leaves open keeps nobody else waiting, nor a rewind for long', { timeout: 60_000 }, async () => {
  const name = 'test.held';
  await read(name, fussy());
  bad = new Set(['a1 bad', 'b1 bad']);
  await publish(a, 'a1 bad', 'a1 behind', 'a1 last');
  await publish(b, 'b1 bad', 'b1 behind');
  await read(name, fussy());
  bad = new Set();
  const [given, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const open = plinth.transaction({ tenantId: a }, async (tx) => {
    await tx.query(
      `select plinth.discard_parked_event(p.id, 'not needed') from plinth.parked_events as p join plinth.event_store as e on e.id = p.event_id
       where p.consumer = $1 and e.payload ->> 'note' = 'a1 last'`,
      [name],
    );
    given.resolve();
    await released.promise;
  });
  await Promise.race([given.promise, open]);
  try {
    await later(name);
    await consumeParked(plinth, name, fussy());
    expect(only('a1')).toEqual(['a1 bad', 'a1 behind']);
    expect(only('b1')).toEqual(['b1 bad', 'b1 behind']);
    const rewound = plinth.asWorker({}, (tx) => tx.query(`select plinth.rewind_consumer($1, 'again', 'beginning')`, [name]));
    await expect(rewound).rejects.toMatchObject({ code: 'kernel_timeout', message: expect.stringContaining(name) });
    const forgotten = plinth.asWorker({}, (tx) => tx.query(`select plinth.forget_consumer($1, 'gone')`, [name]));
    await expect(forgotten).rejects.toMatchObject({ code: 'kernel_timeout' });
  } finally {
    released.resolve();
    await open;
  }
  expect(await aside(name)).toEqual([]);
  await plinth.asWorker({}, (tx) => tx.query(`select plinth.rewind_consumer($1, 'again', 'now')`, [name]));
});
