import { z } from 'zod';
import type { ListCard } from '#kernel/module.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';

const DAY_S = 86_400;
const policy = z.object({ id: z.guid(), queue: z.string(), keep_days: z.number(), reason: z.string().nullable(), set_by: z.string(), updated_at: z.date() });
const input = z.object({
  queue: z.string().min(1).max(100),
  keep_days: z
    .number()
    .min(1 / 24)
    .max(3650)
    .nullable()
    .meta({ description: 'Days after its end; null: as long as jobs of other queues' }),
  reason: z.string().min(1).max(1000).optional(),
});
const output = z.object({ id: z.guid().nullable().meta({ description: 'Null when there was no policy to remove' }) });

/** Keeps finished jobs of a queue for so many days, or again as long as others. Errors: jobs_retention_invalid. */
async function setQueueRetention(tx: AnyTransaction, wish: z.infer<typeof input>): Promise<z.infer<typeof output>> {
  const [row] = await tx.query<{ id: string | null }>(`select plinth.set_queue_retention($1, $2 * interval '1 second', $3) as id`, [
    wish.queue,
    wish.keep_days === null ? null : Math.round(wish.keep_days * DAY_S),
    wish.reason ?? null,
  ]);
  return { id: row?.id ?? null };
}

export const retentionApi = {
  queueRetention: {
    list: procedure({
      rest: 'GET /jobs/retention',
      permission: 'jobs.read',
      summary: 'Queues whose finished jobs this tenant keeps for another time than the rest, at most 1,000',
    })
      .output(z.object({ policies: z.array(policy) }))
      .query(async ({ ctx }) => ({
        policies: await ctx.tx.query<z.infer<typeof policy>>(
          `select id, queue, extract(epoch from keep)::float8 / ${DAY_S} as keep_days, reason, set_by, updated_at from plinth.job_retention where tenant_id = $1 order by queue limit 1000`,
          [ctx.tx.context.tenantId],
        ),
      })),
    set: procedure({ rest: 'PUT /jobs/retention', permission: 'jobs.limits', summary: 'Sets how long finished jobs of a queue are kept' })
      .input(input)
      .output(output)
      .mutation(({ ctx, input }) => setQueueRetention(ctx.tx, input)),
    setForAll: procedure({
      rest: 'PUT /jobs/installation/retention',
      permission: 'jobs.limits',
      operator: true,
      summary: 'Sets how long finished jobs of a queue are kept, for every tenant that has not said otherwise',
    })
      .input(input)
      .output(output)
      .mutation(({ ctx, input }) => setQueueRetention(ctx.tx, input)),
  },
};

export const retentionLists: Record<string, ListCard> = {
  retention: {
    title: 'Retention by queue',
    view: 'job_retention',
    columns: ['queue', 'keep', 'reason', 'set_by', 'updated_at'],
    filters: ['queue'],
    empty:
      'Every queue is kept as long as the policy of jobs says, 7 days by default. Change it for one with PUT /api/v1/jobs/retention or plinth.set_queue_retention(...).',
  },
};
