/**
 * Appends of many transactions at once to the same streams and under the same keys, some of which stay open, are taken back in part or as a whole, repeated, refused or out of
 * time, beside a consumer and folds with snapshots: what is answered is what is there, nothing else is, and everybody reads it once and in order. PLINTH_SEED repeats what is
 * asked for, not who is first; PLINTH_STEPS=200 for a longer run.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Tx } from '../../index.ts';
import type { Fold } from './aggregate.ts';
import { loadAggregate } from './aggregate.ts';
import { appendNow } from './append.ts';

const SEED = drawnSeed();
const STEPS = Number(process.env.PLINTH_STEPS ?? 25);
const ACTORS = 5;
const STREAMS = ['x', 'y', 'z'];

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('append_race');
  // Two calls in a transaction may well wait for each other in a circle.
  await database.admin.query(`alter database ${database.name} set deadlock_timeout = '50ms'`);
  await database.admin.query(
    `create schema race; create table race.seen (n bigserial, id uuid);
     grant usage on schema race to plinth_worker; grant insert on race.seen to plinth_worker; grant usage on sequence race.seen_n_seq to plinth_worker`,
  );
});
afterAll(() => database.drop());

class Undone extends Error {}

interface Written {
  stream: string;
  version: number;
  id: string;
}
interface Said {
  tenantId: string;
  key: string | undefined;
  content: string;
  duplicate: boolean;
  events: Written[];
}

const notes: Fold<{ notes: string[] }> = {
  name: 'race',
  initial: () => ({ notes: [] }),
  reduce: (state, event) => ({ notes: [...state.notes, String(event.data.note)] }),
  snapshotEvery: 3,
};
const consumer: Consumer = {
  summary: 'race',
  from: 'beginning',
  batchSize: 7,
  handle: async (tx, events) => {
    await tx.query('insert into race.seen (id) select id from unnest($1::uuid[]) with ordinality as e (id, nth) order by nth', [events.map(({ id }) => id)]);
  },
};

test(`what many transactions append is there once, as it was answered, and read once and in order (seed ${SEED})`, { timeout: 300_000 }, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const of = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const { plinth, admin, tenantA, tenantB } = database;
  const said: Said[] = [];
  const calls: { key: string; steps: [string, string[]][] }[] = [];
  const counts = new Map<string, number>();
  const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);

  /** One call, by one of the ways in which programs append. */
  const append = async (tx: Tx, tenantId: string, key: string | undefined, steps: [string, string[]][]): Promise<Said> => {
    const content = JSON.stringify(steps);
    const version = async (stream: string): Promise<number> =>
      (await tx.query<{ version: number }>(`select version::int from plinth_events.streams where aggregate_type = 'race' and aggregate_id = $1`, [stream]))[0]
        ?.version ?? 0;
    const expected = random(3) === 0 ? await version(steps[0]?.[0] ?? '') : undefined;
    if (random(2) === 0) {
      const { events, duplicate } = await appendNow(
        tx,
        steps.map(([stream, all], index) => ({
          stream: { type: 'race', id: stream },
          events: all.map((note) => ({ type: 'race.run', data: { note } })),
          ...(index === 0 && expected !== undefined ? { expectedVersion: expected } : {}),
        })),
        { idempotencyKey: key },
      );
      return { tenantId, key, content, duplicate, events: events.map((one) => ({ stream: one.stream.id, version: Number(one.version), id: one.id })) };
    }
    const rows = await tx.query<Written & { duplicate: boolean }>(
      'select aggregate_id as stream, version::int, event_id as id, duplicate from plinth.append_to_streams($1, $2)',
      [
        JSON.stringify(
          steps.map(([stream, all], index) => ({
            aggregate_type: 'race',
            aggregate_id: stream,
            events: all.map((note) => ({ event_type: 'race.run', payload: { note } })),
            ...(index === 0 && expected !== undefined ? { expected_version: expected } : {}),
          })),
        ),
        key ?? null,
      ],
    );
    return { tenantId, key, content, duplicate: rows[0]?.duplicate ?? false, events: rows.map(({ stream, version: at, id }) => ({ stream, version: at, id })) };
  };

  let notesMade = 0;
  const oneCall = (): { key: string | undefined; steps: [string, string[]][] } => {
    if (calls.length > 0 && random(5) === 0) return of(calls.slice(-12));
    const steps = STREAMS.filter(() => random(2) === 0).map((stream): [string, string[]] => [
      stream,
      Array.from({ length: 1 + random(3) }, () => `n${notesMade++}`),
    ]);
    if (random(2) === 0) steps.reverse();
    if (steps.length === 0) steps.push(['x', [`n${notesMade++}`]]);
    if (random(2) === 0) return { key: undefined, steps };
    // At times a key of another call.
    const call = { key: random(8) === 0 && calls.length > 0 ? of(calls).key : `k${calls.length}`, steps };
    calls.push(call);
    return call;
  };
  const step = async (): Promise<void> => {
    const tenantId = of([tenantA, tenantA, tenantB]);
    const isolation = of(['read committed', 'read committed', 'repeatable read', 'serializable'] as const);
    const [undoes, undone, out] = [random(6) === 0, random(8) === 0, random(12) === 0];
    const wanted = Array.from({ length: 1 + random(2) }, oneCall);
    const mine: Said[] = [];
    try {
      await plinth.transaction({ tenantId, isolation }, async (tx) => {
        if (out) await tx.query(`set local statement_timeout = ${1 + random(20)}`);
        if (random(3) === 0) {
          const stream = of(STREAMS);
          const { state, version } = await loadAggregate(tx, { type: 'race', id: stream }, notes);
          expect(state.notes, `seed ${SEED}`).toHaveLength(version);
        }
        for (const { key, steps } of wanted) {
          const undo = undoes && random(2) === 0;
          if (undo) await tx.query('savepoint one');
          const done = await append(tx, tenantId, key, steps);
          // With a snapshot of what is not committed.
          if (random(4) === 0) await loadAggregate(tx, { type: 'race', id: steps[0]?.[0] ?? '' }, notes);
          if (undo) await tx.query('rollback to savepoint one');
          else mine.push(done);
          for (let n = random(4); n > 0; n--) await tx.query('select 1');
        }
        if (undone) throw new Undone();
      });
      said.push(...mine);
      count(`committed ${mine.length}`);
    } catch (error) {
      const code = error instanceof Undone ? 'undone' : await errorCode(Promise.reject(error));
      count(code);
      expect(code, `seed ${SEED}: ${error}`).toMatch(
        /^(undone|events_version_conflict|events_idempotency_conflict|kernel_serialization|kernel_timeout|PL409|40001|40P01|57014)$/,
      );
    }
  };

  let writing = true;
  const reader = async (): Promise<void> => {
    while (writing) await consumeOnce(plinth, 'test.race', consumer);
  };
  const writers = Promise.all(
    Array.from({ length: ACTORS }, async () => {
      for (let n = 0; n < STEPS; n++) await step();
    }),
  ).finally(() => {
    writing = false;
  });
  await Promise.all([writers, reader(), reader()]);
  for (let quiet = 0; quiet < 2; ) quiet = (await consumeOnce(plinth, 'test.race', consumer)) === 0 ? quiet + 1 : 0;
  console.info(JSON.stringify(Object.fromEntries([...counts].sort())));

  const { rows: log } = await admin.query<{ tenant_id: string; id: string; stream: string; version: number; note: string }>(
    `select tenant_id, id, aggregate_id as stream, version::int, payload ->> 'note' as note from plinth_events.events where aggregate_type = 'race' order by position`,
  );
  const byId = new Map(log.map((row) => [row.id, row]));
  const first = said.filter(({ duplicate }) => !duplicate);
  expect(log.map(({ id }) => id).sort(), `seed ${SEED}: what was answered and what is there`).toEqual(
    first.flatMap(({ events }) => events.map(({ id }) => id)).sort(),
  );
  for (const { tenantId, content, events, key, duplicate } of said) {
    const asked = (JSON.parse(content) as [string, string[]][]).flatMap(([stream, all]) => all.map((note) => ({ stream, note })));
    expect(
      events.map(({ id, version }) => ({
        tenant: byId.get(id)?.tenant_id,
        stream: byId.get(id)?.stream,
        note: byId.get(id)?.note,
        version: byId.get(id)?.version === version,
      })),
      `seed ${SEED}, ${key}, ${duplicate}`,
    ).toEqual(asked.map((one) => ({ tenant: tenantId, ...one, version: true })));
  }
  const keys = first.flatMap(({ tenantId, key }) => (key === undefined ? [] : [`${tenantId} ${key}`]));
  expect(new Set(keys).size, `seed ${SEED}: each key once`).toBe(keys.length);
  const { rows: seen } = await admin.query<{ id: string }>('select id from race.seen order by n');
  expect(seen.map(({ id }) => id).sort(), `seed ${SEED}: read once`).toEqual([...byId.keys()].sort());
  for (const tenantId of [tenantA, tenantB])
    for (const stream of STREAMS) {
      const mine = log.filter((row) => row.tenant_id === tenantId && row.stream === stream);
      const inOrder = mine.map((_, index) => index + 1);
      const about = `seed ${SEED}, ${stream}`;
      expect(
        mine.map(({ version }) => version),
        about,
      ).toEqual(inOrder);
      expect(
        seen.flatMap(({ id }) => mine.filter((row) => row.id === id).map(({ version }) => version)),
        about,
      ).toEqual(inOrder);
      const folded = await plinth.transaction({ tenantId }, (tx) => loadAggregate(tx, { type: 'race', id: stream }, notes));
      expect(folded.state.notes, about).toEqual(mine.map(({ note }) => note));
    }
});
