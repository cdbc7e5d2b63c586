import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { errors } from './errors.ts';
import { pauseJobs, removeJobLimit, resumeJobs, setJobLimit, setJobWeight } from './limits.ts';

const fail = raiser('jobs', errors);
const id = z.object({ id: z.guid() });
const queue = z.string().min(1).max(100);
const key = z.string().min(1).max(200);
const reason = z.string().min(1).max(1000);
const count = z.int().min(1).max(1_000_000);
const tenant = z.object({ tenant_id: z.guid().optional().meta({ description: 'Default: every tenant' }) });

const limitInput = z.object({
  per: z.enum(['queue', 'tenant', 'key']),
  queue: queue.optional(),
  concurrency_key: key.optional(),
  max_running: count.optional(),
  rate: count.optional(),
  rate_period_ms: z.int().min(1000).max(2_678_400_000).optional(),
  burst: count.optional(),
  reason: reason.optional(),
});
const pauseInput = z.object({
  reason,
  queue: queue.optional(),
  job_type: z.string().min(1).max(200).optional(),
  concurrency_key: key.optional(),
  for_ms: z.int().min(1).max(31_536_000_000).optional(),
});

const limit = z
  .object({
    id: z.guid(),
    per: z.enum(['queue', 'tenant', 'key']),
    queue: z.string().nullable(),
    concurrency_key: z.string().nullable(),
    max_running: z.number().nullable(),
    running: z.number().nullable(),
    rate: z.number().nullable(),
    rate_period_ms: z.number().nullable(),
    burst: z.number().nullable(),
    source: z.enum(['installation', 'tenant']),
    reason: z.string().nullable(),
    set_by: z.string(),
    updated_at: z.date(),
  })
  .meta({ title: 'JobLimit' });
const LIMITS =
  'select id, per, queue, concurrency_key, max_running, running, rate, extract(epoch from rate_period)::float8 * 1000 as rate_period_ms, burst, source, reason, set_by, updated_at from plinth.job_limits';

const pause = z
  .object({
    id: z.guid(),
    status: z.enum(['active', 'resumed', 'expired']),
    queue: z.string().nullable(),
    job_type: z.string().nullable(),
    concurrency_key: z.string().nullable(),
    reason: z.string(),
    source: z.enum(['installation', 'tenant']),
    paused_by: z.string(),
    paused_at: z.date(),
    ends_at: z.date().nullable(),
    resumed_by: z.string().nullable(),
  })
  .meta({ title: 'JobPause' });
const PAUSES = 'select id, status, queue, job_type, concurrency_key, reason, source, paused_by, paused_at, ends_at, resumed_by from plinth.job_pauses';

const depth = z
  .object({
    queue: z.string(),
    priority: z.number(),
    waiting: z.number(),
    capped: z.boolean().meta({ description: 'There are more than `waiting`' }),
    oldest_at: z.date().nullable(),
    oldest_wait_ms: z.number().nullable(),
  })
  .meta({ title: 'JobQueueDepth' });
const DEPTHS = `select queue, priority, waiting, capped, oldest_at, greatest(0, extract(epoch from clock_timestamp() - oldest_at) * 1000)::float8 as oldest_wait_ms from plinth_jobs.queue_depths($1)`;

const explanation = z
  .object({
    id: z.guid(),
    status: z.enum(['scheduled', 'pending', 'processing', 'completed', 'failed', 'cancelled']),
    sentence: z.string(),
    obstacles: z.array(
      z.object({
        cause: z.enum(['deadline', 'dependency', 'scheduled', 'backoff', 'paused', 'cap', 'rate', 'no_worker']),
        sentence: z.string(),
        until: z.string().optional(),
        detail: z.record(z.string(), z.unknown()).optional(),
      }),
    ),
    ahead: z.number().optional().meta({ description: 'Jobs before it in its lane, counted to 1,000' }),
    ahead_capped: z.boolean().optional(),
    expected_at: z
      .string()
      .optional()
      .meta({ description: 'The earliest moment at which it can start, where that is known; jobs of other lanes under the same limit may come first' }),
    attempts: z.number(),
    run_at: z.string().optional(),
    deadline: z.string().optional(),
    unique_key: z.string().optional(),
    error: z.string().optional(),
    started_at: z.string().optional(),
    finished_at: z.string().optional(),
    worker: z.object({ name: z.string().optional(), beat_at: z.string().optional(), lease_ends_at: z.string().optional() }).optional(),
  })
  .meta({ title: 'JobExplanation' });

const limitOf = (input: z.infer<typeof limitInput>) => ({
  per: input.per,
  queue: input.queue,
  key: input.concurrency_key,
  maxRunning: input.max_running,
  rate: input.rate,
  ratePeriodMs: input.rate_period_ms,
  burst: input.burst,
  reason: input.reason,
});
const pauseOf = (input: z.infer<typeof pauseInput>) => ({
  reason: input.reason,
  queue: input.queue,
  kind: input.job_type,
  key: input.concurrency_key,
  forMs: input.for_ms,
});

/** An operator's transaction stands outside every tenant: enters one for a statement, and leaves it. */
async function inTenant<T>(tx: AnyTransaction, tenantId: string | undefined, body: () => Promise<T>): Promise<T> {
  if (tenantId === undefined) return body();
  const [before] = await tx.query<{ tenant: string }>(`select coalesce(current_setting('plinth.tenant_id', true), '') as tenant`);
  await tx.query(`select set_config('plinth.tenant_id', $1, true)`, [tenantId]);
  const result = await body();
  await tx.query(`select set_config('plinth.tenant_id', $1, true)`, [before?.tenant ?? '']);
  return result;
}

export const limitsApi = {
  explain: procedure({ rest: 'GET /jobs/{id}/explain', permission: 'jobs.read', exactJson: true, summary: 'Why a job does not run, and when it will' })
    .input(id)
    .output(explanation)
    .query(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ explained: z.infer<typeof explanation> }>('select plinth.explain_job($1) as explained', [input.id]);
      return row?.explained as z.infer<typeof explanation>;
    }),

  queues: procedure({
    rest: 'GET /jobs/queues',
    permission: 'jobs.read',
    summary: 'How many jobs wait in each queue and priority, counted to 1,000, and since when the oldest does',
  })
    .input(z.object({ queue: queue.optional() }))
    .output(z.object({ queues: z.array(depth) }))
    .query(async ({ ctx, input }) => ({ queues: await ctx.tx.query<z.infer<typeof depth>>(DEPTHS, [input.queue === undefined ? null : [input.queue]]) })),

  limits: {
    list: procedure({ rest: 'GET /jobs/limits', permission: 'jobs.read', summary: 'Limits of this tenant, at most 1,000' })
      .output(z.object({ limits: z.array(limit) }))
      .query(async ({ ctx }) => ({
        limits: await ctx.tx.query<z.infer<typeof limit>>(`${LIMITS} where tenant_id = $1 order by id desc limit 1000`, [ctx.tx.context.tenantId]),
      })),
    set: procedure({
      rest: 'PUT /jobs/limits',
      permission: 'jobs.limits',
      summary: 'Sets how many jobs run at once and how many start in a time',
      description: 'Replaces the limit with the same per, queue and concurrency_key.',
    })
      .input(limitInput)
      .output(id)
      .mutation(async ({ ctx, input }) => ({ id: await setJobLimit(ctx.tx, limitOf(input)) })),
    remove: procedure({ rest: 'DELETE /jobs/limits/{id}', permission: 'jobs.limits', summary: 'Removes a limit' })
      .input(id)
      .output(id)
      .mutation(async ({ ctx, input }) => {
        await removeJobLimit(ctx.tx, input.id);
        return { id: input.id };
      }),
  },

  pauses: {
    list: procedure({ rest: 'GET /jobs/pauses', permission: 'jobs.read', summary: 'Pauses of this tenant, newest first, at most 1,000' })
      .output(z.object({ pauses: z.array(pause) }))
      .query(async ({ ctx }) => ({
        pauses: await ctx.tx.query<z.infer<typeof pause>>(`${PAUSES} where tenant_id = $1 order by id desc limit 1000`, [ctx.tx.context.tenantId]),
      })),
    pause: procedure({
      rest: 'POST /jobs/pauses',
      permission: 'jobs.limits',
      summary: 'Stops jobs from starting, by queue, kind and concurrency key',
      description: 'What is given must all match; jobs that run go on.',
    })
      .input(pauseInput)
      .output(id)
      .mutation(async ({ ctx, input }) => ({ id: await pauseJobs(ctx.tx, pauseOf(input)) })),
    resume: procedure({ rest: 'POST /jobs/pauses/{id}/resume', permission: 'jobs.limits', summary: 'Ends a pause' })
      .input(id.extend({ reason: reason.optional() }))
      .output(id)
      .mutation(async ({ ctx, input }) => {
        await resumeJobs(ctx.tx, input.id, input.reason);
        return { id: input.id };
      }),
    again: procedure({ rest: 'POST /jobs/pauses/{id}/again', permission: 'jobs.limits', summary: 'Pauses the same again, until it is resumed' })
      .input(id)
      .output(id)
      .mutation(async ({ ctx, input }) => {
        const [past] = await ctx.tx.query<z.infer<typeof pause>>(`${PAUSES} where tenant_id = $1 and id = $2`, [ctx.tx.context.tenantId, input.id]);
        if (!past) throw fail('pause_not_found', { message: `There is no pause ${input.id}` });
        const again = { reason: past.reason, queue: past.queue ?? undefined, kind: past.job_type ?? undefined, key: past.concurrency_key ?? undefined };
        return { id: await pauseJobs(ctx.tx, again) };
      }),
  },

  installation: {
    setLimit: procedure({
      rest: 'PUT /jobs/installation/limits',
      permission: 'jobs.limits',
      operator: true,
      summary: 'Sets a limit of a queue, of one tenant or of every tenant',
    })
      .input(limitInput.extend(tenant.shape))
      .output(id)
      .mutation(({ ctx, input }) => inTenant(ctx.tx, input.tenant_id, async () => ({ id: await setJobLimit(ctx.tx, limitOf(input)) }))),
    removeLimit: procedure({ rest: 'DELETE /jobs/installation/limits/{id}', permission: 'jobs.limits', operator: true, summary: 'Removes a limit' })
      .input(id.extend(tenant.shape))
      .output(id)
      .mutation(({ ctx, input }) =>
        inTenant(ctx.tx, input.tenant_id, async () => {
          await removeJobLimit(ctx.tx, input.id);
          return { id: input.id };
        }),
      ),
    pause: procedure({
      rest: 'POST /jobs/installation/pauses',
      permission: 'jobs.limits',
      operator: true,
      summary: 'Stops jobs of one tenant or of every tenant from starting',
    })
      .input(pauseInput.extend(tenant.shape))
      .output(id)
      .mutation(({ ctx, input }) => inTenant(ctx.tx, input.tenant_id, async () => ({ id: await pauseJobs(ctx.tx, pauseOf(input)) }))),
    resume: procedure({ rest: 'POST /jobs/installation/pauses/{id}/resume', permission: 'jobs.limits', operator: true, summary: 'Ends a pause' })
      .input(id.extend({ ...tenant.shape, reason: reason.optional() }))
      .output(id)
      .mutation(({ ctx, input }) =>
        inTenant(ctx.tx, input.tenant_id, async () => {
          await resumeJobs(ctx.tx, input.id, input.reason);
          return { id: input.id };
        }),
      ),
    setWeight: procedure({
      rest: 'PUT /jobs/installation/weights/{tenant_id}',
      permission: 'jobs.limits',
      operator: true,
      summary: 'Sets the share of a tenant beside others; without a weight it is 1 again',
    })
      .input(z.object({ tenant_id: z.guid(), weight: z.int().min(1).max(1000).optional(), queue: queue.optional(), reason: reason.optional() }))
      .output(z.object({ tenant_id: z.guid() }))
      .mutation(({ ctx, input }) =>
        inTenant(ctx.tx, input.tenant_id, async () => {
          await setJobWeight(ctx.tx, input.weight, { queue: input.queue, reason: input.reason });
          return { tenant_id: input.tenant_id };
        }),
      ),
  },
};
