import { fail } from './errors.ts';

/** One term of a filter, as it was written: `-status:failed,dead`, `attempts>3`, `name:web*`. */
export interface FilterTerm {
  column: string;
  operator: '=' | '>' | '>=' | '<' | '<=';
  negated: boolean;
  /** `prefix` for `start*`; an empty prefix (`column:*`) asks for any value at all. */
  values: { text: string; prefix: boolean }[];
}

export interface FilterText {
  terms: FilterTerm[];
  /** Text of since: and until:. */
  since: string | undefined;
  until: string | undefined;
  /** Words without a column: id or start of an id. */
  words: string[];
}

const LONGEST = 2_000;
const MOST_TERMS = 50;
const MOST_VALUES = 100;

const invalid = (message: string, detail: Record<string, unknown> = {}) => fail('filter_invalid', { message, detail });

/** Splits at blanks outside double quotes, keeping the quotes. */
function pieces(text: string): string[] {
  if (text.length > LONGEST) throw invalid(`The filter is longer than ${LONGEST} characters`);
  if (text.includes('\0')) throw invalid('The filter holds a NUL byte');
  const found = text.match(/(?:[^\s"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  if (found.length > MOST_TERMS) throw invalid(`The filter has more than ${MOST_TERMS} terms`);
  if ((text.replaceAll(/\\./g, '').split('"').length - 1) % 2 !== 0) throw invalid('A quotation mark is not closed');
  return found;
}

/** One value: bare with an optional `*` at its end, or quoted, where `*` and `,` mean themselves. */
function oneValue(text: string): { text: string; prefix: boolean } {
  const quoted = /^"((?:[^"\\]|\\.)*)"(\*?)$/.exec(text);
  if (quoted) return { text: (quoted[1] ?? '').replaceAll(/\\(.)/g, '$1'), prefix: quoted[2] === '*' };
  return text.endsWith('*') ? { text: text.slice(0, -1), prefix: true } : { text, prefix: false };
}

const valuesOf = (text: string): { text: string; prefix: boolean }[] => {
  const found = text.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? [];
  if (found.length === 0) throw invalid('A term has no value; write column:* for any value');
  if (found.length > MOST_VALUES) throw invalid(`A term has more than ${MOST_VALUES} values`);
  return found.map(oneValue);
};

const TERM = /^(-?)([A-Za-z_][A-Za-z0-9_]*)(:|>=|<=|>|<)([\s\S]*)$/;

/** Reads the text of a filter. What the columns are and mean is not known here. Errors: kernel_filter_invalid. */
export function parseFilter(text: string): FilterText {
  const filter: FilterText = { terms: [], since: undefined, until: undefined, words: [] };
  for (const piece of pieces(text)) {
    const [, minus, column = '', sign = ':', rest = ''] = TERM.exec(piece) ?? [];
    if (column === '') {
      filter.words.push(oneValue(piece).text);
      continue;
    }
    if (sign === ':' && (column === 'since' || column === 'until')) {
      filter[column] = oneValue(rest).text;
      continue;
    }
    const operator = sign === ':' ? '=' : (sign as FilterTerm['operator']);
    filter.terms.push({ column, operator, negated: minus === '-', values: valuesOf(rest) });
  }
  return filter;
}

const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** A moment: `30m`, `24h`, `7d`, `2w` before now, or a date or time (UTC unless it says otherwise). Errors: kernel_filter_invalid. */
export function momentOf(text: string, nowMs: number): number {
  const [, count, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  if (count && unit) return nowMs - Number(count) * (UNIT_MS[unit] ?? 0);
  const iso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text);
  const at = iso ? Date.parse(/T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) || !text.includes('T') ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(at)) throw invalid(`${JSON.stringify(text.slice(0, 60))} is no time; write 30m, 24h, 7d or 2026-01-31T12:00:00Z`);
  return at;
}
