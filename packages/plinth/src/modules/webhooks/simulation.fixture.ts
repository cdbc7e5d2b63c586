/**
 * Deliveries on a virtual clock: the real claim and settle on a real database, receivers that are a function, and time that is moved by moving every
 * moment that is stored. For tests and benchmarks; one simulation a database at a time.
 */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

export interface Claimed {
  tenant_id: string;
  id: string;
  lease_id: string;
  subscription_id: string;
  lane_key: string | null;
  attempt: number;
  seq: number;
  /** Seconds of virtual time. */
  at: number;
}

export interface Answer {
  outcome: 'delivered' | 'failed' | 'gone' | 'returned';
  response_code?: number;
  retry_after_ms?: number;
  response_time_ms?: number;
  /** How long ago the attempt began. */
  age_ms?: number;
}

const CLAIM = `
  with c as materialized (select * from plinth_webhooks.claim($1, 1000, $2 * interval '1 second', $3::uuid))
  select c.tenant_id, c.id, c.lease_id, c.subscription_id, c.lane_key, c.attempt, d.seq::float8 as seq
  from c join plinth_webhooks.deliveries d on d.tenant_id = c.tenant_id and d.id = c.id order by d.due_at, d.seq`;

/** The moment of the claim itself, to the microsecond: a slow machine must not look like a broken throttle. */
const CLAIMED_AT = 'select lease_id, extract(epoch from lease_until)::float8 as at from plinth_webhooks.flights where lease_id = any ($1::uuid[])';

/** Only what lies ahead has to come nearer: what is due stays due. */
const ADVANCE = `
  with _ as (select $1 * interval '1 second' as by),
  a as (update plinth_webhooks.deliveries d set give_up_at = d.give_up_at - _.by, due_at = case when d.due_at > clock_timestamp() then d.due_at - _.by else d.due_at end
    from _ where d.due_at < 'infinity' and (d.due_at > clock_timestamp() or d.give_up_at is not null)),
  b as (update plinth_webhooks.lanes n set next_at = n.next_at - _.by, failing_since = n.failing_since - _.by, refilled_at = n.refilled_at - _.by, limited_at = n.limited_at - _.by from _),
  c as (update plinth_webhooks.tenant_buckets l set refilled_at = l.refilled_at - _.by from _)
  update plinth_webhooks.flights f set lease_until = f.lease_until - _.by from _`;

const NEXT = `
  select extract(epoch from least(
    (select min(n.next_at) from plinth_webhooks.lanes n where n.next_at > clock_timestamp()),
    (select min(f.lease_until) from plinth_webhooks.flights f where f.lease_until > clock_timestamp()),
    (select min(d.due_at) from plinth_webhooks.deliveries d where d.due_at > clock_timestamp() and d.due_at < 'infinity')) - clock_timestamp())::float8 as s`;

export class Simulation {
  readonly #db: Queryable;
  #advancedS = 0;
  /** Every attempt, in the order in which it was claimed. */
  readonly attempts: Claimed[] = [];

  constructor(db: Queryable) {
    this.#db = db;
  }

  get advancedS(): number {
    return this.#advancedS;
  }

  async claim(limit: number, holder: string, leaseS = 60): Promise<Claimed[]> {
    const { rows } = await this.#db.query(CLAIM, [limit, leaseS, holder]);
    const found = rows.length === 0 ? [] : (await this.#db.query(CLAIMED_AT, [rows.map((row) => row.lease_id)])).rows;
    const at = new Map(found.map((row) => [row.lease_id, Number(row.at)]));
    const claimed = (rows as unknown as Claimed[]).map((row) => ({ ...row, at: (at.get(row.lease_id) ?? Number.NaN) - leaseS + this.#advancedS }));
    this.attempts.push(...claimed);
    return claimed;
  }

  /** The status of each delivery after it, by its id; what was not accepted is missing. */
  async settle(done: readonly { claimed: Claimed; answer: Answer }[]): Promise<Map<string, string>> {
    const rows = done.map(({ claimed, answer }) => ({
      ...claimed,
      ...answer,
      url: 'https://example.com/',
      ...(answer.outcome === 'failed' ? { error_code: 'simulated', error_message: 'simulated' } : {}),
    }));
    const settled = await this.#db.query('select delivery_id, status from plinth_webhooks.settle($1) where delivery_id is not null', [JSON.stringify(rows)]);
    return new Map(settled.rows.map((row) => [String(row.delivery_id), String(row.status)]));
  }

  async advance(seconds: number): Promise<void> {
    this.#advancedS += seconds;
    await this.#db.query(ADVANCE, [seconds]);
  }

  /** Seconds until a lease, a pause or a wait ends; undefined when there is none. */
  async nextS(): Promise<number | undefined> {
    const [row] = (await this.#db.query(NEXT)).rows;
    return typeof row?.s === 'number' ? Math.max(0, row.s) : undefined;
  }

  async waiting(): Promise<boolean> {
    const { rows } = await this.#db.query(`select from plinth_webhooks.deliveries where status = 'pending' limit 1`);
    return rows.length > 0;
  }

  async breaker(subscriptionId: string): Promise<string> {
    const { rows } = await this.#db.query('select breaker from plinth_webhooks.lanes where subscription_id = $1', [subscriptionId]);
    return String(rows[0]?.breaker);
  }
}

/** Adds deliveries to a lane in one statement, as the fan-out leaves them: with one key, or a parallel lane's none. */
export async function backlog(db: Queryable, subscriptionId: string, count: number, key: string | null = null, keys = 1): Promise<void> {
  await db.query(
    `insert into plinth_webhooks.deliveries (tenant_id, subscription_id, event_type, body, lane_key, due_at)
     select s.tenant_id, s.id, 'order.created', '{}', case when $3::text is not null then $3 || (n - 1) % $4 end,
       case when $3::text is null or n <= $4 then clock_timestamp() - interval '1 minute' else 'infinity' end
     from plinth_webhooks.subscriptions s cross join generate_series(1, $2::int) n where s.id = $1 order by n`,
    [subscriptionId, count, key, keys],
  );
}

const LEGAL = new Set(['closed>open', 'open>half_open', 'half_open>open', 'half_open>closed']);

export interface DeadRun {
  attempts: number;
  transitions: string[];
  illegal: string[];
}

/** One receiver that answers nothing but 503 for `hours`; everything that the lane allows is tried. */
export async function deadFor(simulation: Simulation, subscriptionId: string, hours: number, holder: string): Promise<DeadRun> {
  const begin = simulation.attempts.length;
  const until = simulation.advancedS + hours * 3600;
  const transitions: string[] = [];
  let state = await simulation.breaker(subscriptionId);
  const look = async (): Promise<void> => {
    const now = await simulation.breaker(subscriptionId);
    if (now !== state) transitions.push(`${state}>${now}`);
    state = now;
  };
  while (simulation.advancedS < until) {
    const claimed = await simulation.claim(64, holder);
    await look();
    if (claimed.length > 0) {
      await simulation.advance(1);
      await simulation.settle(claimed.map((one) => ({ claimed: one, answer: { outcome: 'failed', response_code: 500 } })));
      await look();
      continue;
    }
    await simulation.advance(Math.min((await simulation.nextS()) ?? 60, until - simulation.advancedS) + 0.01);
  }
  return { attempts: simulation.attempts.length - begin, transitions, illegal: transitions.filter((step) => !LEGAL.has(step)) };
}

/** The receiver is back: works off what waits, each attempt taking `latencyS`. Returns the attempts that this took. */
export async function drain(simulation: Simulation, holder: string, latencyS: number, limit = 64): Promise<Claimed[]> {
  const begin = simulation.attempts.length;
  for (;;) {
    const claimed = await simulation.claim(limit, holder);
    if (claimed.length > 0) {
      await simulation.advance(latencyS);
      await simulation.settle(claimed.map((one) => ({ claimed: one, answer: { outcome: 'delivered', response_code: 200 } })));
      continue;
    }
    const next = await simulation.nextS();
    if (next === undefined) {
      // Between two claims a throttle has nothing to be waited for in the tables: let it fill a little.
      if (!(await simulation.waiting())) return simulation.attempts.slice(begin);
      await simulation.advance(0.05);
    } else await simulation.advance(next > 1 ? next + 0.001 : Math.min(next + 0.001, 0.05));
  }
}
