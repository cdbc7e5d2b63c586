import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import type { AnyTransaction } from '#kernel/transaction.ts';
import { fail } from './errors.ts';

const READ = 'webhooks.read';
const WRITE = 'webhooks.write';

const id = z.object({ id: z.guid() });
const profile = z.enum(['standard', 'stripe', 'github', 'slack', 'generic']);
const options = z.object({
  header: z.string().max(100).optional(),
  encoding: z.enum(['hex', 'base64']).optional(),
  prefix: z.string().max(50).optional(),
  id_header: z.string().max(100).optional(),
});
const secret = z.string().min(8).max(500);
const source = z
  .object({
    id: z.guid(),
    name: z.string(),
    profile,
    options,
    tolerance_seconds: z.number().int(),
    enabled: z.boolean(),
    created_by: z.string(),
    created_at: z.string(),
    updated_at: z.string(),
  })
  .meta({ title: 'InboundSource' });

const COLUMNS = Object.keys(source.shape).join(', ');

async function sourcesOf(tx: AnyTransaction, sourceId: string | null): Promise<z.infer<typeof source>[]> {
  const sql = `select to_jsonb(s) as row from (select ${COLUMNS} from plinth.webhook_inbound_sources
    where tenant_id = plinth_kernel.tenant_id() and ($1::uuid is null or id = $1) order by id desc limit 200) s`;
  return (await tx.query<{ row: z.infer<typeof source> }>(sql, [sourceId])).map(({ row }) => row);
}

async function sourceOf(tx: AnyTransaction, sourceId: string): Promise<z.infer<typeof source>> {
  const [found] = await sourcesOf(tx, sourceId);
  if (!found) throw fail('source_not_found', { message: `There is no inbound source ${sourceId}` });
  return found;
}

const addSource = procedure({
  rest: 'POST /webhooks/sources',
  permission: WRITE,
  summary: 'Receive the webhooks of a provider',
  description: 'Give the provider the address /api/v1/webhooks/inbound/{id}. The secret is in this answer only.',
  secretFields: ['secret'],
})
  .input(
    z.object({
      name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,49}$/),
      profile,
      secret: secret.optional(),
      options: options.optional(),
      tolerance_seconds: z.number().int().min(10).max(3600).default(300),
    }),
  )
  .output(z.object({ id: z.guid(), secret: z.string().nullable() }))
  .mutation(async ({ ctx, input }) => {
    const sql = `select source_id as id, secret from plinth.add_inbound_source(p_name => $1, p_profile => $2, p_secret => $3, p_options => $4, p_tolerance => $5 * interval '1 second')`;
    const [made] = await ctx.tx.query<{ id: string; secret: string }>(sql, [
      input.name,
      input.profile,
      input.secret ?? null,
      JSON.stringify(input.options ?? {}),
      input.tolerance_seconds,
    ]);
    if (!made) throw fail('source_not_found');
    return made;
  });

const sources = procedure({ rest: 'GET /webhooks/sources', permission: READ, summary: 'Providers whose webhooks are received, at most 200' })
  .output(z.array(source))
  .query(({ ctx }) => sourcesOf(ctx.tx, null));

const getSource = procedure({ rest: 'GET /webhooks/sources/{id}', permission: READ, summary: 'One inbound source' })
  .input(id)
  .output(source)
  .query(({ ctx, input }) => sourceOf(ctx.tx, input.id));

const removeSource = procedure({ rest: 'DELETE /webhooks/sources/{id}', permission: WRITE, summary: 'Receive nothing more from a provider' })
  .input(id)
  .output(id)
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.remove_inbound_source($1)', [input.id]);
    return input;
  });

const switched = (enabled: boolean, rest: `POST /${string}`, summary: string) =>
  procedure({ rest, permission: WRITE, summary })
    .input(id)
    .output(source)
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.set_inbound_source_enabled($1, $2)', [input.id, enabled]);
      return sourceOf(ctx.tx, input.id);
    });

const enableSource = switched(true, 'POST /webhooks/sources/{id}/enable', 'Receive from this provider again');
const disableSource = switched(false, 'POST /webhooks/sources/{id}/disable', 'Answer this provider with 409, so that it tries again later');

const rotateSourceSecret = procedure({
  rest: 'POST /webhooks/sources/{id}/rotate-secret',
  permission: WRITE,
  summary: 'Another secret for an inbound source; the old one is accepted for a while',
  secretFields: ['secret'],
})
  .input(id.extend({ secret: secret.optional(), overlap_seconds: z.number().int().min(0).max(2_592_000).default(86_400) }))
  .output(z.object({ secret: z.string().nullable() }))
  .mutation(async ({ ctx, input }) => {
    const sql = `select plinth.rotate_inbound_secret($1, $2, $3 * interval '1 second') as secret`;
    const [made] = await ctx.tx.query<{ secret: string }>(sql, [input.id, input.secret ?? null, input.overlap_seconds]);
    return { secret: made?.secret ?? null };
  });

export const inboundApi = { addSource, sources, getSource, removeSource, enableSource, disableSource, rotateSourceSecret };
