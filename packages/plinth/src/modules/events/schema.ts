import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { LRUCache } from 'lru-cache';
import { withinTime } from './limited.ts';
import type { Cost } from './schema-cost.ts';
import { bare, costOf, LONGEST_PATTERN_INPUT, openRepetitions } from './schema-cost.ts';

export interface SchemaCheck {
  /** Says the first way in which a value does not fit, with its place, or nothing. It may take long: see `cost`. */
  (value: unknown): string | undefined;
  readonly cost: Cost;
}

/** Characters: more than the 64 KiB that the database keeps of one take as text. */
const LONGEST_SCHEMA = 131_072;
/** Compiling a schema takes some 10 ms for each of these. */
const SHORT_SCHEMA = 4_096;
const COMPILE_MS = 2_000;

/**
 * Why a schema must not be compiled, or nothing. Schemas come from tenants and run in a process that they share, so a pattern may
 * not be able to run away: no quantified groups, at most two unbounded quantifiers, no look-around or back-references,
 * and a maxLength beside it.
 */
function patternFault(pattern: unknown, maxLength: unknown): string | undefined {
  if (typeof pattern !== 'string') return 'a pattern must be text';
  const plain = bare(pattern);
  if (/\\[1-9k]|\(\?[=!<]/.test(plain)) return `the pattern ${pattern} looks around or back`;
  if (/\)[*+{]/.test(plain)) return `the pattern ${pattern} repeats a group`;
  if (openRepetitions(plain) > 2) return `the pattern ${pattern} has more than two open repetitions`;
  if (typeof maxLength !== 'number' || maxLength > LONGEST_PATTERN_INPUT)
    return `the pattern ${pattern} needs a maxLength of at most ${LONGEST_PATTERN_INPUT} beside it`;
  return undefined;
}

function schemaFaultIn(node: unknown, depth = 0): string | undefined {
  if (depth > 64) return 'it is nested more than 64 levels deep';
  if (typeof node !== 'object' || node === null) return undefined;
  if (!Array.isArray(node)) {
    const { pattern, patternProperties, maxLength, $ref } = node as Record<string, unknown>;
    if (pattern !== undefined && typeof pattern !== 'object') {
      const fault = patternFault(pattern, maxLength);
      if (fault) return fault;
    }
    if (patternProperties !== undefined) return 'patternProperties is not supported: name the properties';
    if (typeof $ref === 'string' && !$ref.startsWith('#')) return `the reference ${$ref} leads out of the schema`;
  }
  for (const part of Object.values(node)) {
    const fault = schemaFaultIn(part, depth + 1);
    if (fault) return fault;
  }
  return undefined;
}

/** By content, so that a schema that changes is another entry and nothing has to be forgotten. */
const compiled = new LRUCache<string, SchemaCheck>({ max: 500 });

/** Compiles a JSON Schema (draft 2020-12, with formats). Errors: an Error that says what is wrong with the schema. */
export function compileSchema(schema: Record<string, unknown>): SchemaCheck {
  const key = JSON.stringify(schema);
  const known = compiled.get(key);
  if (known) return known;
  if (key.length > LONGEST_SCHEMA) throw new Error(`it has ${key.length} characters, and ${LONGEST_SCHEMA} are the most`);
  const fault = schemaFaultIn(schema);
  if (fault) throw new Error(fault);
  const check =
    key.length <= SHORT_SCHEMA
      ? compiledCheck(schema)
      : withinTime(
          COMPILE_MS,
          () => compiledCheck(schema),
          () => new Error('it takes too long to compile'),
        );
  compiled.set(key, check);
  return check;
}

function compiledCheck(schema: Record<string, unknown>): SchemaCheck {
  // One instance a schema: ids of two tenants' schemas cannot meet, and an evicted schema is freed.
  const ajv = new Ajv2020({ strict: false, logger: false, ownProperties: true });
  formats.default(ajv);
  const validate = ajv.compile(schema);
  const check = (value: unknown): string | undefined => {
    if (validate(value)) return undefined;
    const [first] = validate.errors ?? [];
    return `${first?.instancePath || 'the payload'} ${first?.message ?? 'does not fit'}`;
  };
  return Object.assign(check, { cost: costOf(schema) });
}
