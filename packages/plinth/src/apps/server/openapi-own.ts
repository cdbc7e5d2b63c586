import { z } from 'zod';
import { FILTER_HELP } from './records-api.ts';

export type Json = Record<string, unknown>;

export interface Operation extends Json {
  parameters?: Json[];
  responses?: Record<string, unknown>;
  /** Where it is served, if not under /api/v1. */
  servers?: { url: string }[];
}

const text = (description: string, maxLength: number): Json => ({ type: 'string', maxLength, description });
const path = (name: string): Json => ({ name, in: 'path', required: true, schema: { type: 'string' } });
const query = (name: string, description: string, schema: Json = { type: 'string' }): Json => ({ name, in: 'query', description, schema });
const header = (name: string, description: string): Json => ({ name, in: 'header', description, schema: { type: 'string' } });

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

const BYTES: Json = { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } };
/** Of an operation that looks for the permission itself; roles beside a bearer are what OpenAPI 3.1 has for it. */
const asks = (permission: string): Json[] => [{ bearer: [permission] }];
const PROTOCOL = 'By the Durable Streams protocol.';

/** Reading by the Durable Streams protocol is the same wherever it is offered. */
function durableRead(operationId: string, permission: string, summary: string, names: readonly string[]): Record<'get' | 'head', Operation> {
  const shared = { tags: ['streams'], security: asks(permission) };
  return {
    get: {
      ...shared,
      operationId,
      summary,
      description: `${PROTOCOL} Stream-Next-Offset of the answer is where to go on; Stream-Up-To-Date says that there is no more now, Stream-Closed that there never will be.`,
      parameters: [
        ...names.map(path),
        query('offset', 'Stream-Next-Offset of an earlier answer; -1 for the beginning (default), now for the end'),
        query('live', 'Waits for more: for one answer (long-poll), or as Server-Sent Events', { type: 'string', enum: ['long-poll', 'sse'] }),
        query('cursor', 'Stream-Cursor of the answer before, with live'),
        header('If-None-Match', 'ETag of an earlier answer'),
      ],
      responses: {
        '200': { description: 'What follows the offset; messages of JSON as one array', ...BYTES },
        '204': { description: 'Nothing came while a long poll waited' },
        '304': { description: 'As before' },
      },
    },
    head: {
      ...shared,
      operationId: `${operationId}-head`,
      summary: `${summary}: how far it goes`,
      parameters: names.map(path),
      responses: { '200': { description: 'Headers only' } },
    },
  };
}

const streamPaths = (): Record<string, Record<string, Operation>> => ({
  '/streams/{path}': {
    ...durableRead('streams-read', 'streams.read', 'Reads a durable stream', ['path']),
    put: {
      operationId: 'streams-create',
      tags: ['streams'],
      summary: 'Creates a durable stream, with or without a beginning; or a fork of another',
      description: `${PROTOCOL} Slashes may stand in the path. The same PUT again changes nothing.`,
      security: asks('streams.write'),
      parameters: [
        path('path'),
        header('Stream-TTL', 'Seconds that it lives after it was last used'),
        header('Stream-Expires-At', 'Moment of its end, RFC 3339'),
        header('Stream-Closed', 'true: nothing may be appended'),
        header('Stream-Forked-From', 'Path of the stream whose beginning it shares'),
        header('Stream-Fork-Offset', 'Offset up to which it does; its end by default'),
      ],
      requestBody: BYTES,
      responses: { '200': { description: 'There is such a stream' }, '201': { description: 'Created' } },
    },
    post: {
      operationId: 'streams-append',
      tags: ['streams'],
      summary: 'Appends to a durable stream, or closes it',
      description: `${PROTOCOL} The three headers of a producer together make it safe to repeat.`,
      security: asks('streams.write'),
      parameters: [
        path('path'),
        header('Stream-Seq', 'Text that must sort after the one of the append before'),
        header('Stream-Closed', 'true: this is the last'),
        header('Producer-Id', 'Name of a producer'),
        header('Producer-Epoch', 'Number of its start; an older one is refused'),
        header('Producer-Seq', 'Number of the append within the start, from 0'),
      ],
      requestBody: BYTES,
      responses: { '200': { description: 'Appended for a producer' }, '204': { description: 'Appended, or was before' } },
    },
    delete: {
      operationId: 'streams-delete',
      tags: ['streams'],
      summary: 'Deletes a durable stream',
      security: asks('streams.write'),
      parameters: [path('path')],
      responses: { '204': { description: 'Deleted' } },
    },
  },
  '/durable/events/{type}/{id}': durableRead('events-durable', 'events.read', 'Reads the events of one aggregate as a durable stream', ['type', 'id']),
  '/durable/webhooks/{id}': durableRead(
    'webhooks-durable',
    'webhooks.pull',
    'Reads the messages of a webhook subscription that is pulled as a durable stream',
    ['id'],
  ),
});

const realtimePaths = (): Record<string, Record<string, Operation>> => ({
  '/realtime': {
    get: {
      operationId: 'realtime',
      tags: ['realtime'],
      summary: 'Events of the tenant as they are committed, from an offset on',
      description:
        'Server-Sent Events; with Upgrade: websocket the same frames as messages. Frames: ready, event (its id is the offset), reset (what was missed cannot be told: load the page again), alive (a comment, which moves the offset), failure.',
      security: asks('events.read'),
      servers: [{ url: '/' }],
      parameters: [
        {
          ...query('topic', 'events/<pattern> or stream/<type>/<id>; up to 100', { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 100 }),
          required: true,
        },
        query('offset', 'Plinth-Offset of the answer that the page was made from; without it only what comes from now on'),
        header('Last-Event-ID', 'Offset of the last frame that was received; goes before offset'),
      ],
      responses: { '200': { description: 'The frames', content: { 'text/event-stream': { schema: { type: 'string' } } } } },
    },
  },
});

/** Addresses that answer a repetition by means of their own, not by Idempotency-Key: producers, the cookie of a session, the message's own id. */
export const withoutKey = (address: string): boolean => ['/streams/', '/console/', '/webhooks/inbound/'].some((own) => address.startsWith(own));

/** Addresses that are no procedures: streams, and the calls that make and end the console's cookie. */
export function ownPaths(): Record<string, Record<string, Operation>> {
  return {
    '/exports/{module}/{list}': {
      get: {
        operationId: 'lists-export',
        tags: ['lists'],
        summary: 'A whole list under its filter, as a stream',
        security: asks('{module}.read'),
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
        security: asks('jobs.read'),
        parameters: [
          path('id'),
          { name: 'Last-Event-ID', in: 'header', description: 'Id of the last event that was received', schema: { type: 'string', maxLength: 40 } },
        ],
        responses: { '200': { description: 'The events', content: { 'text/event-stream': { schema: { type: 'string' } } } } },
      },
    },
    ...webhookPaths(),
    ...streamPaths(),
    ...realtimePaths(),
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
            content: { 'application/json': { schema: z.toJSONSchema(z.object({ signed_in: z.boolean() }), { target: 'draft-2020-12' }) } },
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
