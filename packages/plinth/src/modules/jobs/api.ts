import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { JobsTransaction } from './enqueue.ts';
import { JOB_SIGNALS, uniqueJob } from './enqueue.ts';
import { errors } from './errors.ts';
import { jobInput, json, kind, maxAttempts, moment, optionsOf, priority, queue } from './job-input.ts';
import { previewTicks } from './preview.ts';
import { MOST_CATCH_UP, MOST_JITTER_MS, putSchedule, switchSchedule } from './schedules.ts';

const fail = raiser('jobs', errors);
const id = z.object({ id: z.guid() });

const job = z
  .object({
    id: z.guid(),
    job_type: z.string(),
    job_name: z.string().nullable(),
    queue: z.string(),
    status: z.enum(['scheduled', 'pending', 'processing', 'completed', 'failed', 'cancelled']),
    priority: z.number(),
    payload: json,
    result: z.unknown(),
    error: z.string().nullable(),
    attempts: z.number(),
    max_attempts: z.number(),
    progress: z.number(),
    progress_note: z.string().nullable(),
    concurrency_key: z.string(),
    deadline: z.date().nullable(),
    unique_key: z.string().nullable(),
    run_at: z.date().nullable().meta({ description: 'Null: it waits for other jobs' }),
    started_at: z.date().nullable(),
    finished_at: z.date().nullable(),
    created_at: z.date(),
    correlation_id: z.guid().nullable(),
    causation_id: z.guid().nullable(),
  })
  .meta({ title: 'Job' });

const attempt = z
  .object({
    id: z.guid(),
    attempt: z.number(),
    outcome: z.enum(['completed', 'failed', 'cancelled', 'lost', 'snoozed']),
    error: z.string().nullable(),
    worker: z.string().nullable(),
    started_at: z.date().nullable(),
    finished_at: z.date(),
  })
  .meta({ title: 'JobAttempt' });

export const api = {
  get: procedure({ rest: 'GET /jobs/{id}', permission: 'jobs.read', exactJson: true, summary: 'One job with its attempts' })
    .input(id)
    .output(z.object({ job, attempts: z.array(attempt) }))
    .query(async ({ ctx, input }) => {
      const [found] = await ctx.tx.query<z.infer<typeof job>>(
        `select *, nullif(run_at, 'infinity') as run_at from plinth.background_jobs where tenant_id = $1 and id = $2`,
        [ctx.tx.context.tenantId, input.id],
      );
      if (!found) throw fail('job_not_found', { message: `There is no job ${input.id}` });
      const attempts = await ctx.tx.query<z.infer<typeof attempt>>(
        'select * from plinth.job_attempts where tenant_id = $1 and job_id = $2 order by id limit 1000',
        [ctx.tx.context.tenantId, input.id],
      );
      return { job: found, attempts };
    }),

  enqueue: procedure({ rest: 'POST /jobs', permission: 'jobs.write', summary: 'Enqueues a job' })
    .input(jobInput)
    .output(z.object({ id: z.guid(), duplicate: z.boolean() }))
    .mutation(async ({ ctx, input }) => {
      // Every procedure's transaction offers the effects of all modules; this one's are known to be among them.
      const tx = ctx.tx as JobsTransaction;
      const jobId = tx.jobs.enqueue(input.kind, input.payload, optionsOf(input));
      if (input.unique_key === undefined) return { id: jobId, duplicate: false };
      await tx.flush();
      const holder = await uniqueJob(tx, input.kind, input.unique_key);
      return { id: holder ?? jobId, duplicate: holder !== undefined && holder !== jobId };
    }),

  cancel: procedure({
    rest: 'POST /jobs/{id}/cancel',
    permission: 'jobs.write',
    summary: 'Cancels a job',
    description: 'A running job is told to stop; it becomes cancelled when it does.',
  })
    .input(id.extend({ reason: z.string().max(1000).optional() }))
    .output(z.object({ id: z.guid(), status: z.enum(['cancelled', 'processing']) }))
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ status: 'cancelled' | 'processing' }>('select plinth.cancel_job($1, $2) as status', [input.id, input.reason ?? null]);
      ctx.tx.signal(JOB_SIGNALS.cancelled);
      return { id: input.id, status: row?.status ?? 'cancelled' };
    }),

  retry: procedure({ rest: 'POST /jobs/{id}/retry', permission: 'jobs.retry', summary: 'Runs a dead letter again' })
    .input(
      id.extend({
        more_attempts: maxAttempts.default(3),
        payload: json.optional().meta({ description: 'Another payload' }),
        run_at: moment.optional(),
        with_dependents: z.boolean().default(false).meta({ description: 'Also those that failed because of it, after it' }),
      }),
    )
    .output(id)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.retry_job($1, $2, $3, $4, $5)', [
        input.id,
        input.more_attempts,
        input.payload === undefined ? null : JSON.stringify(input.payload),
        input.run_at ?? null,
        input.with_dependents,
      ]);
      ctx.tx.signal(JOB_SIGNALS.enqueued);
      return { id: input.id };
    }),

  previewSchedule: procedure({
    rest: 'GET /jobs/schedules/preview',
    permission: 'jobs.read',
    records: false,
    summary: 'The next ticks of cron text',
    description: 'Nothing is written. Each tick is told as a moment and as the clock on the wall of the time zone shows it.',
  })
    .input(
      z.object({
        cron: z.string().min(1).max(200),
        time_zone: z.string().min(1).max(100).default('UTC'),
        count: z.int().min(1).max(50).default(10),
        after: moment.optional(),
      }),
    )
    .output(z.object({ ticks: z.array(z.object({ at: z.date(), local: z.string() })) }))
    .query(async ({ ctx, input }) => ({
      ticks: await previewTicks(ctx.tx, input.cron, input.time_zone, input.count, input.after === undefined ? undefined : new Date(input.after)),
    })),

  putSchedule: procedure({
    rest: 'PUT /jobs/schedules',
    permission: 'jobs.write',
    summary: 'Makes or changes a schedule',
    description: 'What is left out gets its default. A tick that is due keeps its job, with what the edit says.',
  })
    .input(
      z.object({
        name: z.string().min(1).max(200),
        cron: z.string().min(1).max(200),
        time_zone: z.string().max(100).default('UTC'),
        kind,
        payload: json.default({}),
        queue: queue.optional(),
        priority: priority.optional(),
        max_attempts: maxAttempts.optional(),
        enabled: z.boolean().default(true),
        missed_runs: z.enum(['skip', 'once', 'all']).default('once'),
        catch_up_limit: z.int().min(1).max(MOST_CATCH_UP).optional(),
        jitter_ms: z.int().min(0).max(MOST_JITTER_MS).optional(),
        starts_at: moment.optional(),
        ends_at: moment.optional(),
        skip_if_running: z.boolean().default(false),
      }),
    )
    .output(id)
    .mutation(async ({ ctx, input }) => {
      const scheduleId = await putSchedule(ctx.tx, {
        ...input,
        timeZone: input.time_zone,
        maxAttempts: input.max_attempts,
        missedRuns: input.missed_runs,
        catchUpLimit: input.catch_up_limit,
        jitterMs: input.jitter_ms,
        startsAt: input.starts_at === undefined ? undefined : new Date(input.starts_at),
        endsAt: input.ends_at === undefined ? undefined : new Date(input.ends_at),
        skipIfRunning: input.skip_if_running,
      });
      ctx.tx.signal(JOB_SIGNALS.scheduled);
      return { id: scheduleId };
    }),

  deleteSchedule: procedure({ rest: 'DELETE /jobs/schedules/{id}', permission: 'jobs.write', summary: 'Deletes a schedule' })
    .input(id)
    .output(id)
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query(`delete from plinth_jobs.schedules where tenant_id = $1 and id = $2 and source = 'api' returning id`, [
        ctx.tx.context.tenantId,
        input.id,
      ]);
      if (!row) throw fail('schedule_not_found', { message: `There is no schedule ${input.id} that was made by the API` });
      return { id: input.id };
    }),

  pauseSchedule: procedure({ rest: 'POST /jobs/schedules/{id}/pause', permission: 'jobs.write', summary: 'Stops a schedule until it is resumed' })
    .input(id)
    .output(id)
    .mutation(async ({ ctx, input }) => switched(ctx.tx, input.id, false)),

  resumeSchedule: procedure({
    rest: 'POST /jobs/schedules/{id}/resume',
    permission: 'jobs.write',
    summary: 'Starts a paused schedule; ticks missed meanwhile are not made up',
  })
    .input(id)
    .output(id)
    .mutation(async ({ ctx, input }) => switched(ctx.tx, input.id, true)),
};

async function switched(tx: AnyTransaction, scheduleId: string, enabled: boolean): Promise<{ id: string }> {
  if (!(await switchSchedule(tx, scheduleId, enabled))) throw fail('schedule_not_found', { message: `There is no schedule ${scheduleId}` });
  tx.signal(JOB_SIGNALS.scheduled);
  return { id: scheduleId };
}
