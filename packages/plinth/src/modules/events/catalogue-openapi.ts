import type { Catalogue, CatalogueType } from './catalogue.ts';
import { categoryOf, exampleMessage, messageSchema, placedSchema, sentencesOf, WEBHOOK_HEADERS } from './catalogue.ts';

type Json = Record<string, unknown>;

const placeOf = (type: CatalogueType): string => `#/components/schemas/${type.name}`;

function operation(type: CatalogueType): Json {
  const description = sentencesOf(type);
  return {
    operationId: type.name,
    summary: type.name,
    ...(description === undefined ? {} : { description }),
    tags: [categoryOf(type.name)],
    ...(type.deprecation === null ? {} : { deprecated: true }),
    parameters: Object.keys(WEBHOOK_HEADERS).map((name) => ({ $ref: `#/components/parameters/${name}` })),
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: messageSchema(type, placeOf(type)),
          ...(type.examples.length === 0
            ? {}
            : { examples: Object.fromEntries(type.examples.map((data, index) => [`example-${index + 1}`, { value: exampleMessage(type, data) }])) }),
        },
      },
    },
    responses: {
      '2XX': { description: 'The message was taken; its body is not read' },
      '410': { description: 'The endpoint is gone and wants no more messages' },
      '429': { description: 'Later, after the time that Retry-After names' },
      default: { description: 'The message is sent again later' },
    },
    'x-version': type.version,
    'x-compatibility': type.compatibility,
    'x-visibility': type.visibility,
  };
}

/** The catalogue as an OpenAPI 3.1 document of webhooks. The same catalogue gives the same document. */
export function openApiWebhooks(catalogue: Catalogue, info: { title: string }): Json {
  return {
    openapi: '3.1.0',
    info: { title: info.title, version: catalogue.version },
    webhooks: Object.fromEntries(catalogue.types.map((type) => [type.name, { post: operation(type) }])),
    components: {
      parameters: Object.fromEntries(
        Object.entries(WEBHOOK_HEADERS).map(([name, { description, schema }]) => [name, { name, in: 'header', required: true, description, schema }]),
      ),
      schemas: Object.fromEntries(catalogue.types.map((type) => [type.name, placedSchema(type, placeOf(type))])),
    },
  };
}
