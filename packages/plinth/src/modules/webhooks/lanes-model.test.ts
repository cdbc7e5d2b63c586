/**
 * Subscriptions of two tenants against a model: whatever is changed, replayed, tested and taken back while deliveries wait and are under way, each goes out, in order where
 * order is promised, one at a time. PLINTH_RUNS=40 for a longer run, PLINTH_SEED to repeat one.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import { fanOut } from './consumer.ts';
import type { Answer, Claimed } from './simulation.fixture.ts';
import { drain, Simulation } from './simulation.fixture.ts';

const SEED = drawnSeed();
const ROUNDS = drawnRuns(3);
const STEPS = 80;
/** Longer than all steps take. */
const LEASE_S = 40_000;
const HOLDER = '018f0000-0000-7000-8000-0000000000d1';

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('webhooks_lanes_model');
});
afterAll(() => database.drop());

interface Sent {
  n: number;
  key: string;
  other: string;
  /** Where it stands in its order; ahead of all others when the order was changed while it was under way, until its attempt is over. */
  place: number;
  ahead: boolean;
  status: 'waits' | 'delivered' | 'failed' | 'blocked' | 'dropped';
  attempts: number;
}

/** What is promised of the subscription of one tenant, by the numbers of the events. */
class Lanes {
  readonly sent: Sent[] = [];
  readonly flying = new Map<number, Claimed>();
  /** Of dispatchers that died: an answer counts as long as nobody took the delivery over. */
  readonly ghosts = new Map<number, Claimed>();
  /** Test events that wait, and those under way. */
  readonly tests = new Map<string, Claimed | undefined>();
  readonly tenantId: string;
  id = '';
  enabled = true;
  ordering = 'parallel';
  path: 'key' | 'other' = 'key';
  poison = 'skip';
  #places = 0;

  constructor(tenantId: string) {
    this.tenantId = tenantId;
  }

  happened(event: Pick<Sent, 'n' | 'key' | 'other'>): void {
    this.sent.push({ ...event, place: ++this.#places, ahead: false, status: this.enabled ? 'waits' : 'dropped', attempts: 0 });
  }
  of(n: number): Sent {
    const sent = this.sent[n];
    if (!sent) throw new Error(`event ${n} was never published`);
    return sent;
  }
  with = (...statuses: Sent['status'][]): Sent[] => this.sent.filter(({ status }) => statuses.includes(status));
  behind(sent: Sent): void {
    sent.place = ++this.#places;
    sent.ahead = false;
  }
  reorder(): void {
    for (const one of this.sent) one.ahead = this.flying.has(one.n);
  }
  lane = (sent: Sent): string => (this.ordering === 'fifo' ? '' : sent[this.path]);

  claimed(n: number, claim: Claimed): void {
    const one = this.of(n);
    const say = (what: string): never => {
      throw new Error(`seed ${SEED}: event ${n} was taken ${what} (${this.ordering}; ${JSON.stringify(this.sent)}; under way ${[...this.flying.keys()]})`);
    };
    if (!this.enabled) say('though its subscription is disabled');
    if (one.status !== 'waits') say(`though it is ${one.status}`);
    if (this.flying.has(n)) say('twice');
    if (this.ordering !== 'parallel') {
      if ([...this.flying.keys()].some((other) => this.lane(this.of(other)) === this.lane(one))) say('beside another');
      const first = this.with('waits', 'blocked')
        .filter((other) => this.lane(other) === this.lane(one))
        .sort((x, y) => Number(y.ahead) - Number(x.ahead) || x.place - y.place)[0];
      if (first?.n !== n) say(`before ${first?.n}`);
    }
    this.ghosts.delete(n);
    this.flying.set(n, claim);
  }

  /** `status` is what the database made of it. */
  answered(n: number, { outcome }: Answer, status: string): void {
    const one = this.of(n);
    this.flying.delete(n);
    this.ghosts.delete(n);
    if (one.status === 'dropped') {
      expect(status, `seed ${SEED}`).toBe('deleted');
      return;
    }
    if (outcome !== 'returned') one.attempts += 1;
    if (outcome === 'gone') this.enabled = false;
    if (outcome === 'failed' || outcome === 'gone') one.ahead = false;
    const given = this.ordering !== 'parallel' && this.poison === 'block' ? 'blocked' : 'failed';
    // By its own schedule a delivery is given up when time has passed.
    const over = outcome === 'gone' || (outcome === 'failed' && status !== 'pending');
    expect(status, `seed ${SEED}, event ${n}`).toBe(outcome === 'delivered' ? 'delivered' : over ? given : 'pending');
    if (outcome === 'delivered') one.status = 'delivered';
    else if (over) one.status = given;
  }
  die(): void {
    for (const [n, claim] of this.flying) this.ghosts.set(n, claim);
    this.flying.clear();
    for (const id of this.tests.keys()) this.tests.set(id, undefined);
  }
}

const ANSWERS: (Answer & { permanent?: boolean })[] = [
  { outcome: 'delivered', response_code: 200 },
  { outcome: 'delivered', response_code: 200 },
  { outcome: 'delivered', response_code: 200 },
  { outcome: 'failed', response_code: 422 },
  { outcome: 'failed', response_code: 429, retry_after_ms: 3000 },
  { outcome: 'failed', response_code: 400, permanent: true },
  { outcome: 'returned' },
];
const WEIGHTS: Record<string, number> = {
  publish: 6,
  claim: 10,
  answer: 10,
  answerTest: 2,
  late: 1,
  die: 1,
  time: 4,
  policy: 2,
  resend: 2,
  skip: 2,
  disable: 1,
  gone: 1,
  resume: 2,
  replay: 3,
  tell: 2,
};

test(`what is done to a subscription loses nothing, sends nothing beside what it waits for and stops nothing (seed ${SEED})`, {
  timeout: 60_000 + ROUNDS * 30_000,
}, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const of = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const { admin, plinth, tenantA, tenantB } = database;
  class Undone extends Error {}
  /** At times it is taken back first, to a savepoint or as a whole: then it never was. */
  const as = async <Row>(tenantId: string, text: string, values: unknown[] = [], beforeCommit?: () => Promise<void> | undefined): Promise<Row[]> => {
    const isolation = of(['read committed', 'read committed', 'repeatable read', 'serializable'] as const);
    const undone = random(6);
    if (undone === 0)
      await plinth
        .transaction({ tenantId, isolation }, async (tx) => {
          await tx.query(text, values);
          throw new Undone();
        })
        .catch((error: unknown) => {
          if (!(error instanceof Undone)) throw error;
        });
    return plinth.transaction({ tenantId, isolation }, async (tx) => {
      if (undone === 1) {
        await tx.query('savepoint s');
        await tx.query(text, values);
        await tx.query('rollback to savepoint s');
      }
      const rows = await tx.query<Row>(text, values);
      await beforeCommit?.();
      return rows;
    });
  };
  for (let round = 0; round < ROUNDS; round++) {
    await admin.query(
      'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts, plinth_webhooks.flights, plinth_webhooks.held_back, plinth_webhooks.replays cascade',
    );
    const since = new Date((await admin.query<{ now: Date }>('select clock_timestamp() as now')).rows[0]?.now ?? 0);
    const both = [new Lanes(tenantA), new Lanes(tenantB)];
    for (const lanes of both)
      lanes.id =
        (await as<{ id: string }>(lanes.tenantId, `select subscription_id as id from plinth.subscribe('s', '{order.#}', 'https://example.com/')`))[0]?.id ?? '';
    const simulation = new Simulation(admin);
    /** By delivery: the number of its event. */
    const numbers = new Map<string, number>();
    const learn = async (): Promise<void> => {
      for (const row of (
        await admin.query<{ id: string; n: number | null }>(`select id, (body::jsonb -> 'data' ->> 'n')::int as n from plinth_webhooks.deliveries`)
      ).rows)
        if (row.n !== null) numbers.set(row.id, row.n);
    };
    const idOf = ({ tenantId }: Lanes, n: number): string => [...numbers].find(([id, number]) => number === n && tenants.get(id) === tenantId)?.[0] ?? '';
    /** By delivery, too. */
    const tenants = new Map<string, string>();
    const claim = async (limit: number): Promise<void> => {
      for (const one of await simulation.claim(limit, HOLDER, LEASE_S)) {
        const lanes = both.find(({ tenantId }) => tenantId === one.tenant_id) as Lanes;
        if (!lanes.tests.has(one.id)) lanes.claimed(numbers.get(one.id) ?? -1, one);
        else if (lanes.tests.get(one.id)) throw new Error(`seed ${SEED}: a test event was taken twice`);
        else lanes.tests.set(one.id, one);
      }
    };
    const settle = async (lanes: Lanes, n: number, claimed: Claimed, answer: Answer): Promise<void> => {
      const statuses = await simulation.settle([{ claimed, answer }]);
      expect(statuses.size, `seed ${SEED}`).toBe(1);
      lanes.answered(n, answer, String(statuses.get(claimed.id)));
    };
    const answerOne = async (lanes: Lanes, answer: Answer): Promise<void> => {
      if (lanes.flying.size === 0) return;
      const [n, claimed] = of([...lanes.flying]);
      await settle(lanes, n, claimed, answer);
    };
    const steps: Record<string, (lanes: Lanes) => Promise<void>> = {
      publish: async (lanes) => {
        // In one transaction, and so mostly in one millisecond.
        const news = Array.from({ length: 1 + random(4) }, (_, index) => ({ n: lanes.sent.length + index, key: of(['x', 'y']), other: of(['x', 'y']) }));
        await as(lanes.tenantId, `select plinth.publish_event('order.created', e) from jsonb_array_elements($1) e`, [JSON.stringify(news)]);
        for (const event of news) lanes.happened(event);
        while ((await consumeOnce(plinth, 'webhooks.fan-out', fanOut)) > 0);
        await learn();
      },
      claim: () => claim(1 + random(6)),
      answer: (lanes) => answerOne(lanes, of(ANSWERS)),
      answerTest: async (lanes) => {
        const flying = [...lanes.tests].filter(([, one]) => one !== undefined) as [string, Claimed][];
        if (flying.length === 0) return;
        const [id, claimed] = of(flying);
        const answer = of(ANSWERS);
        const status = (await simulation.settle([{ claimed, answer }])).get(id);
        if (status === 'pending') lanes.tests.set(id, undefined);
        else lanes.tests.delete(id);
        expect(status, `seed ${SEED}`).toMatch(/^(delivered|failed|pending)$/);
      },
      late: async (lanes) => {
        if (lanes.ghosts.size === 0) return;
        const [n, claimed] = of([...lanes.ghosts]);
        await settle(lanes, n, claimed, of(ANSWERS));
      },
      die: async () => {
        await admin.query(`update plinth_webhooks.flights set lease_until = clock_timestamp()`);
        for (const lanes of both) lanes.die();
      },
      time: () => simulation.advance(of([6, 400])),
      policy: async (lanes) => {
        const ordering = of(['parallel', 'fifo', 'fifo_by_key', 'fifo_by_key']);
        const path = ordering === 'fifo_by_key' ? of(['key', 'other'] as const) : lanes.path;
        // What blocked the old order waits in the new one.
        const poison = of(['skip', 'block']);
        const meanwhile = random(3) === 0 ? 1 + random(6) : 0;
        await as(
          lanes.tenantId,
          `select plinth.set_delivery_policy($1, p_ordering => $2, p_order_key => $4, p_poison => $3, p_max_in_flight => 3)`,
          [lanes.id, ordering, poison, `$.${path}`],
          // As it was, until this commits.
          () => (meanwhile > 0 ? claim(meanwhile) : undefined),
        );
        if (ordering !== lanes.ordering || path !== lanes.path) {
          for (const one of lanes.with('blocked')) one.status = 'waits';
          lanes.reorder();
        }
        Object.assign(lanes, { ordering, path, poison });
      },
      resend: async (lanes) => {
        const dead = lanes.with('failed', 'blocked');
        if (dead.length === 0 || !lanes.enabled) return;
        const one = of(dead);
        await as(lanes.tenantId, 'select plinth.resend_delivery($1)', [idOf(lanes, one.n)]);
        if (one.status === 'failed' && lanes.ordering !== 'parallel') lanes.behind(one);
        one.status = 'waits';
      },
      skip: async (lanes) => {
        const blocked = lanes.with('blocked');
        if (blocked.length === 0) return;
        const one = of(blocked);
        await as(lanes.tenantId, 'select plinth.skip_delivery($1)', [idOf(lanes, one.n)]);
        one.status = 'failed';
      },
      disable: async (lanes) => {
        await as(lanes.tenantId, 'select plinth.disable_subscription($1)', [lanes.id]);
        lanes.enabled = false;
      },
      gone: (lanes) => answerOne(lanes, { outcome: 'gone', response_code: 410 }),
      resume: async (lanes) => {
        const mode = of(['continue', 'continue', 'skip']);
        await as(lanes.tenantId, 'select plinth.resume_subscription($1, $2)', [lanes.id, mode]);
        lanes.enabled = true;
        if (mode !== 'skip') return;
        for (const one of lanes.with('waits', 'blocked')) if (!lanes.flying.has(one.n)) one.status = 'dropped';
        for (const [id, claimed] of lanes.tests) if (!claimed) lanes.tests.delete(id);
      },
      replay: async (lanes) => {
        if (!lanes.enabled || lanes.sent.length === 0) return;
        const { rows: events } = await admin.query<{ id: string; n: number }>(
          `select id, (payload ->> 'n')::int as n from plinth_events.events where tenant_id = $1 and type = 'order.created' and created_at >= $2 order by id`,
          [lanes.tenantId, since],
        );
        const onlyFailed = random(2) === 0;
        const wanted = random(2) === 0 ? events : events.filter(() => random(3) === 0);
        if (wanted.length === 0) return;
        const again = wanted
          .map(({ n }) => lanes.of(n))
          .filter(({ status }) => status === 'failed' || (!onlyFailed && (status === 'delivered' || status === 'dropped')));
        const asked = [lanes.id, wanted.map(({ id }) => id), onlyFailed];
        const [preview] = await as<{ n: number }>(lanes.tenantId, 'select plinth.preview_replay($1, p_ids => $2, p_only_failed => $3) as n', asked);
        expect(preview?.n, `seed ${SEED}`).toBe(again.length);
        // A slow one goes on in the middle of a millisecond.
        await as(lanes.tenantId, `select plinth.start_replay($1, p_ids => $2, p_only_failed => $3, p_rate_per_second => $4)`, [...asked, of([null, 1, 2])]);
        for (let running = true; running; ) {
          await plinth.asWorker({}, (tx) => tx.query('select plinth_webhooks.work_replays()'));
          running =
            (await admin.query(`update plinth_webhooks.replays set worked_at = worked_at - interval '1 second' where status = 'running' returning 1`)).rows
              .length > 0;
        }
        for (const one of again) {
          one.status = 'waits';
          lanes.behind(one);
        }
        await learn();
      },
      tell: async (lanes) => {
        if (!lanes.enabled) return;
        const [row] = await as<{ id: string }>(lanes.tenantId, 'select plinth.send_test_event($1) as id', [lanes.id]);
        lanes.tests.set(row?.id ?? '', undefined);
      },
    };
    const remember = async (): Promise<void> => {
      const { rows } = await admin.query<{ id: string; tenant_id: string; stuck: boolean }>(
        `select id, tenant_id, event_id is null and status = 'pending' and due_at = 'infinity' as stuck from plinth_webhooks.deliveries`,
      );
      for (const { id, tenant_id, stuck } of rows) {
        tenants.set(id, tenant_id);
        if (stuck) throw new Error('a test event stands in the order');
      }
    };
    const names = Object.entries(WEIGHTS).flatMap(([name, weight]) => Array<string>(weight).fill(name));
    const done: string[] = [];
    try {
      for (let step = 0; step < STEPS; step++) {
        const name = of(names);
        done.push(name);
        await steps[name]?.(of(both));
        await remember();
      }
    } catch (error) {
      throw new Error(`seed ${SEED}, round ${round}: ${done.join(' ')}: ${error}`, { cause: error });
    }
    const finish = async (): Promise<void> => {
      for (const one of await drain(simulation, HOLDER, 0.1)) {
        const lanes = both.find(({ tenantId }) => tenantId === one.tenant_id) as Lanes;
        if (lanes.tests.delete(one.id)) continue;
        const n = numbers.get(one.id) ?? -1;
        lanes.claimed(n, one);
        lanes.answered(n, { outcome: 'delivered' }, 'delivered');
      }
    };
    await admin.query(`update plinth_webhooks.flights set lease_until = clock_timestamp()`);
    for (const lanes of both) {
      lanes.die();
      if (!lanes.enabled) await as(lanes.tenantId, 'select plinth.resume_subscription($1)', [lanes.id]);
      lanes.enabled = true;
      for (const one of lanes.with('blocked')) {
        await as(lanes.tenantId, 'select plinth.skip_delivery($1)', [idOf(lanes, one.n)]);
        one.status = 'failed';
      }
    }
    await finish();
    const about = `seed ${SEED}, round ${round}`;
    for (const lanes of both) {
      const { rows: left } = await admin.query<{ n: number; status: string }>(
        `select (body::jsonb -> 'data' ->> 'n')::int as n, status from plinth_webhooks.deliveries where tenant_id = $1 and event_id is not null order by 1`,
        [lanes.tenantId],
      );
      expect(left, about).toEqual(lanes.with('failed', 'blocked').map(({ n }) => ({ n, status: 'failed' })));
      expect(lanes.with('waits'), about).toEqual([]);
      expect([...lanes.tests], about).toEqual([]);
      const { rows: logged } = await admin.query<{ delivery_id: string; n: number }>(
        'select delivery_id, count(*)::int as n from plinth_webhooks.attempts where tenant_id = $1 group by 1',
        [lanes.tenantId],
      );
      for (const { n, attempts } of lanes.sent) expect(logged.find((row) => numbers.get(row.delivery_id) === n)?.n ?? 0, `${about}, event ${n}`).toBe(attempts);
    }
  }
});
