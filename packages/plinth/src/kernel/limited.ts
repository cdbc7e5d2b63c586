import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { TransactionInput } from './transaction.ts';

/** A server that is asked for longer than this by a loop or a request is stuck, or the connection to it is. */
const LONGEST_MS = 30_000;

const withLimits = (input: TransactionInput): TransactionInput =>
  input.signal ? input : { ...input, timeoutMs: input.timeoutMs ?? LONGEST_MS, idleMs: input.idleMs ?? LONGEST_MS };

/**
 * The same system, in whose transactions no statement runs longer than half a minute and the server ends what this process left open for as long; but for those that have
 * limits of their own, or a signal that ends them. For what nobody watches: a loop that waits for a connection which was swallowed on the way would wait for ever, and so would others for
 * what a machine that lost its power had locked.
 */
export function limited(plinth: Plinth<ModuleMap>): Plinth<ModuleMap> {
  return {
    ...plinth,
    transaction: (input, body) => plinth.transaction(withLimits(input), body),
    asWorker: (input, body) => plinth.asWorker(withLimits(input), body),
    asReader: (input, body) => plinth.asReader(withLimits(input), body),
    lookAsWorker: (look) => plinth.lookAsWorker({ ...look, timeoutMs: look.timeoutMs ?? LONGEST_MS }),
  };
}
