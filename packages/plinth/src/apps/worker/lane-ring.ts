/** Which lanes to claim from next, and how much from each: pure bookkeeping, no clock, no database. */

/** Jobs that share one order: of a queue, a priority, a tenant and a concurrency key. */
export interface Lane {
  queue: string;
  priority: number;
  tenantId: string;
  key: string;
  /** Share of the tenant beside others. Default 1. */
  weight?: number;
  /** How many may start now, because of a cap or rate; undefined: any number. */
  room?: number | undefined;
}

/** How many to take from a lane, and after which number: where the last claim from it stopped. */
export interface Turn {
  lane: Lane;
  after: string;
  quantum: number;
}

/** One job that a claim brought. */
export interface Taken {
  /** Which of the turns, from 0. */
  turn: number;
  /** Its number in the order of its lane. */
  seq: string;
}

export interface LaneRing {
  readonly size: number;
  /** What the database says now. `forget`: also where the last claims stopped, so that nothing that came late is passed over for long. */
  refresh(lanes: readonly Lane[], forget?: boolean): void;
  /** Turns that take about `limit` jobs, in the order in which to claim. */
  next(limit: number): Turn[];
  /** What a claim of these turns brought, each lane's jobs in their order: a lane that gave less than it was asked for is empty. */
  taken(turns: readonly Turn[], jobs: readonly Taken[]): void;
}

/** Of so many claims one begins with the least urgent band, so that a flood of urgent jobs leaves the others a share. */
const BOTTOM_UP = 8;
/** Tenants of a band in one claim: each costs an index look-up. */
const MOST_TENANTS = 64;

const idOf = ({ queue, priority, tenantId, key }: Lane): string => `${tenantId} ${priority} ${queue.length} ${queue}${key}`;

interface Tenant {
  id: string;
  weight: number;
  lanes: Lane[];
  /** Its lane that comes first next time. */
  at: number;
}

interface Band {
  priority: number;
  /** In order of id. */
  tenants: Tenant[];
  /** Id of the tenant that was served last. */
  last: string;
}

type Stops = ReadonlyMap<string, string>;

function turnsOf(band: Band, limit: number, stops: Stops): Turn[] {
  const start = Math.max(
    0,
    band.tenants.findIndex((tenant) => tenant.id > band.last),
  );
  const count = Math.min(band.tenants.length, MOST_TENANTS, limit);
  const chosen = Array.from({ length: count }, (_, n) => band.tenants[(start + n) % band.tenants.length] as Tenant);
  const weights = chosen.reduce((sum, tenant) => sum + tenant.weight, 0);
  const share = Math.max(1, Math.floor(limit / weights));
  let room = limit;
  return chosen.flatMap((tenant) => {
    const quantum = Math.min(room, share * tenant.weight);
    if (quantum === 0) return [];
    room -= quantum;
    band.last = tenant.id;
    return turnsOfTenant(tenant, quantum, stops);
  });
}

function turnsOfTenant(tenant: Tenant, quantum: number, stops: Stops): Turn[] {
  const count = Math.min(tenant.lanes.length, quantum);
  const each = Math.floor(quantum / count);
  const first = tenant.at;
  tenant.at = (first + count) % tenant.lanes.length;
  return Array.from({ length: count }, (_, n) => {
    const lane = tenant.lanes[(first + n) % tenant.lanes.length] as Lane;
    const share = n === 0 ? quantum - each * (count - 1) : each;
    return { lane, after: stops.get(idOf(lane)) ?? '0', quantum: Math.min(share, lane.room ?? share) };
  });
}

/**
 * Strict bands of priority; within a band, deficit round robin over tenants (Shreedhar and Varghese 1995; every job costs 1, so a
 * quantum of the tenant's weight a turn leaves no deficit to carry).
 */
export function createLaneRing(): LaneRing {
  let bands: Band[] = [];
  let stops = new Map<string, string>();
  let claims = 0;
  let size = 0;

  const drop = (lane: Lane): void => {
    const band = bands.find((one) => one.priority === lane.priority);
    const tenant = band?.tenants.find((one) => one.id === lane.tenantId);
    if (!band || !tenant?.lanes.includes(lane)) return;
    tenant.lanes = tenant.lanes.filter((one) => one !== lane);
    tenant.at = 0;
    size -= 1;
    if (tenant.lanes.length === 0) band.tenants = band.tenants.filter((one) => one !== tenant);
    if (band.tenants.length === 0) bands = bands.filter((one) => one !== band);
  };

  return {
    get size() {
      return size;
    },
    refresh(lanes, forget = true) {
      const lasts = new Map(bands.map((band) => [band.priority, band.last]));
      bands = bandsOf(lanes, lasts);
      if (forget) stops = new Map();
      size = lanes.length;
    },
    next(limit) {
      claims += 1;
      const order = claims % BOTTOM_UP === 0 ? [...bands].reverse() : bands;
      const turns: Turn[] = [];
      let room = limit;
      for (const band of order) {
        const more = turnsOf(band, room, stops);
        turns.push(...more);
        room -= more.reduce((sum, turn) => sum + turn.quantum, 0);
        if (room <= 0) break;
      }
      return turns;
    },
    taken(turns, jobs) {
      const counts = turns.map(() => 0);
      const lasts = turns.map(() => '0');
      // Each lane's in their order; were they not, the claim would begin too early next time, which is right too.
      for (const { turn, seq } of jobs) {
        counts[turn] = (counts[turn] ?? 0) + 1;
        lasts[turn] = seq;
      }
      for (const [turn, { lane, quantum }] of turns.entries()) {
        if ((counts[turn] ?? 0) >= quantum) stops.set(idOf(lane), lasts[turn] ?? '0');
        else drop(lane);
      }
    },
  };
}

function bandsOf(lanes: readonly Lane[], lasts: ReadonlyMap<number, string>): Band[] {
  const bands = new Map<number, Map<string, Tenant>>();
  for (const lane of lanes) {
    const tenants = bands.get(lane.priority) ?? new Map<string, Tenant>();
    bands.set(lane.priority, tenants);
    const tenant = tenants.get(lane.tenantId) ?? { id: lane.tenantId, weight: lane.weight ?? 1, lanes: [], at: 0 };
    tenants.set(lane.tenantId, tenant);
    tenant.lanes.push(lane);
  }
  return [...bands]
    .sort(([a], [b]) => a - b)
    .map(([priority, tenants]) => ({
      priority,
      tenants: [...tenants.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
      last: lasts.get(priority) ?? '',
    }));
}
