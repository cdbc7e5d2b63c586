import type { AnyRouter } from '@trpc/server';
import { generateOpenApiDocument } from 'trpc-to-openapi';
import { z } from 'zod';
import { FILTER_HELP } from './records-api.ts';
import { VERSION } from './version.ts';

type Json = Record<string, unknown>;

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
function answersOf(success: unknown, mutating: boolean): Json {
  return {
    '200': success,
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

interface Operation extends Json {
  parameters?: Json[];
  responses?: Record<string, unknown>;
}

function completed(method: string, operation: Operation): Operation {
  const mutating = method !== 'get';
  const shared = ['Tenant', 'Reason', 'CorrelationId', ...(mutating ? ['IdempotencyKey'] : [])].map(ref);
  return { ...operation, parameters: [...(operation.parameters ?? []), ...shared], responses: answersOf(operation.responses?.['200'], mutating) };
}

const text = (description: string, maxLength: number): Json => ({ type: 'string', maxLength, description });
const path = (name: string): Json => ({ name, in: 'path', required: true, schema: { type: 'string' } });

const jwksOperation = (operationId: string, names: readonly string[]): Operation => ({
  operationId,
  tags: ['webhooks'],
  summary: 'The public keys (ed25519) that sign webhooks by v1a, as a JWK set',
  description: 'Needs no credential. May be cached for five minutes; a key that was replaced stays in the set while it signs.',
  security: [],
  parameters: names.map(path),
  responses: { '200': { description: 'The keys, newest first', content: { 'application/jwk-set+json': { schema: { type: 'object' } } } } },
});

/** What those call who have no credential of ours. */
const webhookPaths = (): Record<string, Record<string, Operation>> => ({
  '/webhooks/inbound/{source}': {
    post: {
      operationId: 'webhooks-inbound',
      tags: ['webhooks'],
      summary: 'What a provider calls: a webhook that comes in, signed in the form of its source',
      description:
        'The signature of the raw body is the credential. 202: taken, and published as an event. 200: taken before. 401: not signed as it should be. 404: no such source. 409: the source is disabled; try again later.',
      security: [],
      parameters: [path('source')],
      requestBody: { required: true, content: { '*/*': { schema: { type: 'string', format: 'binary' } } } },
      responses: {
        '200': {
          description: 'Taken before',
          content: { 'application/json': { schema: { type: 'object', properties: { id: { type: 'string' }, duplicate: { type: 'boolean' } } } } },
        },
      },
    },
  },
  '/webhooks/jwks/{tenant}': { get: jwksOperation('webhooks-jwks', ['tenant']) },
  '/webhooks/jwks/{tenant}/{subscription}': { get: jwksOperation('webhooks-subscription-jwks', ['tenant', 'subscription']) },
});

/** Addresses that are no procedures: a stream, and the calls that make and end the console's cookie. */
function ownPaths(): Record<string, Record<string, Operation>> {
  return {
    '/lists/{module}/{list}/export': {
      get: {
        operationId: 'lists-export',
        tags: ['lists'],
        summary: 'A whole list under its filter, as a stream',
        security: [{ bearer: [] }],
        parameters: [
          path('module'),
          path('list'),
          { name: 'format', in: 'query', schema: { type: 'string', enum: ['csv', 'ndjson'], default: 'csv' } },
          { name: 'q', in: 'query', description: FILTER_HELP, schema: text(FILTER_HELP, 2000) },
        ],
        responses: {
          '200': {
            description: 'The records, newest first',
            content: { 'text/csv': { schema: { type: 'string' } }, 'application/x-ndjson': { schema: { type: 'string' } } },
          },
        },
      },
    },
    '/jobs/{id}/watch': {
      get: {
        operationId: 'jobs-watch',
        tags: ['jobs'],
        summary: 'Status, progress and lines of a job as they come, until it is over',
        description:
          'Server-Sent Events: status (when it changes), log (id: that of the line), end, failure. After end, a request with its Last-Event-ID is answered 204.',
        security: [{ bearer: [] }],
        parameters: [
          path('id'),
          { name: 'Last-Event-ID', in: 'header', description: 'Id of the last event that was received', schema: { type: 'string', maxLength: 40 } },
        ],
        responses: { '200': { description: 'The events', content: { 'text/event-stream': { schema: { type: 'string' } } } } },
      },
    },
    ...webhookPaths(),
    '/console/login': {
      post: {
        operationId: 'console-login',
        tags: ['console'],
        summary: 'Exchanges a one-time token or a key for the cookie of a console session',
        security: [],
        requestBody: {
          required: true,
          content: {
            'application/json': {
              schema: {
                oneOf: [
                  { type: 'object', required: ['token'], properties: { token: { type: 'string' } } },
                  { type: 'object', required: ['key'], properties: { key: { type: 'string' } } },
                ],
              },
            },
          },
        },
        responses: {
          '200': {
            description: 'Signed in',
            content: { 'application/json': { schema: z.toJSONSchema(z.object({ signedIn: z.boolean() }), { target: 'draft-2020-12' }) } },
          },
        },
      },
    },
    '/console/logout': {
      post: {
        operationId: 'console-logout',
        tags: ['console'],
        summary: 'Ends the console session',
        security: [],
        responses: { '200': { description: 'Signed out', content: { 'application/json': { schema: { type: 'object' } } } } },
      },
    },
  };
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
      Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, completed(method, operation)])),
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
