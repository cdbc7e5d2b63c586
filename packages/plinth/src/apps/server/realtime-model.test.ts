/**
 * Readers of two server processes that come, go and come back with the id of the last frame that they took, while transactions commit late and in any order or roll
 * back: each hears what it has not heard, once, or is told to begin anew. PLINTH_RUNS=20 for a long run, PLINTH_SEED to repeat one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import type { Handler } from './index.ts';
import { createHandler, createServices } from './index.ts';
import type { Listening, Reader, Told } from './realtime.fixture.ts';
import { eventually, listening } from './realtime.fixture.ts';
import type { TestServer } from './server.fixture.ts';
import { testServer } from './server.fixture.ts';

const SEED = drawnSeed();
const ROUNDS = drawnRuns(1);
const STEPS = 60;

let server: TestServer;
let other: { plinth: Plinth; handler: Handler };
/** A process that only writes. */
let writer: Plinth;
let doors: Listening[];
beforeAll(async () => {
  server = await testServer('realtime_model');
  const plinth = createPlinth({ database: { url: server.database.serverUrl, max: 4 } });
  // It is told nothing and finds what is new by looking.
  other = { plinth, handler: createHandler({ plinth, services: { ...createServices({ log: { level: 'silent' } }) }, realtime: { backplane: false } }) };
  writer = createPlinth({ database: { url: server.database.serverUrl, applicationName: 'model writer' } });
  doors = [await listening(server), await listening(other)];
});
afterAll(async () => {
  for (const handler of [server.handler, other.handler]) handler.endStreams();
  for (const door of doors) await door.close();
  await other.handler.settle();
  await Promise.all([other.plinth.close(), writer.close()]);
  await server.close();
});

interface Published {
  n: number;
  tenantId: string;
  type: string;
  stream: string | undefined;
}

/** One who listens, over all of its connections. */
class Listener {
  readonly tenantId: string;
  readonly key: string;
  readonly topics: readonly string[];
  reader: Reader | undefined;
  /** Id of the last frame that it took, with which it comes back. */
  offset: string | undefined;
  readonly heard: number[] = [];
  /** What it has to hear: what has committed since it first came, or has not committed yet. */
  readonly owed = new Set<number>();
  #taken = 0;

  constructor(tenantId: string, key: string, topics: readonly string[]) {
    this.tenantId = tenantId;
    this.key = key;
    this.topics = topics;
  }
  wants = ({ tenantId, type }: Published): boolean =>
    tenantId === this.tenantId && this.topics.some((topic) => topic === 'events/#' || topic === `events/${type}`);
  /** Takes frames up to this many: whoever is cut off may have taken fewer than were sent. */
  take(frames = Number.POSITIVE_INFINITY): Told[] {
    const fresh = (this.reader?.told ?? []).slice(this.#taken, this.#taken + frames);
    this.#taken += fresh.length;
    for (const { event, id, data } of fresh) {
      if (event === 'event') this.heard.push(Number((data.payload as { n?: number }).n));
      if (id !== undefined) this.offset = id;
    }
    return fresh;
  }
  came(reader: Reader): void {
    this.reader = reader;
    this.#taken = 0;
  }
}

test(`who comes back hears what was missed, once and in order, from either process (seed ${SEED})`, { timeout: 60_000 * (ROUNDS + 1) }, async () => {
  const { database, keyA, keyB } = server;
  const { tenantA, tenantB } = database;
  const draw = seeded(SEED);
  const below = (count: number): number => Math.floor(draw() * count);
  const pick = <T>(from: readonly T[]): T => from[below(from.length)] as T;
  const seen = { frames: 0, resumed: 0, late: 0, undone: 0, ended: 0, refused: 0 };
  /** Sessions of the servers that were ended, and refused nobody since. */
  let ended = 0;
  let n = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const listeners = [
      new Listener(tenantA, keyA, ['events/#']),
      new Listener(tenantA, keyA, ['events/model.one']),
      new Listener(tenantA, keyA, ['events/model.one', 'events/model.two']),
      new Listener(tenantB, keyB, ['events/#']),
    ];
    const opened: { events: Published[]; end(how: 'commit' | 'rollback'): Promise<void> }[] = [];
    const streams = new Map<number, string>();
    const said: string[] = [];
    const about = (): string => `seed ${SEED} round ${round}: ${said.slice(-20).join('; ')}`;
    const committed = (events: readonly Published[]): void => {
      for (const event of events) for (const one of listeners) if (one.offset !== undefined && one.wants(event)) one.owed.add(event.n);
    };
    const publish = async (): Promise<void> => {
      const tenantId = pick([tenantA, tenantA, tenantB]);
      const leaveOpen = opened.length < 4 && draw() < 0.5;
      const undone = !leaveOpen && draw() < 0.15;
      const events: Published[] = [];
      for (let count = draw() < 0.05 ? 600 : 1 + below(4); count > 0; count--)
        events.push({
          n: ++n,
          tenantId,
          type: pick(['model.one', 'model.two', 'model.three']),
          stream: leaveOpen || draw() < 0.5 ? undefined : `r${round}.${below(3)}`,
        });
      said.push(`publish ${events[0]?.n}-${n} ${leaveOpen ? 'open' : undone ? 'undone' : ''}`);
      const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<'commit' | 'rollback'>()];
      const work = writer
        .transaction({ tenantId }, async (tx) => {
          for (const event of events) tx.events.publish(event.type, { n: event.n }, event.stream ? { stream: { type: 'model', id: event.stream } } : {});
          await tx.flush();
          begun.resolve();
          if (leaveOpen ? (await ended.promise) === 'rollback' : undone) throw new Error('undone');
        })
        .then(
          () => {
            committed(events);
            for (const event of events) if (event.stream) streams.set(event.n, `${tenantId} ${event.stream}`);
          },
          (error: Error) => {
            if (error.message !== 'undone') throw error;
            seen.undone++;
          },
        );
      await Promise.race([begun.promise, work]);
      if (!leaveOpen) return work;
      opened.push({ events, end: (how) => (ended.resolve(how), work) });
    };
    const end = async (): Promise<void> => {
      const [one] = opened.splice(below(opened.length), 1);
      const how = draw() < 0.8 ? 'commit' : 'rollback';
      said.push(`${how} ${one?.events[0]?.n}`);
      if (how === 'commit') seen.late++;
      await one?.end(how);
    };
    const come = async (one: Listener): Promise<void> => {
      const name = `${listeners.indexOf(one)}`;
      const byHeader = draw() < 0.5;
      said.push(`${name} comes ${one.offset === undefined ? 'new' : 'back'}`);
      const { offset } = one;
      const door = pick(doors);
      const at = { key: one.key, topics: one.topics, ...(offset === undefined ? {} : byHeader ? { headers: { 'last-event-id': offset } } : { offset }) };
      for (let came = false; !came; )
        try {
          one.came(await door.listen(at));
          came = true;
        } catch (error) {
          // That a session has ended may not have been heard of yet: no more refusals than sessions.
          if (ended-- <= 0 || !/kernel_unavailable/.test(String(error))) throw error;
          seen.refused++;
        }
      const [first] = one.take(1);
      expect(first?.event, about()).toBe('ready');
      expect(one.offset, about()).toBeDefined();
      if (offset !== undefined) seen.resumed++;
    };
    const go = async (one: Listener): Promise<void> => {
      // Cut off anywhere: in the middle of what was sent.
      one.take(draw() < 0.5 ? below(5) : Number.POSITIVE_INFINITY);
      said.push(`${listeners.indexOf(one)} goes having heard ${one.heard.length}`);
      one.reader?.close();
      one.reader = undefined;
    };
    /** As an administrator or a failover does, of both servers. */
    const endSessions = async (): Promise<void> => {
      said.push('sessions end');
      const { rows } = await database.admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename <> current_user and application_name <> 'model writer'`,
      );
      ended = rows.length;
      seen.ended += rows.length;
    };
    const check = (one: Listener): void => {
      const name = `${about()}: listener ${listeners.indexOf(one)}`;
      const last = new Map<string, number>();
      const before = new Set<number>();
      for (const heard of one.heard) {
        if (before.has(heard)) expect.fail(`${name} heard ${heard} twice`);
        before.add(heard);
        if (!one.owed.has(heard)) expect.fail(`${name} heard ${heard}, which it should not`);
        const stream = streams.get(heard);
        if (stream === undefined) continue;
        if (heard < (last.get(stream) ?? 0)) expect.fail(`${name} heard ${heard} after ${last.get(stream)} of the same stream`);
        last.set(stream, heard);
      }
    };
    const quiet = async (): Promise<void> => {
      for (const one of listeners) if (!one.reader) await come(one);
      for (const one of listeners) {
        await eventually(
          async () => {
            one.take();
            // Who was told of its past when the sessions ended comes back for the rest.
            if (one.reader?.ended !== undefined) await come(one);
            return one.heard.length >= one.owed.size;
          },
          `${about()}: listener ${listeners.indexOf(one)} hears all`,
        );
        check(one);
      }
    };
    try {
      for (let step = 0; step < STEPS; step++) {
        const one = pick(listeners);
        const what = below(100);
        if (what < 40) await publish();
        else if (what < 55) await (opened.length > 0 ? end() : publish());
        else if (what < 88) await (one.reader ? go(one) : come(one));
        else if (what < 90) await endSessions();
        else await quiet();
      }
      while (opened.length > 0) await end();
      await quiet();
      for (const one of listeners) {
        seen.frames += one.heard.length;
        await go(one);
      }
    } finally {
      for (const one of opened) await one.end('rollback').catch(() => undefined);
      for (const one of listeners) one.reader?.close();
    }
  }
  console.info(`realtime model: seed ${SEED}, ${ROUNDS} rounds, ${JSON.stringify(seen)}`);
  expect(seen.frames).toBeGreaterThan(0);
});
