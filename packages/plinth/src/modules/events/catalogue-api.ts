import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import { readCatalogue } from './catalogue.ts';
import { asyncApi } from './catalogue-asyncapi.ts';
import { openApiWebhooks } from './catalogue-openapi.ts';
import { typescriptTypes } from './catalogue-typescript.ts';
import { json } from './event-shapes.ts';

const asked = z.object({ internal: z.boolean().default(false), title: z.string().min(1).max(200).default('Events') });

/** The catalogue of event types in the languages of other tools. */
export const catalogueApi = {
  asyncApi: procedure({
    rest: 'GET /events/catalogue/asyncapi',
    permission: 'events.read',
    exactJson: true,
    summary: 'The event types as an AsyncAPI 3.1 document',
    description: 'Newest versions; internal=true also those that are not for subscribers. The same types give the same document.',
  })
    .input(asked)
    .output(json)
    .query(async ({ ctx, input }) => asyncApi(await readCatalogue(ctx.tx, input), input)),

  openApiWebhooks: procedure({
    rest: 'GET /events/catalogue/openapi',
    permission: 'events.read',
    exactJson: true,
    summary: 'The event types as webhooks of an OpenAPI 3.1 document',
    description: 'Newest versions; internal=true also those that are not for subscribers. The same types give the same document.',
  })
    .input(asked)
    .output(json)
    .query(async ({ ctx, input }) => openApiWebhooks(await readCatalogue(ctx.tx, input), input)),

  typescript: procedure({
    rest: 'GET /events/catalogue/typescript',
    permission: 'events.read',
    summary: 'The event types as a TypeScript module',
    description: 'The text of a file that declares EventData, EventType and EventMessage.',
  })
    .input(asked.omit({ title: true }))
    .output(z.object({ text: z.string() }))
    .query(async ({ ctx, input }) => ({ text: typescriptTypes(await readCatalogue(ctx.tx, input)) })),
};
