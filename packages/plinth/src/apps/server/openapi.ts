import type { AnyRouter } from '@trpc/server';
import { generateOpenApiDocument } from 'trpc-to-openapi';
import type { Json, Operation } from './openapi-own.ts';
import { ownPaths, withoutKey } from './openapi-own.ts';
import { VERSION } from './version.ts';

const problemSchema = {
  type: 'object',
  description: 'Every failure, as RFC 9457 problem details',
  required: ['type', 'title', 'status', 'detail', 'code', 'way_out'],
  properties: {
    type: { type: 'string', description: 'Address of the page that explains the code' },
    title: { type: 'string', description: 'What is wrong' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'What is wrong and what to do about it' },
    code: { type: 'string', description: 'Name in the catalogue; stable, made for programs' },
    way_out: { type: 'string', description: 'What to do about it' },
    correlation_id: { type: 'string', format: 'uuid' },
  },
  additionalProperties: true,
};

const header = (name: string, description: string, schema: Json = { type: 'string' }): Json => ({ name, in: 'header', required: false, description, schema });

const PARAMETERS: Record<string, Json> = {
  Tenant: header('X-Plinth-Tenant', 'Tenant to work in; only with operator keys', { type: 'string', format: 'uuid' }),
  Reason: header('X-Plinth-Reason', 'Why an operator looks at records of tenants; recorded. Percent-encoded where it is not ASCII', {
    type: 'string',
    maxLength: 500,
  }),
  CorrelationId: header(
    'X-Correlation-Id',
    'Ties everything that this call causes together; a UUID or 32 hexadecimal digits. Default: the trace id of traceparent, else a new one',
  ),
  IdempotencyKey: header('Idempotency-Key', 'Makes the call safe to repeat: the same key and body are done once', {
    type: 'string',
    minLength: 1,
    maxLength: 255,
  }),
};

const problemAnswer = (description: string): Json => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

/** Answers that any call may get, in place of what the generator guesses. */
function answersOf(given: Readonly<Record<string, unknown>>, mutating: boolean): Json {
  return {
    ...Object.fromEntries(Object.entries(given).filter(([status]) => /^[23]/.test(status))),
    '400': problemAnswer('The input is not valid'),
    '401': problemAnswer('No valid credential'),
    '403': problemAnswer('The credential does not allow this'),
    '404': problemAnswer('There is no such thing in this tenant'),
    ...(mutating
      ? {
          '409': problemAnswer('It conflicts with what is stored, or the same call is still running'),
          '413': problemAnswer('The body is too large'),
          '422': problemAnswer('What was asked for cannot be done, or the idempotency key belongs to another call'),
        }
      : {}),
    default: problemAnswer('Any other failure'),
  };
}

const ref = (kind: string): Json => ({ $ref: `#/components/parameters/${kind}` });

function completed(address: string, method: string, operation: Operation): Operation {
  const mutating = method !== 'get' && method !== 'head';
  const shared = ['Tenant', 'Reason', 'CorrelationId', ...(mutating && !withoutKey(address) ? ['IdempotencyKey'] : [])].map(ref);
  return { ...operation, parameters: [...(operation.parameters ?? []), ...shared], responses: answersOf(operation.responses ?? {}, mutating) };
}

/** The REST API as OpenAPI 3.1, from the same procedures that answer it. */
export function openApiDocument(router: AnyRouter): Json {
  const made = generateOpenApiDocument(router as Parameters<typeof generateOpenApiDocument>[0], {
    title: 'Plinth',
    description: "Audit log, events, webhooks, jobs and the rest of a back end's system layer. The same procedures answer at /api/trpc.",
    version: VERSION,
    baseUrl: '/api/v1',
    openApiVersion: '3.1.0',
    securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API key (plk_...) or a JWT' } },
  }) as unknown as Json & { paths: Record<string, Record<string, Operation>>; components: Json };
  const entries = Object.entries({ ...made.paths, ...ownPaths() }).sort(([a], [b]) => a.localeCompare(b));
  const paths = Object.fromEntries(
    entries.map(([address, operations]) => [
      address,
      Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, completed(address, method, operation)])),
    ]),
  );
  return withoutGuesses({
    ...made,
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    paths,
    components: { ...made.components, schemas: { ...namedSchemas(made.components), Problem: problemSchema }, parameters: PARAMETERS },
  });
}

/** Named schemas of the procedures, without those that the generator makes for the errors it guesses. */
const namedSchemas = (components: Json): Json =>
  Object.fromEntries(Object.entries((components.schemas ?? {}) as Json).filter(([name]) => !name.startsWith('error.')));

/**
 * What zod's JSON Schema says that a reader does not need (the dialect in every schema, the pattern beside the format of a uuid), and what it
 * does not say: moments are RFC 3339 texts. By the rule of the house their fields are called `..._at`, `...At` or `at`.
 */
const withoutGuesses = (document: Json): Json =>
  JSON.parse(
    JSON.stringify(document, (key, value: unknown) => {
      if (key === '$schema') return undefined;
      if (value === null || typeof value !== 'object') return value;
      const schema = value as { type?: unknown; format?: unknown; pattern?: unknown };
      if (schema.format === 'uuid' || schema.format === 'date-time') return { ...schema, pattern: undefined };
      const isText = schema.type === 'string' || (Array.isArray(schema.type) && schema.type.includes('string'));
      return isText && schema.format === undefined && /(^|_)at$|[a-z]At$/.test(key) ? { ...schema, format: 'date-time' } : schema;
    }),
  ) as Json;
