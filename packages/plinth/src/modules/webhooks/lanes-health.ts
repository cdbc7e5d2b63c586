import type { Queryable } from '#kernel/database.ts';

/** Subscriptions of all tenants of whose deliveries none has come through since one failed. As plinth_reader. */
export async function failingLanes(tx: Queryable): Promise<number> {
  const [row] = await tx.query<{ n: number }>('select count(*)::int as n from plinth_webhooks.lanes as n where n.failing_since is not null');
  return row?.n ?? 0;
}
