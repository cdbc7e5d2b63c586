create or replace view plinth.demo_orders with (security_invoker = true) as
select o.id, o.tenant_id, o.created_at, o.updated_at, o.number, o.customer, o.total_cents, o.currency, o.status, o.correlation_id, o.xact
from plinth_demo.orders as o;
comment on view plinth.demo_orders is 'Orders of the demo shop.';
