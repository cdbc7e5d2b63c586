/** How times, durations, ids and column names are written, everywhere the same. */

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_557_600_000],
  ['month', 2_629_800_000],
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'short' });

/** `3 min. ago`; `now` within a second. */
export function ago(at: Date, now: number): string {
  const distance = at.getTime() - now;
  for (const [unit, ms] of units) {
    if (Math.abs(distance) >= ms) return relative.format(Math.trunc(distance / ms), unit);
  }
  return 'now';
}

const pad = (value: number, width = 2): string => String(value).padStart(width, '0');

/** `2026-11-21 01:50:07.312` in the zone of the reader. */
export const absolute = (at: Date): string =>
  `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;

/** The zone that `absolute` uses, for titles. */
export const zone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** `0 ms`, `38 ms`, `2.84 s`, `3 min 5 s`, `2 h 4 min`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${ms < 10 && ms % 1 !== 0 ? ms.toFixed(1) : Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (value: string): boolean => uuid.test(value);

/** Uuid v7 begin alike when made together, so the tail tells them apart: `0199…7f2a31`. */
export const shortId = (id: string): string => (isUuid(id) ? `${id.slice(0, 4)}…${id.slice(-6)}` : id.length > 24 ? `${id.slice(0, 10)}…${id.slice(-8)}` : id);

/** `entity_type` as people read it: `Entity type`; `ip` and `url` as they are written. */
export const words = (name: string): string => {
  const spaced = name.replaceAll('_', ' ').replace(/\b(?:ip|url)\b/g, (letters) => letters.toUpperCase());
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
};

/** The module's name beside the title of a list, where the title does not say it already. */
export const moduleBeside = ({ module, title }: { module: string; title: string }): string | undefined =>
  title.toLowerCase().includes(module.replace(/s$/, '')) ? undefined : words(module);

const intervalParts = ['years', 'months', 'days', 'hours', 'minutes', 'seconds', 'milliseconds'] as const;

/** `1 day`, `7 years 6 months`: an interval as the API gives it, when `value` is one. */
export function interval(value: object): string | undefined {
  const entries = Object.entries(value);
  const known = entries.every(([name, amount]) => (intervalParts as readonly string[]).includes(name) && typeof amount === 'number');
  if (entries.length === 0 || !known) return undefined;
  return entries.map(([name, amount]) => plural(amount as number, name.slice(0, -1))).join(' ');
}

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

/** A value as filters have it: where a sign in it would mean something there, in quotation marks. */
export const filterValue = (value: string): string => (/^[^\s",*\\]+$/.test(value) ? value : `"${value.replaceAll(/["\\]/g, '\\$&')}"`);
