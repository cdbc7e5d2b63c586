create or replace view plinth.api_keys with (security_invoker = true) as
select k.tenant_id, k.id, k.name, k.prefix, k.last4, k.scopes,
  case when k.revoked_at is not null then 'revoked' when k.expires_at <= statement_timestamp() then 'expired' else 'active' end as status,
  k.expires_at, k.rotated_from, k.revoked_at, k.last_used_at, k.created_by, k.created_at
from plinth_access.api_keys as k;
comment on view plinth.api_keys is 'API keys of the tenant of the transaction, without their hashes.';
