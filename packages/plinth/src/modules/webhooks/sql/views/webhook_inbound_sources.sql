create or replace view plinth.webhook_inbound_sources with (security_invoker = true) as
select s.id, s.tenant_id, s.tenant_id as org_id, s.name, s.profile, s.options, extract(epoch from s.tolerance)::integer as tolerance_seconds, s.enabled, s.created_by, s.created_at, s.updated_at
from plinth_webhooks.inbound_sources as s;
comment on view plinth.webhook_inbound_sources is 'Providers whose webhooks are received at POST /api/v1/webhooks/inbound/{id}, without their secrets.';
