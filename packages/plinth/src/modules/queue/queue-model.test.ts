/**
 * Queues against a model: senders and receivers at once, of two tenants and of the operator, in transactions of every isolation that commit, stay open, are rolled back
 * in part or as a whole, or run out of time. PLINTH_SEED repeats what is asked for, not who is first.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TestDatabase } from '#testing/database.ts';
import { testDatabase } from '#testing/database.ts';
import { drawnSeed, seeded } from '#testing/random.ts';
import type { Tx } from '../../index.ts';
import type { ReceivedMessage } from './receive.ts';
import { acknowledge, acknowledgeMany, extend, receive, release } from './receive.ts';
import type { SendOptions } from './send.ts';

const SEED = drawnSeed();
/** Of a sender. */
const MESSAGES = 300;
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
  /** Released as what nobody can do. */
  readonly dead = new Set<string>();
  /** By id: the receipt that holds it. */
  readonly held = new Map<string, string>();
  /** Highest number that was acknowledged, by tenant and group. */
  readonly reached = new Map<string, number>();

  taken(messages: readonly ReceivedMessage[]): void {
    for (const { id, receipt, tenant_id, group_key } of messages) {
      const sent = this.sent.get(id);
      if (sent?.tenantId !== tenant_id) throw new Error(`seed ${SEED}: ${id} was not sent by tenant ${tenant_id}`);
      if (this.done.has(id)) throw new Error(`seed ${SEED}: ${id} was received after it was acknowledged`);
      if (this.dead.has(id)) throw new Error(`seed ${SEED}: ${id} was received though it is a dead letter`);
      if (this.held.has(id)) throw new Error(`seed ${SEED}: ${id} was received while ${this.held.get(id)} held it`);
      if (group_key !== null) {
        const beside = [...this.held.keys()].find((other) => this.sent.get(other)?.group === group_key && this.sent.get(other)?.tenantId === tenant_id);
        if (beside) throw new Error(`seed ${SEED}: ${id} of group ${group_key} was received while ${beside} of it was in flight`);
        if (sent.n < (this.reached.get(`${tenant_id} ${group_key}`) ?? -1)) throw new Error(`seed ${SEED}: group ${group_key} went back to ${sent.n}`);
      }
      this.held.set(id, receipt);
    }
  }

  acknowledged(id: string): void {
    const sent = this.sent.get(id);
    if (!sent || this.done.has(id)) throw new Error(`seed ${SEED}: ${id} was acknowledged twice`);
    this.done.add(id);
    const group = `${sent.tenantId} ${sent.group}`;
    if (sent.group !== null) this.reached.set(group, Math.max(sent.n, this.reached.get(group) ?? -1));
  }
}

class Undone extends Error {}

/** Who waits until others have gone on. */
class Turns {
  readonly #waiting: { left: number; go: () => void }[] = [];
  #over = false;
  tick(): void {
    for (const one of this.#waiting) if (--one.left <= 0) one.go();
  }
  over(): void {
    this.#over = true;
    for (const { go } of this.#waiting) go();
  }
  wait(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (count === 0 || this.#over) resolve();
    else this.#waiting.push({ left: count, go: resolve });
    return promise;
  }
}

test(`nothing is lost, received by two at once, acknowledged twice or out of the order of its group (seed ${SEED})`, { timeout: 180_000 }, async () => {
  console.info(`seed ${SEED}`);
  const next = seeded(SEED);
  const random = (below: number): number => Math.floor(next() * below);
  const of = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const { plinth, admin, tenantA, tenantB } = database;
  const model = new Model();
  const turns = new Turns();
  const tenants = [tenantA, tenantB];
  const said = new Map<string, number>();
  const count = (what: string): void => void said.set(what, (said.get(what) ?? 0) + 1);
  const as = <T>(tenantId: string, body: (tx: Tx) => Promise<T>): Promise<T> => plinth.transaction({ tenantId }, body);
  for (const tenantId of tenants) await as(tenantId, (tx) => tx.query(`select plinth.configure_queue('q', p_max_receives := 1000)`));

  /** A transaction as programs have them. Undefined: it did not commit, and nothing of it happened. */
  const attempt = async <T>(what: string, tenantId: string, body: (tx: Tx) => Promise<T>): Promise<T | undefined> => {
    const isolation = of(['read committed', 'read committed', 'read committed', 'repeatable read', 'serializable'] as const);
    const [undone, undoes, out] = [random(8) === 0, random(6) === 0, random(10) === 0];
    try {
      const done = await plinth.transaction({ tenantId, isolation }, async (tx) => {
        if (out) await tx.query(`set local statement_timeout = ${1 + random(20)}`);
        if (undoes) {
          await tx.query('savepoint s');
          await body(tx);
          await tx.flush();
          await tx.query('rollback to savepoint s');
        }
        const result = await body(tx);
        await tx.flush();
        if (undone) throw new Undone();
        return result;
      });
      count(`${what} done`);
      return done;
    } catch (error) {
      const code = error instanceof Undone ? 'undone' : String((error as { code?: string }).code);
      count(`${what} ${code}`);
      // Locks, snapshots and the clock may refuse a transaction; nothing may break.
      expect(code, `${what}, seed ${SEED}: ${error}`).toMatch(/^(undone|kernel_serialization|kernel_timeout|kernel_deadlock|40001|40P01|57014)$/);
      return undefined;
    }
  };

  /** Its own groups, one transaction after the other: what overlaps has no order. */
  const sender = async (tenantId: string, name: string): Promise<void> => {
    for (let n = 0; n < MESSAGES && !fault; ) {
      const batch = Array.from({ length: Math.min(1 + random(30), MESSAGES - n) }, () => ({
        n: n++,
        group: random(3) === 0 ? null : `${name}${random(4)}`,
        key: random(6) === 0 ? `d${random(60)}` : undefined,
        delayMs: random(15) === 0 ? random(30) : undefined,
      }));
      const staysFor = random(4) === 0 ? random(60) : 0;
      for (let made: string[] = []; ; made = []) {
        const sent = await attempt('send', tenantId, async (tx) => {
          for (const id of made.splice(0)) model.sent.delete(id);
          for (const { n: number, group, key, delayMs } of batch) {
            const options: SendOptions = group === null ? { delayMs } : { groupKey: group };
            if (key === undefined) made.push(tx.queue.send('q', { n: number }, options));
            else {
              // What is collected is written at the end, which would be after this.
              await tx.flush();
              const [row] = await tx.query<{ id: string }>(
                `select plinth.send_message('q', $1, $2::integer * interval '1 millisecond', p_group_key => $3, p_deduplication_key => $4) as id`,
                [{ n: number }, options.delayMs ?? null, group, key],
              );
              if (row && !model.sent.has(row.id)) made.push(row.id);
              else continue;
            }
            model.sent.set(made.at(-1) ?? '', { tenantId, group, n: number });
          }
          await tx.flush();
          await turns.wait(staysFor);
          return true;
        });
        if (sent) break;
        for (const id of made) model.sent.delete(id);
      }
    }
  };

  /** The moment of a visibility that ran off, for one message: whoever still works on it has lost it, and does not know. */
  const runOff = async (id: string): Promise<void> => {
    model.held.delete(id);
    // Like all who set a moment, it has its transaction id before it reads the clock.
    await admin.query(`select pg_current_xact_id(); update plinth_queue.hidden set visible_at = clock_timestamp() where id = '${id}'`);
  };

  const end = async (tenantId: string, mine: readonly ReceivedMessage[]): Promise<ReceivedMessage[]> => {
    const held = mine.filter(({ id, receipt }) => model.held.get(id) === receipt);
    const lost = mine.filter(({ id, receipt }) => model.held.has(id) && model.held.get(id) !== receipt);
    // A receipt that was overtaken is worth nothing, whatever becomes of the message meanwhile.
    for (const { receipt } of lost)
      expect(await as(tenantId, (tx) => acknowledge(tx, receipt)).catch((error: { code?: string }) => error.code), `seed ${SEED}`).toBe('queue_receipt_lost');
    if (held.length === 0) return [];
    const dice = random(12);
    const again = (done: unknown): ReceivedMessage[] => {
      if (done !== undefined) return [];
      for (const { id, receipt } of held) model.held.set(id, receipt);
      return held;
    };
    if (dice === 0) {
      for (const { id } of held) await runOff(id);
      return [];
    }
    if (dice === 1) {
      await attempt('extend', tenantId, async (tx) => {
        for (const { receipt } of held) await extend(tx, receipt, 600_000);
      });
      return held;
    }
    for (const { id } of held) model.held.delete(id);
    if (dice < 4) {
      const options = { counted: random(2) === 0, delayMs: random(3) === 0 ? random(30) : 0 };
      return again(
        await attempt('release', tenantId, async (tx) => {
          for (const { receipt } of held) await release(tx, receipt, options);
          return true;
        }),
      );
    }
    if (dice === 4) {
      const dead = held.filter(({ group_key }) => group_key === null);
      const done = await attempt('give up', tenantId, async (tx) => {
        for (const { receipt } of dead) expect(await release(tx, receipt, { dead: true })).toBe('failed');
        return true;
      });
      for (const { id, receipt } of held) if (!done || !dead.some((one) => one.id === id)) model.held.set(id, receipt);
      if (done) for (const { id } of dead) model.dead.add(id);
      return held.filter(({ id }) => model.held.has(id));
    }
    const done = await attempt('acknowledge', tenantId, async (tx) => {
      const receipts = held.map(({ receipt }) => receipt);
      expect((await acknowledgeMany(tx, receipts)).size, `seed ${SEED}`).toBe(held.length);
      return true;
    });
    if (done) for (const { id } of held) model.acknowledged(id);
    return again(done);
  };

  const redrive = async (tenantId: string): Promise<void> => {
    const dead = [...model.dead].filter((id) => model.sent.get(id)?.tenantId === tenantId);
    if (dead.length === 0) return;
    const some = dead.filter(() => random(2) === 0);
    for (const id of some) model.dead.delete(id);
    const back = await attempt('redrive', tenantId, (tx) => tx.query<{ id: string }>('select id from plinth.redrive_messages($1, $2) as id', ['q', some]));
    const ids = new Set(back?.map(({ id }) => id));
    for (const id of some) if (!ids.has(id)) model.dead.add(id);
  };

  let sending = true;
  let fault = false;
  const failed = (reason: unknown): never => {
    fault = true;
    turns.over();
    throw reason;
  };
  const receiver = async (tenantId: string | undefined): Promise<void> => {
    let mine: ReceivedMessage[] = [];
    for (let steps = 0; !fault && (sending || model.done.size < model.sent.size); steps++) {
      if (steps > LONGEST_STEPS) throw new Error(`seed ${SEED}: ${model.done.size} of ${model.sent.size} after ${steps} steps`);
      const options = { limit: 1 + random(12), visibilityMs: 600_000 };
      const taken = tenantId
        ? ((await attempt('receive', tenantId, (tx) => receive(tx, 'q', options))) ?? [])
        : await plinth.asWorker({}, (tx) => receive(tx, 'q', options));
      model.taken(taken);
      mine.push(...taken);
      // It forgets some, and they run off under it.
      for (const { id, receipt } of mine) if (random(40) === 0 && model.held.get(id) === receipt) await runOff(id);
      const ending = mine.filter(() => random(3) > 0);
      mine = mine.filter((message) => !ending.includes(message));
      for (const tenant of tenants)
        mine.push(
          ...(await end(
            tenant,
            ending.filter((one) => one.tenant_id === tenant),
          )),
        );
      if (random(5) === 0) await redrive(tenantId ?? of(tenants));
      turns.tick();
    }
    turns.over();
  };

  // In half of the runs somebody reads, or writes, for as long as it all takes.
  const other = await admin.connect();
  try {
    if (random(2) === 0) await other.query(`begin isolation level repeatable read; select ${of(['1', 'pg_current_xact_id()'])}`);
    const senders = Promise.all(tenants.flatMap((tenantId) => ['x', 'y'].map((name) => sender(tenantId, name))))
      .catch(failed)
      .finally(() => {
        sending = false;
      });
    // Settled: a failure ends the others first, and says itself.
    const ends = await Promise.allSettled([senders, ...Array.from({ length: RECEIVERS }, (_, n) => receiver(n === 0 ? undefined : of(tenants)).catch(failed))]);
    for (const one of ends) if (one.status === 'rejected') throw one.reason;
  } finally {
    await other.query('rollback');
    other.release();
  }
  console.info(JSON.stringify(Object.fromEntries([...said].sort())));
  const { rows } = await admin.query<{ outcome: string; n: number }>('select outcome::text, count(*)::int as n from plinth_queue.done group by 1');
  expect(rows).toEqual([{ outcome: 'completed', n: model.sent.size }]);
  const { rows: left } = await admin.query(
    `select id from plinth_queue.ready union all select id from plinth_queue.grouped union all select id from plinth_queue.hidden union all select id from plinth_queue.dead
     union all select id from plinth_queue.messages where not id = any ($1::uuid[])`,
    [[...model.sent.keys()]],
  );
  expect(left).toEqual([]);
  const { rows: twice } = await admin.query(
    'select deduplication_key from plinth_queue.messages where deduplication_key is not null group by tenant_id, deduplication_key having count(*) > 1',
  );
  expect(twice).toEqual([]);
});
