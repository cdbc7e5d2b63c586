/** What lanes promise, over hours that take seconds: the real functions on a virtual clock (simulation.fixture.ts). */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Answer, Claimed } from './simulation.fixture.ts';
import { backlog, deadFor, drain, Simulation } from './simulation.fixture.ts';

let database: TestDatabase;
let a: string;
const HOLDERS = ['018f0000-0000-7000-8000-0000000000d1', '018f0000-0000-7000-8000-0000000000d2', '018f0000-0000-7000-8000-0000000000d3'];
const [HOLDER = ''] = HOLDERS;
beforeAll(async () => {
  database = await testDatabase('webhooks_simulation');
  a = database.tenantA;
});
afterAll(() => database.drop());
beforeEach(() =>
  database.admin.query(
    'truncate plinth_webhooks.subscriptions, plinth_webhooks.deliveries, plinth_webhooks.attempts, plinth_webhooks.flights, plinth_webhooks.tenant_limits, plinth_webhooks.tenant_buckets cascade',
  ),
);

async function lane(name: string, policy = '', tenantId = a): Promise<string> {
  return database.plinth.transaction({ tenantId }, async (tx) => {
    const [made] = await tx.query<{ id: string }>(`select subscription_id as id from plinth.subscribe($1, '{#}', 'https://example.com/')`, [name]);
    if (policy) await tx.query(`select plinth.set_delivery_policy($1, ${policy})`, [made?.id]);
    return made?.id ?? '';
  });
}
const ascending = (values: readonly number[]): boolean => values.every((value, i) => i === 0 || value > (values[i - 1] ?? 0));
/** Most attempts that any stretch of time holds beyond what the rate allows for its length. */
function excess(attempts: readonly Claimed[], rate: number): number {
  const at = attempts.map((one) => one.at);
  let worst = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < at.length; i++) for (let j = i; j < at.length; j++) worst = Math.max(worst, j - i + 1 - rate * ((at[j] ?? 0) - (at[i] ?? 0)));
  return worst;
}

describe('a dead endpoint', () => {
  test('costs a day of probes whatever waits, and drains in order at its rate when it is back', { timeout: 120_000 }, async () => {
    const id = await lane('dead', `p_rate_per_second => 400, p_max_in_flight => 100, p_disable_after => '30 days'`);
    await backlog(database.admin, id, 2000);
    const simulation = new Simulation(database.admin);
    const dead = await deadFor(simulation, id, 24, HOLDER);
    expect(dead.attempts).toBeLessThanOrEqual(300);
    expect(dead.illegal).toEqual([]);
    expect(dead.transitions[0]).toBe('closed>open');
    const tried = new Set(simulation.attempts.map((one) => one.id));
    const drained = await drain(simulation, HOLDER, 0.1);
    expect(new Set(drained.map((one) => one.id)).size).toBe(2000);
    expect(drained).toHaveLength(2000);
    expect(ascending(drained.filter((one) => !tried.has(one.id)).map((one) => one.seq))).toBe(true);
    expect(excess(drained, 400)).toBeLessThanOrEqual(400.01);
    expect(await simulation.breaker(id)).toBe('closed');
  });

  test('in a fifo lane nothing overtakes, before, during and after', { timeout: 120_000 }, async () => {
    const id = await lane('dead', `p_ordering => 'fifo', p_disable_after => '30 days'`);
    await backlog(database.admin, id, 200, '');
    await database.admin.query(
      `update plinth_webhooks.deliveries set lane_key = '', due_at = case when seq = (select min(seq) from plinth_webhooks.deliveries) then due_at else 'infinity' end`,
    );
    const simulation = new Simulation(database.admin);
    const dead = await deadFor(simulation, id, 12, HOLDER);
    expect(new Set(simulation.attempts.map((one) => one.seq)).size).toBe(1);
    expect(dead.illegal).toEqual([]);
    const drained = await drain(simulation, HOLDER, 0.1);
    expect(drained).toHaveLength(200);
    expect(ascending(drained.map((one) => one.seq))).toBe(true);
  });
});

describe('throttles', () => {
  test('of a subscription and of a tenant are never exceeded, by three dispatchers together', { timeout: 120_000 }, async () => {
    const one = await lane('one', 'p_rate_per_second => 5, p_max_in_flight => 7');
    const two = await lane('two');
    const free = await lane('free', '', database.tenantB);
    await database.plinth.transaction({ tenantId: a }, (tx) => tx.query('select plinth.set_delivery_limits(12, 9)'));
    for (const id of [one, two, free]) await backlog(database.admin, id, 150);
    const simulation = new Simulation(database.admin);
    const flying: { claimed: Claimed; until: number }[] = [];
    const random = seeded(7);
    while (await simulation.waiting()) {
      const batches = await Promise.all(HOLDERS.map((holder) => simulation.claim(8, holder)));
      for (const claimed of batches.flat()) flying.push({ claimed, until: simulation.advancedS + random() * 2 });
      const of = (id: string): number => flying.filter(({ claimed }) => claimed.subscription_id === id).length;
      expect(of(one)).toBeLessThanOrEqual(7);
      expect(of(one) + of(two)).toBeLessThanOrEqual(9);
      expect(of(free)).toBeLessThanOrEqual(10);
      await simulation.advance(0.2);
      const landed = flying.filter(({ until }) => until <= simulation.advancedS);
      await simulation.settle(landed.map(({ claimed }) => ({ claimed, answer: { outcome: 'delivered' } })));
      for (const done of landed) flying.splice(flying.indexOf(done), 1);
    }
    const sent = simulation.attempts.toSorted((x, y) => x.at - y.at);
    // A full bucket holds a second's worth.
    expect(
      excess(
        sent.filter((x) => x.subscription_id === one),
        5,
      ),
    ).toBeLessThanOrEqual(6);
    expect(
      excess(
        sent.filter((x) => x.tenant_id === a),
        12,
      ),
    ).toBeLessThanOrEqual(13);
    expect(sent).toHaveLength(450);
  });

  test('the window of a receiver that asks for less is halved, and grows by one a window', async () => {
    const id = await lane('crowded', 'p_max_in_flight => 8');
    await backlog(database.admin, id, 100);
    const simulation = new Simulation(database.admin);
    const round = async (answer: Answer): Promise<number> => {
      const claimed = await simulation.claim(64, HOLDER);
      await simulation.advance(400);
      await simulation.settle(claimed.map((one) => ({ claimed: one, answer: one === claimed[0] ? answer : { outcome: 'delivered' } })));
      // Longer than the pause.
      await simulation.advance(5);
      return claimed.length;
    };
    expect(await round({ outcome: 'failed', response_code: 429 })).toBe(8);
    expect(await round({ outcome: 'failed', response_code: 503 })).toBe(4);
    const grows: number[] = [];
    for (let i = 0; i < 7; i++) grows.push(await round({ outcome: 'delivered' }));
    expect(grows).toEqual([2, 3, 4, 5, 6, 7, 8]);
  });
});

describe('a receiver that answers 429', () => {
  /** Takes so many a second, and as many at once. */
  const bucket = (rate: number) => {
    let [tokens, at] = [rate, Number.NEGATIVE_INFINITY];
    return (now: number): boolean => {
      tokens = Math.min(rate, tokens + rate * Math.max(0, now - at));
      at = Math.max(at, now);
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    };
  };
  const LATENCY_S = 0.05;
  const refused = { outcome: 'failed', response_code: 429, response_time_ms: 50, age_ms: 50 } as const;
  const rateOf = async (id: string) =>
    (await database.admin.query<{ rate: number | null }>('select rate_now as rate from plinth.event_subscriptions where id = $1', [id])).rows[0]?.rate ?? null;

  test('is sent what it takes, and nearly no more: all is delivered', { timeout: 180_000 }, async () => {
    const id = await lane('ten a second');
    await backlog(database.admin, id, 800);
    const simulation = new Simulation(database.admin);
    const takes = bucket(10);
    const arrivals: { at: number; advancedS: number; taken: boolean }[] = [];
    while (await simulation.waiting()) {
      const claimed = (await simulation.claim(64, HOLDER)).map((one) => ({ one, taken: takes(one.at) }));
      arrivals.push(...claimed.map(({ one: { at }, taken }) => ({ at, advancedS: simulation.advancedS, taken })));
      await simulation.advance(LATENCY_S);
      await simulation.settle(
        claimed.map(({ one, taken }) => ({ claimed: one, answer: taken ? { outcome: 'delivered', response_time_ms: 50, age_ms: 50 } : refused })),
      );
    }
    const delivered = arrivals.filter(({ taken }) => taken);
    expect(delivered).toHaveLength(800);
    expect(arrivals.length - delivered.length).toBeLessThan(0.05 * arrivals.length);
    const [half, last] = [delivered[400], delivered[799]];
    // Without the time in which the machine worked or stood still, and with it.
    expect(399 / ((last?.advancedS ?? Number.NaN) - (half?.advancedS ?? Number.NaN))).toBeGreaterThan(8);
    expect(399 / ((last?.at ?? Number.NaN) - (half?.at ?? Number.NaN))).toBeLessThan(10.5);
    expect(await rateOf(id)).toBeGreaterThan(7);
    expect(await rateOf(id)).toBeLessThan(13);
    expect(await simulation.breaker(id)).toBe('closed');
    await simulation.advance(3600);
    expect(await rateOf(id)).toBeNull();
  });

  test('and never takes anything is asked less and less, down to once a minute; the delivery keeps its schedule, and ends a day after it', async () => {
    const id = await lane('never', `p_retry_schedule => 'short', p_disable_after => '30 days'`);
    await backlog(database.admin, id, 1);
    const simulation = new Simulation(database.admin);
    const advancedS: number[] = [];
    const attempt = async (): Promise<unknown> => {
      const [claimed] = await simulation.claim(8, HOLDER);
      if (!claimed) return undefined;
      advancedS.push(simulation.advancedS);
      await simulation.advance(LATENCY_S);
      await simulation.settle([{ claimed, answer: refused }]);
      return (await database.admin.query('select status, step from plinth_webhooks.deliveries')).rows[0];
    };
    for (let tries = 0; tries < 12; ) {
      const became = await attempt();
      if (became) expect(became, `attempt ${(tries += 1)}`).toEqual({ status: 'pending', step: 0 });
      await simulation.advance(((await simulation.nextS()) ?? 1) + 0.01);
    }
    const between = (moments: readonly number[]): number[] => moments.map((at, i) => at - (moments[i - 1] ?? at)).slice(1);
    const waits = between(simulation.attempts.map(({ at }) => at));
    // Without the time in which the machine worked or stood still.
    const advanced = between(advancedS);
    [1, 2, 4, 8, 16, 32, 60].forEach((seconds, i) => {
      expect(waits[i], `wait ${i}`).toBeGreaterThanOrEqual(seconds * 0.9);
      expect(advanced[i], `wait ${i}`).toBeLessThan(seconds * 1.1 + 2);
    });
    expect(Math.min(...waits.slice(6))).toBeGreaterThanOrEqual(54);
    // Its schedule takes at most 1.2 times 5 + 15 + 60 + 300 + 900 seconds.
    await simulation.advance(86_400);
    expect(await attempt()).toEqual({ status: 'pending', step: 0 });
    await simulation.advance(1536);
    expect(await attempt()).toMatchObject({ status: 'failed' });
  });

  test('a success ends the doubling of its pauses, and its Retry-After goes before them', async () => {
    const id = await lane('now and then');
    await backlog(database.admin, id, 50);
    const simulation = new Simulation(database.admin);
    /** Since before it was settled and since after: what lies between is not the pause but the machine. */
    const pauseAfter = async (answer: Answer): Promise<[most: number, least: number]> => {
      const [claimed] = await simulation.claim(1, HOLDER);
      if (!claimed) throw new Error('nothing was claimed');
      await simulation.advance(LATENCY_S);
      const before = (await database.admin.query<{ at: Date }>('select clock_timestamp() as at')).rows[0]?.at;
      await simulation.settle([{ claimed, answer }]);
      const { rows } = await database.admin.query<{ most: number; least: number }>(
        `select extract(epoch from next_at - $2)::float8 as most, extract(epoch from next_at - clock_timestamp())::float8 as least
         from plinth_webhooks.lanes where subscription_id = $1`,
        [id, before],
      );
      const most = Math.max(0, rows[0]?.most ?? 0);
      await simulation.advance(most + 60);
      return [most, Math.max(0, rows[0]?.least ?? 0)];
    };
    const pauses: [most: number, least: number][] = [];
    for (const answer of [
      refused,
      refused,
      refused,
      { outcome: 'delivered' },
      refused,
      { ...refused, retry_after_ms: 7000 },
      { ...refused, response_code: 503 },
    ] as const)
      pauses.push(await pauseAfter(answer));
    const expected = [1, 2, 4, 0, 1, 7, 2];
    for (const [i, seconds] of expected.entries()) {
      const [most, least] = pauses[i] ?? [];
      expect(most, `${i}: ${pauses}`).toBeGreaterThanOrEqual(seconds * 0.9 - 0.2);
      expect(least, `${i}: ${pauses}`).toBeLessThanOrEqual(seconds * 1.1 + 0.2);
    }
  });
});

describe('order under failures and dying dispatchers', () => {
  test('of a key, the next is sent only when the one before was delivered or given up', { timeout: 180_000 }, async () => {
    const seed = drawnSeed();
    process.stdout.write(`webhooks simulation: PLINTH_SEED=${seed}\n`);
    const random = seeded(seed);
    const byKey = await lane(
      'by key',
      `p_ordering => 'fifo_by_key', p_retry_schedule => 'custom', p_retry_seconds => '{1,2,3}', p_max_in_flight => 6, p_disable_after => '30 days'`,
    );
    const fifo = await lane(
      'fifo',
      `p_ordering => 'fifo', p_retry_schedule => 'custom', p_retry_seconds => '{1,2,3}', p_disable_after => '30 days'`,
      database.tenantB,
    );
    await backlog(database.admin, byKey, 120, 'k', 8);
    await backlog(database.admin, fifo, 30, 'x', 1);
    const simulation = new Simulation(database.admin);
    const order = new Map<string, { id: string; key: string }[]>();
    const { rows } = await database.admin.query<{ id: string; key: string }>(
      'select id, subscription_id || lane_key as key from plinth_webhooks.deliveries order by seq',
    );
    for (const row of rows) order.set(row.key, [...(order.get(row.key) ?? []), row]);
    const over = new Set<string>();
    let flying: Claimed[] = [];
    for (let turn = 0; turn < 3000 && (await simulation.waiting()); turn++) {
      const claimed = await simulation.claim(1 + Math.floor(random() * 6), HOLDERS[Math.floor(random() * 3)] ?? HOLDER, 20);
      for (const one of claimed) {
        const before = (order.get(one.subscription_id + one.lane_key) ?? []).findIndex(({ id }) => id === one.id);
        const missing = (order.get(one.subscription_id + one.lane_key) ?? []).slice(0, before).filter(({ id }) => !over.has(id));
        expect(missing, `seed ${seed}, turn ${turn}`).toEqual([]);
        // What another dispatcher had is taken over only when its lease is out.
        flying = flying.filter(({ id }) => id !== one.id);
        expect(flying.some((other) => other.subscription_id === one.subscription_id && other.lane_key === one.lane_key)).toBe(false);
      }
      flying.push(...claimed);
      // A dispatcher that dies never settles.
      const dying = random() < 0.1;
      const done = flying.filter(() => random() < 0.7);
      if (!dying && done.length > 0) {
        const settled = await simulation.settle(
          done.map((one) => ({ claimed: one, answer: { outcome: random() < 0.6 ? 'delivered' : 'failed', response_code: 500 } })),
        );
        for (const [id, status] of settled) if (status !== 'pending') over.add(id);
      }
      if (dying || done.length > 0) flying = flying.filter((one) => !done.includes(one));
      if (claimed.length === 0) await simulation.advance(Math.max(1, ((await simulation.nextS()) ?? 1) / 2));
      else await simulation.advance(random());
    }
    expect(await simulation.waiting(), `seed ${seed}`).toBe(false);
    expect(over.size).toBe(150);
  });
});

describe('places', () => {
  test('a tenant with fifty subscriptions has no more of them than one with one', async () => {
    for (let i = 0; i < 50; i++) await backlog(database.admin, await lane(`many ${i}`), 4);
    const single = await lane('single', 'p_max_in_flight => 40', database.tenantB);
    await backlog(database.admin, single, 100);
    const simulation = new Simulation(database.admin);
    const first = await simulation.claim(20, HOLDER);
    expect(first.filter((one) => one.tenant_id === database.tenantB)).toHaveLength(10);
    const more = await simulation.claim(20, HOLDERS[1] ?? '');
    expect([...first, ...more].filter((one) => one.tenant_id === database.tenantB)).toHaveLength(20);
    expect(new Set(first.filter((one) => one.tenant_id === a).map((one) => one.subscription_id)).size).toBe(10);
  });
});
