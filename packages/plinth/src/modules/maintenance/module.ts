import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';
import { jobDefinitions } from './jobs.ts';

export default defineModule({
  name: 'maintenance',
  summary: 'Partitions made ahead, rows that leave when their time is over, legal holds, and the daily, weekly and monthly tasks.',
  uses: ['audit', 'jobs'],
  tables: {
    runs: {
      tenancy: 'global',
      keep: { for: '2 years', by: 'delete', column: 'started_at', where: `status in ('completed', 'failed', 'interrupted')` },
      operatorsOnly: true,
    },
    steps: {
      tenancy: 'tenant',
      keep: { for: '1 years', by: 'delete', column: 'created_at' },
      worker: true,
      grants: { app: ['select'] },
      trace: {
        kind: 'maintenance',
        title: `action || ' ' || target`,
        endedAt: 'ended_at',
        status: 'status',
        data: `jsonb_build_object('kind', kind, 'rows', row_count, 'bytes', size_bytes, 'note', note, 'run_id', run_id)`,
      },
    },
    reports: { tenancy: 'global', keep: { for: '2 years', by: 'delete', column: 'created_at' }, operatorsOnly: true },
  },
  permissions: {
    'maintenance.read': 'Sees retention policies, legal holds and what was removed; operators also see runs and reports',
    'maintenance.admin': 'Changes retention policies, places and releases legal holds; operators also start runs',
  },
  api,
  lists: {
    runs: {
      title: 'Maintenance',
      view: 'maintenance_runs',
      columns: ['started_at', 'task', 'status', 'seconds', 'partitions_made', 'partitions_dropped', 'rows_swept', 'error', 'correlation_id'],
      filters: ['task', 'status', 'correlation_id'],
      empty: 'Maintenance has not run yet. The worker runs it daily at 03:00 UTC; run it now with plinth maintain daily.',
    },
    steps: {
      title: 'Maintenance steps',
      view: 'maintenance_steps',
      columns: ['created_at', 'action', 'kind', 'target', 'status', 'row_count', 'size_bytes', 'note'],
      filters: ['action', 'kind', 'status', 'run_id', 'correlation_id'],
      empty: 'Nothing of this tenant was swept. Rows that leave with whole partitions are counted in the runs.',
    },
    policies: {
      title: 'Retention',
      view: 'retention_policies',
      columns: ['kind', 'keep', 'method', 'archive', 'source', 'reason', 'set_by', 'updated_at'],
      filters: ['kind', 'method', 'source'],
      empty: 'No module keeps records.',
    },
    holds: {
      title: 'Legal holds',
      view: 'legal_holds',
      columns: ['placed_at', 'status', 'kind', 'entity', 'reason', 'placed_by', 'released_at'],
      filters: ['status', 'kind', 'placed_by'],
      empty: 'Nothing is held. Place a hold with POST /api/v1/maintenance/holds or plinth.place_legal_hold(...).',
      actions: [{ procedure: 'holds.release', label: 'Release', when: { column: 'status', in: ['open'] }, danger: true }],
    },
    reports: {
      title: 'Maintenance reports',
      view: 'maintenance_reports',
      columns: ['created_at', 'name', 'data'],
      filters: ['name', 'run_id'],
      empty: 'No reports yet. They are made weekly and monthly; make one now with plinth maintain weekly.',
    },
    archives: {
      title: 'Archives',
      view: 'archived_partitions',
      columns: ['kind', 'partition_name', 'state', 'row_count', 'archive_bytes', 'archive_key', 'ended_at'],
      filters: ['kind', 'state', 'partition_name'],
      empty: 'No partition has left yet.',
    },
  },
  jobs: jobDefinitions,
  errors,
});
