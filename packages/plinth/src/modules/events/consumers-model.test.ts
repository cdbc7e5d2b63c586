/**
 * Consumers of the feed against what is promised of them: whatever fails, dies, is put aside, given up, paused and rewound while transactions stay open, every committed event is, for
 * each consumer, done once, aside, unread or passed over by somebody's word; never two of these, and never none. PLINTH_RUNS=100 for a long run, PLINTH_SEED to repeat one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toPlinthError, unavailable } from '#kernel/errors.ts';
import { consumeAside, consumeTurn } from '#kernel/feed.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { Consumer } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';

const SEED = drawnSeed();
const ROUNDS = drawnRuns(1);
const STEPS = 40;
const FEED = 'plinth_events.events';

let database: TestDatabase;
let processes: Plinth[];
let tenants: string[];
beforeAll(async () => {
  database = await testDatabase('consumers_model');
  const { admin, tenantA, tenantB, plinth } = database;
  const { rows } = await admin.query<{ id: string }>(
    `insert into plinth_kernel.tenants (id, slug, name) select o.id, 'shard-mate', 'Shard mate' from (select plinth_kernel.uuid_v7() as id from generate_series(1, 500)) as o
     where plinth_kernel.shard_of(o.id) = plinth_kernel.shard_of($1) limit 1 returning id`,
    [tenantA],
  );
  tenants = [tenantA, tenantB, rows[0]?.id ?? ''];
  processes = [plinth, createPlinth({ database: { url: database.serverUrl } })];
  await admin.query(
    `create schema model; create table model.effects (n bigserial primary key, consumer text, event_id uuid, shard smallint, position bigint); create index on model.effects (consumer, event_id);
     grant usage on schema model to plinth_worker; grant insert, select, delete on model.effects to plinth_worker; grant usage on sequence model.effects_n_seq to plinth_worker`,
  );
});
afterAll(async () => {
  await processes[1]?.close();
  await database.drop();
});

interface Event {
  id: string;
  position: string;
  tenant_id: string;
  stream: string | null;
  version: string | null;
  note: string;
  done: string[];
  open: string[];
  unread: boolean;
}

/** A transaction of the first tenant that has published and goes on until it is told. */
async function leftOpen(): Promise<{ id: string; commit(): Promise<unknown> }> {
  const [begun, ended] = [Promise.withResolvers<string>(), Promise.withResolvers<void>()];
  const work = database.plinth.transaction({ tenantId: tenants[0] ?? '' }, async (tx) => {
    const id = tx.events.publish('model.tested', { note: 'open' });
    await tx.flush();
    begun.resolve(id);
    await ended.promise;
  });
  const id = await Promise.race([begun.promise, work.then(() => '')]);
  return { id, commit: () => (ended.resolve(), work) };
}
const publish = (count: number): Promise<string[]> =>
  database.plinth.transaction({ tenantId: tenants[0] ?? '' }, async (tx) =>
    Array.from({ length: count }, () => tx.events.publish('model.tested', { note: 'x' })),
  );
/** One event at a time, into `seen`. */
const oneByOne = (seen: string[]): Consumer => ({
  summary: 'reads',
  from: 'now',
  batchSize: 1,
  handle: async (_tx, events) => void seen.push(...events.map(({ id }) => id)),
});

test('what commits behind the place that a consumer has reached waits for it, also in the middle of what it reads', async () => {
  const seen: string[] = [];
  const name = 'model.middle';
  await consumeTurn(database.plinth, name, oneByOne(seen));
  const open = await leftOpen();
  const [first] = await publish(2);
  await consumeTurn(database.plinth, name, oneByOne(seen));
  expect(seen).toEqual([first]);
  await open.commit();
  const { rows } = await database.admin.query(
    'select waiting::int, (select created_at from plinth.events where id = $2) = oldest_waiting_at as oldest from plinth.consumers where consumer = $1',
    [name, open.id],
  );
  expect(rows).toEqual([{ waiting: 2, oldest: true }]);
});

test('what commits while a consumer is being rewound ahead of it is not passed over', async () => {
  const seen: string[] = [];
  const name = 'model.crossing';
  const { admin, plinth } = database;
  // The rewind asks for events that it would pass over, and stands still while it does.
  await admin.query(`create function model.stand() returns boolean language plpgsql as $$ begin perform pg_advisory_xact_lock_shared(4711); return true; end $$;
    grant usage on schema model to public; create policy model_stand on plinth_events.events as restrictive for select using (model.stand())`);
  await consumeTurn(plinth, name, oneByOne(seen));
  const open = await leftOpen();
  const [last = ''] = await publish(1);
  await consumeTurn(plinth, name, oneByOne(seen));
  expect(seen).toEqual([last]);
  const client = await admin.connect();
  try {
    const { rows } = await client.query<{ position: string }>('select position from plinth_events.events where id = $1', [last]);
    await client.query('select pg_advisory_lock(4711)');
    const rewound = plinth.asWorker({}, (tx) => tx.query(`select plinth.rewind_consumer($1, 'x', p_position := $2)`, [name, rows[0]?.position]));
    await expect.poll(async () => (await client.query(`select from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`)).rowCount).toBe(1);
    await open.commit();
    await client.query('select pg_advisory_unlock(4711)');
    await rewound;
  } finally {
    await open.commit();
    client.release(true);
    await admin.query('drop policy model_stand on plinth_events.events');
  }
  for (let n = 0; n < 3; n++) await consumeTurn(plinth, name, oneByOne(seen));
  expect(seen).toEqual([last, open.id]);
});

const EVENTS = `select e.id, e.position, e.tenant_id, e.aggregate_type || ':' || e.aggregate_id as stream, e.version, e.payload ->> 'note' as note,
    coalesce((select array_agg(f.n::text) from model.effects as f where f.consumer = $2 and f.event_id = e.id), '{}') as done,
    coalesce((select array_agg(p.status) from plinth_events.parked as p where p.consumer = $2 and p.event_id = e.id and p.tenant_id = e.tenant_id and p.ended_at is null), '{}') as open,
    plinth_kernel.feed_unread(e.xact, e.position, w.s1, w.s2, w.last, w.above, w.up_to) as unread
  from plinth_events.events as e join plinth_kernel.feed_windows($1) as w on w.shard = e.shard and w.consumer = $2 order by e.position`;

/** One consumer, and what somebody said about its events. */
class Reader {
  readonly name: string;
  readonly consumer: Consumer;
  /** Passed over or given up. */
  readonly dropped = new Set<string>();
  /** Handled apart from their stream. */
  readonly apart = new Set<string>();
  paused = false;
  constructor(name: string, consumer: Consumer) {
    this.name = name;
    this.consumer = consumer;
  }
}

class World {
  readonly readers: Reader[];
  readonly bad = new Set<string>();
  readonly opened: { end(how: 'commit' | 'rollback'): Promise<unknown> }[] = [];
  readonly seen = new Map<string, number>();
  readonly #random: () => number;
  readonly #round: number;
  #notes = 0;
  log: string[] = [];

  constructor(round: number) {
    this.#round = round;
    this.#random = seeded(SEED + round);
    const handle = async (tx: AnyTransaction, events: Parameters<Consumer['handle']>[1], name: string): Promise<void> => {
      const mood = this.#random();
      for (const event of events) {
        if (mood > 0.5 && this.bad.has(String(event.data.note))) throw new Error(`cannot handle ${event.data.note}`);
        await tx.query('insert into model.effects (consumer, event_id, shard, position) values ($1, $2, plinth_kernel.shard_of($3), $4)', [
          name,
          event.id,
          event.tenantId,
          event.position,
        ]);
      }
      const worst = events.find((event) => this.bad.has(String(event.data.note)));
      if (worst) throw new Error(`cannot handle ${worst.data.note}`);
      if (mood < 0.04) throw unavailable('test');
      if (mood < 0.08) await tx.query(`select 1 / 0`);
      if (mood < 0.1)
        await database.admin.query('select pg_terminate_backend($1)', [(await tx.query<{ pid: number }>('select pg_backend_pid() as pid'))[0]?.pid]);
    };
    const reader = (kind: string, more: Partial<Consumer>): Reader => {
      const name = `model.${kind}${round}`;
      return new Reader(name, { summary: kind, from: 'now', batchSize: 1 + this.draw(6), ...more, handle: (tx, events) => handle(tx, events, name) });
    };
    this.readers = [reader('block', { onPoison: 'block' }), reader('park', { onPoison: 'park', attempts: 2 }), reader('stop', { onPoison: 'stop' })];
  }

  draw = (below: number): number => Math.floor(this.#random() * below);
  chance = (of: number): boolean => this.#random() < of;
  pick<T>(from: readonly T[]): T {
    return from[this.draw(from.length)] as T;
  }
  say = (what: string): number => this.log.push(what);
  where = (): string => `seed ${SEED} round ${this.#round}: ${this.log.slice(-25).join('; ')}`;

  async start(): Promise<void> {
    for (const { name } of this.readers)
      await database.plinth.asWorker({}, (tx) => tx.query('select plinth_kernel.feed_start($1, $2, $3)', [FEED, name, 'now']));
    for (const reader of this.readers) for (const event of await this.events(reader)) reader.dropped.add(event.id);
  }

  async events(reader: Reader): Promise<Event[]> {
    return (await database.admin.query<Event>(EVENTS, [FEED, reader.name])).rows;
  }

  /** In a transaction that is left open, streams are of its own: nobody else could append to them meanwhile. */
  async publish(): Promise<void> {
    const tenantId = this.pick(tenants);
    const leaveOpen = this.opened.length < 3 && this.chance(0.4);
    const isolation = this.pick(['read committed', 'repeatable read', 'serializable'] as const);
    const own = this.#notes;
    const events = Array.from({ length: 1 + this.draw(4) }, () => ({ note: `${this.#round}.${++this.#notes}`, stream: this.draw(4) }));
    for (const { note } of events) if (this.chance(0.12)) this.bad.add(note);
    this.say(`publish ${events.map(({ note }) => note)} ${leaveOpen ? 'open' : ''}`);
    const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<'commit' | 'rollback'>()];
    const work = database.plinth.transaction({ tenantId, isolation }, async (tx) => {
      for (const { note, stream } of events) {
        const savepoint = this.chance(0.2);
        if (savepoint) await tx.query('savepoint s');
        tx.events.publish('model.tested', { note }, stream === 0 ? {} : { stream: { type: 'model', id: leaveOpen ? `own${own}-${stream}` : `s${stream}` } });
        await tx.flush();
        if (savepoint && this.chance(0.5)) await tx.query('rollback to savepoint s');
      }
      begun.resolve();
      if (leaveOpen ? (await ended.promise) === 'rollback' : this.chance(0.1)) throw new Error('undone');
    });
    const settled = work.catch((error: Error) => {
      if (error.message !== 'undone') throw error;
    });
    await Promise.race([begun.promise, settled]);
    if (!leaveOpen) return void (await settled);
    this.opened.push({
      end: (how) => {
        ended.resolve(how);
        return settled;
      },
    });
  }

  async end(): Promise<void> {
    const [one] = this.opened.splice(this.draw(this.opened.length), 1);
    const how = this.chance(0.8) ? 'commit' : 'rollback';
    this.say(how);
    await one?.end(how);
  }

  async turn(reader: Reader): Promise<void> {
    this.say(`turn ${reader.name}`);
    const turn = await consumeTurn(this.pick(processes), reader.name, reader.consumer).catch((error: unknown) => this.#mayFail(error));
    if (reader.paused) expect(turn, this.where()).toEqual({ handled: 0 });
  }
  async aside(reader: Reader): Promise<void> {
    this.say(`aside ${reader.name}`);
    const tried = await consumeAside(this.pick(processes), reader.name, reader.consumer).catch((error: unknown) => this.#mayFail(error));
    if (reader.paused) expect(tried, this.where()).toEqual({ tried: 0, handled: 0 });
  }
  #mayFail(error: unknown): void {
    const { code } = toPlinthError(error);
    if (!['kernel_unavailable', 'kernel_serialization'].includes(code)) throw error;
    this.say(`failed ${code}`);
  }
  later = (reader: Reader): Promise<unknown> =>
    Promise.all([
      database.admin.query(`update plinth_kernel.feed_cursors set retry_at = null where consumer = $1 and retry_at is not null`, [reader.name]),
      database.admin.query(`update plinth_events.parked set retry_at = null where consumer = $1 and ended_at is null and retry_at is not null`, [reader.name]),
    ]);

  /** A process takes what is next, and ends. */
  async die(reader: Reader): Promise<void> {
    this.say(`die ${reader.name}`);
    const client = await database.admin.connect();
    try {
      await client.query('begin');
      if (this.chance(0.6)) await client.query('select plinth_kernel.feed_claim($1, $2)', [FEED, reader.name]);
      else
        await client.query(`select from plinth_events.parked where consumer = $1 and ended_at is null order by position limit 1 for update skip locked`, [
          reader.name,
        ]);
    } finally {
      await client.query('rollback');
      client.release();
    }
  }

  asWorker = (text: string, values: unknown[]): Promise<unknown[]> => this.pick(processes).asWorker({}, (tx) => tx.query(text, values));

  async operate(reader: Reader): Promise<void> {
    const { rows } = await database.admin.query<{ id: string; event_id: string; status: string; shard: number }>(
      `select id, event_id, status, shard from plinth_events.parked where consumer = $1 and ended_at is null order by position`,
      [reader.name],
    );
    const one = rows.length > 0 ? this.pick(rows) : undefined;
    const what = this.pick(['retry', 'discard', 'park', 'next', 'retryAll', 'pause'] as const);
    this.say(`${what} ${reader.name} ${one?.event_id.slice(-6)} ${one?.status}`);
    if (what === 'pause') {
      reader.paused = !reader.paused;
      await this.asWorker(reader.paused ? `select plinth.pause_consumer($1, 'x')` : `select plinth.resume_consumer($1, 'x')`, [reader.name]);
    } else if (what === 'retryAll') await this.asWorker(`select plinth.retry_parked_events($1)`, [reader.name]);
    else if (what === 'next') await this.asWorker(`select plinth.park_next_event($1, $2, 'x')`, [reader.name, this.draw(8)]);
    else if (one && what === 'retry' && ['parked', 'failing'].includes(one.status))
      await this.asWorker(`select plinth.retry_parked_events(p_id := $1)`, [one.id]);
    else if (one && what === 'discard') {
      await this.asWorker(`select plinth.discard_parked_event($1, 'x')`, [one.id]);
      reader.dropped.add(one.event_id);
    } else if (one && what === 'park' && one.status === 'failing') await this.asWorker(`select plinth.park_failing_event($1, 'x')`, [one.id]);
  }

  /** What is to be handled again is undone with it. */
  async rewind(reader: Reader, alone: boolean): Promise<void> {
    const before = await this.events(reader);
    const place = this.draw(alone ? 4 : 2);
    const at = before.length > 0 ? Number(this.pick(before).position) : 0;
    const forward = alone && this.chance(0.5);
    const to = place === 0 ? 'beginning' : place === 3 ? 'now' : null;
    this.say(`rewind ${reader.name} ${to ?? at} ${forward ? 'forward' : ''}`);
    const refused = await this.pick(processes)
      .asWorker({}, async (tx) => {
        await tx.query(`select * from plinth.rewind_consumer($1, 'x', p_to := $2, p_position := $3, p_forward := $4)`, [
          reader.name,
          to,
          to ? null : at,
          forward,
        ]);
        if (to !== 'now') await tx.query('delete from model.effects where consumer = $1 and position > $2', [reader.name, to ? 0 : at]);
      })
      .then(
        () => false,
        (error: { code?: string }) => {
          if (!['kernel_rewind_passes', 'kernel_timeout'].includes(error.code ?? '')) throw error;
          return error.code === 'kernel_rewind_passes';
        },
      );
    if (!alone) return void (refused || (to !== 'now' && this.#again(reader, before, to ? 0 : at)));
    const passes = to === null && at > 0 && before.some((event) => event.unread && Number(event.position) <= at);
    expect(refused, `${this.where()}: refused`).toBe(passes && !forward);
    if (refused) return;
    this.#again(reader, before, to === 'now' ? Number.POSITIVE_INFINITY : to ? 0 : at);
    for (const event of before) {
      const held = event.open.some((status) => ['failing', 'waiting'].includes(status));
      if (to === 'now' && (event.unread || held)) reader.dropped.add(event.id);
      if (to === null && event.unread && Number(event.position) <= at) reader.dropped.add(event.id);
    }
  }
  #again(reader: Reader, before: readonly Event[], at: number): void {
    for (const event of before)
      if (Number(event.position) > at) {
        reader.dropped.delete(event.id);
        reader.apart.delete(event.id);
      }
  }

  /** Several at once. */
  async race(reader: Reader): Promise<void> {
    this.say('race');
    const acts: Promise<unknown>[] = [];
    for (let n = 2 + this.draw(4); n > 0; n--) {
      const what = this.draw(8);
      if (what < 3) acts.push(this.turn(reader));
      else if (what < 5) acts.push(this.aside(reader));
      else if (what < 6) acts.push(this.publish());
      else if (what < 7 && this.opened.length > 0) acts.push(this.end());
      else if (what === 7 && acts.length > 0 && !this.log.slice(-n - 6).some((said) => said.startsWith('rewind'))) acts.push(this.rewind(reader, false));
    }
    const done = await Promise.allSettled(acts);
    const failed = done.find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async step(): Promise<void> {
    const reader = this.pick(this.readers);
    const what = this.draw(100);
    if (what < 22) await this.publish();
    else if (what < 30) await (this.opened.length > 0 ? this.end() : this.publish());
    else if (what < 50) await this.turn(reader);
    else if (what < 60) await this.aside(reader);
    else if (what < 66) await this.later(reader);
    else if (what < 71) await this.die(reader);
    else if (what < 83) await this.operate(reader);
    else if (what < 88) await this.rewind(reader, true);
    else if (what < 97) await this.race(reader);
    else this.bad.clear();
    for (const one of this.readers) await this.check(one);
  }

  async check(reader: Reader): Promise<void> {
    const events = await this.events(reader);
    const last = new Map<string, { version: number; n: number }>();
    for (const event of events) {
      for (const status of event.open) if (status === 'parked' || status === 'due') reader.apart.add(event.id);
      const kept = event.done.length + event.open.length + Number(event.unread);
      const say = `${this.where()}: ${reader.name} ${JSON.stringify(event)}`;
      if (kept !== (reader.dropped.has(event.id) ? 0 : 1)) expect.fail(`kept ${kept} times, dropped ${reader.dropped.has(event.id)}; ${say}`);
      const [n] = event.done;
      if (!event.stream || n === undefined || reader.apart.has(event.id)) continue;
      const key = `${event.tenant_id} ${event.stream}`;
      const former = last.get(key);
      if (former && (former.version >= Number(event.version) || former.n >= Number(n))) expect.fail(`out of order; ${say}`);
      last.set(key, { version: Number(event.version), n: Number(n) });
    }
    const count = (of: (event: Event) => boolean): number => events.filter(of).length;
    const { rows } = await database.admin.query('select waiting::int, parked::int, status from plinth.consumers where consumer = $1', [reader.name]);
    const open = (...statuses: string[]) => count((event) => event.open.some((status) => statuses.includes(status)));
    expect(rows[0], this.where()).toMatchObject({ waiting: open('failing', 'waiting') + count((event) => event.unread), parked: open('parked', 'due') });
    if (reader.paused) expect(rows[0].status).toBe('paused');
  }

  /** Nothing is wrong any more: everything is handled. */
  async finish(): Promise<void> {
    for (const one of this.opened.splice(0)) await one.end('commit');
    this.bad.clear();
    for (const reader of this.readers) {
      if (reader.paused) await this.asWorker(`select plinth.resume_consumer($1)`, [reader.name]);
      reader.paused = false;
      for (let n = 0; ; n++) {
        await this.asWorker(`select plinth.retry_parked_events($1)`, [reader.name]);
        await this.later(reader);
        await this.turn(reader);
        await this.aside(reader);
        if (n % 8 !== 7) continue;
        await this.check(reader);
        const left = (await this.events(reader)).filter(({ unread, open }) => unread || open.length > 0);
        if (left.length === 0) break;
        if (n > 500) expect.fail(`${this.where()}: ${reader.name} does not end with ${JSON.stringify(left)}`);
      }
      await this.asWorker('select plinth.forget_consumer($1, $2)', [reader.name, 'done']);
    }
  }
}

test('every event is done once, aside, unread or passed over, whatever happens to its consumer', { timeout: 60_000 * ROUNDS }, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const world = new World(round);
    await world.start();
    for (let step = 0; step < STEPS; step++) await world.step();
    await world.finish();
    await database.admin.query('truncate model.effects');
  }
});
