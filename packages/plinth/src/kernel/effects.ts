import type { Context } from './context.ts';
import type { ModuleMap } from './module.ts';
import type { AnyTransaction } from './transaction.ts';

/** One row that a module wants written by its `plinth_<module>.write_effects(jsonb)`. */
export interface Effect {
  module: string;
  /** What the caller called, for the error message: `audit.record('order.created')`. */
  label: string;
  row: Record<string, unknown>;
}

/** What a module's `effects` factory gets. */
export interface EffectSink {
  readonly context: Context;
  /** Id made in the client (uuid v7), known before the row is written. */
  newId(): string;
  now(): Date;
  push(label: string, row: Record<string, unknown>): void;
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
export const jsonParameter = (value: unknown): string | null => (value === undefined || value === null ? null : JSON.stringify(value));

/** Bounds what a transaction may hold back in memory; callers flush earlier. */
export const MOST_EFFECTS = 50_000;

/** The effects of one transaction, in the order in which they were asked for. */
export class EffectBuffer {
  #effects: Effect[] = [];

  add(effect: Effect): void {
    if (this.#effects.length >= MOST_EFFECTS) throw new RangeError(`more than ${MOST_EFFECTS} effects are waiting: await tx.flush() in between`);
    this.#effects.push(effect);
  }

  /** Everything collected so far. */
  get waiting(): readonly Effect[] {
    return this.#effects;
  }

  /** Everything collected so far, and forgets it. */
  take(): Effect[] {
    const taken = this.#effects;
    this.#effects = [];
    return taken;
  }
}

/** The one parameter of plinth.write_effects: rows by module. */
export function effectsDocument(effects: readonly Effect[]): string {
  const byModule: Record<string, Record<string, unknown>[]> = {};
  for (const effect of effects) {
    byModule[effect.module] ??= [];
    byModule[effect.module]?.push(effect.row);
  }
  return JSON.stringify(byModule);
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
