import { fail } from './errors.ts';
import type { AnyModule, ModuleMap } from './module.ts';
import { inOrder } from './module.ts';

/** The modules of Plinth and those of an application, by name. */
export type WithOwn<Modules extends ModuleMap, Own extends readonly AnyModule[]> = Modules & {
  readonly [Card in Own[number] as string extends Card['name'] ? never : Card['name']]: Card;
};

/** Names that are taken by the structure itself: schemas, what a transaction has besides the effects of modules, and what the router has. */
const RESERVED = 'kernel plinth public relay system transaction context keys now query flush signal'
  .split(' ')
  // Beside the modules in the router, refused by tRPC, and there on every object.
  .concat('lists', 'find', 'traces', 'then', 'call', 'apply', 'constructor');

/** Why this cannot be the name of a module, or undefined. */
export function nameFault(name: string): string | undefined {
  if (!/^[a-z][a-z0-9]{2,29}$/.test(name)) return `"${name}" cannot be a module: use 3 to 30 lower case letters and digits, a letter first`;
  if (RESERVED.includes(name)) return `"${name}" is taken by Plinth itself`;
  return undefined;
}

/**
 * Puts modules of an application beside those of Plinth. Errors: kernel_module_taken for a name that is used already; kernel_module_invalid for a
 * name that no module can have, a module that is used and not there, or a consumer and a projection of one name; an Error for modules that use each other in a circle.
 */
export function withOwn<Modules extends ModuleMap, const Own extends readonly AnyModule[]>(modules: Modules, own: Own): WithOwn<Modules, Own> {
  const all: Record<string, AnyModule> = { ...modules };
  for (const card of own) {
    const fault = nameFault(card.name);
    if (fault) throw fail('module_invalid', { message: fault });
    if (all[card.name]) throw fail('module_taken', { message: `There is a module ${card.name} already` });
    const twice = Object.keys(card.consumers ?? {}).find((name) => card.projections?.[name]);
    if (twice) throw fail('module_invalid', { message: `${card.name} has a consumer and a projection of the name ${twice}` });
    all[card.name] = card;
  }
  const missing = own.flatMap((card) => (card.uses ?? []).filter((used) => !all[used]).map((used) => `${card.name} uses ${used}, and there is no such module`));
  if (missing[0]) throw fail('module_invalid', { message: missing[0] });
  inOrder(all);
  return all as WithOwn<Modules, Own>;
}
