/** Queues against a model: receivers at once that acknowledge, release, lose and forget messages, in groups and without, of two tenants. PLINTH_SEED repeats a run. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { seeded } from '#testing/random.ts';
import type { ReceivedMessage } from './receive.ts';
import { acknowledge, acknowledgeMany, receive, release } from './receive.ts';

const SEED = Number(process.env.PLINTH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const MESSAGES = 600;
const RECEIVERS = 6;
const LONGEST_STEPS = 20_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase('queue_model');
});
afterAll(() => database.drop());

interface Sent {
  tenantId: string;
  group: string | null;
  n: number;
}

/** What must be true, whoever does what when. A message is let go of here before the database does, and taken here after it. */
class Model {
  readonly sent = new Map<string, Sent>();
  readonly done = new Set<string>();
  /** By id: the receipt that holds it. */
  readonly held = new Map<string, string>();
  /** Highest number that was acknowledged, by tenant and group. */
  readonly reached = new Map<string, number>();

  taken(tenantId: string, messages: readonly ReceivedMessage[]): void {
    for (const { id, receipt, tenant_id, group_key } of messages) {
      const sent = this.sent.get(id);
      if (!sent || tenant_id !== tenantId || sent.tenantId !== tenantId) throw new Error(`seed ${SEED}: ${id} is not of tenant ${tenantId}`);
      if (this.done.has(id)) throw new Error(`seed ${SEED}: ${id} was received after it was acknowledged`);
      if (this.held.has(id)) throw new Error(`seed ${SEED}: ${id} was received while ${this.held.get(id)} held it`);
      if (group_key !== null) {
        const beside = [...this.held.keys()].find((other) => this.sent.get(other)?.group === group_key && this.sent.get(other)?.tenantId === tenantId);
        if (beside) throw new Error(`seed ${SEED}: ${id} of group ${group_key} was received while ${beside} of it was in flight`);
        if (sent.n < (this.reached.get(`${tenantId} ${group_key}`) ?? -1)) throw new Error(`seed ${SEED}: group ${group_key} went back to ${sent.n}`);
      }
      this.held.set(id, receipt);
    }
  }

  acknowledged(id: string): void {
    const sent = this.sent.get(id);
    if (!sent || this.done.has(id)) throw new Error(`seed ${SEED}: ${id} was acknowledged twice`);
    this.done.add(id);
    if (sent.group !== null) this.reached.set(`${sent.tenantId} ${sent.group}`, sent.n);
  }
}

test(`nothing is lost, received by two at once, acknowledged twice or out of the order of its group (seed ${SEED})`, { timeout: 180_000 }, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const { plinth, admin, tenantA, tenantB } = database;
  const model = new Model();
  const tenants = [tenantA, tenantB];
  const as = <T>(tenantId: string, body: Parameters<typeof plinth.transaction<T>>[1]): Promise<T> => plinth.transaction({ tenantId }, body);
  for (const tenantId of tenants) await as(tenantId, (tx) => tx.query(`select plinth.configure_queue('q', p_max_receives := 1000)`));

  const sender = async (tenantId: string): Promise<void> => {
    for (let n = 0; n < MESSAGES; ) {
      const batch = Array.from({ length: Math.min(1 + random(40), MESSAGES - n) }, () => ({ n: n++, group: random(3) === 0 ? null : `g${random(7)}` }));
      await as(tenantId, async (tx) => {
        for (const { n: number, group } of batch) {
          const id = tx.queue.send(
            'q',
            { n: number },
            { ...(group === null ? {} : { groupKey: group }), ...(random(15) === 0 && group === null ? { delayMs: random(30) } : {}) },
          );
          model.sent.set(id, { tenantId, group, n: number });
        }
      });
    }
  };

  /** The moment of a visibility that ran off, for one message: whoever still works on it has lost it, and does not know. */
  const runOff = async (id: string): Promise<void> => {
    model.held.delete(id);
    // Like all who set a moment, it has its transaction id before it reads the clock.
    await admin.query(`select pg_current_xact_id(); update plinth_queue.hidden set visible_at = clock_timestamp() where id = '${id}'`);
  };

  const end = async (tenantId: string, mine: readonly ReceivedMessage[]): Promise<void> => {
    const held = mine.filter(({ id, receipt }) => model.held.get(id) === receipt);
    const lost = mine.filter(({ id, receipt }) => model.held.has(id) && model.held.get(id) !== receipt);
    // A receipt that was overtaken is worth nothing, whatever becomes of the message meanwhile.
    for (const { receipt } of lost)
      expect(await as(tenantId, (tx) => acknowledge(tx, receipt)).catch((error: { code?: string }) => error.code), `seed ${SEED}`).toBe('queue_receipt_lost');
    const dice = random(10);
    const ids = new Map(held.map(({ id, receipt }) => [receipt, id]));
    for (const { id } of held) model.held.delete(id);
    if (dice < 2) for (const { receipt } of held) await as(tenantId, (tx) => release(tx, receipt, { counted: random(2) === 0 }));
    else if (dice < 4) {
      for (const { id } of held) await runOff(id);
    } else {
      for (const { id } of held) model.acknowledged(id);
      expect((await as(tenantId, (tx) => acknowledgeMany(tx, [...ids.keys()]))).size, `seed ${SEED}`).toBe(held.length);
    }
  };

  const receiver = async (tenantId: string): Promise<void> => {
    let mine: ReceivedMessage[] = [];
    for (let steps = 0; model.done.size < MESSAGES * tenants.length; steps++) {
      if (steps > LONGEST_STEPS) throw new Error(`seed ${SEED}: ${model.done.size} of ${MESSAGES * tenants.length} after ${steps} steps`);
      const all = [...model.sent].filter(([, sent]) => sent.tenantId === tenantId);
      if (all.length === MESSAGES && all.every(([id]) => model.done.has(id))) return;
      const taken = await as(tenantId, (tx) => receive(tx, 'q', { limit: 1 + random(12), visibilityMs: 600_000 }));
      model.taken(tenantId, taken);
      mine.push(...taken);
      // It forgets some, and they run off under it.
      for (const { id, receipt } of mine) if (random(40) === 0 && model.held.get(id) === receipt) await runOff(id);
      const ending = mine.filter(() => random(3) > 0);
      mine = mine.filter((message) => !ending.includes(message));
      await end(tenantId, ending);
    }
  };

  await Promise.all([...tenants.map(sender), ...Array.from({ length: RECEIVERS }, (_, n) => receiver(n % 2 ? tenantA : tenantB))]);
  expect(model.done.size).toBe(MESSAGES * tenants.length);
  const { rows } = await admin.query<{ outcome: string; n: number }>('select outcome::text, count(*)::int as n from plinth_queue.done group by 1');
  expect(rows).toEqual([{ outcome: 'completed', n: MESSAGES * tenants.length }]);
  const { rows: left } = await admin.query(
    'select id from plinth_queue.ready union all select id from plinth_queue.grouped union all select id from plinth_queue.hidden',
  );
  expect(left).toEqual([]);
});
