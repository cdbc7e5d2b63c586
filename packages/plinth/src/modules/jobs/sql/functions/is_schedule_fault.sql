-- Faults of the environment (connections, locks, partitions, disks) pass: the batch is tried again.
create or replace function plinth_jobs.is_schedule_fault(p_sqlstate text) returns boolean
language sql immutable parallel safe
return p_sqlstate in ('PL400', 'PL413', 'PL422') or p_sqlstate like '22%';
comment on function plinth_jobs.is_schedule_fault(text) is 'True for errors that the same schedule would meet again and again, so that it has to stop: its payload or its text is refused.';
