import type { Context } from '#kernel/context.ts';
import type { Effect, EffectInsert } from '#kernel/effects.ts';
import { jsonParameter, textParameter } from '#kernel/effects.ts';

/** What makes a row more than a row of the log: write_effects writes it and what stands beside it. */
const BESIDE = ['idempotency_key', 'warnings'] as const;

/** Parameters 1 to 11 of both statements. */
function valuesOf(row: Effect['row'], context: Context): (string | null)[] | undefined {
  // Without a tenant write_effects says what is missing.
  if (!context.tenantId || BESIDE.some((name) => row[name] !== undefined)) return undefined;
  return [
    context.tenantId,
    textParameter(row.id),
    textParameter(row.type),
    textParameter(row.type_version),
    jsonParameter(row.payload),
    jsonParameter(row.metadata),
    context.actor.type,
    context.actor.id,
    textParameter(row.correlation_id) ?? context.correlationId,
    textParameter(row.causation_id) ?? (context.causationId || null),
    textParameter(row.occurred_at),
  ];
}

/**
 * The next event of a stream, as write_one writes it. The position is taken when the row is made, which is after the head that it is made of was
 * locked, so positions order the stream. The function is called for the rest only: a call takes 10 us.
 */
const streamInsert: Omit<EffectInsert, 'alone'> = {
  with: `head as (
      insert into plinth_events.streams as s (tenant_id, aggregate_type, aggregate_id, version, id) values ($1::uuid, $12::text, $13::text, 1, $2::uuid)
      on conflict (tenant_id, aggregate_type, aggregate_id) do update set version = s.version + 1, updated_at = pg_catalog.clock_timestamp()
      returning s.version
    )`,
  text: `insert into plinth_events.events (tenant_id, shard, id, type, type_version, payload, metadata, actor_type, actor_id,
    correlation_id, causation_id, occurred_at, aggregate_type, aggregate_id, version)
    select $1::uuid, plinth_kernel.shard_of($1::uuid), $2::uuid, $3::text, $4::integer, $5::jsonb, $6::jsonb, $7::text, $8::text,
    $9::uuid, $10::uuid, $11::timestamptz, $12::text, $13::text,
    case when h.version - 1 <> $14::bigint then plinth_events.next_version(h.version, $14::bigint, $12::text, $13::text) else h.version end
    from head as h`,
  values(row, context) {
    const values = row.type === undefined || row.aggregate_id === undefined ? undefined : valuesOf(row, context);
    return values && [...values, textParameter(row.aggregate_type), textParameter(row.aggregate_id), textParameter(row.expected_version)];
  },
};

/** The row of an event that belongs to no stream and has no key, as write_effects writes it. */
export const eventInsert: EffectInsert = {
  text: `insert into plinth_events.events (tenant_id, shard, id, type, type_version, payload, metadata, actor_type, actor_id,
    correlation_id, causation_id, occurred_at)
    values ($1::uuid, plinth_kernel.shard_of($1::uuid), $2::uuid, $3::text, $4::integer, $5::jsonb, $6::jsonb, $7::text, $8::text,
    $9::uuid, $10::uuid, $11::timestamptz)`,
  values: (row, context) => (row.aggregate_id === undefined ? valuesOf(row, context) : undefined),
  // Alone only: heads of several streams are locked in one order by write_rows.
  alone: streamInsert,
};
