import type { ListCard } from '#kernel/module.ts';

/** Lists of the console for limits and pauses. */
export const limitsLists: Record<string, ListCard> = {
  limits: {
    title: 'Limits',
    view: 'job_limits',
    columns: ['per', 'queue', 'concurrency_key', 'max_running', 'running', 'rate', 'rate_period', 'burst', 'source', 'reason'],
    filters: ['per', 'queue', 'concurrency_key', 'source'],
    empty: 'No limits. Set one with PUT /api/v1/jobs/limits or plinth.set_job_limit(...).',
    actions: [{ procedure: 'limits.remove', label: 'Remove', when: { column: 'source', in: ['tenant'] }, danger: true }],
  },
  pauses: {
    title: 'Pauses',
    view: 'job_pauses',
    columns: ['paused_at', 'status', 'queue', 'job_type', 'concurrency_key', 'reason', 'paused_by', 'ends_at', 'resumed_by'],
    filters: ['status', 'queue', 'job_type', 'concurrency_key', 'source'],
    empty: 'Nothing was paused in the last 30 days. Pause jobs with POST /api/v1/jobs/pauses or plinth.pause_jobs(...).',
    actions: [
      { procedure: 'pauses.resume', label: 'Resume', when: { column: 'status', in: ['active'] } },
      { procedure: 'pauses.again', label: 'Pause again', when: { column: 'status', in: ['resumed', 'expired'] } },
    ],
  },
};
