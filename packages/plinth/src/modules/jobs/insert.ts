import type { EffectInsert } from '#kernel/effects.ts';
import { jsonParameter, textParameter } from '#kernel/effects.ts';

/**
 * A job that may run at once and has nothing beside its row: the row that write_effects writes, through the root of the partitions, where row
 * security sees to the tenant. A function with its owner's rights, which went past the root, took the server 50 us more. The sequence is asked by
 * a function, because a sub-select of it is a scan with a start and an end (15 us). The size of the payload was looked at when it was enqueued.
 */
export const jobInsert: EffectInsert = {
  text: `insert into plinth_jobs.jobs (tenant_id, id, run_id, kind, name, queue, priority, slot, concurrency_key, payload, max_attempts, deadline,
    actor_type, actor_id, correlation_id, causation_id)
    values ($1::uuid, $2::uuid, $2::uuid, $3::text, $4::text, coalesce($5::text, 'default'), coalesce($6::smallint, 5),
    pg_catalog.pg_sequence_last_value('plinth_jobs.open_slot'), coalesce($7::text, ''), $8::jsonb,
    $9::smallint, $10::timestamptz, $11::text, $12::text, $13::uuid, $14::uuid)`,
  values(row, context) {
    // Without a tenant write_effects says what is missing.
    if (!context.tenantId || row.more !== undefined) return undefined;
    return [
      context.tenantId,
      textParameter(row.id),
      textParameter(row.kind),
      textParameter(row.name),
      textParameter(row.queue),
      textParameter(row.priority),
      textParameter(row.concurrency_key),
      jsonParameter(row.payload),
      textParameter(row.max_attempts),
      textParameter(row.deadline),
      context.actor.type,
      context.actor.id,
      context.correlationId,
      textParameter(row.causation_id) ?? (context.causationId || null),
    ];
  },
};
