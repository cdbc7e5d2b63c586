create or replace view plinth.webhook_public_keys with (security_invoker = true) as
select k.id, k.tenant_id, k.tenant_id as org_id, k.subscription_id, k.key_id, k.public_key, k.created_at from plinth_webhooks.public_keys as k;
comment on view plinth.webhook_public_keys is 'Public ed25519 keys of the subscriptions that sign by v1a. key_id is the kid in the JWK set. public_key is null for the seconds until the worker derived it.';
