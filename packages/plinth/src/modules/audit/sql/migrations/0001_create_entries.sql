-- why: the audit log, partitioned by month of its uuid v7 id, so that old months leave by dropping a partition
-- locks: none, everything is new
-- breaking: no

-- Domains, not CHECK constraints: a check is read and prepared anew by every statement (5 checks took 50 of the 95 us of a one-row insert),
-- a domain is part of the cached plan. What is left is the set-up of each function that it calls, in every statement, so the greatest length is
-- that of the type (docs/adr/0016). Never cast to such a domain: a cast cuts off what is too long, an assignment refuses it.
create domain plinth_audit.action as varchar(200) constraint action_given check (value <> '');
create domain plinth_audit.entity as varchar(500) constraint entity_given check (value <> '');
create domain plinth_audit.severity as text constraint severity_known check (value in ('info', 'warning', 'critical'));
create domain plinth_audit.source as text constraint source_known check (value in ('api', 'capture', 'system'));
comment on domain plinth_audit.action is 'What happened, past tense; 1 to 200 characters.';
comment on domain plinth_audit.entity is 'Kind or id of a thing of the application; 1 to 500 characters.';
comment on domain plinth_audit.severity is 'info, warning or critical.';
comment on domain plinth_audit.source is 'api, capture or system.';

-- Three indexes and no more: each one costs every audited write (bench/results/audit.json); look-ups by actor or action walk the
-- primary key newest first and filter.
create table plinth_audit.entries (
  tenant_id uuid not null,
  id uuid not null default plinth_kernel.uuid_v7(),
  action plinth_audit.action not null,
  entity_type plinth_audit.entity,
  entity_id plinth_audit.entity,
  actor_type text not null default coalesce(plinth_kernel.setting('actor_type'), 'system'),
  actor_id text not null default coalesce(plinth_kernel.setting('actor_id'), session_user),
  before jsonb,
  after jsonb,
  parent_id uuid,
  compliance_flags text[],
  severity plinth_audit.severity not null default 'info',
  reason text default plinth_kernel.setting('reason'),
  ip text default plinth_kernel.setting('ip'),
  user_agent text default plinth_kernel.setting('user_agent'),
  metadata jsonb,
  source plinth_audit.source not null default 'api',
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  request_id text default plinth_kernel.setting('request_id'),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);

create index entries_by_entity on plinth_audit.entries (tenant_id, entity_type, entity_id, id);
create index entries_by_correlation on plinth_audit.entries (tenant_id, correlation_id) where correlation_id is not null;

comment on table plinth_audit.entries is 'One row for each thing that somebody did. Append only: old rows leave with their partition.';
comment on column plinth_audit.entries.before is 'State before, whole and redacted; the difference to after is computed when it is read.';
comment on column plinth_audit.entries.parent_id is 'Entry that this one is a part of.';
comment on column plinth_audit.entries.source is 'api: recorded by the application; capture: a row change seen by a trigger; system: Plinth itself.';

create function plinth_audit.refuse_change() returns trigger language plpgsql set search_path = '' as $$ begin return null; end $$;
comment on function plinth_audit.refuse_change() is 'Keeps audit entries append only.';

-- Grants already refuse changes to every role that serves; this refuses them to a superuser with a slip of the hand as well.
create trigger append_only before update or delete on plinth_audit.entries
  for each row execute function plinth_audit.refuse_change();
create trigger append_only_truncate before truncate on plinth_audit.entries for each statement execute function plinth_audit.refuse_change();
