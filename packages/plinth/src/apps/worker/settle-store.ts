/** Storing outcomes: those of all tenants by one statement, and tenant by tenant when one of them stands in the way of the others. */
import { isLockTimeout } from '#kernel/errors.ts';
import { settleJobs } from '#modules/jobs';
import { isRefusal, storeApart } from './refused.ts';
import type { Aside } from './settle-aside.ts';
import type { Ended, SettleQueueOptions } from './settle-queue.ts';

/** Outcomes of one statement. */
export const MOST_AT_ONCE = 1_000;
/** Longest wait for a lock that a transaction of a tenant holds; whose it is is found by shorter waits. */
const LOCK_MS = { together: 100, apart: 25 };

/** Of outcomes that cannot be stored the log hears so often, not with each try. */
const TELL_MS = 5_000;

export interface SettleStore {
  /** Stores outcomes, and closes claims: theirs and others. Those with outcomes that wait aside are closed after these. */
  together(entries: readonly Ended[], closes: readonly string[]): Promise<void>;
  /** Stores what it can; the outcomes of a tenant that has one of its jobs locked go aside. What is done with leaves `left`. */
  byTenant(entries: readonly Ended[], left: Set<Ended>): Promise<void>;
  /** Stores outcomes of one tenant, each by itself when one is refused. What is stored leaves `left`. */
  ofTenant(entries: readonly Ended[], left: Set<Ended>): Promise<void>;
}

/** One outcome is to blame, and the others can be stored without it. */
export const isApart = (error: unknown): boolean => isRefusal(error) || isLockTimeout(error);

export function claimsOf(entries: readonly Pick<Ended, 'claim'>[]): string[] {
  const claims: string[] = [];
  for (const { claim } of entries) if (claim !== undefined) claims.push(claim);
  return claims;
}

function byTenant(entries: readonly Ended[]): (readonly Ended[])[] {
  const tenants = new Map<string, Ended[]>();
  for (const entry of entries) {
    const own = tenants.get(entry.settlement.tenant_id);
    if (own) own.push(entry);
    else tenants.set(entry.settlement.tenant_id, [entry]);
  }
  return [...tenants.values()];
}

/** Tells what keeps outcomes from being stored, but for what is told where it is dealt with, and throws it on. */
function teller(log: SettleQueueOptions['log']): (jobs: number, error: unknown) => never {
  let toldMs = Number.NEGATIVE_INFINITY;
  return (jobs, error) => {
    const now = performance.now();
    if (!isApart(error) && now - toldMs > TELL_MS) {
      toldMs = now;
      log.warn({ jobs, err: error }, 'worker: outcomes could not be stored and are tried again');
    }
    throw error;
  };
}

export function createSettleStore(
  { plinth, log, durable, onStored, onFailed }: SettleQueueOptions,
  aside: () => Pick<Aside, 'size' | 'holds' | 'closeAfter' | 'put'>,
): SettleStore {
  const tell = teller(log);
  const store = async (entries: readonly Ended[], closes: readonly string[] = [], lockMs = LOCK_MS.apart): Promise<void> => {
    const startedMs = performance.now();
    const settlements = entries.map((entry) => entry.settlement);
    const ended = [...claimsOf(entries), ...closes];
    const later = new Set(aside().size > 0 ? ended.filter(aside().holds) : []);
    const now = later.size > 0 ? ended.filter((claim) => !later.has(claim)) : ended;
    const { statuses, failed } = await plinth
      .asWorker({ durable, lockMs }, (tx) => settleJobs(tx, settlements, now))
      .catch((error: unknown) => tell(entries.length, error));
    onStored(entries.length, performance.now() - startedMs);
    for (const entry of entries) entry.stored(statuses.get(entry.settlement.run_id));
    if (failed.length > 0) onFailed(failed);
    for (const claim of later) aside().closeAfter(claim);
  };

  const apart = async (entries: readonly Ended[], left: Set<Ended>): Promise<void> => {
    await store(entries);
    for (const entry of entries) left.delete(entry);
  };

  const ofTenant = async (entries: readonly Ended[], left: Set<Ended>): Promise<void> => {
    try {
      await apart(entries, left);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await storeApart({ plinth, log, durable, lockMs: LOCK_MS.together, store }, entries, error, left);
    }
  };

  /** In halves, until the tenant stands alone that is in the way. */
  const ofTenants = async (tenants: readonly (readonly Ended[])[], left: Set<Ended>): Promise<void> => {
    const entries = tenants.flat();
    const middle = Math.ceil(tenants.length / 2);
    try {
      await (tenants.length === 1 ? ofTenant : apart)(entries, left);
    } catch (error) {
      if (!isApart(error)) throw error;
      if (tenants.length > 1) for (const half of [tenants.slice(0, middle), tenants.slice(middle)]) await ofTenants(half, left);
      else aside().put(entries.filter((entry) => left.delete(entry)));
    }
  };

  return {
    together: (entries, closes) => store(entries, closes, LOCK_MS.together),
    byTenant: (entries, left) => ofTenants(byTenant(entries), left),
    ofTenant,
  };
}
