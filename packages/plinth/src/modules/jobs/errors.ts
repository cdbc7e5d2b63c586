import type { ErrorCatalogue } from '#kernel/errors.ts';

export const errors = {
  job_invalid: {
    status: 422,
    title: 'The job is not valid',
    wayOut: 'Give a kind of 1 to 200 characters, a payload that is a JSON object, a priority from 1 to 100 and 1 to 1000 attempts.',
  },
  payload_too_large: {
    status: 413,
    title: 'The payload of a job is larger than 256 KiB',
    wayOut: 'Store the data in a table or a file and put its id into the payload.',
  },
  job_not_found: { status: 404, title: 'There is no such job', wayOut: 'Check the id and the tenant; finished jobs are kept for 7 days, dead letters for 30.' },
  already_finished: { status: 409, title: 'The job has completed', wayOut: 'Only a job that has not finished can be cancelled.' },
  not_failed: { status: 409, title: 'The job is not a dead letter', wayOut: 'Only a job with status failed can be run again; enqueue a new one instead.' },
  duplicate: { status: 409, title: 'Another job with this unique key is waiting or running', wayOut: 'Wait until it has ended, or cancel it.' },
  not_waiting: { status: 409, title: 'The job does not wait any more', wayOut: 'Only a job with status scheduled or pending can be put off or preferred.' },
  dependency_not_found: {
    status: 404,
    title: 'There is no such job to depend on',
    wayOut: 'Enqueue a dependency before its dependents, in the same transaction or an earlier one of the tenant; jobs that ended are kept for 7 days.',
  },
  dependency_failed: {
    status: 409,
    title: 'The job depends on one that failed or was cancelled',
    wayOut: 'Run that one again, with its dependents, or enqueue this one anew without it.',
  },
  filter_invalid: { status: 422, title: 'Dead letters are not filtered by that', wayOut: 'Use kind, queue, error, failed_after and failed_before.' },
  batch_not_found: {
    status: 404,
    title: 'There is no such batch',
    wayOut: 'Check the id and the tenant; batches are kept for 30 days after they have finished.',
  },
  batch_finished: {
    status: 409,
    title: 'The batch has finished or does not exist',
    wayOut: 'Add jobs while one of its jobs is not over, or make the batch with open: true and close it when all are in.',
  },
  lease_lost: { status: 409, title: 'This attempt does not hold the job any more', wayOut: 'Stop: another attempt has taken over, or the job was cancelled.' },
  settlement_invalid: {
    status: 422,
    title: 'The end of an attempt is not valid',
    wayOut: 'Give tenant_id, id and run_id as plinth_jobs.claim returned them, and one of the outcomes completed, failed, cancelled, lost, snoozed, returned.',
  },
  limit_invalid: {
    status: 422,
    title: 'The limit, weight or pause is not valid',
    wayOut: 'The sentence says which argument is out of range; plinth.pause_jobs stops jobs altogether.',
  },
  limit_not_found: { status: 404, title: 'There is no such limit', wayOut: 'Look at plinth.job_limits; limits of the installation are removed by operators.' },
  pause_not_found: {
    status: 404,
    title: 'There is no such pause in force',
    wayOut: 'Look at plinth.job_pauses; pauses of the installation are ended by operators.',
  },
  retention_invalid: {
    status: 422,
    title: 'The retention of a queue is not valid',
    wayOut: 'Give a queue and a time from 1 hour to 10 years; null lets the queue be kept as long as the others.',
  },
  claim_isolation: {
    status: 409,
    title: 'Jobs under a limit are claimed in READ COMMITTED',
    wayOut: 'Claim in a transaction of its own with the default isolation: a count in an old snapshot would miss jobs.',
  },
  schedule_invalid: {
    status: 422,
    title: 'The schedule is not valid',
    wayOut: 'Give cron text of five fields, such as 30 2 * * *, and a time zone such as Europe/Berlin.',
  },
  schedule_not_found: { status: 404, title: 'There is no such schedule', wayOut: 'Check the id and the tenant; GET /api/v1/lists/jobs/schedules shows them.' },
} as const satisfies ErrorCatalogue;
