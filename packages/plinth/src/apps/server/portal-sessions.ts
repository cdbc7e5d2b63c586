import { raiser } from '#kernel/errors.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Principal } from '#kernel/rpc.ts';
import { checkTenant } from '#modules/access';
import type { PortalGrant } from '#modules/webhooks';
import { portalGeneration, portalScopes, readPortalToken, tenantOfPortalToken, webhooksErrors } from '#modules/webhooks';
import { createBeliefs } from './beliefs.ts';

const fail = raiser('webhooks', webhooksErrors);

/** The calls that a link opens; nothing else takes one. */
export const PORTAL_API = '/api/v1/webhooks/portal';
/** Names the link whose session is meant: pages send it with the cookie, and no form or image of another site can. */
const SESSION_HEADER = 'x-plinth-portal';
const COOKIE = 'plinth_portal';
const LONGEST_SESSION_S = 12 * 3600;

/** Sessions of the customer portal: a browser holds the token of its link in a cookie that no script can read. */
export interface PortalSessions {
  /** What a token grants now. Errors: webhooks_portal_link_invalid, _expired, _revoked, webhooks_portal_keys_missing, access_tenant_suspended. */
  grantOf(token: string): Promise<PortalGrant>;
  /** The principal of a token on an address of the portal's API. Errors: those of grantOf, webhooks_portal_confined. */
  principalOf(token: string, request: Request): Promise<Principal>;
  /** The token of the cookie, when the page that asks is the one of that link; undefined without the header. Errors: webhooks_portal_session_missing. */
  tokenOf(request: Request): string | undefined;
  /** The Set-Cookie value of a session; `framed` for a page inside another site's. */
  open(token: string, grant: PortalGrant, how: { secure: boolean; framed: boolean }): string;
  /** The Set-Cookie values that end a session, however it was opened. */
  close(): string[];
  forget(): void;
}

const cookieOf = (request: Request): string | undefined =>
  request.headers
    .get('cookie')
    ?.split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1);

/** Id that a token says it has; compared before it is verified, trusted only afterwards. */
function idOf(token: string): unknown {
  try {
    return (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { jti?: unknown }).jti;
  } catch {
    return undefined;
  }
}

export function createPortalSessions(plinth: Plinth<ModuleMap>, cacheMs: number): PortalSessions {
  const grants = createBeliefs<PortalGrant>(cacheMs);
  const look = async (token: string): Promise<PortalGrant> => {
    const tenantId = tenantOfPortalToken(token);
    return plinth.asWorker({ tenantId, readOnly: true }, async (tx) => {
      // The signature first: whoever forges a token is not told which tenants there are.
      const grant = await readPortalToken(tx.keys, token, plinth.clock.now());
      await checkTenant(tx, tenantId, false);
      if (grant.generation !== (await portalGeneration(tx, tenantId))) throw fail('portal_link_revoked');
      return grant;
    });
  };
  const grantOf: PortalSessions['grantOf'] = async (token) => {
    const grant = await grants.about(token, () => look(token));
    if (grant.expiresAt * 1000 <= plinth.clock.now()) throw fail('portal_link_expired');
    return grant;
  };
  return {
    grantOf,
    async principalOf(token, request) {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith(`${PORTAL_API}/`)) throw fail('portal_confined');
      const grant = await grantOf(token);
      return { actor: { type: 'portal', id: grant.id }, tenantId: grant.tenantId, roles: [], scopes: portalScopes(grant), operator: false };
    },
    tokenOf(request) {
      const named = request.headers.get(SESSION_HEADER);
      if (named === null) return undefined;
      const token = cookieOf(request);
      if (token === undefined || idOf(token) !== named) throw fail('portal_session_missing');
      return token;
    },
    open(token, grant, { secure, framed }) {
      const lifeS = Math.max(0, Math.min(LONGEST_SESSION_S, grant.expiresAt - Math.floor(plinth.clock.now() / 1000)));
      // Browsers give a cookie to a page inside another site's only in this form, apart for every site that frames it.
      const site = framed ? 'SameSite=None; Secure; Partitioned' : `SameSite=Strict${secure ? '; Secure' : ''}`;
      return `${COOKIE}=${token}; Path=${PORTAL_API}; Max-Age=${lifeS}; HttpOnly; ${site}`;
    },
    close: () => ['SameSite=Strict', 'SameSite=None; Secure; Partitioned'].map((site) => `${COOKIE}=; Path=${PORTAL_API}; Max-Age=0; HttpOnly; ${site}`),
    forget: grants.forget,
  };
}
