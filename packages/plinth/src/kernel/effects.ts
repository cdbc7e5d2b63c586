import type { Context } from './context.ts';
import { fail } from './errors.ts';
import type { ModuleMap } from './module.ts';
import type { AnyTransaction } from './transaction.ts';

type Row = Record<string, unknown>;

/** What JSON writes as an object, and no list. Its type may be an interface, which `Record<string, unknown>` alone does not take. */
export type JsonObject = Readonly<Record<string, unknown>> | (object & { readonly [Symbol.iterator]?: never });

/** One row that a module wants written by its `plinth_<module>.write_effects(jsonb)`. What was an object in it is JsonText, a date its ISO text. */
export interface Effect {
  module: string;
  /** What the caller called, for the error message: `audit.record('order.created')`. */
  label: string;
  row: Row;
  /** Where one effect is several rows: they stand in the row under `rows`. */
  rows?: readonly Row[] | undefined;
}

/** What a module's `effects` factory gets. */
export interface EffectSink {
  readonly context: Context;
  /** Id made in the client (uuid v7), known before the row is written. */
  newId(): string;
  now(): Date;
  /** Takes the row as it is now: what becomes of the objects in it later changes nothing. Errors: kernel_effect_invalid, kernel_transaction_ended. */
  push(label: string, row: Row, rows?: readonly Row[]): void;
  /** Runs after COMMIT; never inside the transaction (design.md 4.7). */
  afterCommit(signal: string): void;
}

/**
 * Looks at a module's effects in their transaction, right before they are written, and may complete their rows. What it throws
 * ends the transaction. Returns nothing when it has nothing to wait for: then COMMIT is not held up.
 */
export type EffectCheck = (tx: Pick<AnyTransaction, 'query' | 'context' | 'keys' | 'newId'>, effects: readonly Effect[]) => Promise<void> | undefined;

/** What a module does right after its effects were written, in their transaction. */
export interface EffectFollower {
  /** Whether there is anything to do; asked of every transaction with effects of the module, so it has to be quick. */
  follows(effects: readonly Effect[]): boolean;
  /** What it throws ends the transaction. */
  run(tx: AnyTransaction, effects: readonly Effect[]): Promise<void>;
}

/**
 * Another way to write the effects of a module, for transactions that have few: a prepared INSERT each. It takes the server about
 * half of the time of write_effects, which evaluates a JSON document; ten and more are cheaper in one document.
 */
export interface EffectInsert {
  /** `insert into ...` of one row, each parameter with its type: `$1::uuid`. No `$` but of parameters: they are renumbered where inserts are joined. */
  text: string;
  /** `name as (...)`: a query that `text` reads from and that writes itself. */
  with?: string;
  /** Its parameters; undefined leaves the effects of the transaction to write_effects. */
  values: (row: Effect['row'], context: Context) => (string | null)[] | undefined;
  /**
   * Tried first for the only effect of its module in a transaction: a statement that takes a lock, which effects that come after another
   * could take in an order of their own.
   */
  alone?: Omit<EffectInsert, 'alone'>;
}

/** A value as a parameter of type text, uuid, number or timestamptz. */
export const textParameter = (value: unknown): string | null =>
  value === undefined || value === null ? null : typeof value === 'string' ? value : JSON.stringify(value);

/** A value as a parameter of type jsonb. */
export const jsonParameter = (value: unknown): string | null =>
  value instanceof JsonText ? value.text : value === undefined || value === null ? null : JSON.stringify(value);

/** JSON as the text that it was when its effect was asked for: made once, and both ways of writing take it as it is. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toJSON(): unknown {
    return JSON.parse(this.text);
  }
}

/** The text of a value; undefined where JSON leaves the value out. Errors: kernel_effect_invalid, which names the effect and the field. */
export function jsonText(label: string, field: string, value: unknown): JsonText | undefined {
  if (value instanceof JsonText) return value;
  try {
    const text = JSON.stringify(value) as string | undefined;
    return text === undefined ? undefined : new JsonText(text);
  } catch (error) {
    const [reason] = String((error as Error | null)?.message).split('\n');
    throw fail('effect_invalid', { message: `${label}: JSON cannot hold its ${field}: ${reason}`, detail: { effect: label, field }, cause: error });
  }
}

/** A row that no longer shares anything with the caller. */
export function rowAsAsked(label: string, row: Row): Row {
  const asked: Row = {};
  for (const name of Object.keys(row)) {
    const value = row[name];
    if (value instanceof Date) asked[name] = value.toJSON();
    else if ((typeof value === 'object' && value !== null) || typeof value === 'bigint') asked[name] = jsonText(label, name, value);
    else if (value !== undefined) asked[name] = value;
  }
  return asked;
}

/** Bounds what a transaction may hold back in memory; callers flush earlier. */
export const MOST_EFFECTS = 50_000;

/** The effects of one transaction, in the order in which they were asked for. */
export class EffectBuffer {
  #effects: Effect[] = [];
  #closed = false;

  add(module: string, label: string, row: Row, rows?: readonly Row[]): void {
    this.requireOpen();
    if (this.#effects.length >= MOST_EFFECTS) throw new RangeError(`more than ${MOST_EFFECTS} effects are waiting: await tx.flush() in between`);
    this.#effects.push({ module, label, row: rowAsAsked(label, row), rows: rows?.map((one) => rowAsAsked(label, one)) });
  }

  /** Everything collected so far. */
  get waiting(): readonly Effect[] {
    return this.#effects;
  }

  /** Everything collected so far, and forgets it. */
  take(): Effect[] {
    this.requireOpen();
    const taken = this.#effects;
    this.#effects = [];
    return taken;
  }

  /** As `take`, and nothing is added from then on. */
  last(): Effect[] {
    this.#closed = true;
    return this.#effects;
  }

  /** Errors: kernel_transaction_ended. */
  requireOpen(): void {
    if (this.#closed) throw fail('transaction_ended');
  }
}

/** The one parameter of plinth.write_effects: rows by module. */
export function effectsDocument(effects: readonly Effect[]): string {
  const byModule: Record<string, string[]> = {};
  for (const { module, row, rows } of effects) {
    byModule[module] ??= [];
    byModule[module]?.push(objectText(rows ? { ...row, rows: new JsonText(`[${rows.map(objectText).join()}]`) } : row));
  }
  const members = Object.entries(byModule).map(([module, texts]) => `${JSON.stringify(module)}:[${texts.join()}]`);
  return `{${members.join()}}`;
}

/** As JSON.stringify, which would read and write anew what is text already. */
function objectText(row: Row): string {
  let members = '';
  for (const name of Object.keys(row)) {
    const value = row[name];
    const text = value instanceof JsonText ? value.text : (JSON.stringify(value) as string | undefined);
    if (text !== undefined) members += `${members ? ',' : ''}${JSON.stringify(name)}:${text}`;
  }
  return `{${members}}`;
}

/** An object that offers what the modules' effects offer, each made when it is first used. */
export type Offer = new (sinkOf: (moduleName: string) => EffectSink) => object;

/**
 * `tx.audit`, `tx.events`, ... as getters of a class that is made once for each kernel: defining them anew on every transaction took 7 us
 * of each, whether it used them or not.
 */
export function offerOf(modules: ModuleMap): Offer {
  class Offered {
    readonly #sinkOf: (moduleName: string) => EffectSink;
    readonly #made = new Map<string, unknown>();

    constructor(sinkOf: (moduleName: string) => EffectSink) {
      this.#sinkOf = sinkOf;
    }

    static offer(name: string, make: (sink: EffectSink) => unknown): void {
      Object.defineProperty(Offered.prototype, name, {
        enumerable: true,
        get(this: Offered) {
          if (!this.#made.has(name)) this.#made.set(name, make(this.#sinkOf(name)));
          return this.#made.get(name);
        },
      });
    }
  }
  for (const [name, card] of Object.entries(modules)) if (card.effects) Offered.offer(name, card.effects);
  return Offered;
}
