create or replace function plinth_webhooks.shape_body(p_format text, p_attributes jsonb, p_document jsonb, p_transform jsonb) returns text
language sql stable parallel safe
return case when p_format is null then plinth_webhooks.transform_body(p_document, p_transform)
  else plinth_webhooks.cloud_body(p_format, p_attributes, plinth_webhooks.cloud_data(p_document, p_transform)) end;
comment on function plinth_webhooks.shape_body(text, jsonb, jsonb, jsonb) is 'The stored body of a delivery in a format (null: standard, with a transform) made from the document of an event, its attributes as a CloudEvent, and a transform.';
