/** A job as the API takes it. */
import { z } from 'zod';
import type { EnqueueOptions } from './options.ts';

export const json = z.record(z.string(), z.unknown());
export const kind = z.string().min(1).max(200);
export const queue = z.string().min(1).max(100);
export const priority = z.int().min(1).max(100);
export const maxAttempts = z.int().min(1).max(1000);
const ms = z.int().min(1).max(31_622_400_000);
const seconds = z.number().min(0).max(31_536_000);
export const moment = z.iso.datetime({ offset: true });

export const jobInput = z.object({
  kind,
  payload: json.default({}),
  name: z.string().max(500).optional(),
  queue: queue.optional(),
  priority: priority.optional(),
  run_at: moment.optional(),
  delay_ms: z.int().min(0).max(31_536_000_000).optional(),
  deadline: moment.optional().meta({ description: 'Not started later: then it fails' }),
  max_attempts: maxAttempts.optional(),
  backoff: z
    .union([
      z.enum(['exponential', 'none']),
      z.array(seconds).min(1).max(100),
      z.object({ base_s: seconds, most_s: seconds.optional(), jitter: z.number().min(0).max(1).optional() }),
    ])
    .optional()
    .meta({ description: 'Waits between attempts: seconds for each, of which the last one repeats, or an exponential; none: the first failure is the last' }),
  concurrency_key: z.string().max(200).optional(),
  unique_key: z.string().min(1).max(500).optional(),
  unique_until: z.enum(['done', 'started']).optional(),
  unique_for_ms: ms.optional(),
  on_duplicate: z.enum(['keep', 'reject', 'replace', 'debounce']).optional(),
  max_wait_ms: ms.optional(),
  batch_id: z.uuid().optional(),
  depends_on: z.array(z.uuid()).max(1000).optional(),
  on_dependency_failure: z.enum(['fail', 'ignore', 'run']).optional(),
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
