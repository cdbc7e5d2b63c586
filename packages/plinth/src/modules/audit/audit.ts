import type { EffectSink } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { errors } from './errors.ts';

const fail = raiser('audit', errors);

/** One audit entry as the application writes it. */
export interface AuditEntry {
  /** What happened, past tense: `order.created`. At most 200 characters. */
  action: string;
  /** Kind of thing it happened to: `order`. */
  entityType?: string;
  /** Its id in the application. */
  entityId?: string;
  /** State before and after; the difference is computed when it is read. */
  before?: Record<string, unknown> | null;
  after?: Record<string, unknown> | null;
  /** Entry that this one is a part of. */
  parentId?: string;
  /** `gdpr`, `soc2`, `pci`, ... */
  complianceFlags?: readonly string[];
  /** Default `info`. */
  severity?: 'info' | 'warning' | 'critical';
  /** Default: the reason of the transaction context. */
  reason?: string;
  metadata?: Record<string, unknown>;
}

/** `tx.audit`: entries are written with the transaction, or not at all. */
export const auditEffects = (sink: EffectSink) => ({
  /** Records one entry and returns its id at once; the row is written before COMMIT. */
  record(entry: AuditEntry): string {
    if (entry.entityId !== undefined && entry.entityType === undefined)
      throw fail('entry_invalid', { message: `The audit entry ${JSON.stringify(entry.action)} has an entity id and no entity type` });
    const id = sink.newId();
    sink.push(`audit.record(${JSON.stringify(entry.action)})`, {
      id,
      action: entry.action,
      entity_type: entry.entityType,
      entity_id: entry.entityId,
      before: entry.before,
      after: entry.after,
      parent_id: entry.parentId,
      compliance_flags: entry.complianceFlags,
      severity: entry.severity,
      reason: entry.reason,
      metadata: entry.metadata,
    });
    return id;
  },
});

/** What `tx.audit` is, for modules that record entries themselves. */
export type AuditEffects = ReturnType<typeof auditEffects>;
