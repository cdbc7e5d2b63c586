import type { Context } from './context.ts';
import type { Queryable } from './database.ts';
import type { ModuleMap } from './module.ts';

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
export type EffectCheck = (tx: Queryable & { readonly context: Context }, effects: readonly Effect[]) => Promise<void> | undefined;

/** The effects of one transaction, in the order in which they were asked for. */
export interface EffectBuffer {
  readonly pending: number;
  add(effect: Effect): void;
  /** Everything collected so far, and forgets it. */
  take(): Effect[];
}

/** Bounds what a transaction may hold back in memory; callers flush earlier. */
export const MOST_EFFECTS = 50_000;

export function effectBuffer(): EffectBuffer {
  let effects: Effect[] = [];
  return {
    get pending() {
      return effects.length;
    },
    add(effect) {
      if (effects.length >= MOST_EFFECTS) throw new RangeError(`more than ${MOST_EFFECTS} effects are waiting: await tx.flush() in between`);
      effects.push(effect);
    },
    take() {
      const taken = effects;
      effects = [];
      return taken;
    },
  };
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

/** `tx.audit`, `tx.events`, ...: each made when it is first used, so a transaction pays only for what it does. */
export function attachEffects(target: object, modules: ModuleMap, sinkOf: (moduleName: string) => EffectSink): void {
  for (const [name, card] of Object.entries(modules)) {
    const make = card.effects;
    if (!make) continue;
    let made: unknown;
    Object.defineProperty(target, name, {
      enumerable: true,
      get: () => {
        made ??= make(sinkOf(name));
        return made;
      },
    });
  }
}
