import type pg from 'pg';
import { identifier } from '../database.ts';

const ROLES = ['plinth_owner', 'plinth_app', 'plinth_worker', 'plinth_reader'];

/** Roles belong to the cluster, so databases that install at the same time race for them; the loser's error is expected. */
const createRole = (role: string): string =>
  `do $$ begin if not exists (select from pg_roles where rolname = '${role}') then create role ${role} nologin; end if;
   exception when duplicate_object or unique_violation then null; end $$`;

/** Lets the installing role act as the owner. A superuser may anyway. Of two databases that install at a time one may find it done ("tuple concurrently updated"). */
const GRANT_OWNER = `do $$ begin
  if not (select rolsuper from pg_roles where rolname = current_user) and not pg_has_role(current_user, 'plinth_owner', 'member') then
    execute format('grant plinth_owner to %I', current_user);
  end if;
  exception when unique_violation or internal_error then null; end $$`;

const LEDGER = `create table if not exists plinth_kernel.migrations (
  module text not null,
  number integer not null,
  name text not null,
  checksum text not null,
  breaking boolean not null,
  applied_at timestamptz not null default clock_timestamp(),
  took_ms integer not null,
  primary key (module, number)
)`;

/** Roles, schemas and the ledger: what must stand before the first migration. Safe to repeat. */
export async function bootstrap(client: pg.Client, schemas: readonly string[]): Promise<void> {
  for (const role of ROLES) await client.query(createRole(role));
  await client.query(GRANT_OWNER);
  for (const schema of schemas) await client.query(`create schema if not exists ${identifier(schema)} authorization plinth_owner`);
  await client.query(
    `begin; set local role plinth_owner; ${LEDGER}; comment on table plinth_kernel.migrations is 'Migrations that were applied, with checksums.'; commit`,
  );
}
