import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  busy: { status: 409, title: 'Maintenance is running already', wayOut: 'Wait for it to end, or look at it in plinth.maintenance_runs.' },
  run_failed: {
    status: 500,
    title: 'Maintenance did not get everything done',
    wayOut: 'Look at the failed steps of the run; the next run takes them up where they stand.',
  },
  run_unknown: { status: 404, title: 'There is no such run', wayOut: 'List the runs with GET /api/v1/maintenance/runs.' },
  kind_unknown: {
    status: 404,
    title: 'There is no such kind of record',
    wayOut: 'The kinds are listed in plinth.retention_policies: audit.entries, events.events, ...',
  },
  policy_fixed: {
    status: 422,
    title: 'This policy cannot be set here',
    wayOut: 'Kinds that are kept forever have no policy; archiving, and kinds of the whole installation, are set by an operator.',
  },
  keep_too_short: { status: 422, title: 'A policy keeps rows for at least a day', wayOut: 'Give 1 day or more, or forever.' },
  keep_too_long: { status: 422, title: 'A policy keeps rows for at most 1,000 years', wayOut: 'Give less, or forever.' },
  hold_invalid: {
    status: 422,
    title: 'The legal hold is not valid',
    wayOut: 'Give a reason; give an entity, a LIKE pattern, only for kinds that tell their entity.',
  },
  hold_unknown: { status: 404, title: 'There is no such open legal hold', wayOut: 'List the holds with GET /api/v1/maintenance/holds.' },
} as const satisfies ErrorCatalogue;
