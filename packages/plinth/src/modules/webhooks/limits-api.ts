/** Procedures about how much is sent for a tenant: what it set for itself, and what the installation allows it. */
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';

const READ = 'webhooks.read';
const WRITE = 'webhooks.write';

const limits = z.object({ rate_per_second: z.number().min(0.001).max(100_000).nullable(), max_in_flight: z.number().int().min(1).max(100_000).nullable() });
type Limits = z.infer<typeof limits>;
const limitsShown = z.object({ rate_per_second: z.number().nullable(), max_in_flight: z.number().nullable() });
const setShown = limitsShown.extend({ source: z.enum(['installation', 'tenant']), set_by: z.string(), updated_at: z.date() });

async function set(tx: AnyTransaction, { rate_per_second, max_in_flight }: Limits): Promise<Limits> {
  await tx.query('select plinth.set_delivery_limits($1, $2)', [rate_per_second, max_in_flight]);
  return { rate_per_second, max_in_flight };
}

/** The least of what was set; null: nothing was. */
const least = (values: readonly (number | null)[]): number | null => {
  const given = values.filter((value) => value !== null);
  return given.length === 0 ? null : Math.min(...given);
};

const getLimits = procedure({
  rest: 'GET /webhooks/limits',
  permission: READ,
  summary: 'What limits the webhooks of the tenant',
  description:
    'rate_per_second and max_in_flight are what holds: the least of what the tenant set for itself and what the installation allows it. null: no limit.',
})
  .output(limitsShown.extend({ limits: z.array(setShown) }))
  .query(async ({ ctx }) => {
    const rows = await ctx.tx.query<z.infer<typeof setShown>>(
      'select source, rate_per_second, max_in_flight, set_by, updated_at from plinth.webhook_limits where tenant_id = $1 order by source',
      [ctx.tx.context.tenantId],
    );
    return { rate_per_second: least(rows.map((row) => row.rate_per_second)), max_in_flight: least(rows.map((row) => row.max_in_flight)), limits: rows };
  });

const setLimits = procedure({
  rest: 'PUT /webhooks/limits',
  permission: WRITE,
  summary: 'Limit what is sent for the tenant over all its subscriptions',
  description: 'Limits of the installation hold besides.',
})
  .input(limits)
  .output(limitsShown)
  .mutation(({ ctx, input }) => set(ctx.tx, input));

const setCeiling = procedure({
  rest: 'PUT /webhooks/installation/limits',
  permission: WRITE,
  operator: true,
  summary: 'Limit what is sent for one tenant, or for every tenant that has no limit of the installation of its own',
})
  .input(limits.extend({ tenant_id: z.guid().optional().meta({ description: 'Default: every tenant' }) }))
  .output(limitsShown)
  .mutation(async ({ ctx, input }) => {
    // An operator's transaction stands outside every tenant.
    if (input.tenant_id !== undefined) await ctx.tx.query(`select set_config('plinth.tenant_id', $1, true)`, [input.tenant_id]);
    return set(ctx.tx, input);
  });

export const limitsApi = { getLimits, setLimits, setCeiling };
