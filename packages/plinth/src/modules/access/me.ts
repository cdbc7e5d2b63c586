import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';

/** Who the server takes the caller for: what a client asks first, and a person asks when something is forbidden. */
export const me = procedure({ rest: 'GET /me', permission: undefined, tenant: false, records: false, summary: 'Who the credential stands for' })
  .output(
    z.object({
      actor: z.object({ type: z.enum(['user', 'service', 'system', 'operator', 'api_key']), id: z.string() }),
      tenant: z.object({ id: z.uuid(), slug: z.string(), name: z.string(), status: z.string() }).nullable(),
      roles: z.array(z.string()),
      scopes: z.array(z.string()),
      operator: z.boolean(),
    }),
  )
  .query(async ({ ctx }) => {
    const { principal, tx } = ctx;
    const [tenant] = principal.tenantId
      ? await tx.query<{ id: string; slug: string; name: string; status: string }>('select id, slug, name, status from plinth_kernel.tenants where id = $1', [principal.tenantId])
      : [];
    return { actor: principal.actor, tenant: tenant ?? null, roles: [...principal.roles], scopes: [...principal.scopes], operator: principal.operator };
  });
