import type { EffectInsert, EffectSink, JsonObject } from '#kernel/effects.ts';
import { jsonParameter, textParameter } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { errors } from './errors.ts';

const fail = raiser('audit', errors);

/** One audit entry as the application writes it. */
export interface AuditEntry {
  /** What happened, past tense: `order.created`. At most 200 characters. */
  action: string;
  /** Kind of thing it happened to: `order`. */
  entityType?: string | undefined;
  /** Its id in the application. */
  entityId?: string | undefined;
  /** State before and after; the difference is computed when it is read. */
  before?: JsonObject | null | undefined;
  after?: JsonObject | null | undefined;
  /** Entry that this one is a part of. */
  parentId?: string | undefined;
  /** `gdpr`, `soc2`, `pci`, ... */
  complianceFlags?: readonly string[] | undefined;
  /** Default `info`. */
  severity?: 'info' | 'warning' | 'critical' | undefined;
  /** Default: the reason of the transaction context. */
  reason?: string | undefined;
  metadata?: JsonObject | undefined;
}

/** `tx.audit`: entries are written with the transaction, or not at all. */
export const auditEffects = (sink: EffectSink) => ({
  /** Records one entry and returns its id at once; the row is written before COMMIT. */
  record(entry: AuditEntry): string {
    if (entry.entityId !== undefined && entry.entityType === undefined)
      throw fail('entry_invalid', { message: `The audit entry ${JSON.stringify(entry.action)} has an entity id and no entity type` });
    for (const state of [entry.before, entry.after])
      if (Array.isArray(state) || (typeof state !== 'object' && state !== undefined))
        throw fail('entry_invalid', { message: `The state before or after in the audit entry ${JSON.stringify(entry.action)} is no object` });
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

/** The same row as write_effects writes, without a JSON document in between. */
export const auditInsert: EffectInsert = {
  text: `insert into plinth_audit.entries (tenant_id, id, action, entity_type, entity_id, actor_type, actor_id, before, after, parent_id,
    severity, reason, ip, user_agent, metadata, correlation_id, causation_id, request_id)
    values ($1::uuid, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::text, $8::jsonb, $9::jsonb, $10::uuid,
    coalesce($11::text, 'info'), $12::text, $13::text, $14::text, $15::jsonb, $16::uuid, $17::uuid, $18::text)`,
  values(row, context) {
    // Without a tenant write_effects says what is missing; flags are rare and would need the text form of an array.
    if (!context.tenantId || row.compliance_flags) return undefined;
    const { tenantId, actor, correlationId } = context;
    return [
      tenantId,
      textParameter(row.id),
      textParameter(row.action),
      textParameter(row.entity_type),
      textParameter(row.entity_id),
      actor.type,
      actor.id,
      jsonParameter(row.before),
      jsonParameter(row.after),
      textParameter(row.parent_id),
      textParameter(row.severity),
      textParameter(row.reason ?? (context.reason || null)),
      context.ip || null,
      context.userAgent || null,
      jsonParameter(row.metadata),
      correlationId,
      context.causationId || null,
      context.requestId || null,
    ];
  },
};
