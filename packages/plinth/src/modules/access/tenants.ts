import { z } from 'zod';
import { raiser } from '#kernel/errors.ts';
import { procedure } from '#kernel/rpc.ts';
import { errors } from './errors.ts';
import type { AccessTransaction } from './transaction.ts';
import { NO_TENANT, recordIn } from './transaction.ts';

const fail = raiser('access', errors);

const tenant = z
  .object({
    id: z.guid(),
    slug: z.string(),
    name: z.string(),
    status: z.enum(['active', 'suspended', 'closed']),
    attributes: z.record(z.string(), z.unknown()),
    created_at: z.date(),
    updated_at: z.date(),
  })
  .meta({ title: 'Tenant' });
type Tenant = z.infer<typeof tenant>;

const COLUMNS = 'id, slug, name, status, attributes, created_at, updated_at';
const slug = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, _ and -');

const list = procedure({ rest: 'GET /tenants', permission: 'tenants.read', exactJson: true, operator: true, summary: 'All tenants, newest first' })
  .input(
    z.object({
      q: z.string().max(200).default('').meta({ description: 'Only those whose slug begins with it, whose name holds it, or whose id it is' }),
      cursor: z.guid().optional(),
      limit: z.number().int().min(1).max(200).default(50),
    }),
  )
  .output(z.object({ tenants: z.array(tenant), next_cursor: z.guid().nullable() }))
  .query(async ({ ctx, input }) => {
    const tenants = await ctx.tx.query<Tenant>(
      `select ${COLUMNS} from plinth_kernel.tenants
       where ($1::uuid is null or id < $1) and ($3 = '' or starts_with(slug, $3) or position($3 in lower(name)) > 0 or id::text = $3)
       order by id desc limit $2`,
      [input.cursor ?? null, input.limit + 1, input.q.trim().toLowerCase()],
    );
    const page = tenants.slice(0, input.limit);
    return { tenants: page, next_cursor: tenants.length > input.limit ? (page.at(-1)?.id ?? null) : null };
  });

const create = procedure({ rest: 'POST /tenants', permission: 'tenants.write', exactJson: true, operator: true, summary: 'Adds a tenant' })
  .input(
    z.object({
      id: z
        .uuid()
        .refine((id) => id !== NO_TENANT, 'stands for the whole installation')
        .optional(),
      slug,
      name: z.string().min(1).max(200),
      attributes: z.record(z.string(), z.unknown()).default({}),
    }),
  )
  .output(tenant)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const [made] = await tx
      .query<Tenant>(`insert into plinth_kernel.tenants (id, slug, name, attributes) values ($1, $2, $3, $4) returning ${COLUMNS}`, [
        input.id ?? tx.newId(),
        input.slug,
        input.name,
        JSON.stringify(input.attributes),
      ])
      .catch((error: unknown) =>
        Promise.reject((error as { code?: unknown }).code === '23505' ? fail('tenant_exists', { detail: { slug: input.slug } }) : error),
      );
    if (!made) throw fail('tenant_exists');
    await recordIn(tx, made.id, { action: 'tenant.created', entityType: 'tenant', entityId: made.id, after: { slug: made.slug, name: made.name } });
    return made;
  });

const update = procedure({
  rest: 'PATCH /tenants/{id}',
  permission: 'tenants.write',
  exactJson: true,
  operator: true,
  summary: 'Renames, suspends, closes or activates a tenant',
})
  .input(
    z.object({
      id: z.guid(),
      name: z.string().min(1).max(200).optional(),
      status: z.enum(['active', 'suspended', 'closed']).optional(),
      attributes: z.record(z.string(), z.unknown()).optional(),
    }),
  )
  .output(tenant)
  .mutation(async ({ ctx, input }) => {
    const tx = ctx.tx as AccessTransaction;
    const [before] = await tx.query<Tenant>(`select ${COLUMNS} from plinth_kernel.tenants where id = $1 for update`, [input.id]);
    const [after] = await tx.query<Tenant>(
      `update plinth_kernel.tenants set name = coalesce($2, name), status = coalesce($3, status), attributes = coalesce($4, attributes), updated_at = clock_timestamp()
       where id = $1 returning ${COLUMNS}`,
      [input.id, input.name ?? null, input.status ?? null, input.attributes ? JSON.stringify(input.attributes) : null],
    );
    if (!before || !after) throw fail('tenant_unknown', { detail: { id: input.id } });
    await recordIn(tx, input.id, {
      action: 'tenant.updated',
      entityType: 'tenant',
      entityId: input.id,
      before: { name: before.name, status: before.status, attributes: before.attributes },
      after: { name: after.name, status: after.status, attributes: after.attributes },
    });
    return after;
  });

export const tenants = { list, create, update };
