-- Shard of a tenant for feeds: fixed at 8, so that consumers can be spread without moving cursors.
create or replace function plinth_kernel.shard_of(p_tenant_id uuid) returns smallint
language sql immutable strict parallel safe
return (uuid_hash_extended(p_tenant_id, 0) & 7)::smallint;
comment on function plinth_kernel.shard_of(uuid) is 'Shard (0 to 7) of a tenant in feeds.';
