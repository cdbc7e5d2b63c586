import { modules } from '#registry';
import type { Modules } from '#registry';
import type { KernelOptions, Plinth as KernelPlinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Transaction } from '#kernel/transaction.ts';

export type Plinth = KernelPlinth<Modules>;
export type Tx = Transaction<Modules>;

/** Opens Plinth on a database that has been migrated (`plinth migrate up`). Close it when the process ends. */
export function createPlinth(options: Omit<KernelOptions<Modules>, 'modules'>): Plinth {
  return createKernel({ ...options, modules });
}

export type { Context, ContextInput, Actor } from '#kernel/context.ts';
export { currentContext } from '#kernel/context.ts';
export { PlinthError } from '#kernel/errors.ts';
