import { createHash } from 'node:crypto';
import type { AnyTransaction } from '#kernel/transaction.ts';

/** The newest version of an event type, as its readers need to know it. */
export interface CatalogueType {
  name: string;
  version: number;
  schema: Record<string, unknown> | null;
  description: string | null;
  examples: unknown[];
  compatibility: 'none' | 'backward' | 'forward' | 'full';
  visibility: 'public' | 'internal';
  deprecation: string | null;
  successor: string | null;
}

export interface Catalogue {
  /** By name. */
  types: readonly CatalogueType[];
  /** Changes with the content and with nothing else. */
  version: string;
}

const MOST_TYPES = 10_000;

/**
 * The registered types of a tenant and the common ones, newest versions, in the order of their names. `internal`: also those that are not for
 * subscribers. Default false. At most 10,000.
 */
export async function readCatalogue(tx: AnyTransaction, options: { internal?: boolean } = {}): Promise<Catalogue> {
  const types = await tx.query<CatalogueType>(
    `select * from (select distinct on (name) name, version, schema, description, examples, compatibility, visibility, deprecation, successor
     from plinth.event_types where tenant_id = $1 or tenant_id is null order by name, tenant_id nulls last, version desc) as t
     where $2 or visibility = 'public' order by name collate "C" limit $3`,
    [tx.context.tenantId ?? null, options.internal ?? false, MOST_TYPES],
  );
  return catalogueOf(types);
}

export const catalogueOf = (types: readonly CatalogueType[]): Catalogue => ({
  types,
  version: createHash('sha256').update(JSON.stringify(types)).digest('hex').slice(0, 12),
});

/** `order.created` -> `order`: what documents group by. */
export const categoryOf = (name: string): string => name.split('.')[0] ?? name;

/** Sentences about a type, with what is to be known of a deprecation; undefined when there is nothing to say. */
export function sentencesOf(type: CatalogueType): string | undefined {
  const deprecation = type.deprecation === null ? [] : [`Deprecated: ${type.deprecation}`, ...(type.successor === null ? [] : [`Use ${type.successor}.`])];
  const told = [type.description ?? '', ...deprecation].filter((sentence) => sentence !== '').join(' ');
  return told === '' ? undefined : told;
}

/** The schema of a type's data at its place in a document: references into the schema lead to that place. */
export function placedSchema(type: CatalogueType, place: string): Record<string, unknown> {
  const moved = (node: unknown, depth = 0): unknown => {
    if (depth > 64 || typeof node !== 'object' || node === null) return node;
    if (Array.isArray(node)) return node.map((part) => moved(part, depth + 1));
    return Object.fromEntries(
      Object.entries(node).map(([key, part]) => [
        key,
        key === '$ref' && typeof part === 'string' && (part === '#' || part.startsWith('#/')) ? `${place}${part.slice(1)}` : moved(part, depth + 1),
      ]),
    );
  };
  const { $schema: _dialect, $id: _id, ...schema } = (moved(type.schema ?? { type: 'object' }) ?? {}) as Record<string, unknown>;
  return schema;
}

/** What a subscriber is sent, in the form of Standard Webhooks; its data are described at `place`. */
export const messageSchema = (type: CatalogueType, place: string): Record<string, unknown> => ({
  type: 'object',
  required: ['type', 'timestamp', 'data'],
  properties: {
    type: { type: 'string', const: type.name },
    timestamp: { type: 'string', format: 'date-time', description: 'When it happened' },
    data: { $ref: place },
  },
  ...(type.deprecation === null ? {} : { deprecated: true }),
});

/** An example of a type's data as a message. */
export const exampleMessage = (type: CatalogueType, data: unknown): Record<string, unknown> => ({
  type: type.name,
  timestamp: '2026-01-01T00:00:00.000000Z',
  data,
});

/** Headers of every message, by name. */
export const WEBHOOK_HEADERS: Record<string, { description: string; schema: Record<string, unknown> }> = {
  'webhook-id': { description: 'The same for every attempt at this message: what a receiver tells duplicates by', schema: { type: 'string' } },
  'webhook-timestamp': { description: 'When this attempt was made, in seconds since 1970', schema: { type: 'integer' } },
  'webhook-signature': { description: 'Signatures as Standard Webhooks defines them, separated by spaces', schema: { type: 'string' } },
};
