import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { planRetention } from '#kernel/retention/engine.ts';
import { NIL, retentionPlace, twoYearsAgo } from '#kernel/retention/retention.fixture.ts';
import type { CallContext } from '#kernel/rpc.ts';
import { createCaller, router } from '#kernel/rpc.ts';
import { testDatabase } from '#testing/database.ts';
import { errorCode } from '#testing/error-code.ts';
import { api } from './api.ts';

const database = await testDatabase('policies');
const { admin, plinth, tenantA, tenantB } = database;
const place = await retentionPlace(database);
afterAll(() => place.dispose());
beforeEach(() => place.clear());

const sql = <Row = Record<string, unknown>>(tenantId: string | undefined, text: string, values: unknown[] = []): Promise<Row[]> =>
  plinth.transaction({ tenantId, actor: { type: 'user', id: 'ada' } }, (tx) => tx.query<Row>(text, values));
const keepOf = async (tenantId: string): Promise<unknown> =>
  (await sql(tenantId, `select keep::text, source from plinth.retention_policies where kind = 'audit.entries'`))[0];
const entriesOf = (tenantId: string) =>
  sql(
    tenantId,
    `select action, entity_id, actor_id, reason, before, after from plinth.audit_logs where action like any ('{retention_policy%,legal_hold%}') order by id`,
  );

describe('in SQL', () => {
  test('a policy is set, shown and reset for one tenant, and its changes are audit entries', async () => {
    expect(await keepOf(tenantA)).toEqual({ keep: '7 years', source: 'module' });
    await sql(tenantA, `select plinth.set_retention_policy('audit.entries', '2 years', p_reason => 'contract')`);
    expect(await keepOf(tenantA)).toEqual({ keep: '2 years', source: 'tenant' });
    expect(await keepOf(tenantB)).toEqual({ keep: '7 years', source: 'module' });
    expect(await sql(tenantA, 'select retention_days, archive_enabled, source, org_id from plinth.audit_log_retention_policy')).toEqual([
      { retention_days: 731, archive_enabled: true, source: 'tenant', org_id: tenantA },
    ]);
    expect(await sql(tenantA, `select plinth.reset_retention_policy('audit.entries') as gone`)).toEqual([{ gone: true }]);
    expect(await sql(tenantA, `select plinth.reset_retention_policy('audit.entries') as gone`)).toEqual([{ gone: false }]);
    expect(await keepOf(tenantA)).toEqual({ keep: '7 years', source: 'module' });
    expect(await entriesOf(tenantA)).toMatchObject([
      {
        action: 'retention_policy.set',
        entity_id: 'audit.entries',
        actor_id: 'ada',
        reason: 'contract',
        before: { keep: '7 years' },
        after: { keep: '2 years' },
      },
      { action: 'retention_policy.reset', before: { keep: '2 years' }, after: { keep: '7 years' } },
    ]);
    expect(await entriesOf(tenantB)).toEqual([]);
  });

  test('that of the installation holds for every tenant without one of its own', async () => {
    await sql(NIL, `select plinth.set_retention_policy('audit.entries', '3 years', true)`);
    await sql(tenantB, `select plinth.set_retention_policy('audit.entries')`);
    expect(await keepOf(tenantA)).toEqual({ keep: '3 years', source: 'installation' });
    expect(await keepOf(tenantB)).toEqual({ keep: null, source: 'tenant' });
    const all = await plinth.asReader({}, (tx) =>
      tx.query(`select tenant_id, keep::text from plinth.retention_policies where kind = 'audit.entries' order by tenant_id`),
    );
    expect(all).toEqual([
      { tenant_id: NIL, keep: '3 years' },
      { tenant_id: tenantB, keep: null },
    ]);
  });

  test('a tenant can neither see nor change what belongs to another, or to the installation', async () => {
    await sql(NIL, `select plinth.set_retention_policy('audit.entries', '3 years')`);
    await sql(tenantA, `select plinth.place_legal_hold('matter 9')`);
    const [hold] = await sql<{ id: string }>(tenantA, 'select id from plinth.legal_holds');
    expect(await sql(tenantB, 'select 1 from plinth.legal_holds')).toEqual([]);
    await expect(sql(tenantB, `select plinth.release_legal_hold($1, 'mine now')`, [hold?.id])).rejects.toMatchObject({
      code: 'maintenance_hold_unknown',
      status: 404,
    });
    expect(await sql(tenantB, `delete from plinth_kernel.retention_policies returning 1`)).toEqual([]);
    expect(await sql(tenantB, `update plinth_kernel.retention_holds set released_at = now() returning 1`)).toEqual([]);
    await expect(
      sql(tenantB, `insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'audit.entries', '1 day')`, [tenantA]),
    ).rejects.toMatchObject({ code: '42501' });
    await expect(
      sql(tenantB, `insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'audit.entries', '1 day')`, [NIL]),
    ).rejects.toMatchObject({ code: '42501' });
    await sql(tenantA, `select plinth.release_legal_hold($1, 'settled')`, [hold?.id]);
    expect(await sql(tenantA, 'select status, release_reason, released_by from plinth.legal_holds')).toEqual([
      { status: 'released', release_reason: 'settled', released_by: 'ada' },
    ]);
    expect((await entriesOf(tenantA)).map((entry) => entry.action)).toEqual(['legal_hold.placed', 'legal_hold.released']);
  });

  test.each([
    [`set_retention_policy('audit.nothing', '1 year')`, 'maintenance_kind_unknown'],
    [`set_retention_policy(null, '1 year')`, 'maintenance_kind_unknown'],
    [`set_retention_policy('events.streams', '1 year')`, 'maintenance_policy_fixed'],
    [`set_retention_policy('maintenance.runs', '1 year')`, 'maintenance_policy_fixed'],
    [`set_retention_policy('audit.entries', '1 year', false)`, 'maintenance_policy_fixed'],
    [`set_retention_policy('audit.entries', '23 hours')`, 'maintenance_keep_too_short'],
    [`set_retention_policy('audit.entries', '-1 year')`, 'maintenance_keep_too_short'],
    [`set_retention_policy('audit.entries', '1000 years 1 day')`, 'maintenance_keep_too_long'],
    [`set_retention_policy('audit.entries', '999999 years')`, 'maintenance_keep_too_long'],
    [`reset_retention_policy('audit.nothing')`, 'maintenance_kind_unknown'],
    [`place_legal_hold('')`, 'maintenance_hold_invalid'],
    [`place_legal_hold(null)`, 'maintenance_hold_invalid'],
    [`place_legal_hold('m', 'audit.nothing')`, 'maintenance_kind_unknown'],
    [`place_legal_hold('m', 'audit.entries', 'order:\\')`, 'maintenance_hold_invalid'],
    [`place_legal_hold('m', null, '\\\\\\')`, 'maintenance_hold_invalid'],
    [`place_legal_hold('m', 'idempotency.keys', 'order:1')`, 'maintenance_hold_invalid'],
    [`release_legal_hold('00000000-0000-0000-0000-000000000001', 'r')`, 'maintenance_hold_unknown'],
    [`release_legal_hold('00000000-0000-0000-0000-000000000001', ' ')`, 'maintenance_hold_invalid'],
  ])('%s is refused with %s, and nothing is written', async (call, code) => {
    await expect(sql(tenantA, `select plinth.${call}`)).rejects.toMatchObject({ code });
    expect(
      (
        await admin.query(
          'select 1 from plinth_kernel.retention_policies union all select 1 from plinth_kernel.retention_holds union all select 1 from plinth_audit.entries',
        )
      ).rowCount,
    ).toBe(0);
  });

  test('what a tenant sets cannot stop the retention of the others, also not past the functions', async () => {
    await place.makeMonth(twoYearsAgo);
    await place.addEntries(tenantA, twoYearsAgo, 3);
    await place.addEntries(tenantB, twoYearsAgo, 3);
    await sql(NIL, `select plinth.set_retention_policy('audit.entries', '1 year', false)`);
    const past = (text: string) => sql(tenantB, text, [tenantB]);
    await expect(past(`insert into plinth_kernel.retention_policies (tenant_id, kind, keep) values ($1, 'audit.entries', '9999 years')`)).rejects.toMatchObject(
      {
        code: '23514',
      },
    );
    await expect(past(`insert into plinth_kernel.retention_holds (tenant_id, entity, reason) values ($1, 'order:\\', 'm')`)).rejects.toMatchObject({
      code: '23514',
    });
    await sql(tenantB, `select plinth.set_retention_policy('audit.entries', '1000 years')`);
    await sql(tenantB, `select plinth.place_legal_hold('m', 'audit.entries', 'order:\\\\')`);
    const plan = await planRetention(place.services(), { kinds: ['audit.entries'] }, true);
    expect(plan.map(({ action, tenantId, rows }) => [action, tenantId, rows])).toEqual([
      ['keep', null, 6],
      ['sweep', tenantA, 3],
    ]);
  });

  test('without a tenant nothing is set', async () => {
    await expect(sql(undefined, `select plinth.set_retention_policy('audit.entries', '1 year')`)).rejects.toMatchObject({ code: 'kernel_tenant_required' });
  });
});

/** Opens transactions as the server does: a tenant's as plinth_app, an operator's outside tenants as plinth_reader and plinth_worker. */
const caller = (who: { tenantId?: string; operator?: boolean }, scopes = ['maintenance.*']) => {
  const { tenantId, operator = false } = who;
  const actor = { type: operator ? 'operator' : 'user', id: 'ada' } as const;
  const context: CallContext = {
    principal: { actor, tenantId, roles: [], scopes, operator },
    correlationId: plinth.newId(),
    adapters: {},
    run: (call, body) => {
      if (!operator) return plinth.transaction({ tenantId, actor, readOnly: call.type === 'query' }, body);
      return call.type === 'query' ? plinth.asReader({ actor }, body) : plinth.asWorker({ actor }, body);
    },
  };
  return createCaller(router(api as never))(context) as unknown as Calls;
};
type Calls = Record<'policies' | 'holds' | 'installation' | 'runs', Record<string, (input?: unknown) => Promise<Record<string, unknown>>>>;

describe('over the API', () => {
  const a = caller({ tenantId: tenantA });
  const b = caller({ tenantId: tenantB });
  const operator = caller({ operator: true });

  test('a tenant reads, sets and resets its policies', async () => {
    expect(await a.policies.set?.({ kind: 'audit.entries', keep: '18 months', reason: 'contract' })).toMatchObject({
      kind: 'audit.entries',
      keep: '1 year 6 mons',
      source: 'tenant',
      set_by: 'ada',
    });
    expect(await a.policies.get?.({ kind: 'audit.entries' })).toMatchObject({ retention_days: 545, archive: true });
    expect(await b.policies.get?.({ kind: 'audit.entries' })).toMatchObject({ keep: '7 years', source: 'module' });
    expect(await a.policies.set?.({ kind: 'audit.entries', keep: 'forever' })).toMatchObject({ keep: 'forever', retention_days: null });
    expect(await a.policies.reset?.({ kind: 'audit.entries' })).toMatchObject({ keep: '7 years', source: 'module' });
    expect(await a.policies.list?.()).toMatchObject({
      policies: expect.arrayContaining([expect.objectContaining({ kind: 'events.streams', method: 'forever', keep: 'forever' })]),
    });
    expect(await errorCode(a.policies.get?.({ kind: 'no.such' }))).toBe('maintenance_kind_unknown');
    expect(await errorCode(a.policies.set?.({ kind: 'audit.entries', keep: '1 hour' }))).toBe('kernel_invalid_input');
    expect(await errorCode(a.policies.set?.({ kind: 'audit.entries', keep: `1 year'; drop table x; --` }))).toBe('kernel_invalid_input');
    expect(await errorCode(caller({ tenantId: tenantA }, ['maintenance.read']).policies.set?.({ kind: 'audit.entries', keep: '1 year' }))).toBe(
      'kernel_forbidden',
    );
  });

  test('a tenant places and releases holds; another cannot release them', async () => {
    const placed = await a.holds.place?.({ reason: 'matter 1', kind: 'audit.entries', entity: 'order:%' });
    expect(await a.holds.list?.()).toMatchObject({ holds: [{ id: placed?.id, status: 'open', entity: 'order:%', placed_by: 'ada' }] });
    expect(await b.holds.list?.()).toEqual({ holds: [] });
    expect(await errorCode(b.holds.release?.({ id: placed?.id, reason: 'x' }))).toBe('maintenance_hold_unknown');
    await a.holds.release?.({ id: placed?.id });
    expect(await a.holds.list?.()).toMatchObject({ holds: [{ status: 'released' }] });
  });

  test('an operator sets policies and holds of the installation, in its own audit log, and the transaction stays as it was', async () => {
    expect(await operator.installation.setPolicy?.({ kind: 'audit.entries', keep: '5 years', archive: false })).toMatchObject({
      keep: '5 years',
      archive: false,
      source: 'installation',
    });
    expect(await keepOf(tenantA)).toEqual({ keep: '5 years', source: 'installation' });
    expect(await operator.installation.resetPolicy?.({ kind: 'audit.entries' })).toMatchObject({ keep: '7 years', source: 'module' });
    const hold = await operator.installation.placeHold?.({ reason: 'regulator' });
    await operator.installation.releaseHold?.({ id: hold?.id, reason: 'over' });
    expect((await entriesOf(NIL)).map((entry) => entry.action)).toEqual([
      'retention_policy.set',
      'retention_policy.reset',
      'legal_hold.placed',
      'legal_hold.released',
    ]);
    for (const call of [
      a.installation.setPolicy?.({ kind: 'audit.entries', keep: '1 day' }),
      a.installation.placeHold?.({ reason: 'x' }),
      a.runs.list?.({}),
      a.runs.plan?.({}),
      a.runs.start?.({ task: 'daily' }),
    ]) {
      expect(await errorCode(call)).toBe('kernel_operator_required');
    }
  });

  test('an operator asks what would go, starts a run, and looks at runs', async () => {
    await place.makeMonth(twoYearsAgo);
    await place.addEntries(tenantA, twoYearsAgo, 3);
    await place.setPolicy(tenantA, '1 year');
    expect(await operator.runs.plan?.({ kind: 'audit.entries' })).toMatchObject({ plan: [{ action: 'sweep', tenant_id: tenantA, rows: 3 }] });
    expect(await errorCode(operator.runs.plan?.({ kind: 'no.such' }))).toBe('maintenance_kind_unknown');
    const started = await operator.runs.start?.({ task: 'retention', kinds: ['audit.entries'] });
    const { rows } = await admin.query('select kind, payload, status from plinth_jobs.jobs where id = $1', [started?.job_id]);
    expect(rows).toEqual([{ kind: 'maintenance.run', payload: { task: 'retention', kinds: ['audit.entries'] }, status: 'pending' }]);
    expect(await operator.runs.start?.({ task: 'retention' })).toEqual(started);
    const { rows: made } = await admin.query<{ id: string }>(`insert into plinth_maintenance.runs (task, status) values ('daily', 'completed') returning id`);
    await admin.query(`insert into plinth_maintenance.steps (tenant_id, run_id, kind, action, target) values ($1, $2, 'audit.entries', 'sweep', 't')`, [
      tenantA,
      made[0]?.id,
    ]);
    expect(await operator.runs.list?.({})).toMatchObject({ runs: [{ id: made[0]?.id, task: 'daily', status: 'completed' }] });
    expect(await operator.runs.get?.({ id: made[0]?.id })).toMatchObject({ run: { id: made[0]?.id }, steps: [{ tenant_id: tenantA, action: 'sweep' }] });
    expect(await errorCode(operator.runs.get?.({ id: NIL }))).toBe('maintenance_run_unknown');
  });
});
