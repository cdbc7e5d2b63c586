import type { EffectInsert } from '#kernel/effects.ts';
import { jsonParameter, textParameter } from '#kernel/effects.ts';

/** What makes a row more than a row of the log: write_effects writes it and what stands beside it. */
const BESIDE = ['aggregate_id', 'idempotency_key', 'warnings', 'rows'] as const;

/** The row of an event that belongs to no stream and has no key, as write_effects writes it. */
export const eventInsert: EffectInsert = {
  text: `insert into plinth_events.events (tenant_id, shard, id, type, type_version, payload, metadata, actor_type, actor_id,
    correlation_id, causation_id, occurred_at)
    values ($1::uuid, plinth_kernel.shard_of($1::uuid), $2::uuid, $3::text, $4::integer, $5::jsonb, $6::jsonb, $7::text, $8::text,
    $9::uuid, $10::uuid, $11::timestamptz)`,
  values(row, context) {
    // Without a tenant write_effects says what is missing.
    if (!context.tenantId || !context.actor.id || BESIDE.some((name) => row[name] !== undefined)) return undefined;
    return [
      context.tenantId,
      textParameter(row.id),
      textParameter(row.type),
      textParameter(row.type_version),
      jsonParameter(row.payload),
      jsonParameter(row.metadata),
      context.actor.type,
      context.actor.id,
      context.correlationId,
      textParameter(row.causation_id) ?? (context.causationId || null),
      textParameter(row.occurred_at),
    ];
  },
};
