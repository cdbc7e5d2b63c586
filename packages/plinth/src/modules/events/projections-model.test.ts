/**
 * Projections against the log: whatever is published, rolled back, put aside, rewound, erased and rebuilt, at any moment each event is in the tables of a projection once, or it is
 * unread, aside or given up; a rebuild neither loses nor doubles. PLINTH_RUNS=100 for a long run, PLINTH_SEED to repeat one.
 */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toPlinthError } from '#kernel/errors.ts';
import { consumeAside, consumeTurn } from '#kernel/feed.ts';
import { createKeyRing } from '#kernel/keys.ts';
import type { ModuleMap } from '#kernel/module.ts';
import { defineModule } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import { declareProjections, projectionConsumer } from '#kernel/projection.ts';
import type { RebuildReport } from '#kernel/projection-rebuild.ts';
import { cancelRebuild, rebuildProjection } from '#kernel/projection-rebuild.ts';
import { modules } from '#registry';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Kind, Row, Standing } from './projections-model.fixture.ts';
import { EMPTY, factorOf, KINDS, LEFT, picture, projectionOf, TABLES } from './projections-model.fixture.ts';
import { eraseSubject } from './subjects.ts';

const SEED = drawnSeed();
const ROUNDS = drawnRuns(1);
const STEPS = 60;
const REVISIONS = 3;
const FEED = 'plinth_events.events';
const KEYS = createKeyRing({ current: randomBytes(32).toString('base64') });
const SUBJECTS = ['ann', 'bob', 'cyd'];
const TOMBSTONE = '{"$shredded":true}';

type System = Plinth<ModuleMap & typeof modules>;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('projections_model');
  await database.admin.query(TABLES);
  const schema = { 'x-subject': '/id', properties: { id: { type: 'string' }, name: { 'x-personal': true } } };
  for (const tenantId of [database.tenantA, database.tenantB])
    await database.plinth.transaction({ tenantId }, (tx) => tx.query(`select plinth.define_event_type('model.told', $1)`, [JSON.stringify(schema)]));
});
afterAll(() => database.drop());

let world: World | undefined;
const watch = {
  mood: () => world?.mood() ?? 1,
  mayHandle: (note: number) => world?.mayHandle(note),
  kill: (pid: number | undefined) => database.admin.query('select pg_terminate_backend($1)', [pid]),
};

/** Two processes of a revision. */
const systems = new Map<number, System[]>();
function systemsOf(revision: number): System[] {
  const projections = Object.fromEntries(KINDS.map((kind) => [kind, projectionOf(kind, revision, watch)]));
  const made =
    systems.get(revision) ??
    [1, 2].map(
      () =>
        createKernel({
          modules: { ...modules, model: defineModule({ name: 'model', summary: 'A model', tables: {}, uses: ['events'], projections }) },
          database: { url: database.serverUrl, max: 8 },
          keys: KEYS,
        }) as unknown as System,
    );
  systems.set(revision, made);
  return made;
}
afterAll(async () => void (await Promise.all([...systems.values()].flat().map((system) => system.close()))));

interface Flight {
  kind: Kind;
  killed: boolean;
  cancelled: boolean;
  over: boolean;
  settled: Promise<{ report?: RebuildReport; error?: Error & { code?: string } }>;
}
interface News {
  note: number;
  type: 'model.tested' | 'model.told';
  stream: string | undefined;
  subject: string | undefined;
  key?: string;
}
const codeOf = (error: unknown): string => toPlinthError(error).code;
const NAME = 'model.async';

class World {
  readonly #random: () => number;
  readonly #moods: () => number;
  readonly #round: number;
  readonly log: string[] = [];
  readonly bad = new Set<number>();
  readonly opened: { end(how: 'commit' | 'rollback'): Promise<unknown> }[] = [];
  /** Notes of what was committed, with their tenants. */
  readonly committed = new Map<number, string>();
  readonly keys = new Map<string, News>();
  readonly erased = new Set<string>();
  /** Passed over or given up. */
  readonly dropped = new Set<string>();
  readonly apart = new Set<string>();
  readonly flights: Flight[] = [];
  readonly tenants = [database.tenantA, database.tenantB];
  #notes = 0;
  revision = 1;
  paused = false;
  /** The live async tables lack what was given up, since they were last made anew. */
  tainted = false;

  constructor(round: number) {
    this.#round = round;
    this.#random = seeded(SEED + round);
    this.#moods = seeded(SEED + round + 1_000_000);
  }
  mood = (): number => this.#moods();
  mayHandle(note: number): void {
    if (this.bad.has(note)) throw new Error(`cannot handle ${note}`);
  }
  draw = (below: number): number => Math.floor(this.#random() * below);
  chance = (of: number): boolean => this.#random() < of;
  pick<T>(from: readonly T[]): T {
    return from[this.draw(from.length)] as T;
  }
  say = (what: string): number => this.log.push(what);
  where = (): string => `seed ${SEED} round ${this.#round}: ${this.log.slice(-30).join('; ')}`;
  system = (): System => this.pick(systemsOf(this.revision));
  asWorker = (text: string, values: unknown[]): Promise<unknown[]> => this.system().asWorker({}, (tx) => tx.query(text, values));
  flying = (kind: Kind): boolean => this.flights.some((flight) => flight.kind === kind);

  #news(own: string): News {
    const told = this.chance(0.3);
    const stream = this.draw(4);
    return {
      note: ++this.#notes,
      type: told ? 'model.told' : 'model.tested',
      stream: stream === 0 && own === '' ? undefined : `${own}s${stream}`,
      subject: told ? `${own}${this.pick(SUBJECTS)}` : undefined,
    };
  }
  /** In a transaction that is left open, streams, people and keys are of its own: nobody else could write them meanwhile. */
  async publish(): Promise<void> {
    const tenantId = this.pick(this.tenants);
    const leaveOpen = this.opened.length < 2 && this.chance(0.3);
    const bulk = this.chance(0.1) ? 40 : 1 + this.draw(4);
    const own = leaveOpen ? `own${this.#notes}-` : '';
    const news = Array.from({ length: bulk }, () => this.#news(own));
    for (const { note } of news) if (this.chance(bulk > 10 ? 0.01 : 0.08)) this.bad.add(note);
    const key = !leaveOpen && this.chance(0.25) ? `k${this.#round}.${this.draw(3)}` : undefined;
    const undone = this.chance(0.1);
    this.say(`publish ${news[0]?.note}-${this.#notes} ${leaveOpen ? 'open' : ''} ${undone ? 'undone' : ''} ${key ?? ''}`);
    const written = new Set<number>();
    const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<'commit' | 'rollback'>()];
    const isolation = this.pick(['read committed', 'read committed', 'repeatable read'] as const);
    const plan = news.map((one) => ({ one, savepoint: this.chance(0.15), back: this.chance(0.5), append: this.chance(0.3) }));
    const work = this.system().transaction({ tenantId, isolation, timeoutMs: 60_000 }, async (tx) => {
      for (const { one, savepoint, back, append } of plan) {
        if (savepoint) await tx.flush();
        if (savepoint) await tx.query('savepoint s');
        const data = { note: one.note, ...(one.subject ? { id: one.subject, name: `N${one.note}` } : {}) };
        if (append && one.stream) tx.events.append({ type: 'model', id: one.stream }, [{ type: one.type, data }]);
        else tx.events.publish(one.type, data, one.stream ? { stream: { type: 'model', id: one.stream } } : {});
        if (savepoint || leaveOpen) await tx.flush();
        if (savepoint && back) await tx.query('rollback to savepoint s');
        else written.add(one.note);
      }
      const full = key === undefined ? undefined : `${tenantId} ${key}`;
      if (full && key) {
        const known = this.keys.get(full);
        const first = known ?? { note: ++this.#notes, type: 'model.tested' as const, stream: undefined, subject: undefined };
        tx.events.publish(first.type, { note: first.note }, { idempotencyKey: key });
        if (!known) written.add(first.note);
        tx.afterCommit(() => void this.keys.set(full, first));
      }
      begun.resolve();
      if (leaveOpen ? (await ended.promise) === 'rollback' : undone) throw new Error('undone');
    });
    const settled = work.then(
      () => {
        for (const note of written) this.committed.set(note, tenantId);
      },
      (error: Error) => {
        if (error.message === 'undone' || /cannot handle at all/.test(String(error.message))) return;
        if (isolation !== 'read committed' && codeOf(error) === 'kernel_serialization') return;
        throw error;
      },
    );
    await Promise.race([begun.promise, settled]);
    if (!leaveOpen) return void (await settled);
    this.opened.push({ end: (how) => (ended.resolve(how), settled) });
  }
  async publishBySql(): Promise<void> {
    const tenantId = this.pick(this.tenants);
    const note = ++this.#notes;
    this.say(`sql ${note}`);
    await this.system().transaction({ tenantId }, (tx) => tx.query(`select plinth.publish_event('model.sql', $1)`, [JSON.stringify({ note })]));
    this.committed.set(note, tenantId);
  }
  async end(how: 'commit' | 'rollback' = this.chance(0.8) ? 'commit' : 'rollback'): Promise<void> {
    const [one] = this.opened.splice(this.draw(this.opened.length), 1);
    this.say(how);
    await one?.end(how);
  }
  async erase(): Promise<void> {
    if (this.opened.length > 0 && this.chance(0.5)) await this.end();
    const tenantId = this.pick(this.tenants);
    const subject = this.pick(SUBJECTS);
    this.say(`erase ${subject}`);
    await this.system().transaction({ tenantId }, (tx) => eraseSubject(tx, { subject, reason: 'asked' }));
    this.erased.add(`${tenantId} ${subject}`);
  }

  readonly consumer = () => projectionConsumer(NAME, projectionOf('async', this.revision, watch));
  async turn(): Promise<void> {
    this.say('turn');
    const turn = await consumeTurn(this.system(), NAME, this.consumer()).catch((error: unknown) => this.#mayFail(error));
    if (this.paused) expect(turn, this.where()).toEqual({ handled: 0 });
  }
  async aside(): Promise<void> {
    this.say('aside');
    const tried = await consumeAside(this.system(), NAME, this.consumer()).catch((error: unknown) => this.#mayFail(error));
    if (this.paused) expect(tried, this.where()).toEqual({ tried: 0, handled: 0 });
  }
  #mayFail(error: unknown): void {
    if (!['kernel_unavailable', 'kernel_serialization'].includes(codeOf(error))) throw error;
    this.say(`failed ${codeOf(error)}`);
  }
  later = (): Promise<unknown> =>
    Promise.all([
      database.admin.query(`update plinth_kernel.feed_cursors set retry_at = null where consumer like 'model.%' and retry_at is not null`),
      database.admin.query(`update plinth_events.parked set retry_at = null where consumer = $1 and ended_at is null and retry_at is not null`, [NAME]),
    ]);

  async operate(): Promise<void> {
    const { rows } = await database.admin.query<{ id: string; event_id: string; status: string }>(
      `select id, event_id, status from plinth_events.parked where consumer = $1 and ended_at is null order by position`,
      [NAME],
    );
    const one = rows.length > 0 ? this.pick(rows) : undefined;
    const what = this.pick(['retry', 'discard', 'park', 'next', 'pause'] as const);
    this.say(`${what} ${one?.status}`);
    if (what === 'pause') {
      await this.asWorker(this.paused ? 'select plinth.resume_consumer($1)' : `select plinth.pause_consumer($1, 'x')`, [NAME]);
      this.paused = !this.paused;
    } else if (what === 'next') await this.asWorker(`select plinth.park_next_event($1, $2, 'x')`, [NAME, this.draw(8)]);
    else if (!one) return;
    const mayBeGone = (error: unknown): void => {
      if (!this.flying('async') || codeOf(error) !== 'events_parked_not_found') throw error;
    };
    if (what === 'retry' && one && ['parked', 'failing'].includes(one.status))
      await this.asWorker(`select plinth.retry_parked_events(p_id := $1)`, [one.id]).catch(mayBeGone);
    if (what === 'discard' && one) {
      this.tainted = true;
      await this.asWorker(`select plinth.discard_parked_event($1, 'x')`, [one.id]).then(() => this.dropped.add(one.event_id), mayBeGone);
    }
    if (what === 'park' && one?.status === 'failing') await this.asWorker(`select plinth.park_failing_event($1, 'x')`, [one.id]).catch(mayBeGone);
  }

  /** What is to be handled again is undone with it. */
  async rewind(): Promise<void> {
    const { events: before } = await this.picture('async');
    const place = this.draw(3);
    const at =
      before.length > 0
        ? Number(
            (await database.admin.query<{ position: string }>('select position from plinth_events.events where id = $1', [this.pick(before).id])).rows[0]
              ?.position,
          )
        : 0;
    const to = place === 0 ? 'beginning' : null;
    this.say(`rewind ${to ?? at}`);
    await this.system()
      .asWorker({}, async (tx) => {
        await tx.query(`select * from plinth.rewind_consumer($1, 'x', p_to := $2, p_position := $3, p_forward := true)`, [NAME, to, to ? null : at]);
        await tx.query('delete from model.async where position > $1', [to ? 0 : at]);
        await tx.query('delete from model.async_sums');
        await tx.query('insert into model.async_sums (tenant_id, stream, worth) select tenant_id, stream, sum(worth) from model.async group by 1, 2');
      })
      .then(
        () => {
          // Ahead of what was read it passes over.
          if (to === null) this.tainted = true;
          for (const event of before) this.dropped.delete(event.id);
          this.unsure = to === null;
        },
        (error: unknown) => {
          if (codeOf(error) !== 'kernel_timeout') throw error;
        },
      );
    if (this.unsure) await this.settleDropped();
    this.unsure = false;
  }
  unsure = false;
  /** Whoever is nowhere was passed over: only where that was allowed. */
  async settleDropped(): Promise<void> {
    for (const event of (await this.picture('async')).events) {
      const kept = (event.own ? 1 : 0) + event.open.length + Number(event.unread);
      if (kept === 0) this.dropped.add(event.id);
      else this.dropped.delete(event.id);
    }
  }

  /** Now and then by somebody whose code is not that of the processes. */
  async rebuild(kind: Kind, usual = false): Promise<void> {
    if (this.flights.length >= 2) return;
    const interrupted = this.chance(0.25);
    const restart = this.chance(0.2);
    const onDifference = this.pick(['keep', 'swap'] as const);
    const by = usual || this.chance(0.8) ? this.revision : 1 + this.draw(REVISIONS);
    this.say(`rebuild ${kind} ${by} ${interrupted ? 'interrupted' : ''} ${restart ? 'restart' : ''} ${onDifference}`);
    if (kind === 'inline' && this.chance(0.8)) while (this.opened.length > 0) await this.end();
    const settled = rebuildProjection(this.pick(systemsOf(by)), `model.${kind}`, {
      ownerUrl: database.url,
      parallel: 1 + this.draw(3),
      restart,
      onDifference,
      onProgress: () => {
        if (interrupted && this.mood() < 0.4) throw new Error('interrupted');
      },
    }).then(
      (report) => ({ report }),
      (error: Error) => ({ error }),
    );
    const flight: Flight = { kind, killed: false, cancelled: false, over: false, settled };
    void settled.then(() => (flight.over = true));
    this.flights.push(flight);
    if (this.chance(0.4)) await this.land(flight);
  }
  async land(flight: Flight): Promise<RebuildReport | undefined> {
    if (!flight.over && flight.kind === 'inline') while (this.opened.length > 0) await this.end();
    const { report, error } = await flight.settled;
    this.flights.splice(this.flights.indexOf(flight), 1);
    this.say(`landed ${flight.kind} ${error?.code ?? error?.message ?? `swapped ${report?.swapped}`}`);
    if (error) {
      const expected = ['kernel_projection_busy', 'kernel_projection_cancelled', 'kernel_unavailable', 'kernel_serialization'].includes(codeOf(error));
      if (!expected && !flight.killed && !/interrupted|cannot handle/.test(error.message)) throw new Error(this.where(), { cause: error });
      return undefined;
    }
    // Of code of several revisions nothing is promised to be equal.
    const same = report?.formerRevision === report?.revision && report?.declaredRevision === report?.revision && report?.erasures === 0;
    if (flight.kind === 'async') await this.settleDropped();
    const equal = report?.comparison.every((one) => one.equal);
    if (same && !equal && (flight.kind === 'inline' || !this.tainted)) expect.fail(`${this.where()}: ${JSON.stringify(report)}`);
    if (report?.swapped && flight.kind === 'async' && this.dropped.size === 0) this.tainted = false;
    return report;
  }
  async cancel(): Promise<void> {
    const kind = this.pick(KINDS);
    this.say(`cancel ${kind}`);
    const done = await cancelRebuild(this.system(), `model.${kind}`, 'x', database.url).then(String, codeOf);
    this.say(done);
    expect(['true', 'false', 'kernel_projection_unknown', 'kernel_timeout'], this.where()).toContain(done);
    if (done !== 'true' && done !== 'false') return;
    const asked = this.flights.filter((one) => one.kind === kind);
    for (const flight of asked) await this.land(flight);
    if (!asked.some(({ killed }) => killed)) expect((await this.picture(kind)).state.phase, this.where()).toBe(false);
  }
  /** The connection that would swap is gone, but not the process. */
  async kill(): Promise<void> {
    this.say('kill');
    for (const flight of this.flights) flight.killed = true;
    await database.admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'plinth projections' and datname = current_database()`,
    );
  }
  async deploy(): Promise<void> {
    this.revision = 1 + this.draw(REVISIONS);
    this.say(`deploy ${this.revision}`);
    await declareProjections(this.system());
  }
  async race(): Promise<void> {
    this.say('race');
    const acts: Promise<unknown>[] = [];
    for (let n = 2 + this.draw(3); n > 0; n--)
      acts.push(this.pick([() => this.turn(), () => this.turn(), () => this.aside(), () => this.publish(), () => this.publishBySql()])());
    const failed = (await Promise.allSettled(acts)).find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async step(): Promise<void> {
    const what = this.draw(100);
    if (what < 22) await this.publish();
    else if (what < 25) await this.publishBySql();
    else if (what < 32) await (this.opened.length > 0 ? this.end() : this.publish());
    else if (what < 50) await this.turn();
    else if (what < 57) await this.aside();
    else if (what < 61) await this.later();
    else if (what < 69) await this.operate();
    else if (what < 72) await this.rewind();
    else if (what < 75) await this.erase();
    else if (what < 83) await this.rebuild(this.pick(KINDS));
    else if (what < 85) await this.cancel();
    else if (what < 86) await this.kill();
    else if (what < 88) await this.deploy();
    else if (what < 96) await this.race();
    else this.bad.clear();
    for (const flight of this.flights.filter(({ over }) => over)) await this.land(flight);
    for (const kind of KINDS) await this.check(kind);
  }

  async picture(kind: Kind): Promise<{ events: Row[]; state: Standing; sums: Record<string, number>; rows: number }> {
    return (await database.admin.query(picture(kind), [FEED, `model.${kind}`])).rows[0];
  }
  async check(kind: Kind): Promise<void> {
    const { events, state, sums, rows } = await this.picture(kind);
    const say = (what: string, event?: Row): never =>
      expect.fail(`${this.where()}: ${kind}: ${what}; ${JSON.stringify(event ?? null)} ${JSON.stringify(state)}`);
    const last = new Map<string, { version: number; n: number }>();
    const own = new Map<string, number>();
    for (const event of events) {
      if (this.committed.get(event.note) !== event.tenant_id) say('was never committed', event);
      for (const status of event.open) if (status === 'parked' || status === 'due') this.apart.add(event.id);
      const follows = kind === 'async' || event.type !== 'model.sql';
      const kept = kind === 'async' ? (event.own ? 1 : 0) + event.open.length + Number(event.unread) : event.own ? 1 : 0;
      const gone = kind === 'async' ? this.dropped.has(event.id) : event.type === 'model.sql';
      if (kept > 1 || (!gone && kept !== 1) || (gone && kept !== 0 && follows && !this.flying(kind))) say(`kept ${kept} times, dropped ${gone}`, event);
      if (!event.own) continue;
      if (event.own.times !== 1) say('handled twice', event);
      this.#checkWorth(event, event.own, state, say);
      const key = `${event.tenant_id} ${event.stream}`;
      own.set(key, (own.get(key) ?? 0) + event.own.worth);
      if (!event.version || this.apart.has(event.id)) continue;
      const former = last.get(key);
      if (former && (former.version >= Number(event.version) || former.n >= event.own.n)) say('out of order', event);
      last.set(key, { version: Number(event.version), n: event.own.n });
    }
    if (events.length !== this.committed.size) say(`${this.committed.size} events were committed and there are ${events.length}`);
    if (rows !== events.filter((event) => event.own).length) say(`${rows} rows`);
    expect(sums, `${this.where()}: ${kind}`).toEqual(Object.fromEntries(own));
  }
  #checkWorth(event: Row, own: { worth: number; name: string | null }, state: Standing, say: (what: string, event: Row) => never): void {
    const factor = own.worth / event.note;
    if (
      !Array.from({ length: REVISIONS }, (_, n) => factorOf(n + 1)).includes(factor) ||
      (state.status === 'live' && factor !== factorOf(Number(state.revision)))
    )
      say('made by another revision', event);
    if (event.subject === null) return;
    const erased = this.erased.has(`${event.tenant_id} ${event.subject}`);
    const plain = own.name === `N${event.note}`;
    if (!plain && (!erased || own.name !== TOMBSTONE)) say('has another name', event);
    if (plain && erased && Number(state.erasures) === 0) say('still names who was erased, and nobody knows', event);
  }

  /** Nothing is wrong any more: everything is handled, and everything is in the tables. */
  async finish(): Promise<void> {
    while (this.opened.length > 0) await this.end('commit');
    this.bad.clear();
    for (let flight = this.flights[0]; flight; flight = this.flights[0]) await this.land(flight);
    if (this.paused) await this.asWorker(`select plinth.resume_consumer($1)`, [NAME]);
    this.paused = false;
    for (let n = 0; ; n++) {
      await this.asWorker(`select plinth.retry_parked_events($1)`, [NAME]);
      await this.later();
      await this.turn();
      await this.aside();
      await this.check('async');
      if ((await this.picture('async')).events.every(({ unread, open }) => !unread && open.length === 0)) break;
      if (n > 300) expect.fail(`${this.where()}: does not end`);
    }
    for (const kind of KINDS) {
      for (let n = 0; ; n++) {
        await this.rebuild(kind, true);
        const flight = this.flights[0];
        const report = flight ? await this.land(flight) : undefined;
        const { state } = await this.picture(kind);
        if (state.status === 'live' && this.dropped.size === 0 && (report?.swapped || n > 3)) break;
        if (n > 60) expect.fail(`${this.where()}: ${kind} is never live: ${JSON.stringify(state)} ${JSON.stringify([...this.dropped])}`);
      }
      await this.check(kind);
      for (const event of (await this.picture(kind)).events)
        if (this.erased.has(`${event.tenant_id} ${event.subject}`)) expect(event.own?.name, this.where()).toBe(TOMBSTONE);
    }
    const { rows } = await database.admin.query(LEFT);
    expect(rows, this.where()).toEqual([]);
  }
}

test(`whatever is published, rolled back, rewound, erased and rebuilt, a projection is what follows from the log (seed ${SEED})`, {
  timeout: 60_000 * (ROUNDS + 1),
}, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    await database.admin.query(EMPTY);
    const one = new World(round);
    world = one;
    await declareProjections(one.system());
    await one.asWorker('select plinth_kernel.feed_start($1, $2)', [FEED, NAME]);
    try {
      for (let step = 0; step < STEPS; step++) await one.step();
      await one.finish();
    } catch (error) {
      throw new Error(`${one.where()}: ${error}`, { cause: error });
    } finally {
      for (const open of one.opened) await open.end('rollback').catch(() => undefined);
      await Promise.all(one.flights.map(({ settled }) => settled));
      world = undefined;
    }
  }
});
