import { z } from 'zod';
import { LONGEST_TYPE } from './row.ts';

/** Types of plinth_events.own_types(): readers act on them, so that whoever may publish must not be able to. */
export const OWN_TYPES: readonly string[] = ['events.subject_erased', 'webhooks.subscription_disabled', 'webhooks.subscription_failing'];
const notOwn = (type: string): boolean => !OWN_TYPES.includes(type);

/** What events look like on the way in and out of the API. */
export const json = z.record(z.string(), z.unknown());
export const name = z.string().min(1).max(500);
export const typeName = z.string().min(1).max(LONGEST_TYPE);
// Counts larger than 2^53 do not fit a JSON number, so versions beyond it are refused on the way in and never occur on the way out.
export const version = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const expectedVersion = z.union([z.int().min(0), z.enum(['none', 'exists', 'any'])]);

export const newEvent = z.object({
  type: typeName.refine(notOwn, 'is published by Plinth itself'),
  data: json.default({}),
  causation_id: z.guid().optional(),
  schema_version: z.int().min(1).optional(),
  occurred_at: z.iso.datetime({ offset: true }).optional(),
  metadata: json.optional(),
});

export const event = z
  .object({
    id: z.guid(),
    event_type: z.string(),
    event_version: z.number().nullable(),
    aggregate_type: z.string().nullable(),
    aggregate_id: z.string().nullable(),
    version: version.nullable(),
    payload: json,
    metadata: json,
    actor_type: z.string(),
    actor_id: z.string(),
    correlation_id: z.guid().nullable(),
    causation_id: z.guid().nullable(),
    idempotency_key: z.string().nullable(),
    occurred_at: z.date(),
    created_at: z.date(),
  })
  .meta({ title: 'Event' });

/** Columns of plinth.event_store that make an `event`. */
export const COLUMNS =
  'id, event_type, event_version, aggregate_type, aggregate_id, version, payload, metadata, actor_type, actor_id, correlation_id, causation_id, idempotency_key, occurred_at, created_at';
