import type pg from 'pg';
import { identifier } from '../database.ts';
import { fail } from '../errors.ts';

const ROLES = ['plinth_owner', 'plinth_app', 'plinth_worker', 'plinth_reader'];

/** Roles belong to the cluster, so databases that install at the same time race for them; the loser's error is expected. */
const createRole = (role: string): string =>
  `do $$ begin if not exists (select from pg_roles where rolname = '${role}') then create role ${role} nologin; end if;
   exception when duplicate_object or unique_violation then null; end $$`;

/**
 * Lets the installing role act as the owner. A superuser may anyway. From PostgreSQL 16 on who creates a role, as CREATEROLE lets the administrators of managed servers,
 * is a member that may grant it and not become it. Inherited, because what is exposed in schema public is made by the installing role and names what is the owner's. Of two databases that install at a time one may find it done ("tuple concurrently updated").
 */
const GRANT_OWNER = `do $$ declare _by_grant boolean := current_setting('server_version_num')::int >= 160000; begin
  if not pg_has_role(current_user, 'plinth_owner', case when _by_grant then 'set' else 'member' end) then
    execute format('grant plinth_owner to %I %s', current_user, case when _by_grant then 'with inherit true, set true' end);
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

const ENCODING = 'select pg_catalog.getdatabaseencoding() as encoding';
/** Restored from a dump of the schema alone: the tables are there, and nothing that says so. */
const STRUCTURE = `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where (n.nspname, c.relname) = ('plinth_kernel', 'tenants')`;

/** Errors: kernel_database_unfit. */
export async function refuseStructure(client: pg.Client, applied: number): Promise<void> {
  if (applied > 0 || (await client.query(STRUCTURE)).rowCount === 0) return;
  throw fail('database_unfit', {
    message: 'The tables of Plinth are there, and the list of applied migrations is empty: a dump was restored without its data',
    wayOut: 'Drop schema plinth and those that begin with plinth_, and run plinth migrate up, which makes them; or restore a dump with its data.',
  });
}

const OWNERS = `select n.nspname as name, pg_catalog.pg_get_userbyid(n.nspowner) as owner from pg_catalog.pg_namespace n
  where n.nspname in ('plinth', 'plinth_kernel') and pg_catalog.pg_get_userbyid(n.nspowner) <> 'plinth_owner' order by 1`;

/** Refuses, before anything is done, a database in which Plinth cannot work. Errors: kernel_database_unfit. */
export async function refuseUnfit(client: pg.Client): Promise<void> {
  const [found] = (await client.query<{ encoding: string }>(ENCODING)).rows;
  if (found?.encoding !== 'UTF8')
    throw fail('database_unfit', {
      message: `The encoding of the database is ${found?.encoding}, not UTF8`,
      wayOut: `Make another: create database ... encoding 'UTF8' template template0.`,
    });
  const [schema] = (await client.query<{ name: string; owner: string }>(OWNERS)).rows;
  if (schema)
    throw fail('database_unfit', {
      message: `Schema ${schema.name} belongs to ${schema.owner}, not to plinth_owner`,
      wayOut: `If a dump was restored without owners, restore it again with them (no --no-owner) after the roles plinth_owner, plinth_app, plinth_worker and plinth_reader were made. If the schema is empty: alter schema ${identifier(schema.name)} owner to plinth_owner.`,
    });
}

/** Errors: kernel_forbidden, with what is to be granted, for a role that may not do what installing takes. */
async function asInstaller(client: pg.Client, statement: string): Promise<void> {
  await client.query(statement).catch(async (error: unknown) => {
    if ((error as { code?: unknown }).code !== '42501') throw error;
    const [here] = (await client.query<{ role: string; database: string }>('select current_user as role, pg_catalog.current_database() as database')).rows;
    const [role, database] = [identifier(here?.role ?? ''), identifier(here?.database ?? '')];
    throw fail('forbidden', {
      message: `Role ${here?.role} may not install Plinth: ${(error as Error).message}`,
      wayOut: `As a superuser, or as who made the roles: create role plinth_owner nologin, and plinth_app, plinth_worker, plinth_reader likewise, where they are missing; grant plinth_owner to ${role}; grant create on database ${database} to ${role}.`,
      cause: error,
    });
  });
}

/** Roles, schemas and the ledger: what must stand before the first migration. Safe to repeat. */
export async function bootstrap(client: pg.Client, schemas: readonly string[]): Promise<void> {
  for (const role of ROLES) await asInstaller(client, createRole(role));
  await asInstaller(client, GRANT_OWNER);
  for (const schema of schemas) await asInstaller(client, `create schema if not exists ${identifier(schema)} authorization plinth_owner`);
  await client.query(
    `begin; set local role plinth_owner; ${LEDGER}; comment on table plinth_kernel.migrations is 'Migrations that were applied, with checksums.'; commit`,
  );
}
