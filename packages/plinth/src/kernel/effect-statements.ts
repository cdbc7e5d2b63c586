import type { Context } from './context.ts';
import type { Effect, EffectInsert } from './effects.ts';
import { effectsDocument } from './effects.ts';
import type { Prepared } from './prepared.ts';

/** From here on one document is as cheap as inserts one by one. */
const MOST_INSERTS = 4;

/** PostgreSQL cuts the name of a prepared statement off after so many bytes. */
const LONGEST_NAME = 63;

const WRITE: Omit<Prepared, 'values'> = { name: 'plinth_effects', text: 'call plinth.write_effects($1::text::jsonb)', readsContext: true };

/** One effect on its way into a prepared statement; `key` tells the INSERT from all others. */
interface Row {
  key: string;
  insert: Pick<EffectInsert, 'with' | 'text'>;
  values: (string | null)[];
}

/** The statements that write the effects of a transaction, in an order in which they may be sent. */
export type EffectWriter = (context: Context, effects: readonly Effect[]) => Prepared[];

/**
 * A module's effects take one way, so that their order stays. The first of each module go into one statement, because every statement takes the
 * server 15 us beside its rows and the client a message; how many such statements there are depends on which modules are used together.
 */
export function effectWriter(inserts: ReadonlyMap<string, EffectInsert>): EffectWriter {
  const texts = new Map<string, string>();
  const prepared = (rows: readonly Row[]): Prepared => {
    const name = nameOf(rows);
    let text = texts.get(name);
    if (text === undefined) {
      text = textOf(rows);
      texts.set(name, text);
    }
    return { name, text, values: rows.length === 1 ? (rows[0]?.values ?? []) : rows.flatMap(({ values }) => values) };
  };
  return (context, effects) => {
    const firsts: Row[] = [];
    const others: Row[] = [];
    const left: Effect[] = [];
    for (const [module, own] of byModule(effects)) {
      const [first, ...more] = rowsOf(module, own, inserts.get(module), context) ?? [];
      if (!first) left.push(...own);
      else if (firsts.length > 0 && nameOf([...firsts, first]).length > LONGEST_NAME) others.push(first, ...more);
      else {
        firsts.push(first);
        others.push(...more);
      }
    }
    const statements = others.map((row) => prepared([row]));
    if (firsts.length > 0) statements.unshift(prepared(firsts));
    if (left.length > 0) statements.push({ ...WRITE, values: [effectsDocument(left)] });
    return statements;
  };
}

const nameOf = (rows: readonly Row[]): string => `plinth_${rows.map(({ key }) => key).join('+')}`;

function byModule(effects: readonly Effect[]): Map<string, Effect[]> {
  const modules = new Map<string, Effect[]>();
  for (const effect of effects) {
    const own = modules.get(effect.module);
    if (own) own.push(effect);
    else modules.set(effect.module, [effect]);
  }
  return modules;
}

/** The effects of one module as rows of its INSERT; undefined where write_effects has to write them. */
function rowsOf(module: string, own: readonly Effect[], insert: EffectInsert | undefined, context: Context): Row[] | undefined {
  if (!insert || own.length > MOST_INSERTS || own.some(({ rows }) => rows)) return undefined;
  const [only] = own;
  const alone = own.length === 1 && only ? insert.alone?.values(only.row, context) : undefined;
  if (insert.alone && alone) return [{ key: `${module}_alone`, insert: insert.alone, values: alone }];
  const rows: Row[] = [];
  for (const { row } of own) {
    const values = insert.values(row, context);
    if (!values) return undefined;
    rows.push({ key: module, insert, values });
  }
  return rows;
}

/** All but the last as WITH queries of the last, their parameters behind those of the ones before. */
function textOf(rows: readonly Row[]): string {
  const queries: string[] = [];
  let taken = 0;
  let last = '';
  for (const [index, { insert, values }] of rows.entries()) {
    const before = taken;
    const shifted = (text: string): string => text.replaceAll(/\$(\d+)/g, (_, number: string) => `$${Number(number) + before}`);
    if (insert.with) queries.push(shifted(insert.with));
    last = shifted(insert.text);
    if (index < rows.length - 1) queries.push(`effect_${index} as (${last})`);
    taken += values.length;
  }
  return queries.length > 0 ? `with ${queries.join(', ')} ${last}` : last;
}
