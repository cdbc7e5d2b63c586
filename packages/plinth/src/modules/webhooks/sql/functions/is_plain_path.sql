create or replace function plinth_webhooks.is_plain_path(p_path text) returns boolean
language sql immutable parallel safe
return length(p_path) <= 500 and p_path ~ '^\$(\.([A-Za-z_][A-Za-z0-9_]*|"[^"\\[:cntrl:]]+")|\[[0-9]{1,6}\])+$';
comment on function plinth_webhooks.is_plain_path(text) is 'True for a jsonpath of names and places in lists alone, such as $.customer.id or $."a b"[0]: it never raises and costs no more than its length.';
