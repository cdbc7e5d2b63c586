import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';

const tenant = z.object({ id: z.guid(), slug: z.string(), name: z.string(), status: z.string() });

/** Who the server takes the caller for: what a client asks first, and a person asks when something is forbidden. */
export const me = procedure({ rest: 'GET /me', permission: undefined, tenant: false, records: false, summary: 'Who the credential stands for' })
  .output(
    z.object({
      principal: z.object({
        actor: z.object({ type: z.enum(['user', 'service', 'system', 'operator', 'api_key', 'portal']), id: z.string() }),
        tenant_id: z.guid().nullable(),
        roles: z.array(z.string()),
        scopes: z.array(z.string()),
        operator: z.boolean(),
      }),
      tenants: z.array(tenant).meta({ description: 'The tenant of the credential; for operators the 200 newest' }),
    }),
  )
  .query(async ({ ctx }) => {
    const { actor, tenantId, roles, scopes, operator } = ctx.principal;
    // Row security shows a tenant its own row and operators all.
    const tenants = await ctx.tx.query<z.infer<typeof tenant>>('select id, slug, name, status from plinth_kernel.tenants order by id desc limit 200');
    return { principal: { actor, tenant_id: tenantId ?? null, roles: [...roles], scopes: [...scopes], operator }, tenants };
  });
