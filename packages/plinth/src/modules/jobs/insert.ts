import type { EffectInsert } from '#kernel/effects.ts';
import { jsonParameter, textParameter } from '#kernel/effects.ts';

/** A job that may run at once and has nothing beside its row. CALL, because the ring is written with its owner's rights. */
export const jobInsert: EffectInsert = {
  text: `call plinth_jobs.enqueue_one($1::uuid, $2::text, $3::text, $4::text, $5::smallint, $6::text, $7::jsonb, $8::smallint, $9::timestamptz,
    $10::text, $11::text, $12::uuid, $13::uuid)`,
  values(row, context) {
    // Without a tenant write_effects says what is missing.
    if (!context.tenantId || !context.actor.id || row.more !== undefined) return undefined;
    return [
      textParameter(row.id),
      textParameter(row.kind),
      textParameter(row.name),
      textParameter(row.queue),
      textParameter(row.priority),
      textParameter(row.concurrency_key),
      jsonParameter(row.payload),
      textParameter(row.max_attempts),
      row.deadline instanceof Date ? row.deadline.toISOString() : textParameter(row.deadline),
      context.actor.type,
      context.actor.id,
      context.correlationId,
      textParameter(row.causation_id) ?? (context.causationId || null),
    ];
  },
};
