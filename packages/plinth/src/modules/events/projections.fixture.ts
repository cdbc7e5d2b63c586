/** Projections of a shop, for the tests of projections and for the process that one of them kills. */
import type { ModuleMap } from '#kernel/module.ts';
import { defineModule } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import { createKernel } from '#kernel/plinth.ts';
import type { Projection } from '#kernel/projection.ts';
import { defineProjection } from '#kernel/projection.ts';
import { modules } from '#registry';

/** Two tables of an application, with everything that a table may have besides columns. */
export const SHOP = `create schema shop; grant usage on schema shop to plinth_app, plinth_worker;
  create table shop.sorts (sort text primary key); insert into shop.sorts values ('order'), ('other');
  create table shop.totals (tenant_id uuid not null, order_id text not null, cents bigint not null check (cents >= 0), sort text not null default 'order' references shop.sorts,
    seen_at timestamptz not null default clock_timestamp(), primary key (tenant_id, order_id)) with (fillfactor = 70);
  create index totals_by_cents on shop.totals (tenant_id, cents desc);
  alter table shop.totals enable row level security; alter table shop.totals force row level security;
  create policy tenant on shop.totals using (tenant_id = (select nullif(current_setting('plinth.tenant_id', true), '')::uuid));
  create policy worker on shop.totals to plinth_worker using (true) with check (true);
  grant select, insert, update, delete on shop.totals to plinth_worker, plinth_app;
  grant select (order_id), update (cents) on shop.totals to plinth_reader;
  create function shop.touch() returns trigger language plpgsql as $$ begin return new; end $$;
  create trigger touched before update on shop.totals for each row execute function shop.touch();
  comment on table shop.totals is 'What every order is worth.';
  create table shop.counts (type text primary key, n bigint not null);
  grant select, insert, update, delete on shop.counts to plinth_worker, plinth_app`;

/** `factor` is what another revision makes otherwise. */
export const totalsOf = (revision: number, factor = 1, more: Partial<Projection> = {}): Projection =>
  defineProjection({
    summary: 'What every order is worth',
    revision,
    tables: { totals: 'shop.totals', counts: 'shop.counts' },
    types: ['order.paid'],
    uncompared: ['seen_at'],
    batchSize: 50,
    ...more,
    handle: async (tx, events, { totals, counts }) => {
      for (const event of events)
        await tx.query(
          `insert into ${totals} as t (tenant_id, order_id, cents) values ($1, $2, $3) on conflict (tenant_id, order_id) do update set cents = t.cents + excluded.cents`,
          [event.tenantId, event.data.order, Number(event.data.cents) * factor],
        );
      await tx.query(`insert into ${counts} as c (type, n) values ('order.paid', $1) on conflict (type) do update set n = c.n + excluded.n`, [events.length]);
    },
  });

/** A system with that projection on the card of a module of its own. */
export const shopOf = (url: string, projection: Projection): Plinth<ModuleMap & typeof modules> =>
  createKernel({
    modules: { ...modules, shop: defineModule({ name: 'shop', summary: 'A shop', tables: {}, uses: ['events'], projections: { totals: projection } }) },
    database: { url, max: 12 },
  }) as unknown as Plinth<ModuleMap & typeof modules>;
