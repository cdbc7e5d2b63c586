/** Ticks of cron text in time zones that change their clocks, and the sentences that refuse cron text. */
import { describe, expect, test } from 'vitest';
import { drawnRuns, drawnSeed, seeded } from '#testing/random.ts';
import { lastTicks, nextTick } from './cron.ts';
import { wallFormat } from './schedules-model.fixture.ts';

const ticks = (cron: string, timeZone: string, after: string, count: number): string[] => {
  const found: string[] = [];
  for (let at = nextTick(cron, timeZone, new Date(after)); at && found.length < count; at = nextTick(cron, timeZone, at))
    found.push(at.toISOString().slice(0, 16));
  return found;
};
/** Ticks from `after` on, every `minutes`. */
const every = (minutes: number, first: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => new Date(Date.parse(`${first}Z`) + i * minutes * 60_000).toISOString().slice(0, 16));

describe('a shift of half an hour (Lord Howe)', () => {
  test('02:15, which spring leaves out, runs when the gap ends, at 02:30', () => {
    expect(ticks('15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T12:00Z', 4)).toEqual([
      '2026-10-02T15:45',
      '2026-10-03T15:30',
      '2026-10-04T15:15',
      '2026-10-05T15:15',
    ]);
  });
  test('01:45, which autumn brings twice, runs the first time', () => {
    expect(ticks('45 1 * * *', 'Australia/Lord_Howe', '2026-04-03T12:00Z', 4)).toEqual([
      '2026-04-03T14:45',
      '2026-04-04T14:45',
      '2026-04-05T15:15',
      '2026-04-06T15:15',
    ]);
  });
  test('every quarter of an hour runs through both changes without a gap', () => {
    expect(ticks('*/15 * * * *', 'Australia/Lord_Howe', '2026-10-03T14:50Z', 8)).toEqual(every(15, '2026-10-03T15:00', 8));
    expect(ticks('*/15 * * * *', 'Australia/Lord_Howe', '2026-04-04T14:10Z', 8)).toEqual(every(15, '2026-04-04T14:15', 8));
  });
  test('every half past runs when the clock shows it: half an hour or an hour and a half apart at the change', () => {
    expect(ticks('30 * * * *', 'Australia/Lord_Howe', '2026-10-03T13:00Z', 4)).toEqual([
      '2026-10-03T14:00',
      '2026-10-03T15:00',
      '2026-10-03T15:30',
      '2026-10-03T16:30',
    ]);
    expect(ticks('30 * * * *', 'Australia/Lord_Howe', '2026-04-04T14:00Z', 3)).toEqual(['2026-04-04T14:30', '2026-04-04T15:00', '2026-04-04T16:00']);
  });
});

describe('the southern half of the earth', () => {
  test('Santiago has no midnight on the day its spring begins: the day starts at 01:00, and so does the job of midnight', () => {
    expect(ticks('0 0 * * *', 'America/Santiago', '2026-09-05T00:00Z', 3)).toEqual(['2026-09-05T04:00', '2026-09-06T04:00', '2026-09-07T03:00']);
  });
  test('Sydney springs forward in October and back in April', () => {
    expect(ticks('30 2 * * *', 'Australia/Sydney', '2026-10-03T00:00Z', 3)).toEqual(['2026-10-03T16:00', '2026-10-04T15:30', '2026-10-05T15:30']);
    expect(ticks('30 2 * * *', 'Australia/Sydney', '2026-04-04T00:00Z', 3)).toEqual(['2026-04-04T15:30', '2026-04-05T16:30', '2026-04-06T16:30']);
  });
});

describe('lists and ranges without * and steps are times of day', () => {
  test('those that spring leaves out run once together when the gap ends', () => {
    expect(ticks('0,30 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z', 3)).toEqual(['2026-03-29T01:00', '2026-03-30T00:00', '2026-03-30T00:30']);
    expect(ticks('0 2,14 * * *', 'Europe/Berlin', '2026-03-28T13:30Z', 2)).toEqual(['2026-03-29T01:00', '2026-03-29T12:00']);
  });
  test('those that autumn brings twice run once', () => {
    expect(ticks('0,30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z', 3)).toEqual(['2026-10-25T00:00', '2026-10-25T00:30', '2026-10-26T01:00']);
  });
});

test('every quarter of an hour runs through the changes of Berlin without a gap', () => {
  expect(ticks('*/15 * * * *', 'Europe/Berlin', '2026-03-29T00:20Z', 8)).toEqual(every(15, '2026-03-29T00:30', 8));
  expect(ticks('*/15 * * * *', 'Europe/Berlin', '2026-10-25T00:20Z', 12)).toEqual(every(15, '2026-10-25T00:30', 12));
});

describe('zones that changed their rules', () => {
  test('Istanbul stayed on summer time in 2016', () => {
    expect(ticks('0 3 * * *', 'Europe/Istanbul', '2016-10-29T12:00Z', 3)).toEqual(['2016-10-30T00:00', '2016-10-31T00:00', '2016-11-01T00:00']);
  });
  test('Sao Paulo has had no summer time since 2019', () => {
    expect(ticks('0 12 * * *', 'America/Sao_Paulo', '2018-11-03T12:00Z', 2)).toEqual(['2018-11-03T15:00', '2018-11-04T14:00']);
    expect(ticks('0 12 * * *', 'America/Sao_Paulo', '2019-11-02T12:00Z', 2)).toEqual(['2019-11-02T15:00', '2019-11-03T15:00']);
  });
  test('Apia had no 30 December 2011, and no noon on it', () => {
    expect(ticks('0 12 * * *', 'Pacific/Apia', '2011-12-28T00:00Z', 4)).toEqual([
      '2011-12-28T22:00',
      '2011-12-29T22:00',
      '2011-12-30T22:00',
      '2011-12-31T22:00',
    ]);
  });
});

test('29 February comes in leap years only, and not in 2100', () => {
  expect(ticks('0 0 29 2 *', 'UTC', '2026-01-01T00:00Z', 3)).toEqual(['2028-02-29T00:00', '2032-02-29T00:00', '2036-02-29T00:00']);
  expect(ticks('0 0 29 2 *', 'UTC', '2096-02-29T00:00Z', 1)).toEqual(['2104-02-29T00:00']);
});

test.each([
  ['0 0 L * *', ['2026-01-31T00:00', '2026-02-28T00:00', '2026-03-31T00:00']],
  ['0 0 LW * *', ['2026-01-30T00:00', '2026-02-27T00:00', '2026-03-31T00:00']],
  ['0 0 15W * *', ['2026-01-15T00:00', '2026-02-16T00:00', '2026-03-16T00:00']],
  ['0 0 * * 5#2', ['2026-01-09T00:00', '2026-02-13T00:00', '2026-03-13T00:00']],
  ['0 0 * * FRI#2', ['2026-01-09T00:00', '2026-02-13T00:00', '2026-03-13T00:00']],
  ['0 0 * * 5L', ['2026-01-30T00:00', '2026-02-27T00:00', '2026-03-27T00:00']],
  ['0 0 13 * 5', ['2026-01-02T00:00', '2026-01-09T00:00', '2026-01-13T00:00']],
  ['0 0 13 * +5', ['2026-02-13T00:00', '2026-03-13T00:00', '2026-11-13T00:00']],
  ['@monthly', ['2026-02-01T00:00', '2026-03-01T00:00', '2026-04-01T00:00']],
])('%s is understood', (cron, expected) => {
  expect(ticks(cron, 'UTC', '2026-01-01T00:00Z', 3)).toEqual(expected);
});

test.each([
  ['61 * * * *', 'UTC', 'minute', /field for the minute, "61", .* 0 to 59/],
  ['5-1 * * * *', 'UTC', 'minute', /"5-1"/],
  ['*/0 * * * *', 'UTC', 'minute', /step/],
  ['* 24 * * *', 'UTC', 'hour', /field for the hour, "24", .* 0 to 23/],
  ['* * 32 * *', 'UTC', 'day of month', /day of month, "32", .* 1 to 31/],
  ['* * 0 * *', 'UTC', 'day of month', /"0"/],
  ['* * * 13 *', 'UTC', 'month', /field for the month, "13", .* 1 to 12 or JAN to DEC/],
  ['* * * * 8', 'UTC', 'day of week', /day of week, "8"/],
  ['* * * * MON-QQQ', 'UTC', 'day of week', /MON-QQQ/],
  ['* * * * 5#6', 'UTC', 'day of week', /5#6/],
  ['* * * *', 'UTC', 'cron', /five fields .* has 4/],
  ['* * * * * *', 'UTC', 'cron', /none for seconds; .* has 6/],
  ['2026-01-01T00:00:00', 'UTC', 'cron', /has 1/],
  ['', 'UTC', 'cron', /1 to 200 characters/],
  ['@reboot', 'UTC', 'cron', /none of @yearly/],
  ['* * * * *', 'Mars/Olympus', 'time_zone', /"Mars\/Olympus" is not known/],
  // An empty name would silently be the zone of the machine.
  ['* * * * *', '', 'time_zone', /"" is not known/],
])('%j in %j is refused with a sentence about the %s', (cron, timeZone, field, message) => {
  expect(() => nextTick(cron, timeZone, new Date(0))).toThrow(
    expect.objectContaining({ code: 'jobs_schedule_invalid', status: 422, detail: { field }, message: expect.stringMatching(message) }),
  );
});

/** Wall clocks, minute by minute. */
function walls(
  timeZone: string,
  from: number,
  to: number,
): { at: number; wall: string; minute: number; hour: number; day: number; month: number; weekday: number }[] {
  const format = wallFormat(timeZone);
  const found = [];
  for (let at = from; at < to; at += 60_000) {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
    const { minute = 0, hour = 0, day = 0, month = 0, year = 0 } = part;
    found.push({
      at,
      wall: new Date(Date.UTC(year, month - 1, day, hour, minute)).toISOString(),
      minute,
      hour,
      day,
      month,
      weekday: new Date(Date.UTC(year, month - 1, day)).getUTCDay(),
    });
  }
  return found;
}

test('agrees with a model that looks at the clock every minute, in both directions', { timeout: 180_000 }, () => {
  const seed = drawnSeed();
  console.log(`seed ${seed}`);
  const next = seeded(seed);
  const random = (below: number): number => Math.floor(next() * below);
  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  const field = (top: number): { text: string; holds: (n: number) => boolean; wild: boolean } => {
    const step = 1 + random(Math.min(top, 20));
    const low = random(top);
    const high = low + random(top - low);
    const list = [random(top), random(top), random(top)];
    return pick([
      { text: '*', holds: () => true, wild: true },
      { text: `*/${step}`, holds: (n) => n % step === 0, wild: true },
      { text: list.join(','), holds: (n) => list.includes(n), wild: false },
      { text: `${low}-${high}`, holds: (n) => n >= low && n <= high, wild: false },
      { text: `${low}`, holds: (n) => n === low, wild: false },
    ]);
  };
  // Each with the days around a change of its clock.
  const changes = [
    ['Europe/Berlin', '2026-03-28'],
    ['Europe/Berlin', '2026-10-24'],
    ['America/New_York', '2026-03-07'],
    ['America/New_York', '2026-10-31'],
    ['Australia/Lord_Howe', '2026-10-02'],
    ['Australia/Lord_Howe', '2026-04-03'],
    ['America/Santiago', '2026-09-05'],
    ['America/Santiago', '2026-04-04'],
    ['Atlantic/Azores', '2026-10-24'],
    ['Africa/Cairo', '2026-04-23'],
    ['Pacific/Chatham', '2026-09-26'],
    ['Asia/Kathmandu', '2026-06-01'],
  ] as const;
  const seen = new Map<string, ReturnType<typeof walls>>();
  let compared = 0;
  for (let round = 0; round < drawnRuns(60); round++) {
    const [timeZone, day] = pick(changes);
    const from = Date.parse(`${day}T00:00Z`);
    const to = from + 3 * 86_400_000;
    const minute = field(60);
    const hour = field(24);
    const weekday = random(3) === 0 ? field(7) : { text: '*', holds: () => true };
    const cron = `${minute.text} ${hour.text} * * ${weekday.text}`;
    const minutes = seen.get(`${timeZone} ${day}`) ?? walls(timeZone, from - 86_400_000, to);
    seen.set(`${timeZone} ${day}`, minutes);
    const holds = (m: { minute: number; hour: number; weekday: number }) => minute.holds(m.minute) && hour.holds(m.hour) && weekday.holds(m.weekday);
    let expected: number[];
    if (minute.wild || hour.wild) expected = minutes.filter(holds).map(({ at }) => at);
    else {
      // Every minute that a calendar has, and the first moment at which the clock shows it or is past it.
      const last = minutes.at(-1)?.wall ?? '';
      const moments = new Set<number>();
      let reached = 0;
      for (let naive = Date.parse(minutes[0]?.wall ?? ''); naive <= Date.parse(last); naive += 60_000) {
        const date = new Date(naive);
        const wall = date.toISOString();
        if (!holds({ minute: date.getUTCMinutes(), hour: date.getUTCHours(), weekday: date.getUTCDay() })) continue;
        while (reached < minutes.length && (minutes[reached]?.wall ?? '') < wall) reached += 1;
        const at = minutes[reached]?.at;
        if (at !== undefined) moments.add(at);
      }
      expected = [...moments];
    }
    expected = expected.filter((at) => at > from);
    const found: number[] = [];
    for (let at = nextTick(cron, timeZone, new Date(from)); at && at.getTime() < to; at = nextTick(cron, timeZone, at)) found.push(at.getTime());
    const shown = (at: readonly number[]) => ({ seed, cron, timeZone, ticks: at.map((one) => new Date(one).toISOString()) });
    expect(shown(found)).toEqual(shown(expected));
    const back = lastTicks(cron, timeZone, new Date(to - 1), found.length).map((at) => at.getTime());
    expect(shown(back)).toEqual(shown(found));
    compared += found.length;
  }
  expect(compared / drawnRuns(60)).toBeGreaterThan(1);
});
