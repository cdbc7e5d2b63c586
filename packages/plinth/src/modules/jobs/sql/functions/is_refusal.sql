-- What the environment does (connections, locks, disks, a day without a partition) passes: 23514 without a constraint is a missing partition.
create or replace function plinth_jobs.is_refusal(p_sqlstate text, p_constraint text) returns boolean
language sql immutable parallel safe
return left(p_sqlstate, 2) in ('21', '22', '23', '54') and not (p_sqlstate = '23514' and coalesce(p_constraint, '') = '');
comment on function plinth_jobs.is_refusal(text, text) is 'True for errors that the same outcome of a job would meet again and again: its data is refused.';
