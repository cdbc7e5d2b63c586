/** Examples for people, made from the schemas alone. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  pattern?: string;
  enum?: unknown[];
  const?: unknown;
  examples?: unknown[];
  description?: string;
  default?: unknown;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  additionalProperties?: Schema | boolean;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
}

const FORMATS: Record<string, string> = {
  uuid: '01900000-0000-7000-8000-000000000000',
  'date-time': '2026-01-31T12:00:00Z',
  email: 'ann@example.com',
  uri: 'https://example.com/hook',
};

/** Texts that stand for most of what patterns ask for. */
const TEXTS = ['example', 'order.created', 'jobs.read', 'invoice-42', '42', '*'];

function textLike({ format, pattern, minLength = 0, maxLength = Number.POSITIVE_INFINITY }: Schema): string {
  const made = FORMATS[format ?? ''];
  if (made) return made;
  const asked = pattern === undefined ? undefined : new RegExp(pattern, 'u');
  const fitting = TEXTS.find((text) => (!asked || asked.test(text)) && text.length >= minLength && text.length <= maxLength);
  return fitting ?? 'example'.padEnd(minLength, '-').slice(0, maxLength);
}

/** A value that the schema takes, with no more in it than must be. */
export function sampleOf(schema: Schema): unknown {
  if (schema.examples) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const [option] = schema.anyOf ?? schema.oneOf ?? [];
  if (option) return sampleOf(option);
  const [type] = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? ['object']);
  if (type === 'string') return textLike(schema);
  if (type === 'integer' || type === 'number') return Math.min(Math.max(schema.minimum ?? 1, 1), schema.maximum ?? 1);
  if (type === 'boolean') return true;
  if (type === 'array') return schema.items ? [sampleOf(schema.items)] : [];
  if (type === 'null') return null;
  return Object.fromEntries((schema.required ?? []).map((name) => [name, sampleOf(schema.properties?.[name] ?? {})]));
}
