/**
 * Schedules against a model: several schedulers of which some are killed in the middle, a clock of the database that jumps and stands still, edits, pauses and deletes
 * while ticks are due. Every tick that the policy promises has its job once, at the right time on the wall. PLINTH_RUNS=500 for a long run.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { type DatabaseClock, databaseClock } from '#testing/database-clock.ts';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Plinth } from '../../index.ts';
import { createPlinth } from '../../index.ts';
import { api } from './api.ts';
import { runDueSchedules } from './schedules.ts';
import type { CronText, Day, DayField, Field, MadeJob, Settings } from './schedules-model.fixture.ts';
import { cronText, DAY_MS, HOUR_MS, MINUTE_MS, Schedule } from './schedules-model.fixture.ts';

const SEED = drawnSeed();
const STEPS = 25;
const SCHEDULERS = 3;
/** Each with a day at whose end or on whose morrow its clock is changed. */
const PLACES = [
  ['Europe/Berlin', '2026-03-28'],
  ['Europe/Berlin', '2026-10-24'],
  ['America/New_York', '2026-03-07'],
  ['America/New_York', '2026-10-31'],
  ['Australia/Lord_Howe', '2026-10-03'],
  ['Australia/Lord_Howe', '2026-04-04'],
  ['America/Santiago', '2026-09-05'],
  ['Africa/Cairo', '2026-04-23'],
  ['Pacific/Chatham', '2026-09-26'],
  ['Asia/Kathmandu', '2028-02-28'],
  ['UTC', '2026-12-31'],
] as const;

let database: TestDatabase;
let clock: DatabaseClock;
let schedulers: Plinth[];
beforeAll(async () => {
  database = await testDatabase('schedules_model');
  clock = await databaseClock(database, Date.parse('2026-01-01'));
  schedulers = Array.from({ length: SCHEDULERS }, () => createPlinth({ database: { url: database.serverUrl } }));
});
afterAll(async () => {
  for (const one of schedulers) await one.close();
  await database.drop();
});

const next = seeded(SEED);
const random = (below: number): number => Math.floor(next() * below);
const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
const chance = (of: number): boolean => random(of) === 0;

const numbers = (least: number, most: number): Field => {
  const count = most - least + 1;
  const some = Array.from({ length: 3 }, () => least + random(count));
  const low = least + random(count);
  const high = low + random(most - low + 1);
  const step = 1 + random(Math.min(count, 20) - 1);
  return pick<Field>([
    { text: '*', holds: () => true, wild: true },
    { text: `*/${step}`, holds: (n) => (n - least) % step === 0, wild: true },
    { text: `${low}-${high}/${step}`, holds: (n) => n >= low && n <= high && (n - low) % step === 0, wild: true },
    { text: some.join(','), holds: (n) => some.includes(n), wild: false },
    { text: `${low}-${high}`, holds: (n) => n >= low && n <= high, wild: false },
    { text: `${low}`, holds: (n) => n === low, wild: false },
  ]);
};
const DAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];
const weekdayOf = (day: Day, of: number): number => (day.weekdayOfFirst + of - 1) % 7;
/** The weekday that is nearest, in the same month. */
const nearest = (day: Day, of: number): number => {
  const weekday = weekdayOf(day, of);
  if (weekday === 6) return of === 1 ? 3 : of - 1;
  if (weekday === 0) return of === day.last ? of - 2 : of + 1;
  return of;
};
const dayOfMonth = (): DayField => {
  const one = 1 + random(31);
  const some = numbers(1, 31);
  return pick<DayField>([
    ...Array.from({ length: 4 }, (): DayField => ({ text: '*', holds: () => true })),
    some.text.startsWith('*/') ? { text: `${one}`, holds: ({ day }) => day === one } : { text: some.text, holds: ({ day }) => some.holds(day) },
    { text: 'L', holds: ({ day, last }) => day === last },
    { text: 'LW', holds: (date) => date.day === nearest(date, date.last) },
    { text: `${one}W`, holds: (date) => one <= date.last && date.day === nearest(date, one) },
  ]);
};
const dayOfWeek = (): DayField => {
  const [low, high, nth] = [random(7), random(7), 1 + random(5)];
  const held = ({ weekday }: Day): boolean => weekday === low;
  return pick<DayField>([
    ...Array.from({ length: 4 }, (): DayField => ({ text: '*', holds: () => true })),
    { text: `${low}`, holds: held },
    { text: `${DAYS[low]}`, holds: held },
    { text: `${low === 0 ? 7 : low},${high}`, holds: ({ weekday }) => weekday === low || weekday === high },
    { text: `${Math.min(low, high)}-${Math.max(low, high)}`, holds: ({ weekday }) => weekday >= Math.min(low, high) && weekday <= Math.max(low, high) },
    { text: `${low}#${nth}`, holds: (date) => held(date) && Math.ceil(date.day / 7) === nth },
    { text: `${low}L`, holds: (date) => held(date) && date.day > date.last - 7 },
    { text: `+${low}`, holds: held },
  ]);
};
const cron = (): CronText => {
  const whole: Field = { text: '*', holds: () => true, wild: true };
  return cronText(numbers(0, 59), numbers(0, 23), dayOfMonth(), chance(6) ? { ...numbers(1, 12), wild: true } : whole, dayOfWeek());
};

const settings = (): Settings => {
  const missedRuns = pick(['skip', 'once', 'all'] as const);
  const startsAt = chance(4) ? clock.now() + random(2 * DAY_MS) - DAY_MS : undefined;
  const endsAt = chance(4) ? (startsAt ?? clock.now() - HOUR_MS) + 1 + random(2 * DAY_MS) : undefined;
  const whole = (at: number | undefined): number | undefined => at && (chance(2) ? Math.ceil(at / HOUR_MS) * HOUR_MS : at);
  const [start, end] = [whole(startsAt), whole(endsAt)];
  return {
    cron: cron(),
    zone: pick(PLACES)[0],
    missedRuns,
    limit: pick([1, 3, 20, 100]),
    jitterMs: pick([0, 0, 1_000, HOUR_MS]),
    startsAt: start,
    endsAt: end !== undefined && start !== undefined && end <= start ? start + HOUR_MS : end,
    skipIfRunning: missedRuns !== 'all' && chance(3),
  };
};

type Caller = ReturnType<ReturnType<typeof router<typeof api>>['createCaller']>;
const door = (tenantId: string): Caller => {
  const actor = { type: 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes: ['jobs.*'], operator: false },
    correlationId: database.plinth.newId(),
    adapters: {},
    run: (call, body) => database.plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body),
  };
  return createCaller(router(api))(context) as Caller;
};

const seen = new Map<string, number>();
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

class Pair {
  readonly all = new Map<Schedule, string>();
  #made = 0;
  readonly #started = new Set<MadeJob>();

  #one = (): Schedule | undefined => pick([...this.all.keys()]);
  #door = (one: Schedule): Caller => door(this.all.get(one) ?? '');

  #put(tenantId: string, name: string, { cron: text, ...one }: Settings, enabled: boolean): Promise<{ id: string }> {
    const moment = (at: number | undefined): { at?: string } => (at === undefined ? {} : { at: new Date(at).toISOString() });
    return door(tenantId).putSchedule({
      name,
      cron: text.text,
      time_zone: one.zone,
      kind: 'k',
      missed_runs: one.missedRuns,
      catch_up_limit: one.limit,
      jitter_ms: one.jitterMs,
      starts_at: moment(one.startsAt).at,
      ends_at: moment(one.endsAt).at,
      skip_if_running: one.skipIfRunning,
      enabled,
    });
  }

  /** Undefined: it names no moment, such as the 31st of February. */
  async #taken(put: Promise<{ id: string }>): Promise<string | undefined> {
    try {
      return (await put).id;
    } catch (error) {
      if (!/names no moment to come/.test(String((error as Error).message))) throw error;
      count('names no moment');
      return undefined;
    }
  }

  async step(): Promise<void> {
    const one = this.#one();
    const what = pick([
      'turn',
      'turn',
      'turn',
      'turn',
      'turn',
      'make',
      'edit',
      'touch',
      'pause',
      'resume',
      'switch',
      'switch',
      'delete',
      'finish',
      'finish',
      'race',
    ] as const);
    count(what);
    if (!one || what === 'make') return this.make();
    if (what === 'turn') return this.turn();
    if (what === 'race') return this.race();
    if (what === 'finish') return this.finish(one);
    if (what === 'edit') {
      const changed = chance(3) ? { ...settings(), cron: one.settings.cron, zone: one.settings.zone } : settings();
      const enabled = !chance(5);
      if (await this.#taken(this.#put(this.all.get(one) ?? '', one.name, changed, enabled))) one.edit(changed, enabled, clock.now());
    } else if (what === 'touch') {
      await this.#put(this.all.get(one) ?? '', one.name, one.settings, one.enabled);
      one.edit(one.settings, one.enabled, clock.now());
    } else if (what === 'delete') {
      await this.#door(one).deleteSchedule({ id: one.id });
      this.all.delete(one);
    } else {
      const on = what === 'switch' ? !one.enabled : what === 'resume';
      await (on ? this.#door(one).resumeSchedule({ id: one.id }) : this.#door(one).pauseSchedule({ id: one.id }));
      one.switch(on, clock.now());
    }
  }

  async make(): Promise<void> {
    if (this.all.size >= 6) return;
    const [tenantId, name, given] = [pick([database.tenantA, database.tenantB]), `s${this.#made++}`, settings()];
    const id = await this.#taken(this.#put(tenantId, name, given, true));
    if (id) this.all.set(new Schedule(id, name, given, true, clock.now()), tenantId);
  }

  async finish(one: Schedule): Promise<void> {
    const { rows } = await database.admin.query<{ id: string }>(
      `select id from plinth.background_jobs where causation_id = $1 and status in ('scheduled', 'pending')`,
      [one.id],
    );
    for (const { id } of rows) await this.#door(one).cancel({ id });
    for (const job of one.jobs) job.finished = true;
  }

  /** The clock goes on, stands still or goes back; then some look at once, and one that nothing happens to. */
  async turn(): Promise<void> {
    const by = pick([0, 500, 59_999, MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS, 3 * DAY_MS]);
    const to = chance(6) ? clock.now() - random(by) : clock.now() + (chance(3) ? by : random(by + 1));
    await clock.set(chance(3) ? Math.floor(to / HOUR_MS) * HOUR_MS : to);
    const touched = [...this.all].filter(() => chance(6));
    const touching = touched.map(([one, tenantId]) => this.#put(tenantId, one.name, one.settings, one.enabled));
    await Promise.all([...schedulers.map((plinth) => this.#looks(plinth)), ...touching]);
    for (const [one] of touched) one.edit(one.settings, one.enabled, clock.now());
    for (const one of this.all.keys()) one.run(clock.now());
    await this.#settled();
    await this.check();
  }

  async #looks(plinth: Plinth): Promise<void> {
    const end = pick(['lives', 'lives', 'killed', 'rolled back'] as const);
    if (end === 'lives') return void (await plinth.asWorker({}, (tx) => runDueSchedules(tx)));
    count(end);
    const body = plinth.asWorker({}, async (tx) => {
      const [backend] = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
      const killed = end === 'killed' ? database.admin.query('select pg_terminate_backend($1)', [backend?.pid]) : undefined;
      await runDueSchedules(tx);
      await killed;
      if (end === 'rolled back') throw new Error('rolled back');
    });
    await body.then(
      () => count('outlived its end'),
      () => undefined,
    );
  }

  async #settled(): Promise<void> {
    for (let turns = 0; turns < 100; turns++) {
      const { nextInMs } = await database.plinth.asWorker({}, (tx) => runDueSchedules(tx));
      if (nextInMs !== 0) return;
    }
    throw new Error(`seed ${SEED}: something is always due`);
  }

  /** The clock goes on while they look: which ticks are missed nobody can tell, but each is taken, skipped or made up once. */
  async race(): Promise<void> {
    const from = clock.now();
    let over = false;
    const looking = schedulers.map(async (plinth) => {
      while (!over) await plinth.asWorker({}, (tx) => runDueSchedules(tx));
    });
    for (let moves = 0; moves < 8; moves++) await clock.set(clock.now() + random(pick([2 * MINUTE_MS, HOUR_MS])));
    over = true;
    await Promise.all(looking);
    await this.#settled();
    const rows = await this.jobs();
    for (const one of this.all.keys()) {
      const expected = new Schedule(one.id, one.name, { ...one.settings, missedRuns: 'all', limit: 1e9, skipIfRunning: false }, one.enabled, from);
      Object.assign(expected, { mark: one.mark, owed: one.owed });
      expected.run(clock.now());
      const due = expected.jobs.map(({ at }) => at);
      const made = (rows.get(one.id) ?? []).slice(one.jobs.length);
      const said = `seed ${SEED}: ${one.settings.missedRuns} ${one.settings.cron.text}`;
      const covered = made.flatMap(({ at, since }) => due.filter((tick) => tick === at || (since !== undefined && tick >= since && tick <= at)));
      expect(new Set(covered).size, said).toBe(covered.length);
      expect(covered.length, said).toBeGreaterThanOrEqual(made.length);
      if (!one.settings.skipIfRunning && (one.settings.missedRuns === 'once' || (one.settings.missedRuns === 'all' && due.length <= one.settings.limit)))
        expect(covered, said).toEqual(due);
      for (const { at, since } of made) one.jobs.push({ at, since, madeUpAt: undefined, finished: false, exclusive: one.settings.skipIfRunning });
      Object.assign(one, { mark: expected.mark, owed: expected.owed, lastRun: made.at(-1)?.at ?? one.lastRun });
    }
  }

  async jobs(): Promise<Map<string, { at: number; since: number | undefined; startsAt: number }[]>> {
    const { rows } = await database.admin.query<{ of: string; at: Date; since: Date | null; starts: Date; tenant_id: string }>(
      `select causation_id as of, tenant_id, (payload ->> 'scheduled_for')::timestamptz as at, (payload ->> 'missed_since')::timestamptz as since, run_at as starts
       from plinth.background_jobs order by run_at, id`,
    );
    const found = new Map<string, { at: number; since: number | undefined; startsAt: number }[]>();
    for (const { of, at, since, starts, tenant_id } of rows) {
      const owner = [...this.all].find(([one]) => one.id === of);
      if (owner) expect(tenant_id).toBe(owner[1]);
      found.set(of, [...(found.get(of) ?? []), { at: at.getTime(), since: since?.getTime(), startsAt: starts.getTime() }]);
    }
    for (const jobs of found.values()) jobs.sort((one, other) => one.at - other.at);
    return found;
  }

  async check(): Promise<void> {
    const rows = await this.jobs();
    const states = new Map(
      (await database.admin.query('select id, next_run_at, last_run_at, error, enabled from plinth.job_schedules')).rows.map((row) => [row.id, row]),
    );
    const shown = (at: number | undefined): string | undefined => (at === undefined ? undefined : new Date(at).toISOString());
    for (const one of this.all.keys()) {
      const said = `seed ${SEED}, ${new Date(clock.now()).toISOString()}: ${JSON.stringify({ ...one.settings, cron: one.settings.cron.text })}`;
      const told = (job: { at: number; since: number | undefined }): string => `${shown(job.at)} ${shown(job.since) ?? ''}`;
      const sorted = one.jobs.toSorted((x, y) => x.at - y.at);
      const found = rows.get(one.id) ?? [];
      expect(found.map(told), said).toEqual(sorted.map(told));
      this.#starts(one, sorted, found, said);
      expect(states.get(one.id), said).toMatchObject({ error: null, enabled: one.enabled });
      expect(shown(states.get(one.id)?.next_run_at?.getTime()), said).toBe(shown(one.next()));
      expect(shown(states.get(one.id)?.last_run_at?.getTime()), said).toBe(shown(one.lastRun));
    }
    expect(states.size).toBe(this.all.size);
  }

  /** What was enqueued now starts when it should, in the order of its ticks. */
  #starts(one: Schedule, made: readonly MadeJob[], found: readonly { startsAt: number }[], said: string): void {
    made.forEach((job, n) => {
      if (job.madeUpAt === undefined || this.#started.has(job)) return;
      this.#started.add(job);
      count('made up');
      const startsAt = found[n]?.startsAt ?? Number.NaN;
      expect(startsAt - job.madeUpAt - one.spreadMs(), said).toBeOneOf([0, 1]);
      expect(startsAt, said).toBeGreaterThanOrEqual(found[n - 1]?.startsAt ?? 0);
    });
  }
}

test(`every tick that a policy promises has its job once, whatever the clock and the schedulers do (seed ${SEED})`, { timeout: 600_000 }, async () => {
  console.info(`seed ${SEED}`);
  for (let run = 0; run < drawnRuns(6); run++) {
    await database.admin.query('delete from plinth_jobs.jobs; delete from plinth_jobs.unique_keys; delete from plinth_jobs.schedules');
    const [, day] = pick(PLACES);
    await clock.set(Date.parse(day) + random(2 * DAY_MS));
    const pair = new Pair();
    for (let n = 0; n < 4; n++) await pair.make();
    for (let n = 0; n < STEPS; n++) await pair.step();
    await pair.turn();
  }
  console.info(JSON.stringify(Object.fromEntries(seen)));
});
