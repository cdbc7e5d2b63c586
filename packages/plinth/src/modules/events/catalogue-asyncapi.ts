import type { Catalogue, CatalogueType } from './catalogue.ts';
import { categoryOf, exampleMessage, messageSchema, placedSchema, sentencesOf, WEBHOOK_HEADERS } from './catalogue.ts';

type Json = Record<string, unknown>;

const byName = (catalogue: Catalogue, make: (type: CatalogueType) => Json): Json => Object.fromEntries(catalogue.types.map((type) => [type.name, make(type)]));

const described = (type: CatalogueType): Json => {
  const description = sentencesOf(type);
  return description === undefined ? {} : { description };
};

const message = (type: CatalogueType): Json => ({
  name: type.name,
  title: type.name,
  ...described(type),
  contentType: 'application/json',
  traits: [{ $ref: '#/components/messageTraits/webhook' }],
  payload: messageSchema(type),
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
 * same document. Schemas are in the dialect of the types (JSON Schema 2020-12); where a tool knows draft 07 only, newer words mean nothing to it.
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
      schemas: byName(catalogue, (type) => placedSchema(type, `#/components/schemas/${type.name}`)),
    },
  };
}
