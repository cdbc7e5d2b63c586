import type { AnyRouter } from '@trpc/server';
import { generateOpenApiDocument } from 'trpc-to-openapi';
import type { CallMeta } from '#kernel/rpc.ts';
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

/** Of queries only: what /realtime tells from there on is not in the answer. */
const OFFSET = header('Plinth-Offset', '?1: the answer says in Plinth-Offset from where /realtime goes on without a gap', {
  type: 'string',
  enum: ['?1', '?0'],
});

const answerHeader = (description: string, schema: Json = { type: 'string' }): Json => ({ description, schema });

const HEADERS: Record<string, Json> = {
  CorrelationId: answerHeader('Everything that the call caused is found under it at /traces/{id}', { type: 'string', format: 'uuid' }),
  Replayed: answerHeader('true: the same call was done before under this Idempotency-Key, and this was its answer'),
  Offset: answerHeader('Where /realtime goes on; only when it was asked for'),
  RetryAfter: answerHeader('Seconds to wait before another try; with 429, 503 and where else it helps', { type: 'integer' }),
};

const headerRef = (kind: string): Json => ({ $ref: `#/components/headers/${kind}` });

const problemAnswer = (description: string): Json => ({
  description,
  headers: { 'X-Correlation-Id': headerRef('CorrelationId'), 'Retry-After': headerRef('RetryAfter') },
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

/** Failures of any call, and those of calls that change something. */
const PROBLEMS: Record<string, Json> = {
  BadRequest: problemAnswer('The input is not valid'),
  Unauthenticated: problemAnswer('No valid credential'),
  Forbidden: problemAnswer('The credential does not allow this'),
  NotFound: problemAnswer('There is no such thing in this tenant'),
  Conflict: problemAnswer('It conflicts with what is stored, or the same call is still running'),
  TooLarge: problemAnswer('The body is too large'),
  UnsupportedMediaType: problemAnswer('The body is of a type that is not taken'),
  Unprocessable: problemAnswer('What was asked for cannot be done, or the idempotency key belongs to another call'),
  Failure: problemAnswer('Any other failure: 405, 429 and 503 with Retry-After, 504 when it took too long'),
};
const ANY = { '400': 'BadRequest', '401': 'Unauthenticated', '403': 'Forbidden', '404': 'NotFound', default: 'Failure' };
const MUTATING = { ...ANY, '409': 'Conflict', '413': 'TooLarge', '415': 'UnsupportedMediaType', '422': 'Unprocessable' };

/** Answers that a call may get; the failures in place of what the generator guesses. */
function answersOf(given: Readonly<Record<string, unknown>>, mutating: boolean, headers: Json): Json {
  const good = Object.entries(given).filter(([status]) => /^[23]/.test(status));
  const bad = Object.entries(mutating ? MUTATING : ANY);
  return {
    ...Object.fromEntries(good.map(([status, answer]) => [status, { ...(answer as Json), headers }])),
    ...Object.fromEntries(bad.map(([status, name]) => [status, { $ref: `#/components/responses/${name}` }])),
  };
}

const ref = (kind: string): Json => ({ $ref: `#/components/parameters/${kind}` });

function completed(address: string, method: string, operation: Operation): Operation {
  const mutating = method !== 'get' && method !== 'head';
  const keyed = mutating && !withoutKey(address);
  const query = !mutating && isProcedure(operation);
  const shared = ['Tenant', 'Reason', 'CorrelationId', ...(keyed ? ['IdempotencyKey'] : []), ...(query ? ['Offset'] : [])].map(ref);
  const headers = {
    'X-Correlation-Id': headerRef('CorrelationId'),
    ...(keyed ? { 'Idempotency-Replayed': headerRef('Replayed') } : {}),
    ...(query ? { 'Plinth-Offset': headerRef('Offset') } : {}),
  };
  return { ...operation, parameters: [...(operation.parameters ?? []), ...shared], responses: answersOf(operation.responses ?? {}, mutating, headers) };
}

const isProcedure = ({ operationId }: Operation): boolean => typeof operationId === 'string' && operationId.startsWith('system-');

/** What the procedures ask of who calls them, by operation id: a permission as a role beside the bearer, and whether they are for operators. */
function asked(router: AnyRouter, operation: Operation): Operation {
  if (!isProcedure(operation)) return operation;
  const procedures = router._def.procedures as Record<string, { _def: { meta?: CallMeta } }>;
  const { permission, operator } = procedures[String(operation.operationId).replaceAll('-', '.')]?._def.meta ?? {};
  const description = [operation.description, operator ? 'For operator keys only; no tenant is named.' : ''].filter(Boolean).join(' ');
  return { ...operation, ...(description ? { description } : {}), ...(permission ? { security: [{ bearer: [permission] }] } : {}) };
}

/** Addresses that name a list of a card. */
const LISTED = /^\/(lists|exports)\/\{module\}/;

/** `module` and `list` of the address become what there is to choose from. */
function withLists(operation: Operation, lists: readonly ListAddress[]): Operation {
  const names = { module: [...new Set(lists.map(({ module }) => module))], list: [...new Set(lists.map(({ list }) => list))] };
  const parameters = operation.parameters?.map((one) => {
    const known = one.in === 'path' && (one.name === 'module' || one.name === 'list') ? names[one.name] : undefined;
    return known ? { ...one, schema: { type: 'string', enum: known } } : one;
  });
  const description = [operation.description, `There are ${lists.map(({ module, list }) => `${module}/${list}`).join(', ')}.`].filter(Boolean).join(' ');
  return { ...operation, description, security: [{ bearer: ['{module}.read'] }], ...(parameters ? { parameters } : {}) };
}

/** A list of a card, as its address names it. */
export interface ListAddress {
  module: string;
  list: string;
}

/** The REST API as OpenAPI 3.1, from the same procedures that answer it. */
export function openApiDocument(router: AnyRouter, lists: readonly ListAddress[]): Json {
  const made = generateOpenApiDocument(router as Parameters<typeof generateOpenApiDocument>[0], {
    title: 'Plinth',
    description: "Audit log, events, webhooks, jobs and the rest of a back end's system layer. The same procedures answer at /api/trpc.",
    version: VERSION,
    baseUrl: '/api/v1',
    openApiVersion: '3.1.0',
    securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API key (plk_...) or a JWT' } },
  }) as unknown as Json & { paths: Record<string, Record<string, Operation>>; components: Json };
  const told = (address: string, method: string, operation: Operation): Operation =>
    completed(address, method, asked(router, LISTED.test(address) ? withLists(operation, lists) : operation));
  const entries = Object.entries({ ...made.paths, ...ownPaths() }).sort(([a], [b]) => a.localeCompare(b));
  const paths = Object.fromEntries(
    entries.map(([address, operations]) => [
      address,
      Object.fromEntries(Object.entries(operations).map(([method, operation]) => [method, told(address, method, operation)])),
    ]),
  );
  return withoutGuesses({
    ...made,
    info: { ...(made.info as Json), license: { name: 'MIT', identifier: 'MIT' } },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    paths,
    components: {
      ...made.components,
      schemas: { ...namedSchemas(made.components), Problem: problemSchema },
      parameters: { ...PARAMETERS, Offset: OFFSET },
      headers: HEADERS,
      responses: PROBLEMS,
    },
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
