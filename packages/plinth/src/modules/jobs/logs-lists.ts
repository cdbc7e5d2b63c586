import type { ListCard } from '#kernel/module.ts';

/** List of the console for lines that jobs kept. */
export const logsLists: Record<string, ListCard> = {
  logs: {
    title: 'Job logs',
    view: 'job_logs',
    columns: ['logged_at', 'message', 'fields', 'attempt', 'job_id'],
    filters: ['job_id', 'run_id', 'message'],
    empty: 'No lines in the last 7 days. A handler keeps one with run.log(message, fields).',
  },
};
