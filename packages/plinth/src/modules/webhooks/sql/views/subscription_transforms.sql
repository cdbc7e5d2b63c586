create or replace view plinth.subscription_transforms with (security_invoker = true) as
select t.id, t.tenant_id, t.tenant_id as org_id, t.subscription_id, t.version, t.transform, t.created_by, t.created_at from plinth_webhooks.transforms as t;
comment on view plinth.subscription_transforms is 'Every version of the transforms of subscriptions; the last is in force. transform is null where bodies go out unchanged.';
