import { z } from 'zod';
import type { ListCard } from '#kernel/module.ts';
import { procedure } from '#kernel/rpc.ts';

const count = z.coerce.number().int().min(0);

const projection = z
  .object({
    name: z.string(),
    kind: z.enum(['async', 'inline']),
    status: z.enum(['live', 'stale', 'replaying', 'swapping']),
    revision: z.string().nullable(),
    declared_revision: z.string(),
    rebuild_revision: z.string().nullable(),
    rebuild_handled: count.nullable(),
    live_handled: count.nullable(),
    rebuild_waiting: count.nullable().meta({ description: 'At most 1,000 of each of 8 shards are counted' }),
    error: z.string().nullable(),
    comparison: z.unknown(),
    rebuild_started_at: z.date().nullable(),
    rebuilt_at: z.date().nullable(),
    erasures: count.meta({ description: 'Data subjects that were erased since and whose personal fields the tables may hold' }),
  })
  .meta({ title: 'Projection' });
type Projection = z.infer<typeof projection>;
const PROJECTIONS = `select name, kind, status, revision, declared_revision, rebuild_revision, rebuild_handled, live_handled, rebuild_waiting, error, comparison, rebuild_started_at, rebuilt_at, erasures
  from plinth.projections`;

/** Seen and cancelled here; a rebuild is started where the owner of the tables is at hand: `plinth projections rebuild`. */
export const projectionsApi = {
  projections: procedure({
    rest: 'GET /events/projections',
    permission: 'events.read',
    exactJson: true,
    operator: true,
    summary: 'Projections, their revisions and rebuilds',
  })
    .output(z.object({ projections: z.array(projection) }))
    .query(async ({ ctx }) => ({ projections: await ctx.tx.query<Projection>(`${PROJECTIONS} order by name limit 1000`) })),

  cancelRebuild: procedure({
    rest: 'POST /events/projections/{id}/cancel',
    permission: 'events.admin',
    operator: true,
    summary: 'Stops the rebuild of a projection',
    description: 'The live tables stay as they are.',
  })
    .input(z.object({ id: z.string().min(1).max(200), reason: z.string().min(1).max(1000).default('cancelled in the console') }))
    .output(z.object({ id: z.string() }))
    .mutation(async ({ ctx, input }) => {
      await ctx.tx.query('select plinth.cancel_projection_rebuild($1, $2)', [input.id, input.reason]);
      return { id: input.id };
    }),
};

export const projectionsLists = {
  projections: {
    title: 'Projections',
    view: 'projections',
    columns: ['name', 'kind', 'status', 'revision', 'declared_revision', 'rebuild_handled', 'live_handled', 'rebuilt_at', 'erasures', 'error'],
    filters: ['name', 'kind', 'status'],
    empty: 'No projection was run yet. A module puts one on its card with defineProjection; they belong to the installation and are shown to operators.',
    actions: [{ procedure: 'cancelRebuild', label: 'Cancel the rebuild', when: { column: 'status', in: ['replaying', 'swapping'] }, danger: true }],
  },
} as const satisfies Record<string, ListCard>;
