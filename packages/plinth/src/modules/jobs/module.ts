import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { jobEffects } from './enqueue.ts';
import { errors } from './errors.ts';
import { flowsApi } from './flows-api.ts';
import { flowsLists } from './flows-lists.ts';
import { jobInsert } from './insert.ts';
import { jobDefinitions } from './jobs.ts';
import { limitsApi } from './limits-api.ts';
import { limitsLists } from './limits-lists.ts';
import { logsApi } from './logs-api.ts';
import { logsLists } from './logs-lists.ts';
import { retentionApi, retentionLists } from './retention-api.ts';

export default defineModule({
  name: 'jobs',
  summary: 'Work to be done once, later, elsewhere: enqueued with the transaction that wants it, retried until it succeeds or is given up.',
  tier: 'queue',
  uses: ['audit'],
  tables: {
    jobs: {
      tenancy: 'tenant',
      // Completed and cancelled jobs; a day in which one still runs, or is kept for its queue, stays. Dead letters are deleted by jobs.purge_failed after 30 days.
      keep: {
        for: '7 days',
        by: 'partition',
        every: 'day',
        of: 'jobs_run',
        unless:
          "r.status = 'processing' or (exists (select from plinth_jobs.queue_retention) and plinth_jobs.kept_for_queue(r.tenant_id, r.queue, r.finished_at))",
        // Room for the end of every job beside its beginning: an update in place, which no index hears of.
        fillfactor: 50,
      },
      personal: ['payload', 'result', 'actor_id'],
      worker: true,
      singleRows: 'written',
      trace: {
        kind: 'job',
        title: `kind || coalesce(': ' || name, '')`,
        endedAt: 'finished_at',
        status: 'status',
        attempt: 'attempts',
        data: `jsonb_build_object('queue', queue, 'priority', priority, 'payload', payload, 'result', result, 'error', error, 'attempts', attempts, 'max_attempts', max_attempts, 'run_at', run_at, 'progress', progress, 'worker', worker)`,
      },
    },
    attempts: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'partition', every: 'day' },
      grants: { app: ['select', 'insert'] },
      worker: true,
      trace: {
        kind: 'attempt',
        from: 'every_attempt',
        title: `kind || ' attempt ' || attempt`,
        at: 'coalesce(started_at, created_at)',
        endedAt: 'created_at',
        status: 'outcome',
        parent: 'job_id',
        attempt: 'attempt',
        data: `jsonb_build_object('error', error, 'worker', worker, 'job_id', job_id)`,
      },
    },
    schedules: { tenancy: 'tenant', keep: 'forever', worker: true },
    // Keys that are held for a time; the others go with their job.
    unique_keys: { tenancy: 'tenant', keep: { for: '1 days', by: 'delete', column: 'expires_at', where: `until = 'window'` }, worker: true },
    retry_policies: { tenancy: 'tenant', keep: { for: '90 days', by: 'delete', column: 'created_at' }, worker: true },
    gates: { tenancy: 'tenant', keep: { for: '30 days', by: 'delete', column: 'finished_at' }, worker: true },
    // Not before what they are parts of: the callbacks of a batch tell how all of them ended, however long it was open.
    gate_parts: {
      tenancy: 'tenant',
      keep: {
        for: '30 days',
        by: 'delete',
        column: 'ended_at',
        where: 'not exists (select from plinth_jobs.gates g where g.tenant_id = r.tenant_id and g.id = r.gate_id)',
      },
      worker: true,
    },
    gate_checks: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select', 'insert'] } },
    logs: {
      tenancy: 'tenant',
      keep: { for: '7 days', by: 'partition', every: 'day' },
      personal: ['message', 'fields'],
      worker: true,
      grants: { app: ['select'], worker: ['select', 'insert'] },
    },
    cancel_requests: { tenancy: 'tenant', keep: 'forever', worker: true },
    limits: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['select'], worker: ['select'] },
      sample: {
        source: `'tenant'`,
        per: `'tenant'`,
        queue: `plinth_kernel.uuid_v7()::text`,
        max_running: '1',
        rate: 'null',
        rate_period: 'null',
        burst: 'null',
        concurrency_key: `''`,
      },
    },
    weights: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select'], worker: ['select'] }, sample: { weight: '1' } },
    pauses: {
      tenancy: 'tenant',
      keep: { for: '30 days', by: 'delete', column: 'ends_at' },
      worker: true,
      grants: { app: ['select'], worker: ['select', 'delete'] },
      sample: { source: `'tenant'`, reason: `'sample'` },
    },
    queue_retention: {
      tenancy: 'tenant',
      keep: 'forever',
      grants: { app: ['select'], worker: ['select'] },
      sample: { queue: `plinth_kernel.uuid_v7()::text`, keep: `'1 day'` },
    },
    holds: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select'], worker: ['select'] } },
    rates: { tenancy: 'tenant', keep: 'forever', worker: true, grants: { app: ['select'], worker: ['select'] } },
    workers: { tenancy: 'global', keep: 'forever', grants: { app: [] } },
    claims: { tenancy: 'global', keep: 'forever', grants: { app: [], worker: ['select'] } },
    uptime: { tenancy: 'global', keep: 'forever', grants: { app: [] } },
    kinds: { tenancy: 'global', keep: 'forever', grants: { app: ['select'] } },
  },
  effects: jobEffects,
  effectInsert: jobInsert,
  api: { ...api, ...flowsApi, ...limitsApi, ...logsApi, ...retentionApi },
  permissions: {
    'jobs.read': 'Sees jobs, attempts and schedules',
    'jobs.write': 'Enqueues and cancels jobs, manages schedules',
    'jobs.retry': 'Runs a failed job again',
    'jobs.limits': 'Sets limits, pauses and resumes; operators also set weights',
  },
  lists: {
    jobs: {
      title: 'Jobs',
      view: 'background_jobs',
      columns: ['job_type', 'job_name', 'status', 'priority', 'attempts', 'progress', 'run_at', 'finished_at', 'error'],
      filters: ['status', 'job_type', 'queue', 'unique_key', 'correlation_id'],
      empty: 'No jobs. Enqueue one with tx.jobs.enqueue(kind, payload), plinth.schedule_job(...) or POST /api/v1/jobs.',
      actions: [
        { procedure: 'cancel', label: 'Cancel', when: { column: 'status', in: ['scheduled', 'pending', 'processing', 'failed'] }, danger: true },
        { procedure: 'retry', label: 'Run again', when: { column: 'status', in: ['failed'] } },
      ],
      explain: { procedure: 'explain', title: 'Why it does not run', when: { column: 'status', in: ['scheduled', 'pending'] } },
    },
    attempts: {
      title: 'Attempts',
      view: 'job_attempts',
      columns: ['job_type', 'attempt', 'outcome', 'started_at', 'finished_at', 'worker', 'error'],
      filters: ['outcome', 'job_type', 'job_id', 'correlation_id'],
      empty: 'No attempts. A worker makes one each time it runs a job.',
    },
    schedules: {
      title: 'Schedules',
      view: 'job_schedules',
      columns: ['name', 'cron', 'time_zone', 'job_type', 'enabled', 'missed_runs', 'next_run_at', 'last_run_at', 'error', 'note'],
      filters: ['name', 'job_type', 'source'],
      empty: 'No schedules. Make one with PUT /api/v1/jobs/schedules; those of the modules belong to tenant plinth-system.',
      actions: [
        { procedure: 'pauseSchedule', label: 'Pause', when: { column: 'enabled', in: ['true'] } },
        { procedure: 'resumeSchedule', label: 'Resume', when: { column: 'enabled', in: ['false'] } },
        { procedure: 'deleteSchedule', label: 'Delete', when: { column: 'source', in: ['api'] }, danger: true },
      ],
    },
    ...flowsLists,
    ...limitsLists,
    ...logsLists,
    ...retentionLists,
  },
  jobs: jobDefinitions,
  errors,
});
