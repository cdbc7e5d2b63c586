import { LRUCache } from 'lru-cache';
import type { Queryable } from '#kernel/database.ts';
import type { Effect, EffectCheck } from '#kernel/effects.ts';
import { jsonParameter } from '#kernel/effects.ts';
import { raiser } from '#kernel/errors.ts';
import { parseExactJson } from '#kernel/exact-json.ts';
import type { Wake } from '#kernel/wake.ts';
import { errors } from './errors.ts';
import { withinTime } from './limited.ts';
import type { Unsealed } from './personal.ts';
import { seal } from './personal.ts';
import type { PersonalField } from './personal-schema.ts';
import { personalFields } from './personal-schema.ts';
import type { SchemaCheck } from './schema.ts';
import { compileSchema } from './schema.ts';
import { costFor, FREE } from './schema-cost.ts';

const fail = raiser('events', errors);

/** Sent after a change of event types: processes forget what they know. */
export const TYPES_SIGNAL = 'events.types';

/** Longest time for which a change made in plain SQL goes unnoticed. */
const STALE_MS = 2_000;

/** What is checked of one transaction without a limit: some 50 ms at most, by `costFor`. */
const UNLIMITED = 10 ** 9;
/** Longest time for the payloads of one transaction. They are checked in one go, while nothing else happens in the process. */
const LONGEST_CHECK_MS = 1_000;

interface TypeRow {
  asked_name: string;
  asked_version: number | null;
  /** Null: only what is left of a type that was deleted, its marks. */
  version: number | null;
  schema: Record<string, unknown> | null;
  mode: 'off' | 'warn' | 'reject' | null;
  /** Versions that mark personal fields, the asked one first. */
  marked: { version: number; schema: Record<string, unknown> }[] | null;
}

interface KnownType {
  version: number | null;
  mode: TypeRow['mode'];
  /** Undefined: nothing to check. */
  check: SchemaCheck | undefined;
  /** What is encrypted. A sentence: why that cannot be known, so that nothing of the type may be written. */
  personal: readonly PersonalField[] | string;
}

const known = (row: TypeRow): KnownType => ({
  version: row.version,
  mode: row.mode,
  check: row.schema && row.mode !== 'off' ? checkOf(row, row.schema) : undefined,
  personal: personalOf(row),
});

/** A schema that was registered in SQL may be one that does not compile; then its type rejects, or warns of, every payload. */
function checkOf(row: TypeRow, schema: Record<string, unknown>): SchemaCheck {
  try {
    return compileSchema(schema);
  } catch (error) {
    const reason = `cannot be checked, because the schema of ${row.asked_name} version ${row.version} is not valid: ${(error as Error).message}`;
    return Object.assign(() => reason, { cost: FREE });
  }
}

/** What any version marks: leaving a mark out of a later one, or asking for an earlier one, opens no field. */
function personalOf({ asked_name, marked }: TypeRow): readonly PersonalField[] | string {
  const fields: PersonalField[] = [];
  for (const { version, schema } of marked ?? [])
    try {
      fields.push(...personalFields(schema));
    } catch (error) {
      return `the schema of ${asked_name} version ${version} does not tell its personal fields: ${(error as Error).message}`;
    }
  return fields;
}

/** The events of an effect: none where it only checks the version of a stream. */
const eventsOf = (effect: Effect): Effect[] => (effect.rows ?? [effect.row]).filter((row) => row.type !== undefined).map((row) => ({ ...effect, row }));

const versionOf = (effect: Effect): number | undefined => effect.row.asked_version as number | undefined;

/**
 * Checks the payloads of a transaction's events against the JSON Schemas of their types before they are written. Types are
 * remembered for 2 s, so that a busy tenant pays no query; `null` remembers that a type is not registered.
 */
export function eventsCheck(wake: Wake): EffectCheck {
  const types = new LRUCache<string, { type: KnownType | null }>({ max: 10_000, ttl: STALE_MS });
  wake.on(TYPES_SIGNAL, () => types.clear());
  return (tx, collected) => {
    const effects = collected.flatMap(eventsOf);
    const keyOf = (effect: Effect): string => `${tx.context.tenantId ?? ''} ${String(effect.row.type)} ${versionOf(effect) ?? ''}`;
    const missing = new Map<string, Effect>();
    // Kept beside the cache, whose entries may be gone again before they are used.
    const found = new Map<string, KnownType | null>();
    for (const effect of effects) {
      const entry = types.get(keyOf(effect));
      if (entry) found.set(keyOf(effect), entry.type);
      else missing.set(keyOf(effect), effect);
    }
    const judge = (): Promise<void> | undefined => {
      const unsealed = completed(effects, (effect) => found.get(keyOf(effect)) ?? null);
      return unsealed.length > 0 ? seal(tx, tx.newId, tx.context.tenantId ?? '', unsealed) : undefined;
    };
    if (missing.size === 0) return judge();
    return load(tx, [...missing.values()]).then((rows) => {
      for (const [key, effect] of missing) {
        const row = rows.find((one) => one.asked_name === effect.row.type && (one.asked_version ?? undefined) === versionOf(effect));
        const type = row ? known(row) : null;
        types.set(key, { type });
        found.set(key, type);
      }
      return judge();
    });
  };
}

const load = (tx: Queryable, effects: readonly Effect[]): Promise<TypeRow[]> =>
  tx.query<TypeRow>('select * from plinth_events.find_types($1, $2)', [
    effects.map((effect) => effect.row.type),
    effects.map((effect) => versionOf(effect) ?? null),
  ]);

/** What JSON made of a payload is what will be stored: dates are text, undefined members have vanished. Undefined: nothing is asked of it. */
const textOf = ({ row }: Effect, type: KnownType | null): string | undefined =>
  type && (type.check || type.personal.length > 0) ? (jsonParameter(row.payload) ?? 'null') : undefined;

/** Judges all events of a transaction, and returns the payloads of which fields are to be encrypted. Errors: those of `complete`. */
function completed(effects: readonly Effect[], typeOf: (effect: Effect) => KnownType | null): Unsealed[] {
  let cost = 0;
  const asked = effects.map((effect) => {
    const type = typeOf(effect);
    const text = textOf(effect, type);
    if (text !== undefined && type?.check) cost += costFor(type.check.cost, text.length);
    return { effect, type, text };
  });
  const judged = () => asked.flatMap(({ effect, type, text }, index) => complete(effect, type, { index, of: effects.length }, text) ?? []);
  return cost <= UNLIMITED ? judged() : withinTime(LONGEST_CHECK_MS, judged, tooLong);
}

const tooLong = () =>
  fail('payload_rejected', {
    message: `Checking the payloads takes longer than ${LONGEST_CHECK_MS} ms`,
    wayOut: 'Publish smaller payloads or fewer at a time, or take what is costly out of the schema: uniqueItems, patterns, references that lead back.',
  });

/**
 * Sets the type's version on the row, and a warning where the payload does not fit. Returns the payload if fields of it are to be encrypted. Errors:
 * events_payload_rejected, events_type_unknown.
 */
function complete(effect: Effect, type: KnownType | null, place: Place, text = '{}'): Unsealed | undefined {
  const { row, label } = effect;
  if ((type?.version ?? null) === null && versionOf(effect) !== undefined)
    throw fail('type_unknown', {
      message: `${placed(label, place)}: event type ${String(row.type)} has no version ${versionOf(effect)}`,
      detail: { effect: label, event_index: place.index },
    });
  if (!type) return undefined;
  if (type.version !== null) row.type_version = type.version;
  const fault = type.check?.(JSON.parse(text));
  if (fault !== undefined && type.mode === 'warn') row.warnings = [fault];
  else if (fault !== undefined) throw rejected(effect, type, place, fault);
  if (type.personal.length === 0) return undefined;
  if (typeof type.personal === 'string') throw rejected(effect, type, place, type.personal);
  const payload = parseExactJson(text) as Record<string, unknown>;
  row.payload = payload;
  return { label, fields: type.personal, payload, characters: text.length };
}

/** An append has many events, and so has a batch of CloudEvents: whoever sent them is told which. */
interface Place {
  index: number;
  of: number;
}
const placed = (label: string, { index, of }: Place): string => (of > 1 ? `${label}, event ${index + 1} of ${of}` : label);

const rejected = ({ row, label }: Effect, type: KnownType, place: Place, fault: string) =>
  fail('payload_rejected', {
    message: `${placed(label, place)}: the payload does not fit ${type.version === null ? 'the type' : `version ${type.version}`}: ${fault}`,
    detail: { effect: label, event_index: place.index, type: row.type, type_version: type.version, fault },
  });
