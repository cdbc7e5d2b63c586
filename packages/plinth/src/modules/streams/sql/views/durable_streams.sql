create or replace view plinth.durable_streams with (security_invoker = true) as
select s.id, s.tenant_id, s.path::text, s.content_type, s.tail, s.closed, s.ttl_s, s.expires_at, s.ends_at, s.forked_path as forked_from, s.fork_at, s.touched_at, s.created_at
from plinth_streams.streams as s where s.deleted_at is null and (s.ends_at is null or s.ends_at > now());
comment on view plinth.durable_streams is 'Streams of the tenant of the transaction. tail: bytes appended so far.';
