/** Outcomes that wait for a transaction of their own tenant, which has their jobs locked: beside those of all others, which do not wait for it. */
import { setTimeout as pause } from 'node:timers/promises';
import { isLockTimeout } from '#kernel/errors.ts';
import type { WorkServices } from '#kernel/work.ts';
import { claimOf } from '#modules/jobs';
import type { Ended } from './settle-queue.ts';
import { MOST_AT_ONCE } from './settle-store.ts';

export interface Aside {
  /** Outcomes of this tenant wait here, and later ones come after them. */
  has(tenantId: string): boolean;
  put(entries: readonly Ended[]): void;
  /** Outcomes of jobs of this claim wait here. */
  holds(claim: string): boolean;
  /** Has a claim closed when no more of its outcomes wait here. */
  closeAfter(claim: string): void;
  /** Claims that are to be closed. */
  closing(): Iterable<string>;
  /** The worker has given up its claims: none of them is closed any more. */
  forgetClaims(): void;
  readonly size: number;
  readonly bytes: number;
}

export interface AsideOptions {
  log: WorkServices['log'];
  /** Stores outcomes, or those of them that the database does not refuse; what is stored or set aside leaves `left`. */
  store(entries: readonly Ended[], left: Set<Ended>): Promise<void>;
  /** Those of the outcomes that are not too late for another try. */
  inTime(entries: readonly Ended[], error: unknown): readonly Ended[];
  /** Every job of this claim has an outcome that is stored. */
  close(claim: string): void;
}

const PAUSE_MS = 100;

/** Of one tenant. */
interface Held {
  fresh: Ended[];
  /** Groups that could not be stored: each time in halves, until only what is locked stands alone. */
  stuck: (readonly Ended[])[];
}

/** Claims with outcomes that wait, and which of them are to be closed after those. */
function claimsAside(close: (claim: string) => void) {
  const counts = new Map<string, number>();
  const later = new Set<string>();
  return {
    added({ settlement, claim: closes }: Ended): void {
      const claim = claimOf(settlement.run_id);
      counts.set(claim, (counts.get(claim) ?? 0) + 1);
      if (closes !== undefined) later.add(closes);
    },
    done({ settlement }: Ended): void {
      const claim = claimOf(settlement.run_id);
      const count = (counts.get(claim) ?? 0) - 1;
      if (count > 0) counts.set(claim, count);
      else if (counts.delete(claim) && later.delete(claim)) close(claim);
    },
    holds: (claim: string): boolean => counts.has(claim),
    closeAfter(claim: string): void {
      if (counts.has(claim)) later.add(claim);
      else close(claim);
    },
    closing: (): Iterable<string> => later,
    forgetClaims(): void {
      counts.clear();
      later.clear();
    },
  };
}

export function createAside({ log, store, inTime, close }: AsideOptions): Aside {
  const tenants = new Map<string, Held>();
  const { added, done, ...claims } = claimsAside(close);
  let size = 0;
  let bytes = 0;
  let trying = false;

  const count = (entry: Ended, sign: 1 | -1): void => {
    size += sign;
    bytes += sign * (entry.settlement.bytes ?? 0);
    if (sign > 0) added(entry);
    else done(entry);
  };

  /** True: some were stored, or what is left is better known. */
  const tryGroup = async (held: Held, group: readonly Ended[]): Promise<boolean> => {
    const left = new Set(group);
    const fault: unknown = await store(group, left).catch((error: unknown) => error);
    for (const entry of group) if (!left.has(entry)) count(entry, -1);
    if (left.size === 0) return true;
    if (isLockTimeout(fault)) {
      const middle = Math.ceil(left.size / 2);
      const rest = [...left];
      // The database answers: however long it says so, nothing is lost.
      for (const entry of rest) entry.sinceMs = performance.now();
      held.stuck.push(...[rest.slice(0, middle), rest.slice(middle)].filter((half) => half.length > 0));
      return group.length > 1;
    }
    const kept = new Set(inTime([...left], fault));
    for (const entry of left) if (!kept.has(entry)) count(entry, -1);
    if (kept.size > 0) held.stuck.push([...kept]);
    return false;
  };

  const turn = async (): Promise<boolean> => {
    let moved = false;
    for (const [tenantId, held] of tenants) {
      const groups = [held.fresh.splice(0, MOST_AT_ONCE), ...held.stuck.splice(0, 1)].filter((group) => group.length > 0);
      for (const group of groups) moved = (await tryGroup(held, group)) || moved;
      if (held.fresh.length === 0 && held.stuck.length === 0) tenants.delete(tenantId);
    }
    return moved;
  };

  const run = async (): Promise<void> => {
    trying = true;
    while (tenants.size > 0) if (!(await turn())) await pause(PAUSE_MS);
    trying = false;
  };

  return {
    ...claims,
    has: (tenantId) => tenants.has(tenantId),
    put(entries) {
      for (const entry of entries) {
        const { tenant_id } = entry.settlement;
        const held = tenants.get(tenant_id) ?? { fresh: [], stuck: [] };
        if (!tenants.has(tenant_id)) log.warn({ tenant_id }, 'worker: a transaction of this tenant has its jobs locked; their outcomes wait for it');
        tenants.set(tenant_id, held);
        held.fresh.push(entry);
        count(entry, 1);
        entry.claim = undefined;
      }
      if (!trying) void run();
    },
    get size() {
      return size;
    },
    get bytes() {
      return bytes;
    },
  };
}
