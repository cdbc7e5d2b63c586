create or replace function plinth_events.varint(p_value bigint) returns bytea
language sql immutable strict parallel safe
return (select pg_catalog.string_agg(
    pg_catalog.set_byte('\x00', 0, ((p_value >> (7 * i)) & 127)::integer | case when i < 8 and p_value >> (7 * (i + 1)) > 0 then 128 else 0 end), ''::bytea order by i)
  from pg_catalog.generate_series(0, 8) as i where i = 0 or p_value >> (7 * i) > 0);
comment on function plinth_events.varint(bigint) is 'A number from 0 in as few bytes as it needs: seven bits a byte, the lowest first, the eighth bit set in all but the last.';
