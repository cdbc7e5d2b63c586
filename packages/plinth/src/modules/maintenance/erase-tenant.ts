/** All rows of a tenant that is gone, in every module's tables, deleted in small transactions; that it was done, by whom and why, is kept. */
import { z } from 'zod';
import { literal } from '#kernel/database.ts';
import { inBatches } from '#kernel/retention/engine.ts';
import type { RetentionServices } from '#kernel/retention/services.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';

export interface EraseTenantOptions {
  /** Closed, and without open legal holds. */
  tenantId: string;
  /** 1 to 1,000 characters, for the audit log. */
  reason: string;
  /** Who asks for it, for the audit log. Default: the role of the connection. */
  actorId?: string | undefined;
  /** Rows a transaction, 1 to 5,000. Default 5,000. */
  batch?: number | undefined;
}

type Counts = Record<string, number>;

export interface ErasedTenant {
  /** Rows that this run deleted, by kind. */
  erased: Counts;
  /** Rows that are there, counted up to 1,000 a kind: others hold them, or something still writes them. Empty: nothing is left, and the tenant has lost its name. */
  left: Counts;
}

type Services = Pick<RetentionServices, 'asWorker' | 'signal'>;

const NO_TENANT = '00000000-0000-0000-0000-000000000000';
/** A tenant with a hundred million rows is not counted to see that there are some. */
const MOST_COUNTED = 1_000;
/** What others held at first, or foreign keys kept, may go after the rest. */
const MOST_PASSES = 5;
/** Held by somebody; another table refers to it. */
const LATER = new Set(['55P03', '23503']);

/** How many rows of each kind belong to a tenant, counted up to `most`; without it every row is read. */
export const tenantRows = (services: Services, tenantId: string, most?: number): Promise<Counts> =>
  services.asWorker(async (tx) => {
    const rows = await tx.query<{ kind: string; row_count: string }>('select kind, row_count from plinth_kernel.retention_tenant_rows($1, $2)', [
      tenantId,
      most ?? null,
    ]);
    return Object.fromEntries(rows.map(({ kind, row_count }) => [kind, Number(row_count)]));
  });

const eraseKind = (services: Services, { tenantId, batch = 5_000 }: EraseTenantOptions, kind: string): Promise<number> =>
  inBatches(services, batch, () =>
    services
      .asWorker((tx) => tx.query<{ n: number }>('select plinth_kernel.retention_erase($1, $2, $3) as n', [tenantId, kind, batch]))
      .then(
        ([row]) => row?.n ?? 0,
        (error: unknown) => {
          if (LATER.has(String((error as { code?: unknown }).code))) return 0;
          throw error;
        },
      ),
  );

/** An entry in the audit log of the installation: that of the tenant goes. */
async function record(tx: AnyTransaction, options: EraseTenantOptions, action: string, rows?: Counts): Promise<void> {
  await tx.query('set local role plinth_app');
  await tx.query(`set local plinth.tenant_id = ${literal(NO_TENANT)}`);
  await tx.query(
    `select plinth.log_audit_event(p_actor_type => 'operator', p_actor_identifier => coalesce($1, session_user::text), p_action => $2, p_resource_type => 'tenant', p_resource_id => $3,
       p_after => $4, p_reason => $5, p_severity => 'critical')`,
    [options.actorId ?? null, action, options.tenantId, rows ? JSON.stringify({ rows }) : null, options.reason],
  );
}

/** So that the id is not given to another: the row stays, without what it said. */
const FORGET = `update plinth_kernel.tenants set name = 'erased', slug = 'erased-' || id, attributes = '{}', updated_at = clock_timestamp() where id = $1`;

/**
 * Deletes every row of a tenant that is closed, in all tables that cards name, 5,000 a transaction. Killed anywhere, it is run again and goes on. What still
 * writes for the tenant should have been stopped before; what it wrote meanwhile is told in `left`. Archives and backups are not touched.
 * Errors: kernel_tenant_kept.
 */
export async function eraseTenant(services: Services, options: EraseTenantOptions): Promise<ErasedTenant> {
  z.object({ tenantId: z.guid(), reason: z.string().trim().min(1).max(1000) }).parse(options);
  let left = await tenantRows(services, options.tenantId, MOST_COUNTED);
  await services.asWorker(async (tx) => {
    await tx.query('select plinth_kernel.retention_refuse_tenant($1)', [options.tenantId]);
    await record(tx, options, 'tenant.erasure_begun');
  });
  const erased: Counts = {};
  for (let pass = 1; pass <= MOST_PASSES && Object.keys(left).length > 0; pass++) {
    for (const kind of Object.keys(left)) {
      const rows = await eraseKind(services, options, kind);
      if (rows > 0) erased[kind] = (erased[kind] ?? 0) + rows;
    }
    left = await tenantRows(services, options.tenantId, MOST_COUNTED);
  }
  await services.asWorker(async (tx) => {
    if (Object.keys(left).length > 0) return;
    await tx.query(FORGET, [options.tenantId]);
    await record(tx, options, 'tenant.erased', erased);
  });
  return { erased, left };
}
