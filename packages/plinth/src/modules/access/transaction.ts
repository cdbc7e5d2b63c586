import type { AnyTransaction } from '#kernel/transaction.ts';
import type { AuditEffects } from '#modules/audit';

/** A transaction that offers audit entries; every transaction of an installation with this module does, because its card uses audit. */
export type AccessTransaction = AnyTransaction & { readonly audit: AuditEffects };

/** Tenant id that stands for the whole installation where a row must name a tenant. */
export const NO_TENANT = '00000000-0000-0000-0000-000000000000';
