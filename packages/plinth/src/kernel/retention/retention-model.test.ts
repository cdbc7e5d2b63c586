/**
 * Policies, legal holds, archives and runs that are cut off, against a model: the dry run says what then goes, nothing that is held goes, and what has
 * gone reads back from its archive as it was. PLINTH_RUNS=50 for a long run.
 */
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed } from '#testing/random.ts';
import { archivedRows } from './archive.ts';
import { planRetention, runRetention } from './engine.ts';
import { NIL, retentionPlace } from './retention.fixture.ts';

const database = await testDatabase('retention_model');
const { admin } = database;
const place = await retentionPlace(database);
afterAll(() => place.dispose());
const SEED = drawnSeed();
const TENANTS = { a: database.tenantA, b: database.tenantB, all: NIL };
const YEAR_MS = 365.25 * 86_400_000;
/** Half a year from every policy, so that no border matters. */
const MONTHS = [2.5, 4.5, 7.5, 10.5].map((years) => {
  const day = new Date(Date.now() - years * YEAR_MS).toISOString().slice(0, 7);
  return { years, day: `${day}-15`, name: `plinth_audit.entries_${day.replace('-', '_')}` };
});

const who = fc.constantFrom('a' as const, 'b' as const);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      month: fc.nat(3),
      who,
      entity: fc.constantFrom('order', 'invoice'),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('policy' as const),
      who: fc.constantFrom('a' as const, 'a' as const, 'b' as const, 'all' as const),
      years: fc.constantFrom(1, 3, 6, 9, null),
      archive: fc.constantFrom(true, true, false),
      reset: fc.constantFrom(false, false, true),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('hold' as const),
      who: fc.constantFrom('a' as const, 'b' as const, 'all' as const),
      kind: fc.constantFrom('audit.entries', 'audit.entries', null, 'jobs.jobs'),
      entity: fc.constantFrom(null, 'order:%', 'invoice:1', 'nothing:%'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), which: fc.nat() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('run' as const),
      batch: fc.constantFrom(1, 3, 5_000),
      fault: fc.option(fc.record({ at: fc.nat(5), after: fc.boolean() }), { nil: undefined, freq: 2 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Run = Extract<Step, { do: 'run' }>;
interface Entry {
  id: string;
  text: string;
  who: 'a' | 'b';
  month: number;
  entity: string;
}
interface Hold {
  id: string;
  who: 'a' | 'b' | 'all';
  kind: string | null;
  entity: string | null;
}

class Model {
  entries: Entry[] = [];
  holds: Hold[] = [];
  readonly policies = new Map<'a' | 'b' | 'all', { years: number | null; archive: boolean }>();
  readonly there = new Set<number>();
  /** On their way out when a run was cut off. */
  readonly underWay = new Set<number>();

  yearsOf(tenant: 'a' | 'b' | 'all'): number {
    const policy = this.policies.get(tenant) ?? this.policies.get('all') ?? { years: 7 };
    return policy.years ?? Number.POSITIVE_INFINITY;
  }
  archives = (): boolean => this.policies.get('all')?.archive ?? true;
  ageOf = (month: number): number => MONTHS[month]?.years ?? 0;
  in = (month: number): Entry[] => this.entries.filter((one) => one.month === month);
  held = (entry: Entry): boolean =>
    this.holds.some(
      (hold) =>
        hold.kind !== 'jobs.jobs' &&
        (hold.who === 'all' || hold.who === entry.who) &&
        (hold.entity === null || (hold.entity.endsWith('%') ? entry.entity.startsWith(hold.entity.slice(0, -1)) : hold.entity === entry.entity)),
    );
  due = (month: number): boolean => this.ageOf(month) > this.yearsOf('all');
  kept = (month: number): boolean =>
    !this.due(month) || this.in(month).some((entry) => this.held(entry) || (this.policies.has(entry.who) && this.yearsOf(entry.who) > this.ageOf(month)));
  /** Which rows of a partition that stays go all the same. */
  swept = (month: number, tenant: 'a' | 'b'): Entry[] =>
    (this.due(month) && !this.archives()) || this.policies.has(tenant)
      ? this.in(month).filter((entry) => entry.who === tenant && this.ageOf(month) > this.yearsOf(tenant) && !this.held(entry))
      : [];

  /** What a dry run should say. */
  plan(): string[] {
    return [...this.there].flatMap((month) => {
      const name = MONTHS[month]?.name ?? '';
      if (this.underWay.has(month)) return [`finish ${name}`];
      const rows = this.in(month).length;
      const whole = this.due(month) ? [`${this.kept(month) ? 'keep' : 'drop'} ${name} ${rows}`] : [];
      if (!this.kept(month)) return whole;
      const sweeps = (['a', 'b'] as const).map((tenant) => [tenant, this.swept(month, tenant).length] as const).filter(([, count]) => count > 0);
      return [...whole, ...sweeps.map(([tenant, count]) => `sweep ${tenant} ${count}`)];
    });
  }
}

class Pair extends Model {
  readonly seen = new Map<string, number>();
  #count = (what: string): void => void this.seen.set(what, (this.seen.get(what) ?? 0) + 1);

  async take(step: Step): Promise<void> {
    this.#count(step.do);
    switch (step.do) {
      case 'add': {
        // Nothing is written to a month that is on its way out.
        if (this.underWay.has(step.month)) return;
        const day = MONTHS[step.month]?.day ?? '';
        if (!this.there.has(step.month)) await place.makeMonth(day);
        this.there.add(step.month);
        const known = new Set(this.entries.map((one) => one.id));
        await place.addEntries(TENANTS[step.who], day, step.count, step.entity);
        for (const row of await this.rows()) if (!known.has(row.id)) this.entries.push({ ...row, who: step.who, month: step.month });
        return;
      }
      case 'policy':
        if (step.reset) {
          await admin.query('delete from plinth_kernel.retention_policies where tenant_id = $1', [TENANTS[step.who]]);
          this.policies.delete(step.who);
        } else {
          await place.setPolicy(TENANTS[step.who], step.years && `${step.years} years`, step.who === 'all' ? step.archive : undefined);
          this.policies.set(step.who, { years: step.years, archive: step.archive });
        }
        return;
      case 'hold': {
        const { rows } = await admin.query<{ id: string }>(
          'insert into plinth_kernel.retention_holds (tenant_id, kind, entity, reason) values ($1, $2, $3, $4) returning id',
          [TENANTS[step.who], step.kind, step.entity, 'r'],
        );
        this.holds.push({ id: rows[0]?.id ?? '', who: step.who, kind: step.kind, entity: step.entity });
        return;
      }
      case 'release': {
        const hold = this.holds[step.which % Math.max(1, this.holds.length)];
        if (!hold) return;
        await admin.query('update plinth_kernel.retention_holds set released_at = now() where id = $1', [hold.id]);
        this.holds = this.holds.filter((other) => other !== hold);
        return;
      }
      case 'run':
        return this.run(step);
    }
  }

  rows = async (): Promise<{ id: string; text: string; entity: string }[]> =>
    (
      await admin.query<{ id: string; text: string; entity: string }>(
        `select id, entity_type || ':' || entity_id as entity, r::text as text from plinth_audit.entries r where id < plinth_kernel.v7_floor(now() - interval '1 year') order by id`,
      )
    ).rows;

  async run(step: Run): Promise<void> {
    const dry = await planRetention(place.services(), { kinds: ['audit.entries'] }, true);
    const nameOf = (tenantId: string | null): string => (tenantId === TENANTS.a ? 'a' : 'b');
    expect(
      dry
        .map((item) =>
          [item.action, ...(item.action === 'sweep' ? [nameOf(item.tenantId)] : [item.target]), ...(item.action === 'finish' ? [] : [item.rows])].join(' '),
        )
        .sort(),
    ).toEqual(this.plan().sort());
    let steps = 0;
    let broken: { action: string; target: string; tenantId?: string | undefined } | undefined;
    const result = await runRetention(
      place.services({
        async step(step_, body) {
          const breaks = steps++ === step.fault?.at;
          if (breaks) broken = step_;
          if (breaks && !step.fault?.after) throw new Error('cut off');
          const outcome = await body();
          if (breaks) throw new Error('cut off');
          return outcome;
        },
      }),
      { kinds: ['audit.entries'], batch: step.batch },
    );
    expect(result.failures).toHaveLength(broken ? 1 : 0);
    if (broken) this.#count(`cut off ${step.fault?.after ? 'after' : 'before'} ${broken.action}`);
    const archives = this.archives();
    const still = new Set((await this.rows()).map((row) => row.id));
    const gone: Entry[] = [];
    for (const month of this.there) {
      const finishing = this.underWay.has(month);
      const cut = broken && broken.action !== 'sweep' && broken.target === MONTHS[month]?.name;
      if (finishing || !this.kept(month)) {
        this.underWay.delete(month);
        if (cut && !(broken?.action === 'drop' && step.fault?.after)) this.underWay.add(month);
        else if (!this.kept(month)) {
          if (archives) gone.push(...this.in(month));
          this.entries = this.entries.filter((entry) => entry.month !== month);
          this.there.delete(month);
          this.#count('dropped');
        } else this.#count('returned');
        continue;
      }
      for (const tenant of ['a', 'b'] as const) {
        const swept = this.swept(month, tenant);
        if (swept.length > 0) this.#count('swept');
        // Whose sweep was cut off before it began may have its rows yet: the run does not say of which month they were.
        const may = broken?.action === 'sweep' && !step.fault?.after && broken.tenantId === TENANTS[tenant] ? still : new Set<string>();
        this.entries = this.entries.filter((entry) => !swept.includes(entry) || may.has(entry.id));
      }
    }
    await this.check(gone);
  }

  async check(gone: readonly Entry[]): Promise<void> {
    const rows = await this.rows();
    const visible = new Set(rows.map((row) => row.id));
    expect(rows.filter((row) => !this.entries.some((entry) => entry.id === row.id && this.underWay.has(entry.month))).map((row) => row.text)).toEqual(
      this.entries
        .filter((entry) => !this.underWay.has(entry.month))
        .sort((x, y) => (x.id < y.id ? -1 : 1))
        .map((entry) => entry.text),
    );
    if (gone.length === 0) return;
    const { rows: archives } = await admin.query<{ archive_key: string }>(
      `select archive_key from plinth_kernel.retention_partitions where state = 'dropped' and archive_key is not null`,
    );
    const read = new Set<string>();
    for (const { archive_key } of archives) for await (const row of archivedRows(place.storage, archive_key)) read.add(String(row.id));
    for (const entry of gone) {
      expect(read.has(entry.id), `${entry.id} is in an archive`).toBe(true);
      expect(visible.has(entry.id)).toBe(false);
    }
  }
}

test(`retention does what its dry run says, and nothing that is held goes (seed ${SEED})`, { timeout: 600_000 }, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40, size: 'max' }), async (steps) => {
      await place.clear();
      const pair = new Pair();
      for (const one of steps) await pair.take(one);
      await pair.take({ do: 'run', batch: 5_000, fault: undefined });
      for (const [what, times] of pair.seen) seen.set(what, (seen.get(what) ?? 0) + times);
    }),
    { seed: SEED, numRuns: drawnRuns(2), endOnFailure: process.env.PLINTH_SEED !== undefined },
  );
  expect(seen.get('run'), 'runs of retention').toBeGreaterThan(0);
});
