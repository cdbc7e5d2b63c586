/** A subscription against a model: whatever is changed while deliveries wait and are under way, each goes out, in order where order is promised, one at a time. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { consumeOnce } from '#kernel/feed.ts';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { seeded } from '#testing/random.ts';
import { fanOut } from './consumer.ts';
import type { Answer, Claimed } from './simulation.fixture.ts';
import { drain, Simulation } from './simulation.fixture.ts';

const SEED = Number(process.env.PLINTH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env.PLINTH_RUNS ?? 4);
const STEPS = 50;
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
  /** Where it stands in its order. */
  place: number;
  status: 'waits' | 'delivered' | 'failed' | 'blocked' | 'dropped';
  attempts: number;
}

/** What is promised, by the numbers of the events. */
class Lanes {
  readonly sent: Sent[] = [];
  readonly flying = new Map<number, Claimed>();
  ordering = 'parallel';
  poison = 'skip';
  #places = 0;

  happened(n: number, key: string): void {
    this.sent.push({ n, key, place: ++this.#places, status: 'waits', attempts: 0 });
  }
  of(n: number): Sent {
    const sent = this.sent[n];
    if (!sent) throw new Error(`event ${n} was never published`);
    return sent;
  }
  behind(sent: Sent): void {
    sent.place = ++this.#places;
  }
  lane = (sent: Sent): string => (this.ordering === 'fifo' ? '' : sent.key);

  claimed(n: number, claim: Claimed): void {
    const one = this.of(n);
    const say = (what: string): never => {
      throw new Error(`seed ${SEED}: event ${n} was taken ${what} (${this.ordering}; ${JSON.stringify(this.sent)}; under way ${[...this.flying.keys()]})`);
    };
    if (one.status !== 'waits') say(`though it is ${one.status}`);
    if (this.flying.has(n)) say('twice');
    if (this.ordering !== 'parallel') {
      if ([...this.flying.keys()].some((other) => this.lane(this.of(other)) === this.lane(one))) say('beside another');
      const first = this.sent
        .filter((other) => (other.status === 'waits' || other.status === 'blocked') && this.lane(other) === this.lane(one))
        .sort((x, y) => x.place - y.place)[0];
      if (first?.n !== n) say(`before ${first?.n}`);
    }
    this.flying.set(n, claim);
  }

  answered(n: number, { outcome, response_code }: Answer): void {
    const one = this.of(n);
    this.flying.delete(n);
    if (outcome !== 'returned') one.attempts += 1;
    if (outcome === 'delivered') one.status = 'delivered';
    else if (outcome === 'failed' && response_code === 400) one.status = this.ordering !== 'parallel' && this.poison === 'block' ? 'blocked' : 'failed';
  }
}

test(`what is done to a subscription loses nothing, sends nothing beside what it waits for and stops nothing (seed ${SEED})`, {
  timeout: 300_000,
}, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const of = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const { admin, plinth, tenantA } = database;
  const as = <Row>(text: string, values: unknown[] = []) => plinth.transaction({ tenantId: tenantA }, (tx) => tx.query<Row>(text, values));
  for (let round = 0; round < ROUNDS; round++) {
    await admin.query(
      'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts, plinth_webhooks.flights, plinth_webhooks.held_back cascade',
    );
    const [{ id } = { id: '' }] = await as<{ id: string }>(`select subscription_id as id from plinth.subscribe('s', '{order.#}', 'https://example.com/')`);
    const lanes = new Lanes();
    const simulation = new Simulation(admin);
    /** By delivery: the number of its event. */
    const numbers = new Map<string, number>();
    const learn = async (): Promise<void> => {
      for (const row of (await admin.query<{ id: string; n: number }>(`select id, (body::jsonb -> 'data' ->> 'n')::int as n from plinth_webhooks.deliveries`))
        .rows)
        numbers.set(row.id, row.n);
    };
    const idOf = (n: number): string => [...numbers].find(([, number]) => number === n)?.[0] ?? '';
    const settle = async (n: number, answer: Answer): Promise<void> => {
      const claim = lanes.flying.get(n);
      if (!claim) return;
      const statuses = await simulation.settle([{ claimed: claim, answer }]);
      expect(statuses.size, `seed ${SEED}`).toBe(1);
      lanes.answered(n, answer);
    };
    const policy = async (): Promise<void> => {
      const ordering = of(['parallel', 'fifo', 'fifo_by_key']);
      // What blocked the old order waits in the new one.
      if (ordering !== lanes.ordering) for (const one of lanes.sent) if (one.status === 'blocked') one.status = 'waits';
      Object.assign(lanes, { ordering, poison: of(['skip', 'block']) });
      await as(
        `select plinth.set_delivery_policy($1, p_ordering => $2, p_order_key => case when $2 = 'fifo_by_key' then '$.key' else '' end, p_poison => $3, p_max_in_flight => 3)`,
        [id, lanes.ordering, lanes.poison],
      );
    };
    const steps: Record<string, () => Promise<void>> = {
      publish: async () => {
        for (let n = 1 + random(3); n > 0; n--) {
          const number = lanes.sent.length;
          const key = of(['x', 'y']);
          await as(`select plinth.publish_event('order.created', $1)`, [{ n: number, key }]);
          lanes.happened(number, key);
        }
        while ((await consumeOnce(plinth, 'webhooks.fan-out', fanOut)) > 0);
        await learn();
      },
      claim: async () => {
        for (const claim of await simulation.claim(1 + random(4), HOLDER, LEASE_S)) lanes.claimed(numbers.get(claim.id) ?? -1, claim);
      },
      answer: async () => {
        const flying = [...lanes.flying.keys()];
        if (flying.length > 0)
          await settle(
            of(flying),
            of<Answer>([
              { outcome: 'delivered', response_code: 200 },
              { outcome: 'delivered', response_code: 200 },
              { outcome: 'failed', response_code: 422 },
              { outcome: 'failed', response_code: 400, permanent: true } as Answer,
              { outcome: 'returned' },
            ]),
          );
      },
      die: async () => {
        await admin.query(`update plinth_webhooks.flights set lease_until = clock_timestamp()`);
        lanes.flying.clear();
      },
      time: () => simulation.advance(of([6, 400])),
      policy,
      resend: async () => {
        const dead = lanes.sent.filter(({ status }) => status === 'failed' || status === 'blocked');
        if (dead.length === 0) return;
        const one = of(dead);
        await as('select plinth.resend_delivery($1)', [idOf(one.n)]);
        if (one.status === 'failed' && lanes.ordering !== 'parallel') lanes.behind(one);
        one.status = 'waits';
      },
      skip: async () => {
        const blocked = lanes.sent.filter(({ status }) => status === 'blocked');
        if (blocked.length === 0) return;
        const one = of(blocked);
        await as('select plinth.skip_delivery($1)', [idOf(one.n)]);
        one.status = 'failed';
      },
      resume: async () => {
        const mode = of(['continue', 'continue', 'skip']);
        await as('select plinth.disable_subscription($1)', [id]);
        expect(await simulation.claim(10, HOLDER)).toEqual([]);
        await as('select plinth.resume_subscription($1, $2)', [id, mode]);
        if (mode === 'skip')
          for (const one of lanes.sent) if ((one.status === 'waits' || one.status === 'blocked') && !lanes.flying.has(one.n)) one.status = 'dropped';
      },
    };
    const weights = [
      'publish',
      'publish',
      'publish',
      'claim',
      'claim',
      'claim',
      'claim',
      'answer',
      'answer',
      'answer',
      'answer',
      'answer',
      'die',
      'time',
      'time',
      'policy',
      'resend',
      'skip',
      'resume',
    ];
    for (let step = 0; step < STEPS; step++) {
      const name = of(weights);
      await steps[name]?.();
    }
    for (const one of lanes.sent) if (one.status === 'blocked') await as('select plinth.skip_delivery($1)', [idOf(one.n)]);
    await admin.query(`update plinth_webhooks.flights set lease_until = clock_timestamp()`);
    for (const one of await drain(simulation, HOLDER, 0.1)) {
      const sent = lanes.of(numbers.get(one.id) ?? -1);
      sent.status = 'delivered';
      sent.attempts += 1;
    }
    const { rows: left } = await admin.query<{ n: number; status: string }>(
      `select (body::jsonb -> 'data' ->> 'n')::int as n, status from plinth_webhooks.deliveries order by 1`,
    );
    expect(left, `seed ${SEED}, round ${round}`).toEqual(
      lanes.sent.flatMap(({ n, status }) => (status === 'failed' || status === 'blocked' ? [{ n, status: 'failed' }] : [])),
    );
    expect(
      lanes.sent.filter(({ status }) => status === 'waits'),
      `seed ${SEED}, round ${round}`,
    ).toEqual([]);
    const { rows: logged } = await admin.query<{ delivery_id: string; n: number }>(
      'select delivery_id, count(*)::int as n from plinth_webhooks.attempts group by 1',
    );
    for (const { n, attempts } of lanes.sent)
      expect(logged.find((row) => numbers.get(row.delivery_id) === n)?.n ?? 0, `seed ${SEED}, event ${n}`).toBe(attempts);
  }
});
