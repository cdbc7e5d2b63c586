import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';

const stream = z
  .object({
    path: z.string(),
    content_type: z.string(),
    tail: z.string(),
    closed: z.boolean(),
    ends_at: z.date().nullable(),
    forked_from: z.string().nullable(),
    created_at: z.date(),
  })
  .meta({ title: 'DurableStream' });

/** What the protocol has no words for; reading and writing is apps/server/mount-streams.ts. */
export const api = {
  list: procedure({
    rest: 'GET /durable-streams',
    permission: 'streams.read',
    summary: 'Durable streams whose path begins with a prefix, by path',
    description: 'Streams themselves are created, appended to and read at /api/v1/streams/{path} by the Durable Streams protocol.',
  })
    .input(
      z.object({
        prefix: z.string().max(1000).default(''),
        after: z.string().max(1000).default(''),
        limit: z.coerce.number().int().min(1).max(500).default(100),
      }),
    )
    .output(z.object({ streams: z.array(stream), next: z.string().nullable() }))
    .query(async ({ ctx, input }) => {
      const streams = await ctx.tx.query<z.infer<typeof stream>>(
        `select path, content_type, tail::text, closed, ends_at, forked_from, created_at from plinth.durable_streams
         where tenant_id = $1 and starts_with(path, $2) and path > $3 order by path limit $4`,
        [ctx.tx.context.tenantId, input.prefix, input.after, input.limit],
      );
      return { streams, next: streams.length === input.limit ? (streams.at(-1)?.path ?? null) : null };
    }),
};
