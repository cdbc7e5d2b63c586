/** Fair turns: what the ring promises whatever waits in the lanes, against a model of queues. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import type { Lane, LaneRing, Taken } from './lane-ring.ts';
import { createLaneRing } from './lane-ring.ts';

const lane = (tenantId: string, priority = 5, weight = 1, key = ''): Lane => ({ queue: 'q', priority, tenantId, key, weight });
/** Claims once, as the database would: in the order of the turns, from what waits. Returns jobs by tenant. */
function claim(ring: LaneRing, waiting: Map<Lane, number>, limit: number, seq = { last: 0 }): Map<string, number> {
  const got = new Map<string, number>();
  const jobs: Taken[] = [];
  const turns = ring.next(limit);
  let room = limit;
  for (const [index, turn] of turns.entries()) {
    const take = Math.min(turn.quantum, waiting.get(turn.lane) ?? 0, room);
    room -= take;
    waiting.set(turn.lane, (waiting.get(turn.lane) ?? 0) - take);
    got.set(turn.lane.tenantId, (got.get(turn.lane.tenantId) ?? 0) + take);
    for (let n = 0; n < take; n++) jobs.push({ turn: index, seq: String(++seq.last) });
  }
  ring.taken(turns, jobs);
  return got;
}

describe('the lane ring', () => {
  test('gives tenants with work shares in proportion to their weights, however much each has waiting', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 2, maxLength: 200 }), fc.integer({ min: 50, max: 500 }), (weights, limit) => {
        const ring = createLaneRing();
        const lanes = weights.map((weight, n) => lane(`t${String(n).padStart(4, '0')}`, 5, weight));
        const waiting = new Map(lanes.map((one, n) => [one, 1_000_000 * (1 + (n % 7))]));
        ring.refresh(lanes);
        const sums = new Map<string, number>();
        for (let round = 0; round < 400; round++) for (const [tenant, count] of claim(ring, waiting, limit)) sums.set(tenant, (sums.get(tenant) ?? 0) + count);
        const shares = lanes.map((one) => (sums.get(one.tenantId) ?? 0) / (one.weight ?? 1));
        // Jain's index over shares by weight (Jain, Chiu, Hawe 1984): 1 is perfectly fair.
        const jain = shares.reduce((sum, share) => sum + share, 0) ** 2 / (shares.length * shares.reduce((sum, share) => sum + share * share, 0));
        expect(jain).toBeGreaterThan(0.98);
      }),
      { seed: drawnSeed(), numRuns: drawnRuns(25) },
    );
  });

  test('serves the most urgent band first, and leaves the others an eighth of the claims', () => {
    const ring = createLaneRing();
    const urgent = lane('a', 1);
    const later = lane('b', 9);
    const waiting = new Map([
      [urgent, 1_000_000],
      [later, 1_000_000],
    ]);
    ring.refresh([later, urgent]);
    const sums = { a: 0, b: 0 };
    for (let round = 0; round < 800; round++) {
      const got = claim(ring, waiting, 10);
      sums.a += got.get('a') ?? 0;
      sums.b += got.get('b') ?? 0;
    }
    expect(sums).toEqual({ a: 7_000, b: 1_000 });
  });

  test('leaves every band its share, not only the first and the last', () => {
    const ring = createLaneRing();
    const lanes = [1, 3, 5, 9].map((priority) => lane(`t${priority}`, priority));
    const waiting = new Map(lanes.map((one) => [one, 1_000_000]));
    const sums = new Map<string, number>();
    for (let round = 0; round < 2_400; round++) {
      // Lanes are found anew all the time.
      if (round % 5 === 0) ring.refresh(lanes, false);
      for (const [tenant, count] of claim(ring, waiting, 10)) sums.set(tenant, (sums.get(tenant) ?? 0) + count);
    }
    expect(Object.fromEntries(sums)).toEqual({ t1: 21_000, t3: 1_000, t5: 1_000, t9: 1_000 });
  });

  test.each([1, 2, 5])('keeps to the weights when it takes %i at a time, and lanes are found anew in between', (limit) => {
    const ring = createLaneRing();
    const lanes = [1, 3, 10].map((weight) => lane(`t${weight}`, 5, weight));
    const waiting = new Map(lanes.map((one) => [one, 1_000_000]));
    const sums = new Map<string, number>();
    for (let taken = 0; taken < 1_400; ) {
      ring.refresh(lanes, false);
      for (const [tenant, count] of claim(ring, waiting, Math.min(limit, 1_400 - taken))) {
        sums.set(tenant, (sums.get(tenant) ?? 0) + count);
        taken += count;
      }
    }
    expect(Object.fromEntries(sums)).toEqual({ t1: 100, t3: 300, t10: 1_000 });
  });

  test('takes from the lanes of a tenant in turn, when it takes one at a time and they are found anew each time', () => {
    const ring = createLaneRing();
    const lanes = ['bulk', 'mail', 'sync'].map((key) => lane('a', 5, 1, key));
    const waiting = new Map(lanes.map((one) => [one, 1_000]));
    for (let round = 0; round < 30; round++) {
      ring.refresh(lanes, false);
      claim(ring, waiting, 1);
    }
    expect([...waiting.values()]).toEqual([990, 990, 990]);
  });

  test('tenants that share a limit get what is left of it by their weights, and so do the lanes of one tenant, whoever else has work', () => {
    const seed = drawnSeed();
    console.info(`seed ${seed}`);
    const ring = createLaneRing(seeded(seed));
    const limited = [lane('a', 5, 1), lane('b', 5, 3, 'mail'), lane('b', 5, 3, 'sync')].map((one) => ({ ...one, room: 1 }));
    const lanes = [...limited, lane('c'), lane('d')];
    const sums = new Map<string, number>();
    for (let round = 0; round < 4_000; round++) {
      ring.refresh(lanes, false);
      const turns = ring.next(50);
      // One may start, and the first has work for it.
      const first = turns.findIndex((turn) => turn.lane.room !== undefined);
      const { tenantId = '', key = '' } = turns[first]?.lane ?? {};
      sums.set(tenantId + key, (sums.get(tenantId + key) ?? 0) + 1);
      ring.taken(turns, [{ turn: first, seq: String(round) }]);
    }
    // A quarter and two times three eighths of 4,000 by chance: the bounds are seven deviations away.
    expect(sums.get('a')).toBeGreaterThan(800);
    expect(sums.get('a')).toBeLessThan(1_200);
    for (const one of ['bmail', 'bsync']) expect(sums.get(one), `seed ${seed}`).toBeGreaterThan(1_285);
  });

  test('what is left of the turn of a tenant that has nothing more is not kept for it', () => {
    const ring = createLaneRing();
    const [heavy, light] = [lane('a', 5, 100), lane('b')];
    ring.refresh([heavy, light]);
    expect(claim(ring, new Map([[heavy, 1]]), 1)).toEqual(new Map([['a', 1]]));
    ring.refresh([light]);
    expect(claim(ring, new Map([[light, 9]]), 1)).toEqual(new Map([['b', 1]]));
  });

  test('asks for no more than there is room for, and finds every job', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ tenant: fc.integer({ min: 0, max: 9 }), priority: fc.integer({ min: 1, max: 3 }), key: fc.constantFrom('', 'k', 'l'), jobs: fc.nat(40) }),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        fc.integer({ min: 1, max: 30 }),
        (found, limit) => {
          const ring = createLaneRing();
          const lanes = [...new Map(found.map((one) => [`${one.tenant} ${one.priority} ${one.key}`, one])).values()].map((one) => ({
            lane: lane(`t${one.tenant}`, one.priority, 1 + one.tenant, one.key),
            jobs: one.jobs,
          }));
          const waiting = new Map(lanes.map((one) => [one.lane, one.jobs]));
          const total = lanes.reduce((sum, one) => sum + one.jobs, 0);
          ring.refresh(lanes.map((one) => one.lane));
          let got = 0;
          for (let round = 0; ring.size > 0 && round < 3_000; round++) {
            const turns = [...claim(ring, waiting, limit).values()].reduce((sum, count) => sum + count, 0);
            expect(turns).toBeLessThanOrEqual(limit);
            got += turns;
          }
          expect(got).toBe(total);
        },
      ),
      { seed: drawnSeed(), numRuns: drawnRuns(100) },
    );
  });

  test('goes on after the last job it took, until it is told anew', () => {
    const ring = createLaneRing();
    const only = lane('a');
    ring.refresh([only]);
    const [turn] = ring.next(2);
    ring.taken(turn ? [turn] : [], [
      { turn: 0, seq: '9' },
      { turn: 0, seq: '11' },
    ]);
    expect(ring.next(2)).toMatchObject([{ after: '11', quantum: 2 }]);
    ring.refresh([only], false);
    expect(ring.next(2)).toMatchObject([{ after: '11' }]);
    ring.refresh([only]);
    expect(ring.next(2)).toMatchObject([{ after: '0' }]);
  });
});
