-- A template for all of the body is a template for all that is not an attribute.
create or replace function plinth_webhooks.cloud_data(p_document jsonb, p_transform jsonb) returns text
language sql stable parallel safe set search_path = ''
as $$
  select case when p_transform is null then (p_document -> 'data')::text when p_transform ? 'body' then b.text else (b.text::json -> 'data')::text end
  from (select case when p_transform is not null then plinth_webhooks.transform_body(p_document, p_transform) end as text) b
$$;
comment on function plinth_webhooks.cloud_data(jsonb, jsonb) is 'The data of a CloudEvent made from the document of an event by a transform.';
