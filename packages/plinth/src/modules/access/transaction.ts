import { literal } from '#kernel/database.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import type { AuditEffects, AuditEntry } from '#modules/audit';

/** A transaction that offers audit entries; every transaction of an installation with this module does, because its card uses audit. */
export type AccessTransaction = AnyTransaction & { readonly audit: AuditEffects };

/** Tenant id that stands for the whole installation where a row must name a tenant. */
export const NO_TENANT = '00000000-0000-0000-0000-000000000000';

/** Writes an entry to the audit log of a tenant from a transaction that stands outside every tenant and runs as plinth_worker. */
export async function recordIn(tx: AccessTransaction, tenantId: string, entry: AuditEntry): Promise<void> {
  await tx.query('set local role plinth_app');
  await tx.query(`set local plinth.tenant_id = ${literal(tenantId)}`);
  tx.audit.record(entry);
  await tx.flush();
  await tx.query(`set local plinth.tenant_id = ''`);
  await tx.query('set local role plinth_worker');
}
