create or replace view plinth.github_deliveries with (security_invoker = true) as
select d.id, d.tenant_id, d.created_at, d.type, d.kind, d.entity_id, d.summary, d.summarised, d.correlation_id, d.xact from plinth_github.deliveries as d;
comment on view plinth.github_deliveries is 'Payloads of GitHub that came in, with what the job said of them.';
