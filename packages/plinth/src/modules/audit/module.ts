import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { auditEffects, auditInsert } from './audit.ts';
import { errors } from './errors.ts';

export default defineModule({
  name: 'audit',
  summary: 'Who did what to which thing, when, why and from where; nothing in it can be changed afterwards.',
  tables: {
    entries: {
      tenancy: 'tenant',
      keep: { for: '7 years', by: 'partition', every: 'month', archive: true },
      personal: ['ip', 'user_agent', 'actor_id'],
      grants: { app: ['select', 'insert'] },
      trace: {
        kind: 'audit',
        title: 'action',
        status: 'severity',
        entity: `entity_type || coalesce(':' || entity_id, '')`,
        parent: 'coalesce(parent_id, causation_id)',
        data: `jsonb_build_object('actor_type', actor_type, 'actor_id', actor_id, 'before', before, 'after', after, 'reason', reason, 'source', source)`,
      },
    },
  },
  effects: auditEffects,
  effectInsert: auditInsert,
  api,
  lists: {
    entries: {
      title: 'Audit log',
      view: 'audit_logs',
      columns: ['created_at', 'action', 'entity_type', 'entity_id', 'actor_type', 'actor_id', 'severity', 'reason', 'correlation_id'],
      filters: [
        'action',
        'actor_type',
        'actor_id',
        'entity_type',
        'entity_id',
        'severity',
        'compliance_flags',
        'source',
        'parent_id',
        'correlation_id',
        'request_id',
        'ip',
      ],
      empty: 'Nothing has been recorded yet. Call tx.audit.record(...), plinth.log_audit_event(...) or plinth.audit_table(...).',
    },
  },
  errors,
});
