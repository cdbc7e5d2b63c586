-- why: lines that handlers keep with their job (run.log). Append only, partitioned by day, dropped after 7 days.
-- locks: none, everything is new
-- breaking: no

create domain plinth_jobs.log_message as text constraint log_message_size check (octet_length(value) <= 4096);
comment on domain plinth_jobs.log_message is 'One line; at most 4,096 bytes.';

create table plinth_jobs.logs (
  tenant_id uuid not null,
  -- In the order of the lines of an attempt; see plinth_jobs.write_logs.
  id uuid not null default plinth_kernel.uuid_v7(),
  job_id uuid not null,
  run_id uuid not null,
  attempt smallint not null,
  message plinth_jobs.log_message not null,
  fields jsonb,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, id)
) partition by range (id);

create index logs_by_job on plinth_jobs.logs (tenant_id, job_id, id);
comment on table plinth_jobs.logs is 'Lines that handlers kept with their jobs, by attempt. Append only, kept for 7 days.';
