/** What cron text and schedules mean, worked out again: clocks on the wall by Intl, ticks by looking at every one of a calendar, policies as the README tells them. */
import { createHash } from 'node:crypto';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
/** Where the clocks of the model are known. */
const KNOWN = [Date.parse('2025-06-01T00:00Z'), Date.parse('2032-06-01T00:00Z')] as const;

interface Span {
  from: number;
  to: number;
  offset: number;
}
/** What clocks on the wall of a zone show, to the minute. */
export const wallFormat = (zone: string): Intl.DateTimeFormat =>
  new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });

const zones = new Map<string, Span[]>();

/** The spans of time in which the clock of a zone keeps its distance from UTC. */
function spansOf(zone: string): Span[] {
  const known = zones.get(zone);
  if (known) return known;
  const format = wallFormat(zone);
  const offsetAt = (at: number): number => {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(part.year ?? 0, (part.month ?? 0) - 1, part.day, part.hour, part.minute) - at;
  };
  const spans: Span[] = [{ from: KNOWN[0], to: KNOWN[1], offset: offsetAt(KNOWN[0]) }];
  for (let at = KNOWN[0] + DAY_MS; at < KNOWN[1]; at += DAY_MS) {
    const last = spans.at(-1) as Span;
    const offset = offsetAt(at);
    if (offset === last.offset) continue;
    let [before, after] = [at - DAY_MS, at];
    while (after - before > MINUTE_MS) {
      const middle = before + Math.floor((after - before) / 2 / MINUTE_MS) * MINUTE_MS;
      if (offsetAt(middle) === last.offset) before = middle;
      else after = middle;
    }
    last.to = after;
    spans.push({ from: after, to: KNOWN[1], offset });
  }
  zones.set(zone, spans);
  return spans;
}

export interface Field {
  text: string;
  holds: (value: number) => boolean;
  /** Has a `*` or a step. */
  wild: boolean;
}
export interface Day {
  day: number;
  /** Of its month. */
  last: number;
  month: number;
  weekday: number;
  weekdayOfFirst: number;
}
export interface DayField {
  text: string;
  holds: (day: Day) => boolean;
}
export interface CronText {
  text: string;
  minutes: number[];
  hours: number[];
  wild: boolean;
  day: (day: Day) => boolean;
}

export function cronText(minute: Field, hour: Field, dayOfMonth: DayField, month: Field, dayOfWeek: DayField): CronText {
  const upTo = (count: number, holds: (value: number) => boolean): number[] => Array.from({ length: count }, (_, value) => value).filter(holds);
  const either = dayOfMonth.text !== '*' && dayOfWeek.text !== '*' && !dayOfWeek.text.startsWith('+');
  return {
    text: [minute.text, hour.text, dayOfMonth.text, month.text, dayOfWeek.text].join(' '),
    minutes: upTo(60, minute.holds),
    hours: upTo(24, hour.holds),
    wild: minute.wild || hour.wild,
    day: (day) => month.holds(day.month) && (either ? dayOfMonth.holds(day) || dayOfWeek.holds(day) : dayOfMonth.holds(day) && dayOfWeek.holds(day)),
  };
}

/** After `from`, up to and with `to`. */
export function ticksBetween(cron: CronText, zone: string, from: number, to: number): number[] {
  const near = spansOf(zone).filter((span) => span.to > from - 2 * DAY_MS && span.from < to + 2 * DAY_MS);
  const found = new Set<number>();
  for (let date = Math.floor(from / DAY_MS - 2) * DAY_MS; date <= to + 2 * DAY_MS; date += DAY_MS) {
    const calendar = new Date(date);
    const [year, month] = [calendar.getUTCFullYear(), calendar.getUTCMonth()];
    const last = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
    const weekdayOfFirst = new Date(Date.UTC(year, month, 1)).getUTCDay();
    if (!cron.day({ day: calendar.getUTCDate(), last, month: month + 1, weekday: calendar.getUTCDay(), weekdayOfFirst })) continue;
    for (const hour of cron.hours) {
      for (const minute of cron.minutes) {
        const wall = date + hour * HOUR_MS + minute * MINUTE_MS;
        const shown = near.filter((span) => wall - span.offset >= span.from && wall - span.offset < span.to).map((span) => wall - span.offset);
        // A time of day is once a day: when the clock shows it first, or is past it.
        const moments = cron.wild ? shown : [shown[0] ?? near.find((span) => span.from + span.offset > wall)?.from ?? Number.NaN];
        for (const at of moments) if (at > from && at <= to) found.add(at);
      }
    }
  }
  return [...found].sort((one, other) => one - other);
}

export interface Settings {
  cron: CronText;
  zone: string;
  missedRuns: 'skip' | 'once' | 'all';
  limit: number;
  jitterMs: number;
  startsAt: number | undefined;
  endsAt: number | undefined;
  skipIfRunning: boolean;
}
export interface MadeJob {
  at: number;
  since: number | undefined;
  /** Made up, or after one that was: it starts from the moment at which it was enqueued. */
  madeUpAt: number | undefined;
  finished: boolean;
  exclusive: boolean;
}

const sameTiming = (one: Settings, other: Settings): boolean =>
  one.cron.text === other.cron.text && one.zone === other.zone && one.startsAt === other.startsAt && one.endsAt === other.endsAt;

export class Schedule {
  readonly id: string;
  readonly name: string;
  settings: Settings;
  enabled: boolean;
  /** Ticks up to here are settled. */
  mark: number;
  /** Of the text before an edit: due at the edit and not run yet. */
  owed: number | undefined;
  lastRun: number | undefined;
  readonly jobs: MadeJob[] = [];

  constructor(id: string, name: string, settings: Settings, enabled: boolean, now: number) {
    this.id = id;
    this.name = name;
    this.settings = settings;
    this.enabled = enabled;
    this.mark = now;
  }

  #window = (at: number): boolean => at >= (this.settings.startsAt ?? Number.NEGATIVE_INFINITY) && at < (this.settings.endsAt ?? Number.POSITIVE_INFINITY);
  #ticks = (from: number, to: number): number[] => ticksBetween(this.settings.cron, this.settings.zone, from, to).filter(this.#window);
  #first = (now: number): number | undefined => this.owed ?? (now > this.mark ? this.#ticks(this.mark, now)[0] : undefined);

  /** The next one to come; undefined: none within the years that the model knows. */
  next(): number | undefined {
    if (!this.enabled) return undefined;
    if (this.owed !== undefined) return this.owed;
    let from = Math.max(this.mark, (this.settings.startsAt ?? 0) - 1);
    for (const days of [2, 8, 70, 400, 1500]) {
      const [found] = this.#ticks(from, from + days * DAY_MS);
      if (found !== undefined) return found;
      from += days * DAY_MS;
    }
    return undefined;
  }

  edit(settings: Settings, enabled: boolean, now: number): void {
    const due = this.enabled ? this.#first(now) : undefined;
    const goesOn = this.enabled && enabled;
    if (goesOn && due !== undefined) this.owed = due;
    else if (!goesOn || !sameTiming(this.settings, settings)) this.#begin(now);
    this.settings = settings;
    this.enabled = enabled;
  }

  switch(enabled: boolean, now: number): void {
    if (!(this.enabled && enabled)) this.#begin(now);
    this.enabled = enabled;
  }

  /** Owes nothing from before; and a clock that was set back brings no tick again. */
  #begin(now: number): void {
    this.owed = undefined;
    this.mark = Math.max(now, this.lastRun ?? now);
  }

  /** What a scheduler that looks now has to do. */
  run(now: number): void {
    const first = this.enabled ? this.#first(now) : undefined;
    if (first === undefined) return;
    const due = [...(this.#window(first) ? [first] : []), ...this.#ticks(first, now)];
    this.owed = undefined;
    this.mark = Math.max(now, first);
    const last = due.at(-1);
    if (last === undefined) return;
    const late = (at: number): boolean => now - at > MINUTE_MS;
    if (this.settings.missedRuns === 'all') {
      const made = due.slice(-this.settings.limit);
      const madeUpAt = late(made[0] ?? last) ? now : undefined;
      for (const at of made) this.#make({ at, since: undefined, madeUpAt });
    } else if (this.settings.missedRuns === 'once' || !late(last)) {
      const since = this.settings.missedRuns === 'once' && due.length > 1 ? due[0] : undefined;
      this.#make({ at: last, since, madeUpAt: late(last) ? now : undefined });
    }
  }

  #make(job: Pick<MadeJob, 'at' | 'since' | 'madeUpAt'>): void {
    const exclusive = this.settings.skipIfRunning;
    if (exclusive && (this.jobs.at(-1)?.finished === false || this.jobs.some((one) => one.exclusive && !one.finished))) return;
    this.jobs.push({ ...job, finished: false, exclusive });
    this.lastRun = job.at;
  }

  /** Of each job; those of before an edit had another. */
  spreadMs(): number {
    const bytes = Buffer.from(this.id.replaceAll('-', ''), 'hex');
    return createHash('sha256').update(bytes).digest().readUInt32BE(0) % (this.settings.jitterMs + 1);
  }
}
