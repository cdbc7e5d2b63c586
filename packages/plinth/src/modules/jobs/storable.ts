/** What handlers and callers give, as the database can hold it: no NUL, no half of a surrogate pair. */
import { cleanText } from '#kernel/clean-text.ts';

/** Such a character in JSON text as JSON.stringify writes it; a backslash before it would be text of its own. */
const UNHOLDABLE = /(?:^|[^\\])(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** Whether the database refuses this JSON text. */
export const isUnholdable = (json: string): boolean => json.includes('\\u') && UNHOLDABLE.test(json);

/** In values and in names. */
function clean(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const names = Object.keys(value);
  return names.every((name) => cleanText(name) === name) ? value : Object.fromEntries(Object.entries(value).map(([name, inner]) => [cleanText(name), inner]));
}

/** The value with U+FFFD in place of what cannot be stored. `json`: its text. */
export const storable = (value: unknown, json: string): unknown =>
  isUnholdable(json) ? (JSON.parse(JSON.stringify(value, (_name, inner: unknown) => clean(inner))) as unknown) : value;
