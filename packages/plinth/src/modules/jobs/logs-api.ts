import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { errors } from './errors.ts';
import { readJobState, readLogs } from './watch.ts';

const fail = raiser('jobs', errors);

const line = z
  .object({
    id: z.guid(),
    run_id: z.guid(),
    attempt: z.number(),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).nullable(),
    logged_at: z.date(),
  })
  .meta({ title: 'JobLogLine' });

/** Procedures for what jobs tell while they run. GET /jobs/{id}/watch, a stream, is the server's own. */
export const logsApi = {
  logs: procedure({
    rest: 'GET /jobs/{id}/logs',
    permission: 'jobs.read',
    exactJson: true,
    summary: 'Lines that a job kept, oldest first',
    description: 'Kept for 7 days.',
  })
    .input(
      z.object({
        id: z.guid(),
        after: z.guid().optional().meta({ description: 'Only lines after the one with this id: the next of the page before' }),
        limit: z.coerce.number().int().min(1).max(1000).default(200),
      }),
    )
    .output(z.object({ lines: z.array(line), next: z.guid().nullable() }))
    .query(async ({ ctx, input }) => {
      const lines = await readLogs(ctx.tx, input.id, input.after, input.limit);
      if (lines.length === 0 && !(await readJobState(ctx.tx, input.id))) throw fail('job_not_found', { message: `There is no job ${input.id}` });
      return { lines, next: lines.length === input.limit ? (lines.at(-1)?.id ?? null) : null };
    }),
};
