-- why: what customers subscribe to themselves must not bring them internal event types, whatever their patterns match
-- locks: a short exclusive lock on subscriptions; the new column needs no rewrite
-- breaking: no

alter table plinth_webhooks.subscriptions add column public_only boolean not null default false;
comment on column plinth_webhooks.subscriptions.public_only is 'Gets events of types that are registered and public now, whatever else the patterns match. Set for what is made or redirected in the customer portal.';
