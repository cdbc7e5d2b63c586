/** Which lanes to claim from next, and how much from each: bookkeeping, no clock, no database. */

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

/** Of so many claims one begins with another band than the most urgent, each of them in turn, so that a flood of urgent jobs leaves all of them a share. */
const LESS_URGENT = 8;
/** Tenants of a band in one claim: each costs an index look-up. */
const MOST_TENANTS = 64;

export const idOfLane = ({ queue, priority, tenantId, key }: Lane): string => `${tenantId} ${priority} ${queue.length} ${queue}${key}`;

interface Tenant {
  id: string;
  weight: number;
  lanes: Lane[];
  /** Which of its lanes comes first next time. */
  at: number;
}

interface Band {
  priority: number;
  /** In order of id. */
  tenants: Tenant[];
  /** Which tenant comes next. */
  place: Place;
}

/** Where the round through the tenants of a band stands. */
interface Place {
  /** Id of the tenant that was served last, to the end of its turn. */
  last: string;
  /** The one whose turn did not fit into a claim, and what is left of it. */
  owedTo: string;
  owed: number;
}

type Stops = ReadonlyMap<string, string>;

function turnsOf(band: Band, limit: number, stops: Stops): Turn[] {
  const { place } = band;
  const start = Math.max(
    0,
    band.tenants.findIndex((tenant) => tenant.id > place.last),
  );
  const count = Math.min(band.tenants.length, MOST_TENANTS, limit);
  const chosen = Array.from({ length: count }, (_, n) => band.tenants[(start + n) % band.tenants.length] as Tenant);
  const weights = chosen.reduce((sum, tenant) => sum + tenant.weight, 0);
  const share = Math.max(1, Math.floor(limit / weights));
  let room = limit;
  return chosen.flatMap((tenant) => {
    if (room === 0) return [];
    const due = tenant.id === place.owedTo && place.owed > 0 ? place.owed : share * tenant.weight;
    const quantum = Math.min(room, due);
    room -= quantum;
    place.owedTo = tenant.id;
    place.owed = due - quantum;
    if (place.owed === 0) place.last = tenant.id;
    return turnsOfTenant(tenant, quantum, stops);
  });
}

function turnsOfTenant(tenant: Tenant, quantum: number, stops: Stops): Turn[] {
  const count = Math.min(tenant.lanes.length, quantum);
  const each = Math.floor(quantum / count);
  const first = tenant.at % tenant.lanes.length;
  tenant.at = (first + count) % tenant.lanes.length;
  return Array.from({ length: count }, (_, n) => {
    const lane = tenant.lanes[(first + n) % tenant.lanes.length] as Lane;
    const share = n === 0 ? quantum - each * (count - 1) : each;
    return { lane, after: stops.get(idOfLane(lane)) ?? '0', quantum: Math.min(share, lane.room ?? share) };
  });
}

/**
 * Bands of priority; within a band, deficit round robin over tenants (Shreedhar and Varghese 1995). Every job costs 1, so the only deficit is that
 * of a claim that is smaller than a turn, as with slow jobs, of which a worker takes one at a time: the next claim goes on with it.
 */
export function createLaneRing(random = Math.random): LaneRing {
  let bands: Band[] = [];
  let stops = new Map<string, string>();
  let claims = 0;
  let size = 0;

  const drop = (lane: Lane): void => {
    const band = bands.find((one) => one.priority === lane.priority);
    const tenant = band?.tenants.find((one) => one.id === lane.tenantId);
    const index = tenant?.lanes.indexOf(lane) ?? -1;
    if (!band || !tenant || index < 0) return;
    tenant.lanes = tenant.lanes.toSpliced(index, 1);
    if (index < tenant.at) tenant.at -= 1;
    size -= 1;
    if (tenant.lanes.length === 0) band.tenants = band.tenants.filter((one) => one !== tenant);
    if (band.tenants.length === 0) bands = bands.filter((one) => one !== band);
  };

  return {
    get size() {
      return size;
    },
    refresh(lanes, forget = true) {
      bands = bandsOf(lanes, new Map(bands.map((band) => [band.priority, band])));
      if (forget) stops = new Map();
      size = lanes.length;
    },
    next(limit) {
      claims += 1;
      const turns: Turn[] = [];
      let room = limit;
      for (const band of inOrder(bands, claims)) {
        const more = turnsOf(band, room, stops);
        turns.push(...raced(more, random));
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
        if ((counts[turn] ?? 0) >= quantum) stops.set(idOfLane(lane), lasts[turn] ?? '0');
        else drop(lane);
      }
    },
  };
}

/**
 * Lanes under one limit take what is left of it in the order of their turns, and those of a round would always come in the same one: so the order is that of
 * a race, in which the lanes of a tenant arrive one after another at the speed of its weight, as in plinth_jobs.claim.
 */
function raced(turns: readonly Turn[], random: () => number): readonly Turn[] {
  if (turns.every(({ lane }) => lane.room === undefined)) return turns;
  const arrivals = new Map<string, number>();
  return turns
    .map((turn) => ({ turn, lot: random() }))
    .sort((a, b) => a.lot - b.lot)
    .map(({ turn }) => {
      const { tenantId, weight = 1 } = turn.lane;
      const at = (arrivals.get(tenantId) ?? 0) - Math.log(1 - random()) / weight;
      arrivals.set(tenantId, at);
      return { turn, at };
    })
    .sort((a, b) => a.at - b.at)
    .map(({ turn }) => turn);
}

function inOrder(bands: readonly Band[], claims: number): readonly Band[] {
  if (claims % LESS_URGENT !== 0 || bands.length < 2) return bands;
  const first = 1 + ((claims / LESS_URGENT - 1) % (bands.length - 1));
  return [bands[first] as Band, ...bands.slice(0, first), ...bands.slice(first + 1)];
}

/** Whose turn it is goes on from the bands before: where jobs are slow, lanes are found anew before each claim. */
function bandsOf(lanes: readonly Lane[], before: ReadonlyMap<number, Band>): Band[] {
  const bands = new Map<number, Map<string, Tenant>>();
  for (const lane of lanes) {
    const tenants = bands.get(lane.priority) ?? new Map<string, Tenant>();
    bands.set(lane.priority, tenants);
    const tenant = tenants.get(lane.tenantId) ?? { id: lane.tenantId, weight: lane.weight ?? 1, lanes: [], at: 0 };
    tenants.set(lane.tenantId, tenant);
    tenant.lanes.push(lane);
  }
  for (const [priority, tenants] of bands) {
    for (const { id, at } of before.get(priority)?.tenants ?? []) {
      const tenant = tenants.get(id);
      if (tenant) tenant.at = at;
    }
  }
  return [...bands]
    .sort(([a], [b]) => a - b)
    .map(([priority, tenants]) => ({
      priority,
      tenants: [...tenants.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
      place: before.get(priority)?.place ?? { last: '', owedTo: '', owed: 0 },
    }));
}
