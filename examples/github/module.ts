import { defineModule } from 'plinth/module';
import { api } from './api.ts';
import { summarise } from './jobs.ts';

export default defineModule({
  name: 'github',
  summary: 'Takes webhooks of GitHub: each in one transaction of business row, audit entry, event and job.',
  uses: ['audit', 'events', 'jobs'],
  tables: {
    deliveries: {
      tenancy: 'tenant',
      keep: 'forever',
      trace: {
        kind: 'payload',
        title: 'type',
        status: `case when summarised > 0 then 'summarised' else 'received' end`,
        entity: `kind || ':' || entity_id`,
        parent: 'null',
      },
    },
    repositories: { tenancy: 'tenant', keep: 'forever' },
    issues: { tenancy: 'tenant', keep: 'forever' },
    pull_requests: { tenancy: 'tenant', keep: 'forever' },
    others: { tenancy: 'tenant', keep: 'forever' },
  },
  sql: new URL('sql/', import.meta.url),
  api,
  jobs: { 'github.summarise': summarise },
  lists: {
    deliveries: {
      title: 'GitHub payloads',
      view: 'github_deliveries',
      columns: ['created_at', 'type', 'kind', 'entity_id', 'summary', 'summarised', 'correlation_id'],
      filters: ['type', 'kind', 'entity_id'],
      empty: 'No payload has come in. Run: npm run plinth -- replay github',
    },
  },
});
