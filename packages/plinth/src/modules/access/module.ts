import { defineModule } from '#kernel/module.ts';
import { api } from './api.ts';
import { errors } from './errors.ts';

export default defineModule({
  name: 'access',
  summary: 'Tenants, their members and roles, API keys, and what operators looked at.',
  uses: ['audit'],
  tables: {
    users: {
      tenancy: 'tenant',
      keep: 'forever',
      personal: ['email', 'name', 'attributes'],
      worker: true,
      grants: { worker: ['select'] },
      sample: { email: 'null', attributes: `'{}'` },
    },
    roles: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { worker: ['select'] },
      sample: { name: `'auditor'`, permissions: `array['audit.read']` },
    },
    api_keys: {
      tenancy: 'tenant',
      keep: 'forever',
      worker: true,
      grants: { app: ['select', 'insert', 'update'], worker: ['select', 'update'] },
      sample: { prefix: `'plk_tenant_abcd'`, last4: `'wxyz'`, hash: `sha256('sample')`, scopes: `array['*']` },
    },
    operator_keys: { tenancy: 'global', keep: 'forever', grants: { app: [], worker: ['select', 'insert', 'update'] } },
    operator_access: {
      tenancy: 'tenant',
      keep: { for: '2 years', by: 'partition', every: 'month', archive: true },
      personal: ['operator_id', 'ip'],
      worker: true,
      grants: { app: ['select', 'insert'], worker: ['select', 'insert'] },
    },
    login_links: {
      tenancy: 'global',
      keep: { for: '1 days', by: 'delete', column: 'expires_at' },
      grants: { app: [], worker: ['select', 'insert', 'update', 'delete'] },
    },
  },
  permissions: {
    'access.read': 'Sees members, roles and API keys (never their secrets)',
    'access.admin': 'Manages members, roles and API keys',
    'tenants.read': 'Sees all tenants (operators)',
    'tenants.write': 'Adds and changes tenants (operators)',
    'operators.read': 'Sees operator keys (operators)',
    'operators.admin': 'Manages operator keys (operators)',
  },
  api,
  lists: {
    users: {
      title: 'Members',
      view: 'users',
      columns: ['id', 'name', 'email', 'roles', 'status', 'created_at'],
      filters: ['id', 'email', 'name', 'roles', 'status', 'created_at'],
      empty: 'No members yet. Add one with POST /api/v1/users.',
    },
    keys: {
      title: 'API keys',
      view: 'api_keys',
      columns: ['name', 'prefix', 'last4', 'scopes', 'status', 'expires_at', 'last_used_at', 'created_at'],
      filters: ['name', 'prefix', 'last4', 'status', 'scopes', 'created_by', 'expires_at', 'last_used_at'],
      empty: 'No API keys yet. Make one with POST /api/v1/keys.',
      actions: [{ procedure: 'keys.revoke', label: 'Revoke', when: { column: 'status', in: ['active', 'expired'] }, danger: true }],
    },
    operator_access: {
      title: 'Operator access',
      view: 'operator_access',
      columns: ['created_at', 'operator_id', 'reason', 'ip', 'correlation_id'],
      filters: ['operator_id', 'reason', 'ip', 'request_id', 'correlation_id'],
      empty: 'No operator has looked at this tenant.',
    },
  },
  errors,
});
