import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { planRetention } from '#kernel/retention/engine.ts';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { JOB_SIGNALS, SYSTEM_TENANT } from '#modules/jobs';
import { errors } from './errors.ts';
import { assertKinds } from './kinds.ts';
import { INSTALLATION } from './run-record.ts';

const fail = raiser('maintenance', errors);
const reason = z.string().min(1).max(1000);
const kind = z.string().min(1).max(200).meta({ description: 'module.table, for example audit.entries' });
const keep = z
  .string()
  .regex(/^(?:forever|[1-9]\d{0,5} (?:day|month|year)s?)$/)
  .meta({ description: '`90 days`, `18 months`, `7 years` or `forever`', examples: ['90 days'] });

const policy = z
  .object({
    id: z.guid(),
    tenant_id: z.guid(),
    kind: z.string(),
    method: z.enum(['forever', 'partition', 'delete']),
    keep: z.string(),
    retention_days: z.number().nullable(),
    archive: z.boolean(),
    source: z.enum(['module', 'installation', 'tenant']),
    reason: z.string().nullable(),
    set_by: z.string().nullable(),
    updated_at: z.date().nullable(),
  })
  .meta({ title: 'RetentionPolicy' });
type Policy = z.infer<typeof policy>;
const POLICY = `select id, tenant_id, kind, method, coalesce(keep::text, 'forever') as keep, retention_days, archive, source, reason, set_by, updated_at from plinth.retention_policies`;

const hold = z
  .object({
    id: z.guid(),
    status: z.enum(['open', 'released']),
    kind: z.string().nullable(),
    entity: z.string().nullable(),
    reason: z.string(),
    placed_by: z.string(),
    placed_at: z.date(),
    released_at: z.date().nullable(),
    released_by: z.string().nullable(),
    release_reason: z.string().nullable(),
  })
  .meta({ title: 'LegalHold' });

const run = z
  .object({
    id: z.guid(),
    task: z.string(),
    status: z.enum(['running', 'completed', 'failed', 'interrupted']),
    kinds: z.array(z.string()).nullable(),
    started_at: z.date(),
    ended_at: z.date().nullable(),
    report: z.record(z.string(), z.unknown()),
    error: z.string().nullable(),
    correlation_id: z.guid().nullable(),
  })
  .meta({ title: 'MaintenanceRun' });
type Run = z.infer<typeof run>;
const RUN = 'select id, task, status, kinds, started_at, ended_at, report, error, correlation_id from plinth_maintenance.runs';

const step = z.object({
  id: z.guid(),
  tenant_id: z.guid(),
  kind: z.string(),
  action: z.string(),
  target: z.string(),
  status: z.enum(['running', 'completed', 'failed']),
  row_count: z.number().nullable(),
  size_bytes: z.number().nullable(),
  note: z.string().nullable(),
  created_at: z.date(),
  ended_at: z.date().nullable(),
});

const planned = z
  .object({
    kind: z.string(),
    action: z.enum(['drop', 'keep', 'sweep', 'finish']),
    target: z.string(),
    tenant_id: z.guid().nullable(),
    rows: z.number().nullable(),
    bytes: z.number().nullable(),
    lower_id: z.guid(),
    upper_id: z.guid(),
    reason: z.string().nullable(),
  })
  .meta({ title: 'PlannedRemoval' });

/** Runs `body` in another tenant and role, those of the installation, and puts the operator's transaction back as it was. */
async function inTenant<T>(tx: AnyTransaction, tenantId: string, role: 'plinth_app' | 'plinth_worker', body: () => Promise<T>): Promise<T> {
  const [before] = await tx.query<{ role: string; tenant: string }>(
    `select current_user::text as role, coalesce(current_setting('plinth.tenant_id', true), '') as tenant`,
  );
  const enter = 'select set_config($1, $2, true), set_config($3, $4, true)';
  await tx.query(enter, ['role', role, 'plinth.tenant_id', tenantId]);
  const result = await body();
  await tx.query(enter, ['role', before?.role ?? 'plinth_worker', 'plinth.tenant_id', before?.tenant ?? '']);
  return result;
}

const policyOf = async (tx: AnyTransaction, tenantId: string | undefined, name: string): Promise<Policy> => {
  const [found] = await tx.query<Policy>(`${POLICY} where tenant_id = $1 and kind = $2`, [tenantId, name]);
  if (!found) throw fail('kind_unknown', { message: `There is no kind of record called ${JSON.stringify(name)}` });
  return found;
};

const setPolicy = (tx: AnyTransaction, input: { kind: string; keep: string; archive?: boolean | undefined; reason?: string | undefined }): Promise<unknown> =>
  tx.query('select plinth.set_retention_policy($1, $2::interval, $3, $4)', [
    input.kind,
    input.keep === 'forever' ? null : input.keep,
    input.archive ?? null,
    input.reason ?? null,
  ]);

const HOLDS = 'select id, status, kind, entity, reason, placed_by, placed_at, released_at, released_by, release_reason from plinth.legal_holds';
type Hold = z.infer<typeof hold>;
const holdsOf = (tx: AnyTransaction, tenantId: string | undefined): Promise<Hold[]> =>
  tx.query<Hold>(`${HOLDS} where tenant_id = $1 order by id desc limit 1000`, [tenantId]);
const placeHold = async (tx: AnyTransaction, input: { reason: string; kind?: string | undefined; entity?: string | undefined }): Promise<{ id: string }> => {
  const [placed] = await tx.query<{ id: string }>('select plinth.place_legal_hold($1, $2, $3) as id', [input.reason, input.kind ?? null, input.entity ?? null]);
  return { id: placed?.id ?? '' };
};

const holdInput = z.object({
  reason,
  kind: kind.optional(),
  entity: z.string().min(1).max(500).optional().meta({ description: 'LIKE pattern over entities: order:47%' }),
});
const policyInput = z.object({ kind, keep, reason: reason.optional() });
const released = z.object({ id: z.guid() });

const policies = {
  list: procedure({ rest: 'GET /maintenance/policies', permission: 'maintenance.read', summary: 'How long each kind of record is kept for this tenant' })
    .output(z.object({ policies: z.array(policy) }))
    .query(async ({ ctx }) => ({ policies: await ctx.tx.query<Policy>(`${POLICY} where tenant_id = $1 order by kind`, [ctx.tx.context.tenantId]) })),
  get: procedure({ rest: 'GET /maintenance/policies/{kind}', permission: 'maintenance.read', summary: 'How long one kind of record is kept for this tenant' })
    .input(z.object({ kind }))
    .output(policy)
    .query(({ ctx, input }) => policyOf(ctx.tx, ctx.tx.context.tenantId, input.kind)),
  set: procedure({
    rest: 'PUT /maintenance/policies/{kind}',
    permission: 'maintenance.admin',
    summary: 'Keeps a kind of record for another time, for this tenant',
  })
    .input(policyInput)
    .output(policy)
    .mutation(async ({ ctx, input }) => {
      await setPolicy(ctx.tx, input);
      return policyOf(ctx.tx, ctx.tx.context.tenantId, input.kind);
    }),
  reset: procedure({ rest: 'DELETE /maintenance/policies/{kind}', permission: 'maintenance.admin', summary: 'Goes back to the policy of the installation' })
    .input(z.object({ kind }))
    .output(policy)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.reset_retention_policy($1)', [input.kind]);
      return policyOf(ctx.tx, ctx.tx.context.tenantId, input.kind);
    }),
};

const holds = {
  list: procedure({ rest: 'GET /maintenance/holds', permission: 'maintenance.read', summary: 'Legal holds of this tenant, newest first, at most 1,000' })
    .output(z.object({ holds: z.array(hold) }))
    .query(async ({ ctx }) => ({ holds: await holdsOf(ctx.tx, ctx.tx.context.tenantId) })),
  place: procedure({ rest: 'POST /maintenance/holds', permission: 'maintenance.admin', summary: 'Keeps rows of this tenant whatever the policies say' })
    .input(holdInput)
    .output(released)
    .mutation(({ ctx, input }) => placeHold(ctx.tx, input)),
  release: procedure({ rest: 'POST /maintenance/holds/{id}/release', permission: 'maintenance.admin', summary: 'Ends a legal hold' })
    .input(z.object({ id: z.guid(), reason: reason.default('released in the console') }))
    .output(released)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.release_legal_hold($1, $2)', [input.id, input.reason]);
      return { id: input.id };
    }),
};

const installation = {
  setPolicy: procedure({
    rest: 'PUT /maintenance/installation/policies/{kind}',
    permission: 'maintenance.admin',
    operator: true,
    summary: 'Keeps a kind of record for another time, for every tenant without a policy of its own',
  })
    .input(policyInput.extend({ archive: z.boolean().optional() }))
    .output(policy)
    .mutation(({ ctx, input }) =>
      inTenant(ctx.tx, INSTALLATION, 'plinth_app', async () => {
        await setPolicy(ctx.tx, input);
        return policyOf(ctx.tx, INSTALLATION, input.kind);
      }),
    ),
  resetPolicy: procedure({
    rest: 'DELETE /maintenance/installation/policies/{kind}',
    permission: 'maintenance.admin',
    operator: true,
    summary: 'Goes back to the policy of the module',
  })
    .input(z.object({ kind }))
    .output(policy)
    .mutation(({ ctx, input }) =>
      inTenant(ctx.tx, INSTALLATION, 'plinth_app', async () => {
        await ctx.tx.query('select plinth.reset_retention_policy($1)', [input.kind]);
        return policyOf(ctx.tx, INSTALLATION, input.kind);
      }),
    ),
  placeHold: procedure({
    rest: 'POST /maintenance/installation/holds',
    permission: 'maintenance.admin',
    operator: true,
    summary: 'Keeps rows of every tenant whatever the policies say',
  })
    .input(holdInput)
    .output(released)
    .mutation(({ ctx, input }) => inTenant(ctx.tx, INSTALLATION, 'plinth_app', () => placeHold(ctx.tx, input))),
  releaseHold: procedure({
    rest: 'POST /maintenance/installation/holds/{id}/release',
    permission: 'maintenance.admin',
    operator: true,
    summary: 'Ends a legal hold of every tenant',
  })
    .input(z.object({ id: z.guid(), reason }))
    .output(released)
    .mutation(({ ctx, input }) =>
      inTenant(ctx.tx, INSTALLATION, 'plinth_app', async () => {
        await ctx.tx.query('select plinth.release_legal_hold($1, $2)', [input.id, input.reason]);
        return { id: input.id };
      }),
    ),
};

const runs = {
  list: procedure({
    rest: 'GET /maintenance/runs',
    permission: 'maintenance.read',
    exactJson: true,
    operator: true,
    summary: 'Runs of maintenance, newest first',
  })
    .input(z.object({ limit: z.coerce.number().int().min(1).max(1000).default(50) }))
    .output(z.object({ runs: z.array(run) }))
    .query(async ({ ctx, input }) => ({ runs: await ctx.tx.query<Run>(`${RUN} order by id desc limit $1`, [input.limit]) })),
  get: procedure({ rest: 'GET /maintenance/runs/{id}', permission: 'maintenance.read', exactJson: true, operator: true, summary: 'One run with its steps' })
    .input(z.object({ id: z.guid() }))
    .output(z.object({ run, steps: z.array(step) }))
    .query(async ({ ctx, input }) => {
      const [found] = await ctx.tx.query<Run>(`${RUN} where id = $1`, [input.id]);
      if (!found) throw fail('run_unknown', { message: `There is no run ${input.id}` });
      const steps = await ctx.tx.query<z.infer<typeof step>>(
        `select id, tenant_id, kind, action, target, status, row_count::float8, size_bytes::float8, note, created_at, ended_at from plinth_maintenance.steps where run_id = $1 order by id limit 10000`,
        [input.id],
      );
      return { run: found, steps };
    }),
  plan: procedure({
    rest: 'GET /maintenance/plan',
    permission: 'maintenance.read',
    operator: true,
    summary: 'What retention would remove now, to the row; removes nothing',
  })
    .input(z.object({ kind: kind.optional() }))
    .output(z.object({ plan: z.array(planned) }))
    .query(async ({ ctx, input }) => {
      const services = { asWorker: <T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T> => inTenant(ctx.tx, '', 'plinth_worker', () => body(ctx.tx)) };
      const kinds = input.kind === undefined ? undefined : [input.kind];
      await assertKinds(services, kinds);
      const plan = await planRetention(services, { kinds }, true);
      return { plan: plan.map(({ tenantId, lowerId, upperId, ...item }) => ({ ...item, tenant_id: tenantId, lower_id: lowerId, upper_id: upperId })) };
    }),
  start: procedure({ rest: 'POST /maintenance/runs', permission: 'maintenance.admin', operator: true, summary: 'Enqueues a task of maintenance' })
    .input(z.object({ task: z.enum(['daily', 'weekly', 'monthly', 'retention', 'premake']), kinds: z.array(kind).max(100).optional() }))
    .output(z.object({ job_id: z.guid() }))
    .mutation(async ({ ctx, input }) => {
      await assertKinds({ asWorker: (body) => body(ctx.tx) }, input.kinds);
      const [job] = await inTenant(ctx.tx, SYSTEM_TENANT, 'plinth_worker', () =>
        ctx.tx.query<{ id: string }>(
          `select plinth.schedule_job(p_job_type => 'maintenance.run', p_job_name => $1, p_payload => $2, p_unique_key => $1) as id`,
          [input.task, JSON.stringify(input)],
        ),
      );
      ctx.tx.signal(JOB_SIGNALS.enqueued);
      return { job_id: job?.id ?? '' };
    }),
};

export const api = { policies, holds, installation, runs };
