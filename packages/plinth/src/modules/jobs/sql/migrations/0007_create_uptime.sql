-- why: whether the server has crashed since a claim decides whether its end has to be checked job by job (plinth_jobs.close_claims); claims
--   say of which lane a job was
-- locks: claims, for an instant
-- breaking: no

-- Unlogged, so that a crash empties it: that is what it is for. A clean stop keeps it, and keeps what was committed.
create unlogged table plinth_jobs.uptime (
  one boolean primary key default true check (one),
  id uuid not null default plinth_kernel.uuid_v7()
);
comment on table plinth_jobs.uptime is 'One row, which lasts until the server crashes; then a heartbeat writes another.';

alter table plinth_jobs.claims
  add column uptime uuid,
  -- Ids hardly compress, and trying cost more than an index entry for each.
  alter column job_ids set storage external;
comment on column plinth_jobs.claims.uptime is 'plinth_jobs.uptime when it was made; null: it was not known.';

-- They return a column more, which `create or replace` cannot do.
drop function if exists plinth_jobs.claim_lanes(text, integer, text[], text[], smallint[], uuid[], text[], bigint[], integer[]);
drop function if exists plinth_jobs.claim_limited(text, integer, text[], text[], smallint[], uuid[], text[], bigint[], integer[]);
