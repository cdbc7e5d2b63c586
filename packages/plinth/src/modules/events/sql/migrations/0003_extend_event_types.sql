-- why: event types tell how their versions may differ, who may see them and whether they are on their way out; several examples
-- locks: access exclusive on types and common_types for a moment, and while their examples are moved
-- breaking: yes, processes that register types with an example must be restarted; reading and publishing go on
alter table plinth_events.types
  add column compatibility text not null default 'backward' check (compatibility in ('none', 'backward', 'forward', 'full')),
  add column visibility text not null default 'public' check (visibility in ('public', 'internal')),
  add column examples jsonb not null default '[]' check (jsonb_typeof(examples) = 'array' and pg_column_size(examples) <= 65536),
  add column deprecated_at timestamptz,
  add column deprecation text,
  add column successor plinth_events.type,
  add column deleted_at timestamptz,
  add column since integer not null default 1;
update plinth_events.types set examples = jsonb_build_array(example) where example is not null;
alter table plinth_events.types drop column example;

alter table plinth_events.common_types
  add column compatibility text not null default 'backward' check (compatibility in ('none', 'backward', 'forward', 'full')),
  add column visibility text not null default 'public' check (visibility in ('public', 'internal')),
  add column examples jsonb not null default '[]' check (jsonb_typeof(examples) = 'array' and pg_column_size(examples) <= 65536),
  add column deprecated_at timestamptz,
  add column deprecation text,
  add column successor plinth_events.type,
  add column since integer not null default 1;
update plinth_events.common_types set examples = jsonb_build_array(example) where example is not null;
alter table plinth_events.common_types drop column example;

comment on column plinth_events.types.compatibility is 'What a version promises about the one before it: backward, its readers can read what was written before; forward, readers of the version before can read it; full, both; none.';
comment on column plinth_events.types.visibility is 'internal: not shown to those outside who subscribe.';
comment on column plinth_events.types.deprecated_at is 'Since when the version should no longer be written; it still may be.';
comment on column plinth_events.types.deprecation is 'Why, and what to do instead.';
comment on column plinth_events.types.successor is 'The type to use instead, if there is one.';
comment on column plinth_events.types.deleted_at is 'Since when the version is gone. The row stays, so that its number is not given again and its marks hold.';
comment on column plinth_events.types.since is 'First version that it was held to be compatible with.';
