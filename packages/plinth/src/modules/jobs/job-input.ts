/** A job as the API takes it. */
import { z } from 'zod';
import type { EnqueueOptions } from './options.ts';
import { REDRIVE } from './redrive.ts';

export const json = z.record(z.string(), z.unknown());
/** Dead letters run again for who has the permission to: its own procedure asks for that. */
export const kind = z
  .string()
  .min(1)
  .max(200)
  .refine((name) => name !== REDRIVE, { error: `jobs of kind ${REDRIVE} are enqueued by POST /jobs/redrive` });
export const queue = z.string().min(1).max(100);
export const priority = z.int().min(1).max(100);
export const maxAttempts = z.int().min(1).max(1000);
const ms = z.int().min(1).max(31_622_400_000);
const seconds = z.number().min(0).max(31_536_000);
export const moment = z.iso.datetime({ offset: true });

export const jobInput = z.object({
  kind: kind.meta({ description: 'Names the handler: a worker that has one for it runs the job' }),
  payload: json.default({}).meta({ description: 'What the handler gets; at most 256 KiB' }),
  name: z.string().max(500).optional().meta({ description: 'For people who look for it' }),
  queue: queue.optional().meta({ description: 'Limits, pauses and workers go by it; `default` without one' }),
  priority: priority.optional().meta({ description: '1 is the most urgent, 5 the default' }),
  run_at: moment.optional().meta({ description: 'Not before; now without it' }),
  delay_ms: z.int().min(0).max(31_536_000_000).optional().meta({ description: 'The same as a time from now' }),
  deadline: moment.optional().meta({ description: 'Not started later: then it fails' }),
  max_attempts: maxAttempts.optional().meta({ description: 'After so many it is a dead letter' }),
  backoff: z
    .union([
      z.enum(['exponential', 'none']),
      z.array(seconds).min(1).max(100),
      z.object({ base_s: seconds, most_s: seconds.optional(), jitter: z.number().min(0).max(1).optional() }),
    ])
    .optional()
    .meta({ description: 'Waits between attempts: seconds for each, of which the last one repeats, or an exponential; none: the first failure is the last' }),
  concurrency_key: z.string().max(200).optional().meta({ description: 'Jobs with the same one share the limits of a key' }),
  unique_key: z.string().min(1).max(500).optional().meta({ description: 'One live job of the kind has it' }),
  unique_until: z.enum(['done', 'started']).optional().meta({ description: 'How long the key is taken; done without it' }),
  unique_for_ms: ms.optional().meta({ description: 'So long from now instead, also when the job has ended' }),
  on_duplicate: z
    .enum(['keep', 'reject', 'replace', 'debounce'])
    .optional()
    .meta({ description: 'While the key is taken: keep the job that has it (default), answer 409, give it this content, or that and push its time back' }),
  max_wait_ms: ms.optional().meta({ description: 'Longest time that debounce pushes it back, from the first' }),
  batch_id: z.guid().optional().meta({ description: 'An open batch that it belongs to' }),
  depends_on: z.array(z.guid()).max(1000).optional().meta({ description: 'Jobs that have to end before it starts' }),
  on_dependency_failure: z
    .enum(['fail', 'ignore', 'run'])
    .optional()
    .meta({ description: 'When one of them fails for good: fail with it (default), count it as ended, or run at once' }),
});

export function optionsOf(input: z.infer<typeof jobInput>): EnqueueOptions {
  const { backoff } = input;
  return {
    name: input.name,
    queue: input.queue,
    priority: input.priority,
    runAt: input.run_at === undefined ? undefined : new Date(input.run_at),
    delayMs: input.delay_ms,
    deadline: input.deadline === undefined ? undefined : new Date(input.deadline),
    maxAttempts: input.max_attempts,
    backoff:
      typeof backoff === 'object' && 'base_s' in backoff
        ? {
            baseS: backoff.base_s,
            ...(backoff.most_s === undefined ? {} : { mostS: backoff.most_s }),
            ...(backoff.jitter === undefined ? {} : { jitter: backoff.jitter }),
          }
        : backoff,
    concurrencyKey: input.concurrency_key,
    uniqueKey: input.unique_key,
    uniqueUntil: input.unique_until,
    uniqueForMs: input.unique_for_ms,
    onDuplicate: input.on_duplicate,
    maxWaitMs: input.max_wait_ms,
    batchId: input.batch_id,
    dependsOn: input.depends_on,
    onDependencyFailure: input.on_dependency_failure,
  };
}
