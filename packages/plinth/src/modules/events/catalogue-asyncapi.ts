import type { Catalogue, CatalogueType } from './catalogue.ts';
import { categoryOf, exampleMessage, messageSchema, placedSchema, sentencesOf, WEBHOOK_HEADERS } from './catalogue.ts';

type Json = Record<string, unknown>;

const byName = (catalogue: Catalogue, make: (type: CatalogueType) => Json): Json => Object.fromEntries(catalogue.types.map((type) => [type.name, make(type)]));

const described = (type: CatalogueType): Json => {
  const description = sentencesOf(type);
  return description === undefined ? {} : { description };
};

/** The dialect of the types. Without it a tool would read a schema as AsyncAPI's own, which is draft 07. */
const inDialect = (schema: Json): Json => ({ schemaFormat: 'application/schema+json;version=draft-2020-12', schema });
const placeOf = (type: CatalogueType): string => `#/components/schemas/${type.name}/schema`;

const message = (type: CatalogueType): Json => ({
  name: type.name,
  title: type.name,
  ...described(type),
  contentType: 'application/json',
  traits: [{ $ref: '#/components/messageTraits/webhook' }],
  payload: inDialect(messageSchema(type, placeOf(type))),
  ...(type.examples.length === 0
    ? {}
    : { examples: type.examples.map((data, index) => ({ name: `example-${index + 1}`, payload: exampleMessage(type, data) })) }),
  'x-version': type.version,
  'x-compatibility': type.compatibility,
  'x-visibility': type.visibility,
  ...(type.deprecation === null ? {} : { 'x-deprecated': true }),
});

/**
 * The catalogue as an AsyncAPI 3.1 document: one channel, message and sending operation a type, seen from the sender. The same catalogue gives the
 * same document. Schemas say that they are JSON Schema 2020-12, the dialect of the types.
 */
export function asyncApi(catalogue: Catalogue, info: { title: string }): Json {
  return {
    asyncapi: '3.1.0',
    info: { title: info.title, version: catalogue.version },
    defaultContentType: 'application/json',
    channels: byName(catalogue, (type) => ({
      address: type.name,
      ...described(type),
      messages: { [type.name]: { $ref: `#/components/messages/${type.name}` } },
      tags: [{ name: categoryOf(type.name) }],
    })),
    operations: byName(catalogue, (type) => ({
      action: 'send',
      channel: { $ref: `#/channels/${type.name}` },
      messages: [{ $ref: `#/channels/${type.name}/messages/${type.name}` }],
    })),
    components: {
      messages: byName(catalogue, message),
      messageTraits: {
        webhook: {
          headers: {
            type: 'object',
            required: Object.keys(WEBHOOK_HEADERS),
            properties: Object.fromEntries(Object.entries(WEBHOOK_HEADERS).map(([name, { description, schema }]) => [name, { ...schema, description }])),
          },
        },
      },
      schemas: byName(catalogue, (type) => inDialect(placedSchema(type, placeOf(type)))),
    },
  };
}
