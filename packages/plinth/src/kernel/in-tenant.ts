import { identifier } from './database.ts';
import type { ModuleMap } from './module.ts';
import type { AnyTransaction, Transaction, TransactionDeps } from './transaction.ts';
import { joinTransaction } from './transaction.ts';
import type { TenantScope } from './work.ts';

/**
 * What a transaction of plinth_worker offers to do for one tenant after another. Only the role and the context change: it is the same transaction, which
 * commits once. Hints wait for that COMMIT.
 */
export function tenantScope<Modules extends ModuleMap>(deps: TransactionDeps, appRole: string | null, tx: AnyTransaction): TenantScope<Transaction<Modules>> {
  const roles = { enter: `set local role ${appRole === null ? 'none' : identifier(appRole)}`, leave: 'set local role plinth_worker' };
  const onSignal = (signals: ReadonlySet<string>): void => {
    for (const name of signals) tx.signal(name);
  };
  // One role at a time: two that ran at once on this connection would each write as the other.
  let before: Promise<unknown> = Promise.resolve();
  return {
    inTenantOf(event, body) {
      const input = { tenantId: event.tenantId, correlationId: event.correlationId ?? undefined, causationId: event.id };
      const result = before.then(() => joinTransaction({ ...deps, onSignal }, tx, input, body, roles));
      before = result.catch(() => {});
      return result;
    },
  };
}
