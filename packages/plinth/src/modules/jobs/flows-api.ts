import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { dependenciesOf } from './batches.ts';
import type { JobsTransaction } from './enqueue.ts';
import { holdersOf, JOB_SIGNALS } from './enqueue.ts';
import { errors } from './errors.ts';
import { jobInput, json, kind, maxAttempts, moment, optionsOf, priority, queue } from './job-input.ts';
import { REDRIVE } from './redrive.ts';

const fail = raiser('jobs', errors);
const id = z.object({ id: z.guid() });
const callback = z.object({
  kind,
  payload: json.optional(),
  name: z.string().max(500).optional(),
  queue: queue.optional(),
  priority: priority.optional(),
  max_attempts: maxAttempts.optional(),
});
const filter = z.object({
  kind: z.string().min(1).max(200).optional(),
  queue: queue.optional(),
  error: z.string().min(1).max(1000).optional().meta({ description: 'Text that stands in the error, in any case' }),
  failed_after: moment.optional(),
  failed_before: moment.optional(),
});
const duplicates = z
  .array(z.int())
  .meta({ description: 'Which jobs, counted from 0, were left out because their unique key was taken; in their place stands the id of the job that holds it' });
const batch = z
  .object({
    id: z.guid(),
    name: z.string().nullable(),
    status: z.enum(['running', 'completed', 'failed']),
    total: z.number(),
    completed: z.number(),
    failed: z.number(),
    cancelled: z.number(),
    adding: z.boolean(),
    created_at: z.date(),
    finished_at: z.date().nullable(),
    error: z.string().nullable().meta({ description: 'What was refused when it finished, such as a callback' }),
  })
  .meta({ title: 'JobBatch' });

const callbackOf = (input: z.infer<typeof callback> | undefined) => {
  if (!input) return undefined;
  const { max_attempts, ...rest } = input;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)) as { kind: string };
  return { ...given, ...(max_attempts === undefined ? {} : { maxAttempts: max_attempts }) };
};

/** Procedures for many jobs: bulk, batches, dependencies, dead letters. */
export const flowsApi = {
  enqueueMany: procedure({ rest: 'POST /jobs/bulk', permission: 'jobs.write', summary: 'Enqueues many jobs, all or none' })
    .input(z.object({ jobs: z.array(jobInput).min(1).max(5000) }))
    .output(z.object({ ids: z.array(z.guid()), duplicates }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as JobsTransaction;
      const ids = tx.jobs.enqueueMany(input.jobs.map((job) => ({ kind: job.kind, payload: job.payload, ...optionsOf(job) })));
      return holdersOf(tx, input.jobs, ids);
    }),

  reschedule: procedure({ rest: 'POST /jobs/{id}/reschedule', permission: 'jobs.write', summary: 'Gives a waiting job another time or priority' })
    .input(id.extend({ run_at: moment.optional(), priority: priority.optional() }))
    .output(id)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.reschedule_job($1, $2, $3)', [input.id, input.run_at ?? null, input.priority ?? null]);
      ctx.tx.signal(JOB_SIGNALS.enqueued);
      return { id: input.id };
    }),

  dependencies: procedure({
    rest: 'GET /jobs/{id}/dependencies',
    permission: 'jobs.read',
    exactJson: true,
    summary: 'The jobs that a job waits for, and their results',
  })
    .input(id)
    .output(
      z.object({
        dependencies: z.array(
          z.object({
            depends_on: z.guid(),
            job_type: z.string().nullable(),
            status: z.enum(['waiting', 'completed', 'failed', 'cancelled']),
            result: z.unknown(),
            error: z.string().nullable(),
          }),
        ),
      }),
    )
    .query(async ({ ctx, input }) => ({ dependencies: await dependenciesOf(ctx.tx, input.id) })),

  makeBatch: procedure({ rest: 'POST /jobs/batches', permission: 'jobs.write', summary: 'Enqueues jobs as a batch, with callbacks for when it finishes' })
    .input(
      z.object({
        name: z.string().max(500).optional(),
        open: z.boolean().default(false).meta({ description: 'It does not finish before it is closed' }),
        on_complete: callback.optional(),
        on_success: callback.optional(),
        on_failure: callback.optional(),
        jobs: z
          .array(jobInput.omit({ batch_id: true }))
          .max(5000)
          .default([]),
      }),
    )
    .output(z.object({ id: z.guid(), job_ids: z.array(z.guid()), duplicates }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as JobsTransaction;
      const jobIds: string[] = [];
      const batchId = tx.jobs.batch(
        {
          name: input.name,
          open: input.open,
          onComplete: callbackOf(input.on_complete),
          onSuccess: callbackOf(input.on_success),
          onFailure: callbackOf(input.on_failure),
        },
        (add) => {
          for (const job of input.jobs) jobIds.push(add(job.kind, job.payload, optionsOf(job)));
        },
      );
      const { ids, duplicates } = await holdersOf(tx, input.jobs, jobIds);
      return { id: batchId, job_ids: ids, duplicates };
    }),

  batch: procedure({ rest: 'GET /jobs/batches/{id}', permission: 'jobs.read', summary: 'A batch and how far it is' })
    .input(id)
    .output(batch)
    .query(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<z.infer<typeof batch>>(
        `select id, name, status, total::int as total, completed::int as completed, failed::int as failed, cancelled::int as cancelled, adding, created_at, finished_at, error
         from plinth.job_batches where tenant_id = $1 and id = $2`,
        [ctx.tx.context.tenantId, input.id],
      );
      if (!row) throw fail('batch_not_found', { message: `There is no batch ${input.id}` });
      return row;
    }),

  closeBatch: procedure({
    rest: 'POST /jobs/batches/{id}/close',
    permission: 'jobs.write',
    summary: 'Closes an open batch: it finishes when its jobs have ended',
  })
    .input(id)
    .output(id)
    .mutation(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query('select 1 from plinth.job_batches where tenant_id = $1 and id = $2', [ctx.tx.context.tenantId, input.id]);
      if (!row) throw fail('batch_not_found', { message: `There is no batch ${input.id}` });
      (ctx.tx as JobsTransaction).jobs.closeBatch(input.id);
      return { id: input.id };
    }),

  previewRedrive: procedure({
    rest: 'GET /jobs/redrive',
    permission: 'jobs.read',
    exactJson: true,
    summary: 'Which dead letters a redrive would take: their number and some of them',
  })
    .input(filter)
    .output(z.object({ matching: z.number(), capped: z.boolean(), sample: z.array(json) }))
    .query(async ({ ctx, input }) => {
      const [row] = await ctx.tx.query<{ matching: number; capped: boolean; sample: Record<string, unknown>[] }>(
        'select matching::int as matching, capped, sample from plinth.preview_redrive($1)',
        [JSON.stringify(input)],
      );
      return row ?? { matching: 0, capped: false, sample: [] };
    }),

  redrive: procedure({
    rest: 'POST /jobs/redrive',
    permission: 'jobs.retry',
    summary: 'Runs dead letters again that meet a filter, or cancels them',
    description: 'A job does it, 1,000 in a transaction; its progress and its result tell how far it is.',
  })
    .input(
      z.object({
        filter: filter.default({}),
        more_attempts: maxAttempts.default(3),
        payload: json.optional().meta({ description: 'Another payload for all of them' }),
        per_second: z.number().min(0.001).max(100_000).optional(),
        cancel: z.boolean().default(false),
      }),
    )
    .output(z.object({ job_id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      const tx = ctx.tx as JobsTransaction;
      return { job_id: tx.jobs.enqueue(REDRIVE, input, { name: input.cancel ? 'Cancel dead letters' : 'Redrive dead letters' }) };
    }),
};
