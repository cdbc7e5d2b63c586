/** The SQL of a new module: one migration, one function, one view. */

export const migration = (name: string): string => `-- why: the first table of ${name}
-- locks: none, everything is new
-- breaking: no

create table plinth_${name}.items (
  tenant_id uuid not null default plinth_kernel.tenant_id() references plinth_kernel.tenants,
  id uuid not null default plinth_kernel.uuid_v7(),
  title text not null check (length(title) between 1 and 200),
  note text check (length(note) <= 2000),
  correlation_id uuid default plinth_kernel.correlation_id(),
  causation_id uuid default plinth_kernel.causation_id(),
  xact xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
);

create index items_by_correlation on plinth_${name}.items (tenant_id, correlation_id);
create index items_by_age on plinth_${name}.items (created_at);

comment on table plinth_${name}.items is 'One row for each item of ${name}.';
`;

export const writer = (name: string): string => `create or replace function plinth.add_${name}_item(p_title text, p_note text default null) returns uuid
language plpgsql volatile security invoker set search_path = ''
as $$
declare
  _id uuid;
begin
  if p_title is null or p_title = '' then
    raise exception 'an item of ${name} needs a title' using errcode = 'PL422', detail = '{"code":"${name}_title_missing","field":"p_title"}',
      hint = 'Give a title of 1 to 200 characters.';
  end if;
  insert into plinth_${name}.items (tenant_id, title, note)
  select c.tenant_id, p_title, p_note from plinth_kernel.current_context() as c
  returning id into _id;
  return _id;
end
$$;
comment on function plinth.add_${name}_item(text, text) is
  'Adds an item of ${name} for the tenant of the transaction and returns its id. Errors: ${name}_title_missing, kernel_tenant_required.';
`;

export const view = (name: string): string => `create or replace view plinth.${name}_items with (security_invoker = true) as
select i.id, i.tenant_id, i.title, i.note, i.correlation_id, i.causation_id, i.xact, i.created_at
from plinth_${name}.items as i;
comment on view plinth.${name}_items is 'The ${name} of the tenant of the transaction.';
`;
