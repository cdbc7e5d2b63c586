/** Which ticks of a schedule that is due get a job, and which is the next. Pure: the moment is given, by the clock of the database. */
import { lastTicks, nextTick } from './cron.ts';

/** `skip`: a missed tick has no job. `once`: one job makes up all that were missed. `all`: each has its own. */
export type MissedRuns = 'skip' | 'once' | 'all';

/** A tick that nobody took for longer than this was missed. A live scheduler looks at least every 15 s. */
export const MISSED_AFTER_MS = 60_000;

export interface Timing {
  cron: string;
  timeZone: string;
  /** Ticks before it do not count. */
  startsAt?: Date | undefined;
  /** This moment and what follows do not count. */
  endsAt?: Date | undefined;
}

export interface DueTiming extends Timing {
  missedRuns: MissedRuns;
  /** With `all`: the latest so many ticks get their jobs. */
  catchUpLimit: number;
  /** The tick that it awaits, as text, because a Date would lose its microseconds. Null: to be worked out. */
  tick: string | null;
  lastRunAt: Date | null;
}

export interface TickRun {
  at: string;
  /** First of several missed ticks that this one makes up. */
  since?: string;
  /** It was missed: its job waits for nothing but the jitter. */
  late: boolean;
}

export interface TickPlan {
  runs: TickRun[];
  next: Date | undefined;
  /** What was left out or made up. */
  note?: string;
}

/** The first tick after `after` within the window; undefined when there is none. Errors: jobs_schedule_invalid. */
export function nextInWindow({ cron, timeZone, startsAt, endsAt }: Timing, after: Date): Date | undefined {
  const from = startsAt && startsAt > after ? new Date(startsAt.getTime() - 1) : after;
  const next = nextTick(cron, timeZone, from);
  return next && endsAt && next >= endsAt ? undefined : next;
}

/** Errors: jobs_schedule_invalid. */
export function planTicks(schedule: DueTiming, now: Date): TickPlan {
  const { tick, lastRunAt } = schedule;
  // A clock that was set back must not bring the last tick again. SQL may have written -infinity, or a year before Christ.
  if (tick === null || Number.isNaN(Date.parse(tick))) return { runs: [], next: nextInWindow(schedule, lastRunAt && lastRunAt > now ? lastRunAt : now) };
  const due = dueTicks(schedule, tick, now);
  const next = nextInWindow(schedule, new Date(Math.max(now.getTime(), new Date(tick).getTime())));
  const latest = due.ticks.at(-1);
  if (latest === undefined) return { runs: [], next };
  const late = (at: string): boolean => now.getTime() - new Date(at).getTime() > MISSED_AFTER_MS;
  if (schedule.missedRuns === 'all') {
    // One that is in time comes after those that are made up: with a spread, it would start before them.
    const madeUp = late(due.ticks[0] ?? latest);
    const runs = due.ticks.map((at) => ({ at, late: madeUp }));
    return due.from === due.ticks[0]
      ? { runs, next }
      : { runs, next, note: `${span(due.from, before(due.ticks[0]))} dropped: no more than ${schedule.catchUpLimit} are made up` };
  }
  const several = due.from !== latest;
  if (schedule.missedRuns === 'once') {
    if (!several) return { runs: [{ at: latest, late: late(latest) }], next };
    return { runs: [{ at: latest, since: due.from, late: late(latest) }], next, note: `${span(due.from, `up to ${shown(latest)}`)} made up by one job` };
  }
  if (late(latest))
    return {
      runs: [],
      next,
      note: `${several ? span(due.from, `up to ${shown(latest)}`) : `the tick of ${shown(latest)} was`} skipped: nobody took ${several ? 'them' : 'it'} in time`,
    };
  return { runs: [{ at: latest, late: false }], next, ...(several ? { note: `${span(due.from, before(latest))} skipped: nobody took them in time` } : {}) };
}

/** The ticks from the awaited one to now that the policy wants to know of, oldest first; `from` is the first of all. */
function dueTicks(schedule: DueTiming, tick: string, now: Date): { from: string; ticks: string[] } {
  const { cron, timeZone, startsAt, endsAt } = schedule;
  const first = new Date(tick);
  const until = endsAt && endsAt <= now ? new Date(endsAt.getTime() - 1) : now;
  const following = (after: Date): Date | undefined => {
    const at = nextInWindow(schedule, after);
    return at && at <= until ? at : undefined;
  };
  // An edit of the window may have left the awaited tick outside.
  const inside = (!startsAt || first >= startsAt) && (!endsAt || first < endsAt);
  const oldest = inside ? first : following(first);
  if (!oldest) return { from: tick, ticks: [] };
  const text = (at: Date): string => (at === first ? tick : at.toISOString());
  const limit = schedule.missedRuns === 'all' ? schedule.catchUpLimit : 1;
  // Forward while there are few: looking back costs as much for sixty ticks as for the whole limit.
  const ticks = [oldest];
  for (let at = following(oldest); at; at = following(at)) {
    ticks.push(at);
    if (ticks.length > limit) return { from: text(oldest), ticks: lastTicks(cron, timeZone, until, limit).map((one) => one.toISOString()) };
  }
  return { from: text(oldest), ticks: ticks.map(text) };
}

const shown = (at: string): string => `${new Date(at).toISOString().slice(0, 19)}Z`;
const before = (at: string | undefined): string => `to before ${shown(at ?? '')}`;
const span = (from: string, to: string): string => `the ticks from ${shown(from)} ${to} were`;
