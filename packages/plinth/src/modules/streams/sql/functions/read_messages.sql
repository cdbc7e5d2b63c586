-- A fork begins with the messages of its source up to where it was forked, and so on up the chain. At most p_bytes, but always one message.
create or replace function plinth_streams.read_messages(p_stream_id uuid, p_after bigint, p_limit integer, p_bytes bigint)
returns table ("position" bigint, data bytea)
language sql stable security invoker
as $$
  with recursive chain as (
    select s.id, s.tenant_id, s.forked_from, s.fork_at, 9223372036854775807 as upto
    from plinth_streams.streams as s where s.tenant_id = plinth_kernel.require_tenant() and s.id = p_stream_id
    union all
    select s.id, s.tenant_id, s.forked_from, s.fork_at, least(c.upto, c.fork_at)
    from chain as c join plinth_streams.streams as s on s.tenant_id = c.tenant_id and s.id = c.forked_from
    where c.fork_at > p_after
  ), page as (
    select m.position, m.data from chain as c join plinth_streams.messages as m on m.tenant_id = c.tenant_id and m.stream_id = c.id
    where m.position > p_after and m.position <= c.upto order by m.position limit p_limit
  ), sized as (
    select p.position, p.data, sum(octet_length(p.data)) over (order by p.position) - octet_length(p.data) as before from page as p
  )
  select z.position, z.data from sized as z where z.before < p_bytes order by z.position
$$;
comment on function plinth_streams.read_messages(uuid, bigint, integer, bigint) is 'Messages of a stream after a position, oldest first.';
