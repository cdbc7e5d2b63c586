import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { AnyTransaction } from '#kernel/transaction.ts';

/** Part of the answer to what wrote events of types that should no longer be written. */
export const deprecated = z.array(z.object({ type: z.string(), message: z.string(), successor: z.string().nullable() })).optional();

interface Deprecation {
  type: string;
  message: string;
  successor: string | null;
}

const STALE_MS = 2_000;
const known = new LRUCache<string, { deprecation: Deprecation | undefined }>({ max: 10_000, ttl: STALE_MS });

/** What was known may be wrong by now. */
export const forgetDeprecations = (): void => known.clear();

/** The deprecations among these types, remembered for 2 s: the answer says so, or nothing. */
export async function deprecations(tx: AnyTransaction, types: readonly string[]): Promise<{ deprecated?: Deprecation[] }> {
  const keyOf = (type: string): string => `${tx.context.tenantId ?? ''} ${type}`;
  const asked = [...new Set(types)];
  const found = new Map(asked.flatMap((type) => (known.has(keyOf(type)) ? [[type, known.get(keyOf(type))?.deprecation] as const] : [])));
  const missing = asked.filter((type) => !found.has(type));
  if (missing.length > 0) {
    const rows = await tx.query<Deprecation>(
      `select distinct on (name) name as type, deprecation as message, successor from plinth.event_types
       where name = any ($1) and (tenant_id = $2 or tenant_id is null) order by name, tenant_id nulls last, version desc`,
      [missing, tx.context.tenantId],
    );
    for (const type of missing) {
      const row = rows.find((one) => one.type === type && one.message !== null);
      known.set(keyOf(type), { deprecation: row });
      found.set(type, row);
    }
  }
  const told = [...found.values()].filter((one) => one !== undefined);
  return told.length > 0 ? { deprecated: told } : {};
}
