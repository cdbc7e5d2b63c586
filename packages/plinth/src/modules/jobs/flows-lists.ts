import type { ListCard } from '#kernel/module.ts';

/** Lists of the console for batches. */
export const flowsLists: Record<string, ListCard> = {
  batches: {
    title: 'Batches',
    view: 'job_batches',
    columns: ['name', 'status', 'total', 'completed', 'failed', 'cancelled', 'created_at', 'finished_at', 'error'],
    filters: ['name', 'correlation_id'],
    empty: 'No batches. Make one with tx.jobs.batch({ onComplete }, (add) => ...) or POST /api/v1/jobs/batches.',
    actions: [{ procedure: 'closeBatch', label: 'Close', when: { column: 'adding', in: ['true'] } }],
  },
};
