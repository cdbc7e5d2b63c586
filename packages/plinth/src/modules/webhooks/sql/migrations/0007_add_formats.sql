-- why: deliveries as CloudEvents, and personal fields readable where a subscription may have them
-- locks: a short exclusive lock on subscriptions and deliveries; the new columns need no rewrite
-- breaking: no; an older dispatcher sends what waits as JSON

alter table plinth_webhooks.subscriptions
  add column format text not null default 'standard' constraint format_known check (format in ('standard', 'cloudevents-structured', 'cloudevents-binary')),
  add column reveal boolean not null default false,
  add constraint pulled_has_a_body check (mode = 'push' or format <> 'cloudevents-binary');
comment on column plinth_webhooks.subscriptions.format is 'standard: {type, timestamp, data}. cloudevents-structured, cloudevents-binary: CloudEvents 1.0 by their HTTP binding.';
comment on column plinth_webhooks.subscriptions.reveal is 'Personal fields are decrypted on the way out. What is stored and logged stays encrypted.';

alter table plinth_webhooks.deliveries add column format text;
comment on column plinth_webhooks.deliveries.format is 'That of the subscription when the body was made; null: standard. The body of cloudevents-binary is a line of attributes and the data behind it.';
