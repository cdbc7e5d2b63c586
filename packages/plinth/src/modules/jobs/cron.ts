import { Cron } from 'croner';
import { raiser } from '#kernel/errors.ts';
import { errors } from './errors.ts';

const fail = raiser('jobs', errors);

/** The five fields in their order, with what each takes: the sentence that refuses one says it. */
const FIELDS = [
  { name: 'minute', takes: '0 to 59' },
  { name: 'hour', takes: '0 to 23' },
  { name: 'day of month', takes: '1 to 31, L (the last day), LW (the last weekday) or 15W (the weekday nearest to the 15th)' },
  { name: 'month', takes: '1 to 12 or JAN to DEC' },
  { name: 'day of week', takes: '0 to 7 or SUN to SAT (0 and 7 are Sunday), 5#2 (the second Friday of the month), 5L (the last Friday), +5 (and a Friday)' },
] as const;
const NICKNAMES = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];
const LONGEST_TEXT = 200;

/** Parsed patterns: parsing costs more than asking. Bounded, and emptied rather than aged: a thousand patterns are parsed in 50 ms. */
const parsed = new Map<string, Cron>();
const MOST_PARSED = 1000;

/**
 * The first tick after `after`: cron text of five fields (or `@daily` and the like) in an IANA time zone. Undefined when there is none.
 *
 * Daylight saving: where neither the minute nor the hour has a `*` or a step, a time of day that spring leaves out runs once, when the
 * gap ends (02:30 runs at 03:00), and one that autumn brings twice runs once, the first time. Other patterns run whenever the clock on
 * the wall shows them: in every hour that there is, in both of the doubled ones, not in the one that is left out.
 * Errors: jobs_schedule_invalid, which names the field.
 */
export const nextTick = (cron: string, timeZone: string, after: Date): Date | undefined => pattern(cron, timeZone).nextRun(after) ?? undefined;

/** The last `count` ticks at or before `until`, oldest first; fewer where there are no more. Errors: jobs_schedule_invalid. */
export const lastTicks = (cron: string, timeZone: string, until: Date, count: number): Date[] =>
  // The ticks before a moment are asked for: a millisecond later, its own is among them.
  pattern(cron, timeZone)
    .previousRuns(count, new Date(until.getTime() + 1))
    .reverse();

function pattern(cron: string, timeZone: string): Cron {
  const key = `${timeZone}\n${cron}`;
  const known = parsed.get(key);
  if (known) return known;
  checkText(cron);
  checkZone(timeZone);
  const made = parse(cron.trim(), timeZone);
  if (!made) throw invalid('cron', `The cron text ${JSON.stringify(cron)} is not valid`);
  if (parsed.size >= MOST_PARSED) parsed.clear();
  parsed.set(key, made);
  return made;
}

const parse = (cron: string, timeZone: string): Cron | undefined => {
  try {
    return new Cron(cron, { timezone: timeZone, mode: '5-part', fixedTimeRule: 'no-wildcard', paused: true });
  } catch {
    return undefined;
  }
};

const invalid = (field: string, message: string) => fail('schedule_invalid', { message, detail: { field } });

/** Field by field, so that the sentence can name the one that is wrong: the parser counts days and months from 0 in its own sentences. */
function checkText(cron: string): void {
  const text = cron.trim();
  const shown = JSON.stringify(cron.slice(0, LONGEST_TEXT));
  if (text.length === 0 || cron.length > LONGEST_TEXT) throw invalid('cron', `Cron text has 1 to ${LONGEST_TEXT} characters, not ${cron.length}`);
  if (text.startsWith('@')) {
    if (NICKNAMES.includes(text.toLowerCase())) return;
    throw invalid('cron', `${shown} is none of ${NICKNAMES.join(', ')}`);
  }
  const parts = text.split(/\s+/);
  if (parts.length !== FIELDS.length) {
    const seconds = parts.length === FIELDS.length + 1 ? '; there is none for seconds' : '';
    throw invalid('cron', `Cron text has five fields (${FIELDS.map(({ name }) => name).join(', ')})${seconds}; ${shown} has ${parts.length}`);
  }
  FIELDS.forEach(({ name, takes }, index) => {
    const part = parts[index] ?? '';
    const alone = FIELDS.map((_, at) => (at === index ? part : '*')).join(' ');
    if (parse(alone, 'UTC')) return;
    throw invalid(
      name,
      `The field for the ${name}, ${JSON.stringify(part)}, of the cron text ${shown} is not valid: it takes *, or ${takes}, as a list (1,3), a range (1-5) or a range with a step (*/2, 1-5/2)`,
    );
  });
}

function checkZone(timeZone: string): void {
  try {
    // An empty name would be the zone of the machine.
    if (timeZone.trim() !== '' && new Intl.DateTimeFormat('en', { timeZone })) return;
  } catch {
    // Told below.
  }
  throw invalid('time_zone', `The time zone ${JSON.stringify(timeZone.slice(0, 100))} is not known`);
}
