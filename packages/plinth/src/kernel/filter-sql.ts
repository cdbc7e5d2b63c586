import { identifier } from './database.ts';
import { fail } from './errors.ts';
import type { FilterTerm } from './filter-text.ts';
import { momentOf, parseFilter } from './filter-text.ts';
import { isUuid, v7Floor } from './ids.ts';

/** A view as filters need to know it. */
export interface FilterTarget {
  /** Type of each column as Postgres names it. */
  types: ReadonlyMap<string, string>;
  filters: readonly string[];
}

/** Conditions with their parameters; parameters are numbered from `values.length + 1` of what went before. */
export class Conditions {
  readonly texts: string[] = [];
  readonly values: unknown[] = [];

  /** Adds a parameter and returns how SQL names it. */
  parameter(value: unknown, type: string): string {
    this.values.push(value);
    return `$${this.values.length}::${type}`;
  }

  add(text: string): void {
    this.texts.push(text);
  }

  get where(): string {
    return this.texts.length > 0 ? `where ${this.texts.join(' and ')}` : '';
  }
}

const invalid = (message: string, detail: Record<string, unknown> = {}) => fail('filter_invalid', { message, detail });

const NUMERIC = new Set(['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision']);
const TIMES = new Set(['timestamp with time zone', 'timestamp without time zone', 'date']);
const NO_FILTER = new Set(['json', 'jsonb', 'bytea']);

/** Lowest and highest uuid that start with these digits; undefined when they are no start of a uuid. */
export function uuidRange(start: string): { low: string; high: string } | undefined {
  const digits = start.replaceAll('-', '').toLowerCase();
  if (digits.length < 1 || digits.length > 32 || !/^[0-9a-f-]+$/i.test(start) || !/^[0-9a-f]+$/.test(digits)) return undefined;
  const form = (fill: string): string => {
    const all = digits.padEnd(32, fill);
    return `${all.slice(0, 8)}-${all.slice(8, 12)}-${all.slice(12, 16)}-${all.slice(16, 20)}-${all.slice(20)}`;
  };
  return { low: form('0'), high: form('f') };
}

const likeStart = (text: string): string => `${text.replaceAll(/[\\%_]/g, '\\$&')}%`;

function numberOf(column: string, text: string): string {
  if (!/^-?\d{1,30}(\.\d{1,30})?$/.test(text)) throw invalid(`${column} is a number, not ${JSON.stringify(text.slice(0, 60))}`, { column });
  return text;
}

/** SQL for one value of a column, by the type of the column. */
function valueCondition(to: Conditions, column: string, type: string, value: { text: string; prefix: boolean }, nowMs: number): string {
  const name = identifier(column);
  const { text, prefix } = value;
  if (prefix && text === '') return `${name} is not null`;
  if (type.endsWith('[]')) return `${to.parameter(text, 'text')} = any (${name}::text[])`;
  if (type === 'uuid') return uuidCondition(to, name, column, value);
  if (prefix) {
    if (NUMERIC.has(type) || TIMES.has(type) || type === 'boolean')
      throw invalid(`${column} is no text: ${text.slice(0, 60)}* cannot be asked of it`, { column });
    return `${name}::text like ${to.parameter(likeStart(text), 'text')}`;
  }
  if (type === 'boolean') {
    if (text !== 'true' && text !== 'false') throw invalid(`${column} is true or false, not ${JSON.stringify(text.slice(0, 60))}`, { column });
    return `${name} = ${to.parameter(text, 'boolean')}`;
  }
  if (NUMERIC.has(type)) return `${name} = ${to.parameter(numberOf(column, text), 'numeric')}`;
  if (TIMES.has(type)) return `${name} = ${to.parameter(new Date(momentOf(text, nowMs)).toISOString(), 'timestamptz')}`;
  return type === 'text' ? `${name} = ${to.parameter(text, 'text')}` : `${name}::text = ${to.parameter(text, 'text')}`;
}

function uuidCondition(to: Conditions, name: string, column: string, { text, prefix }: { text: string; prefix: boolean }): string {
  if (isUuid(text)) return `${name} = ${to.parameter(text, 'uuid')}`;
  const range = prefix || text.replaceAll('-', '').length === 32 ? uuidRange(text) : undefined;
  if (!range) throw invalid(`${column} is a UUID, not ${JSON.stringify(text.slice(0, 60))}`, { column });
  return `${name} between ${to.parameter(range.low, 'uuid')} and ${to.parameter(range.high, 'uuid')}`;
}

function comparison(to: Conditions, term: FilterTerm, type: string, nowMs: number): string {
  const { column, operator } = term;
  const [value, ...more] = term.values;
  if (!value || more.length > 0 || value.prefix) throw invalid(`${column}${operator} takes one value`, { column });
  if (NUMERIC.has(type)) return `${identifier(column)} ${operator} ${to.parameter(numberOf(column, value.text), 'numeric')}`;
  if (TIMES.has(type)) return `${identifier(column)} ${operator} ${to.parameter(new Date(momentOf(value.text, nowMs)).toISOString(), 'timestamptz')}`;
  throw invalid(`${column} is neither a number nor a time: ${operator} cannot be asked of it`, { column });
}

function addTerm(to: Conditions, target: FilterTarget, term: FilterTerm, nowMs: number): void {
  const type = target.types.get(term.column);
  if (!type || !(target.filters.includes(term.column) || term.column === 'id')) {
    throw invalid(`There is no filter ${term.column.slice(0, 60)}`, { column: term.column.slice(0, 60), filters: target.filters });
  }
  if (NO_FILTER.has(type)) throw invalid(`${term.column} cannot be filtered`, { column: term.column, filters: target.filters });
  const text =
    term.operator === '=' ? term.values.map((value) => valueCondition(to, term.column, type, value, nowMs)).join(' or ') : comparison(to, term, type, nowMs);
  // What is not known (null) is not what was asked for, so the negation holds for it.
  to.add(term.negated ? `(${text}) is not true` : `(${text})`);
}

/** Words without a column are ids or starts of ids: the one free text that every list can answer from an index. */
function addWord(to: Conditions, target: FilterTarget, word: string): void {
  const range = uuidRange(word);
  if (target.types.get('id') !== 'uuid') to.add(`id like ${to.parameter(likeStart(word), 'text')}`);
  else if (range && word.replaceAll('-', '').length >= 4) to.add(`id between ${to.parameter(range.low, 'uuid')} and ${to.parameter(range.high, 'uuid')}`);
  else throw invalid(`${JSON.stringify(word.slice(0, 60))} is neither an id nor column:value`, { filters: target.filters });
}

function addBound(to: Conditions, target: FilterTarget, operator: '>=' | '<', text: string, nowMs: number): void {
  const at = momentOf(text, nowMs);
  // Bounds on the id, not on created_at: only those prune partitions.
  if (target.types.get('id') === 'uuid') to.add(`id ${operator} ${to.parameter(v7Floor(at), 'uuid')}`);
  else if (target.types.has('created_at')) to.add(`created_at ${operator} ${to.parameter(new Date(at).toISOString(), 'timestamptz')}`);
  else throw invalid('This list has no time', { filters: target.filters });
}

/** Adds what the text of a filter asks for. Errors: kernel_filter_invalid, which names the column and the filters there are. */
export function addFilter(to: Conditions, target: FilterTarget, text: string, nowMs: number): void {
  const filter = parseFilter(text);
  for (const term of filter.terms) addTerm(to, target, term, nowMs);
  for (const word of filter.words) addWord(to, target, word);
  if (filter.since !== undefined) addBound(to, target, '>=', filter.since, nowMs);
  if (filter.until !== undefined) addBound(to, target, '<', filter.until, nowMs);
}
