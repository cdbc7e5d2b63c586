create or replace function plinth_webhooks.document_keys() returns text[]
language sql immutable parallel safe set search_path = ''
return array['id', 'type', 'time', 'source', 'subject', 'stream', 'actor', 'correlation_id', 'causation_id', 'metadata', 'data'];
comment on function plinth_webhooks.document_keys() is 'The keys of what filters and transforms see of an event (document_of).';
