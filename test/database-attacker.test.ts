/**
 * What somebody can do who may run any SQL as plinth_app, as through an injection into the application: the rows of its tenants are theirs, but they must not become
 * the owner, a worker or whoever installs. Functions come from the catalog, so those of a module that is added later are covered without a change here.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identifier } from '../packages/plinth/src/kernel/database.ts';
import type { TestDatabase } from '../packages/plinth/src/testing/database.ts';
import { testDatabase } from '../packages/plinth/src/testing/database.ts';

let database: TestDatabase;
/** Nothing but what docs/your-application.md grants; may make temporary objects, as everybody may. */
let attacker: pg.Client;
const notices: string[] = [];
const role = `plinth_test_attacker_${process.pid}`;

beforeAll(async () => {
  database = await testDatabase('attacker');
  await database.admin.query(`create role ${role} login password 'attacker' in role plinth_app`);
  const url = new URL(database.url);
  url.username = role;
  url.password = 'attacker';
  attacker = new pg.Client({ connectionString: url.href });
  attacker.on('notice', ({ message }) => void notices.push(message ?? ''));
  await attacker.connect();
  await attacker.query(`set plinth.tenant_id = '${database.tenantA}'`);
});

afterAll(async () => {
  await attacker?.end();
  await database?.drop();
  // What it owned was in the database that is gone.
  await using cluster = await testDatabase('attacker');
  await cluster.admin.query(`drop role if exists ${role}`);
});

interface Routine {
  definer: boolean;
  call: string;
}

/** A call of every function of ours that the attacker may call, without arguments that mean anything. */
const CALLS = `
  select p.prosecdef as definer, format(case p.prokind when 'p' then 'call %s(%s)' else 'select %s(%s)' end, p.oid::regproc,
    (select string_agg(format('null::%s.%I', t.typnamespace::regnamespace, t.typname), ', ' order by a.n)
     from unnest(p.proargtypes::oid[]) with ordinality as a (type, n) join pg_catalog.pg_type t on t.oid = a.type)) as call
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname ~ '^plinth(_|$)' and p.prokind in ('f', 'p') and p.prorettype <> 'trigger'::regtype and has_function_privilege($1, p.oid, 'execute') order by 1, 2`;

/** Types that functions name. Grammar takes integer, bigint, boolean and a few more from pg_catalog, whatever there is. */
const TYPES = ['text', 'uuid', 'jsonb', 'timestamptz', 'bytea', 'name', 'oid', 'regclass', 'xid8', 'date'];

/** As a domain each, whose check tells who evaluates it. */
async function shadowTypes(): Promise<void> {
  await attacker.query(`create function pg_temp.spy(p_type pg_catalog.text) returns boolean language plpgsql as $$ begin
    if current_user <> '${role}' then raise notice 'the check of % ran as %', p_type, current_user; end if; return true; end $$`);
  for (const type of TYPES) await attacker.query(`create domain pg_temp.${identifier(type)} as pg_catalog.${identifier(type)} check (pg_temp.spy('${type}'))`);
}

const attempt = async (sql: string): Promise<unknown> => {
  await attacker.query('begin');
  const error = await attacker.query(sql).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  await attacker.query('rollback');
  return error;
};

test('no function runs code of its caller with the rights of its owner: not that of types in pg_temp, nor where those were seen by the functions below it before', async () => {
  await shadowTypes();
  const { rows } = await database.admin.query<Routine>(CALLS, [role]);
  expect(rows.filter(({ definer }) => definer).length).toBeGreaterThan(30);
  const failures: unknown[] = [];
  // Those without such rights first: a session keeps what it compiled.
  for (const { call } of rows) failures.push(await attempt(call));
  // Refused for what stands in a function, never for how it is called here.
  expect(failures.filter((error) => error instanceof pg.DatabaseError && error.position !== undefined)).toEqual([]);
  for (const call of [
    `select plinth.define_event_type('order.created', '{"type": "object", "properties": {"total": {"type": "number"}}}', p_example := '{"total": 1}')`,
    `select plinth.schedule_job('attack', '{}')`,
    `select plinth.schedule_jobs('[{"job_type": "attack"}]')`,
    `select plinth.set_job_limit(p_per := 'tenant', p_max_running := 1)`,
    `select plinth.pause_jobs(p_queue := 'default', p_reason := 'attack')`,
    `select plinth.set_delivery_limits(1)`,
  ])
    expect([call, await attempt(call)]).toEqual([call, undefined]);
  expect([...new Set(notices)].filter((notice) => notice.startsWith('the check of'))).toEqual([]);
});

test('who is the application becomes nobody else, reads no secret that it wrote, and takes nothing back that was recorded', async () => {
  const { rows: tables } = await database.admin.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'plinth_webhooks' and c.relname ~ 'secrets$|signing_keys$' or n.nspname = 'plinth_access' and c.relname in ('operator_keys', 'login_links')`,
  );
  expect(tables.length).toBeGreaterThan(4);
  const { rows: sequences } = await database.admin.query<{ name: string }>(
    `select c.oid::regclass::text as name from pg_catalog.pg_class c where c.relnamespace = 'plinth_jobs'::regnamespace and c.relkind = 'S' and c.relname <> 'job_seq'`,
  );
  expect(sequences.length).toBeGreaterThan(4);
  for (const statement of [
    ...['plinth_owner', 'plinth_worker', 'plinth_reader', 'postgres'].map((other) => `set local role ${other}`),
    ...tables.map(({ name }) => `select from ${name}`),
    'update plinth_audit.entries set action = action',
    'delete from plinth_audit.entries',
    'truncate plinth_audit.entries',
    `select from plinth_kernel.retention_sweep('audit.entries')`,
    'create function plinth.mine() returns void language sql as $$ $$',
    'create trigger mine before insert on plinth_audit.entries for each row execute function plinth_audit.refuse_change()',
    'alter table plinth_audit.entries disable row level security',
    // Where jobs of all tenants are written, and which of them workers look at.
    ...sequences.map(({ name }) => `select nextval('${name}')`),
  ])
    expect([statement, ((await attempt(statement)) as { code?: unknown } | undefined)?.code]).toEqual([statement, '42501']);
});

const NIL = '00000000-0000-0000-0000-000000000000';

test('who is the application does not act for the whole installation, whatever tenant it names', async () => {
  await attacker.query(`set plinth.tenant_id = '${NIL}'`);
  for (const [statement, code] of [
    [`select plinth.pause_jobs(p_reason := 'attack')`, 'PL403'],
    [`select plinth.set_job_limit(p_per := 'queue', p_max_running := 1, p_queue := 'default')`, 'PL403'],
    [`select plinth.set_queue_retention('default', '1 hour')`, 'PL403'],
    ['select plinth.set_delivery_limits(0.001, 1)', 'PL403'],
    [`select plinth.set_retention_policy('audit.entries', '1 day')`, 'PL403'],
    [`select plinth.reset_retention_policy('audit.entries')`, 'PL403'],
    [`select plinth.place_legal_hold('attack')`, 'PL403'],
    [`select plinth.release_legal_hold('${NIL}', 'attack')`, 'PL403'],
    [`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ('${NIL}', 'audit.entries', '1 day')`, '42501'],
    [`insert into plinth_kernel.retention_holds (tenant_id, reason) values ('${NIL}', 'attack')`, '42501'],
  ])
    expect([statement, ((await attempt(statement ?? '')) as { code?: unknown } | undefined)?.code]).toEqual([statement, code]);
  await database.admin.query(`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'audit.entries', '7 years')`, [NIL]);
  await database.admin.query(`insert into plinth_kernel.retention_holds (tenant_id, reason) values ($1, 'matter 1')`, [NIL]);
  for (const statement of [
    `update plinth_kernel.retention_policies set keep = '1 day'`,
    'delete from plinth_kernel.retention_policies',
    'update plinth_kernel.retention_holds set released_at = now()',
  ])
    expect([statement, (await attacker.query(statement)).rowCount]).toEqual([statement, 0]);
  await attacker.query(`set plinth.tenant_id = '${database.tenantA}'`);
});
