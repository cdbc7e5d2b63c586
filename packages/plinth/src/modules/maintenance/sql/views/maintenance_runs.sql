-- Runs belong to the installation. Row security shows them to those who run it, in whatever tenant they stand, and to nobody else in a tenant.
create or replace view plinth.maintenance_runs with (security_invoker = true) as
select r.id, coalesce(plinth_kernel.tenant_id(), '00000000-0000-0000-0000-000000000000') as tenant_id, r.task, r.status, r.kinds, r.started_at, r.ended_at,
  extract(epoch from r.ended_at - r.started_at)::float8 as seconds, (r.report ->> 'rows_swept')::bigint as rows_swept, (r.report ->> 'partitions_dropped')::integer as partitions_dropped,
  (r.report ->> 'partitions_made')::integer as partitions_made, r.report, r.error, r.actor_type, r.actor_id, r.correlation_id, r.causation_id
from plinth_maintenance.runs as r;
comment on view plinth.maintenance_runs is 'Runs of maintenance, for operators, and outside of tenants. One that is running longer than it should was cut off; the next run marks it interrupted.';
