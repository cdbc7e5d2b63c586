/** Names for what generated clients make types of. */
import type { Json } from './openapi-own.ts';

/**
 * Objects with a title, in answers, become components of that name: generated clients then have one type for a record, and not another one for each
 * address. One that is called like another of a different shape stays where it is.
 */
export function withNames(document: Json): Json {
  const { schemas: given, ...components } = document.components as Json & { schemas: Json };
  const schemas = { ...given };
  const named = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(named);
    if (value === null || typeof value !== 'object') return value;
    const inner = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, named(one)]));
    const { title, ...schema } = inner;
    if (schema.type !== 'object' || typeof title !== 'string') return inner;
    schemas[title] ??= schema;
    return JSON.stringify(schemas[title]) === JSON.stringify(schema) ? { $ref: `#/components/schemas/${title}` } : inner;
  };
  const paths = Object.entries(document.paths as Record<string, Record<string, Json>>).map(([address, operations]) => [
    address,
    Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, { ...operation, responses: named(operation.responses) }])),
  ]);
  return { ...document, paths: Object.fromEntries(paths), components: { ...components, schemas } };
}

/** The tags that operations have, in order; with the sentence of the module that is called so. */
export function tagsOf(paths: Record<string, Record<string, Json>>, summaries: Readonly<Record<string, string>>): Json[] {
  const names = Object.values(paths).flatMap((operations) => Object.values(operations).flatMap(({ tags }) => (tags ?? []) as string[]));
  return [...new Set(names)].sort().map((name) => ({ name, ...(summaries[name] ? { description: summaries[name] } : {}) }));
}
