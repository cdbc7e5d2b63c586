/** Procedures of the team behind an installation: links into the customer portal. */
import { z } from 'zod';
import { procedure } from '#kernel/rpc.ts';
import { PORTAL_CAPABILITIES, PORTAL_THEMES, portalGeneration, signPortalToken } from './portal.ts';

const WRITE = 'webhooks.write';
const LONGEST_LINK_S = 7 * 86_400;

const isLocale = (text: string): boolean => {
  try {
    return Intl.getCanonicalLocales(text).length === 1;
  } catch {
    return false;
  }
};
// Anything but http and https would be a script that the page offers to click on.
const returnUrl = z.url({ protocol: /^https?$/ }).max(2000);

const createLink = procedure({
  rest: 'POST /webhooks/portal-links',
  permission: WRITE,
  summary: 'A link that opens the webhooks portal of the tenant to its customer',
  description:
    'Whoever has the link has the portal until it expires, 7 days at most, or until DELETE /webhooks/portal-links. The token alone is what the React components take. ' +
    'url has the origin of PLINTH_PUBLIC_URL; without that it begins with /portal.',
  secretFields: ['token', 'url'],
})
  .input(
    z.object({
      expires_in: z.number().int().min(60).max(LONGEST_LINK_S).default(3600).describe('Seconds'),
      capabilities: z.enum(PORTAL_CAPABILITIES).default('manage').describe('read: looks only; manage: also changes endpoints, rotates secrets, sends again'),
      subject: z.string().min(1).max(200).optional().describe('Who gets the link, for the audit log'),
      return_url: returnUrl.optional().describe('Where the portal leads back to'),
      locale: z.string().max(35).refine(isLocale, 'not a language tag of BCP 47').optional(),
      theme: z.enum(PORTAL_THEMES).default('system'),
    }),
  )
  .output(z.object({ id: z.guid(), url: z.string().nullable(), token: z.string().nullable(), expires_at: z.string() }))
  .mutation(async ({ ctx, input }) => {
    const { tx } = ctx;
    const { tenantId = '' } = tx.context;
    const id = tx.newId();
    const nowMs = tx.now().getTime();
    const expiresAt = Math.floor(nowMs / 1000) + input.expires_in;
    const token = await signPortalToken(
      tx.keys,
      {
        id,
        tenantId,
        capabilities: input.capabilities,
        generation: await portalGeneration(tx, tenantId),
        expiresAt,
        returnUrl: input.return_url,
        locale: input.locale,
        theme: input.theme,
      },
      nowMs,
    );
    const expires = new Date(expiresAt * 1000).toISOString();
    await tx.query(
      `select plinth.log_audit_event(p_action => 'webhooks.portal_link_created', p_resource_type => 'portal_link', p_resource_id => $1, p_after => $2)`,
      [id, JSON.stringify({ subject: input.subject, capabilities: input.capabilities, expires_at: expires })],
    );
    const origin = (ctx.adapters.portal as { publicUrl?: string | undefined } | undefined)?.publicUrl ?? '';
    return { id, url: `${origin}/portal/${token}`, token, expires_at: expires };
  });

const revokeLinks = procedure({
  rest: 'DELETE /webhooks/portal-links',
  permission: WRITE,
  summary: 'Voids every link into the portal that was made before, and the sessions they opened',
  description: 'At once in the process that is asked, within 30 seconds in others.',
})
  .input(z.object({ reason: z.string().max(500).optional() }))
  .output(z.object({ revoked_at: z.date() }))
  .mutation(async ({ ctx, input }) => {
    await ctx.tx.query('select plinth.revoke_portal_links($1)', [input.reason ?? null]);
    const [row] = await ctx.tx.query<{ revoked_at: Date }>('select revoked_at from plinth_webhooks.portal_access where tenant_id = plinth_kernel.tenant_id()');
    return { revoked_at: row?.revoked_at ?? ctx.tx.now() };
  });

export const portalLinksApi = { createLink, revokeLinks };
