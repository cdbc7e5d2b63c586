import type { Queryable } from '#kernel/database.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { JobDefinition, WorkServices } from '#kernel/work.ts';
import type { ClaimedJob } from '#modules/jobs';
import { claimJobs, claimLanes, disownClaims, findLanes, JOB_SIGNALS, peekJobs } from '#modules/jobs';
import type { Lane, LaneRing } from './lane-ring.ts';
import { createLaneRing, idOfLane } from './lane-ring.ts';
import type { Loop } from './loop.ts';
import { startLoop } from './loop.ts';
import type { Member } from './member.ts';
import type { UnderWay } from './under-way.ts';
import { claimsUnderWay } from './under-way.ts';

export interface ClaimsOptions {
  plinth: Plinth<ModuleMap>;
  log: WorkServices['log'];
  definitions: Readonly<Record<string, JobDefinition>>;
  member: Member;
  concurrency: number;
  prefetch: number;
  queues?: readonly string[] | undefined;
  pollMs: number;
  leaseMs: number;
  durable: boolean;
  /** Jobs that run here or wait for a slot. */
  held: () => number;
  /** Jobs that have run here, until now. What was given back unrun does not count: fetching ahead by it would only be followed by more of that. */
  ended: () => number;
  /** Outcomes that are not stored yet. */
  unsettled: () => number;
  onClaimed: (jobs: readonly ClaimedJob[]) => void;
  /** Resolves when jobs may be claimed. */
  announced: Promise<void>;
  /** Claims of which not every job's outcome is stored. */
  known: () => readonly string[];
  /** Makes scheduled jobs ready whose time has come, at most so many; resolves to how many. */
  promote: (limit: number) => Promise<number>;
}

export interface Claims {
  /** A slot has become free. */
  freed(): void;
  stop(): Promise<void>;
}

/** An idle process asks a sequence so often whether a program in another language has enqueued something. */
const PEEK_MS = 250;
/** A number that was drawn may be committed later: for so long after a change the lanes themselves are looked at. */
const LATE_COMMIT_MS = 2_000;
/** Lanes are found anew so often while there is work; longer where finding them takes long. */
const REFRESH_MS = 100;
/** What has ended may have held back others: so long after its last look an idle process looks again, sooner where that look brought something. */
const LOOK_AGAIN_MS = { brought: 5, nothing: 25 };
/** Work that is fetched ahead would last so long. */
const AHEAD_MS = 250;
/** A job that committed after others with higher numbers is found at the latest after this. */
const FORGET_MS = 1_000;
const DISOWN_MS = 5_000;
/** Claims of one process at the same time: with one alone, a fifth of two processors waited for answers and for COMMIT. */
const AT_ONCE = 2;
/** A second claim at the same time is worth it from so many jobs on, and so is asking before half of what is held ahead is used up. */
const WORTH_TWO = 250;
/** Lanes that are known at a time; where there are more, those that follow come with the next look. */
const MOST_LANES = 4_096;
/** An idle claim makes scheduled jobs ready whose time has come; while lanes are served in turn it is done so often, and again at once after so many. */
const PROMOTE = { everyMs: 250, most: 1_000 };

/**
 * Claims while there is room. Idle, one call finds the lanes and takes from them; once that fills the room, the lanes are
 * remembered and served in turn, by two claims at a time where jobs are quick: the second passes over what the first has locked.
 */
export function createClaims(options: ClaimsOptions): Claims {
  const { plinth, member, pollMs } = options;
  const kinds = Object.keys(options.definitions);
  const ring = createLaneRing();
  const lanes = laneFinder(options, ring);
  const idle = idleClaims(options, kinds, () => loop.nudge());
  let claiming = false;
  /** A job has ended while a claim was under way, which may not have seen it. */
  let missed = false;
  let announced = false;

  const { refill, room: roomFor } = appetite(options);
  const underWay = claimsUnderWay(AT_ONCE, () => loop.nudge());
  const room = (): number => roomFor() - underWay.asked;
  const disown = disowner(options);
  const claimFromRing = ringClaims(options, ring, underWay, lanes.refreshIfOld);

  const isWorthIt = (limit: number): boolean => {
    if (underWay.asked > 0) return limit >= Math.max(refill(), WORTH_TWO);
    return limit >= Math.max(1, refill()) || options.held() < options.concurrency;
  };

  const claimIdle = async (limit: number): Promise<number> => {
    const waitMs = await idle.claim(limit);
    if (waitMs !== undefined) return waitMs;
    await lanes.refresh();
    return 0;
  };

  const loop: Loop = startLoop({
    name: 'claim',
    log: options.log,
    wake: plinth.wake,
    async turn() {
      // A turn that waited for that could not be stopped while the database is away.
      if (!announced || !member.known) return pollMs;
      if (ring.size === 0) await underWay.none();
      underWay.check();
      const limit = room();
      // In batches: a claim for every slot that becomes free would cost more than the jobs.
      if (kinds.length === 0 || limit < 1 || !isWorthIt(limit)) return pollMs;
      claiming = true;
      missed = false;
      try {
        await disown(underWay.none);
        return await (ring.size === 0 ? claimIdle(limit) : claimFromRing(limit));
      } finally {
        claiming = false;
        if (missed && ring.size === 0) idle.lookAgain();
      }
    },
  });
  void options.announced.then(() => {
    announced = true;
    loop.nudge();
  });
  const stopHearing = plinth.wake.on(JOB_SIGNALS.enqueued, idle.hint);
  return {
    freed() {
      missed = claiming;
      if (claiming) return;
      if (ring.size === 0) {
        if (idle.hinted && room() > 0) loop.nudge();
        else idle.lookAgain();
      } else if (isWorthIt(room())) loop.nudge();
    },
    async stop() {
      stopHearing();
      await loop.stop();
      await underWay.none();
      idle.stop();
    },
  };
}

/** Claims from the lanes that are known. */
function ringClaims(options: ClaimsOptions, ring: LaneRing, underWay: UnderWay, refreshIfOld: () => Promise<void>): (limit: number) => Promise<number> {
  const { plinth, member, durable } = options;
  const kinds = Object.keys(options.definitions);
  const promote = promoter(options);
  const claim = async (limit: number): Promise<void> => {
    const turns = ring.next(limit);
    if (turns.length === 0) return;
    const jobs = await plinth.asWorker({ durable, single: true }, (tx) => claimLanes(tx, { worker: member.id, limit, kinds, turns }));
    ring.taken(turns, jobs);
    options.onClaimed(jobs);
  };
  return async (limit) => {
    await promote();
    await refreshIfOld();
    await underWay.begin(limit, () => claim(limit));
    return 0;
  };
}

interface IdleClaims {
  /** Claims, if there may be something. Returns ms until the next look; undefined: there is more than was wanted. */
  claim(limit: number): Promise<number | undefined>;
  /** There is something. */
  hint(): void;
  /** A hint came since the last look. */
  readonly hinted: boolean;
  /** There may be something: what has ended may have held back others, by a cap, a key, a dependency. */
  lookAgain(): void;
  stop(): void;
}

/** Claims of a process that knows of no lanes. */
function idleClaims(options: ClaimsOptions, kinds: readonly string[], nudge: () => void): IdleClaims {
  const { plinth, member, pollMs, durable } = options;
  const peek = peeker(plinth);
  let hinted = true;
  let lookedMs = 0;
  let brought = false;
  let again: NodeJS.Timeout | undefined;
  const hint = (): void => {
    hinted = true;
    nudge();
  };
  return {
    async claim(limit) {
      const fresh = hinted || performance.now() - lookedMs >= pollMs || (await peek());
      if (fresh !== true) return Math.min(fresh, pollMs);
      hinted = false;
      lookedMs = performance.now();
      const jobs = await plinth.asWorker({ durable, single: true }, (tx) =>
        claimJobs(tx, { worker: member.id, limit, leaseMs: options.leaseMs, kinds, queues: options.queues }),
      );
      brought = jobs.length > 0;
      options.onClaimed(jobs);
      return jobs.length < limit && !wentRound(jobs) ? Math.min(PEEK_MS, pollMs) * (0.75 + Math.random() / 2) : undefined;
    },
    hint,
    get hinted() {
      return hinted;
    },
    lookAgain() {
      const dueMs = lookedMs + LOOK_AGAIN_MS[brought ? 'brought' : 'nothing'];
      again ??= setTimeout(
        () => {
          again = undefined;
          hint();
        },
        Math.max(1, dueMs - performance.now()),
      );
    },
    stop() {
      clearTimeout(again);
    },
  };
}

/**
 * plinth_jobs.claim makes a claim each time that it goes round the lanes: as long as they give what they are asked for. Less than was wanted may come of that
 * all the same, where others have jobs that nobody here handles: they get a share, too.
 */
const wentRound = (jobs: readonly ClaimedJob[]): boolean => jobs[0]?.claim_id !== jobs.at(-1)?.claim_id;

/** What is due must not wait until a backlog of other lanes is done. */
function promoter({ promote }: ClaimsOptions): () => Promise<void> {
  let lookedMs = 0;
  return async () => {
    if (performance.now() - lookedMs < PROMOTE.everyMs) return;
    const promoted = await promote(PROMOTE.most);
    lookedMs = promoted === PROMOTE.most ? 0 : performance.now();
  };
}

/** Fills the ring with the lanes that there are now; where there are more than it holds, with those that follow the ones it had, and round again. */
function laneFinder({ plinth, queues }: ClaimsOptions, ring: LaneRing): { refresh(): Promise<void>; refreshIfOld(): Promise<void> } {
  let refreshedMs = 0;
  let tookMs = 0;
  let forgotMs = 0;
  let last: Lane | undefined;
  const find = (tx: Queryable): Promise<Lane[]> => (last ? lanesAfter(tx, queues, last) : findLanes(tx, { queues, limit: MOST_LANES }));
  const refresh = async (): Promise<void> => {
    const startedMs = performance.now();
    const found = await plinth.asWorker({ readOnly: true }, find);
    // Not only when it is full: of lanes that are paused or have no room left the database leaves some out after it has counted them.
    last = found.length > MOST_LANES / 2 ? found.at(-1) : undefined;
    refreshedMs = performance.now();
    tookMs = refreshedMs - startedMs;
    const forget = refreshedMs - forgotMs > FORGET_MS;
    if (forget) forgotMs = refreshedMs;
    ring.refresh(found, forget);
  };
  return {
    refresh,
    async refreshIfOld() {
      if (performance.now() - refreshedMs > Math.max(REFRESH_MS, tookMs * 30)) await refresh();
    },
  };
}

async function lanesAfter(tx: Queryable, queues: ClaimsOptions['queues'], after: Lane): Promise<Lane[]> {
  const found = await findLanes(tx, { queues, limit: MOST_LANES, after });
  const seen = new Set(found.map(idOfLane));
  const more = await findLanes(tx, { queues, limit: MOST_LANES - found.length });
  return [...found, ...more.filter((lane) => !seen.has(idOfLane(lane)))];
}

/**
 * A claim may commit when the connection that waits for its answer is gone. Asked for when none is under way here;
 * one that the server still works on is found by a later look.
 */
function disowner({ plinth, member, log, known }: ClaimsOptions): (none: () => Promise<void>) => Promise<void> {
  let lookedMs = performance.now();
  return async (none) => {
    if (performance.now() - lookedMs < DISOWN_MS) return;
    await none();
    const given = await plinth.asWorker({ single: true }, (tx) => disownClaims(tx, member.id, known()));
    lookedMs = performance.now();
    if (given > 0) log.warn({ jobs: given }, 'worker: jobs whose claim got lost on the way were given back');
  };
}

/** For how many jobs there is room now, in the slots and ahead of them, and from how many on a claim is worth it. */
function appetite(options: ClaimsOptions): { refill: () => number; room: () => number } {
  const pace = paceOf(options.ended);
  const ahead = (): number => Math.min(options.prefetch, pace());
  return {
    // Half of what is held ahead lasts until the claim has come, a quarter until the second of two has; smaller claims cost more a job.
    refill: () => Math.min(ahead() / 2, Math.max(ahead() / 4, WORTH_TWO)),
    room: () => options.concurrency + ahead() - options.held() - Math.max(0, options.unsettled() - options.prefetch),
  };
}

/** True: there may be something to claim; otherwise ms to wait before asking again. */
function peeker(plinth: Plinth<ModuleMap>): () => Promise<true | number> {
  let seen = '';
  let changedMs = performance.now();
  return async () => {
    const { last, dueInMs } = await plinth.asWorker({ readOnly: true, single: true }, peekJobs);
    if (last !== seen) changedMs = performance.now();
    seen = last;
    if (performance.now() - changedMs < LATE_COMMIT_MS || (dueInMs !== undefined && dueInMs <= 0)) return true;
    return Math.min(PEEK_MS, dueInMs ?? PEEK_MS);
  };
}

/**
 * How many jobs end in AHEAD_MS: each that has ended counts, less the longer ago, so that many which end at one moment, as jobs of one length do, are
 * no more than they are. One alone is no pace.
 */
function paceOf(ended: () => number): () => number {
  let atMs = performance.now();
  let before = ended();
  let recent = 0;
  return () => {
    const now = performance.now();
    const count = ended();
    recent = recent * Math.exp((atMs - now) / AHEAD_MS) + count - before;
    atMs = now;
    before = count;
    return Math.max(0, Math.round(recent) - 1);
  };
}
