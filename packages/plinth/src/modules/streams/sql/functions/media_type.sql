create or replace function plinth_streams.media_type(p_content_type text) returns text
language sql immutable strict parallel safe
return lower(btrim(split_part(p_content_type, ';', 1)));
comment on function plinth_streams.media_type(text) is 'A content type without its parameters: text/plain of text/plain; charset=utf-8.';
