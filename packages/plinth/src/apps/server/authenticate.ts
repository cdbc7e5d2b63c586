import { fail, PlinthError, raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { Principal } from '#kernel/rpc.ts';
import type { FoundKey } from '#modules/access';
import { accessErrors, checkTenant, customRoles, findMember, permissionsOf } from '#modules/access';
import { isPortalToken, webhooksErrors } from '#modules/webhooks';
import { createBeliefs } from './beliefs.ts';
import type { TokenFacts } from './jwt.ts';
import { createTokenVerifier } from './jwt.ts';
import { createKeyring } from './keyring.ts';
import type { AuthOptions } from './options.ts';
import type { PortalSessions } from './portal-sessions.ts';
import { createPortalSessions } from './portal-sessions.ts';
import type { Sessions } from './session.ts';
import { createSessions, sessionCookie } from './session.ts';

const failAccess = raiser('access', accessErrors);
const failWebhooks = raiser('webhooks', webhooksErrors);
const LONGEST_CACHE_MS = 30_000;

/** Who called and what they said about it. */
export interface Credential {
  principal: Principal | undefined;
  /** X-Plinth-Reason. */
  reason: string | undefined;
}

export interface Authenticator {
  readonly sessions: Sessions;
  readonly portal: PortalSessions;
  /** Errors: access_*, kernel_header_invalid. No credential at all is no error; procedures refuse it. */
  authenticate(request: Request): Promise<Credential>;
  /** The token of the portal that a request brings, as bearer or by its session. Errors: webhooks_portal_session_missing, access_cross_site. */
  portalToken(request: Request): string;
  /** The key with this secret, if it may be used. Errors: access_key_*. */
  keyOf(secret: string): Promise<FoundKey>;
  /** Forgets what was found about keys, tenants and members. */
  forget(): void;
  /** Resolves when notes of use that are under way are written. */
  settle(): Promise<void>;
}

interface Member {
  roles: string[];
  scopes: string[];
}

/** Header values are Latin-1, so a reason in another script comes percent-encoded. */
function readReason(request: Request): string | undefined {
  const text = request.headers.get('x-plinth-reason')?.trim();
  if (!text) return undefined;
  let reason = text;
  try {
    reason = decodeURIComponent(text);
  } catch {
    // A stray percent sign: the text is meant as it stands.
  }
  // Spaces, encoded: no reason.
  if (reason.trim() === '') return undefined;
  if (reason.length > 500 || reason.includes('\0'))
    throw fail('header_invalid', { message: 'X-Plinth-Reason is longer than 500 characters', detail: { header: 'X-Plinth-Reason' } });
  return reason;
}

function readTenant(request: Request): string | undefined {
  const text = request.headers.get('x-plinth-tenant')?.trim();
  if (!text) return undefined;
  if (!isUuid(text))
    throw fail('header_invalid', { message: 'X-Plinth-Tenant is not a UUID', wayOut: 'Send the id of the tenant.', detail: { header: 'X-Plinth-Tenant' } });
  return text.toLowerCase();
}

const bearerOf = (request: Request): string | undefined => {
  const header = request.headers.get('authorization');
  if (header === null) return undefined;
  const [, token] = /^Bearer ([\x21-\x7e]{1,8192})$/i.exec(header.trim()) ?? [];
  if (!token) throw fail('unauthenticated', { message: 'The Authorization header is not a bearer token' });
  return token;
};

const keyPrincipal = (key: FoundKey, tenantId: string | undefined): Principal => ({
  actor: { type: key.kind === 'operator' ? 'operator' : 'api_key', id: key.id },
  tenantId: key.tenant_id ?? tenantId,
  roles: [],
  scopes: key.scopes,
  operator: key.kind === 'operator',
});

export function createAuthenticator(plinth: Plinth<ModuleMap>, options: AuthOptions): Authenticator {
  const nowMs = () => plinth.clock.now();
  const ttl = Math.min(options.cacheMs ?? LONGEST_CACHE_MS, LONGEST_CACHE_MS);
  const keyring = createKeyring(plinth, ttl);
  const tenants = createBeliefs<true>(ttl);
  const members = createBeliefs<Member>(ttl);
  const verify = options.jwt ? createTokenVerifier(options.jwt, nowMs) : undefined;
  const sessions = createSessions(options.sessionSecret, nowMs);
  const portal = createPortalSessions(plinth, ttl);
  const portalToken = (request: Request): string | undefined => {
    const bearer = bearerOf(request);
    if (bearer !== undefined) return isPortalToken(bearer) ? bearer : undefined;
    const token = portal.tokenOf(request);
    if (token !== undefined) sessions.checkOrigin(request);
    return token;
  };

  const byToken = async (token: string): Promise<Principal> => {
    // Without JWTs a key was meant, unless it has the three parts of one.
    if (!verify) throw failAccess(/^[^.]+\.[^.]*\.[^.]*$/.test(token) ? 'token_unsupported' : 'key_unknown');
    const facts = await verify(token);
    const member = await members.about(JSON.stringify(facts), () => readMember(plinth, facts));
    return { actor: { type: 'user', id: facts.userId }, tenantId: facts.tenantId, ...member, operator: false };
  };

  const operatorTenant = async (tenantId: string | undefined): Promise<void> => {
    if (!tenantId) return;
    await tenants.about(tenantId, async () => {
      await plinth.asWorker({ readOnly: true }, (tx) => checkTenant(tx, tenantId, true));
      return true;
    });
  };

  const principalOf = async (request: Request, tenantId: string | undefined): Promise<Principal | undefined> => {
    const link = portalToken(request);
    if (link !== undefined) return portal.principalOf(link, request);
    const bearer = bearerOf(request);
    const cookie = bearer === undefined ? sessionCookie(request) : undefined;
    if (cookie !== undefined) sessions.checkOrigin(request);
    if (bearer === undefined && cookie === undefined) return undefined;
    if (bearer !== undefined && !bearer.startsWith('plk_')) return byToken(bearer);
    const key = bearer !== undefined ? await keyring.bySecret(bearer) : await keyring.byId(await sessions.read(cookie ?? ''));
    if (key.kind === 'operator') await operatorTenant(tenantId);
    return keyPrincipal(key, tenantId);
  };

  return {
    sessions,
    portal,
    portalToken(request) {
      const token = portalToken(request);
      if (token === undefined) throw failWebhooks('portal_session_missing');
      return token;
    },
    keyOf: keyring.bySecret,
    settle: keyring.settle,
    async authenticate(request) {
      const tenantId = readTenant(request);
      const reason = readReason(request);
      const principal = await principalOf(request, tenantId);
      if (principal && tenantId && principal.tenantId !== tenantId) {
        throw fail('forbidden', {
          message: 'The credential belongs to another tenant than X-Plinth-Tenant',
          wayOut: 'Leave X-Plinth-Tenant out; only operator keys choose their tenant.',
        });
      }
      return { principal, reason };
    },
    forget() {
      for (const believed of [keyring, tenants, members, portal]) believed.forget();
    },
  };
}

/** What the database knows of a token's tenant and user. A token of an unknown tenant is as good as no token. */
async function readMember(plinth: Plinth<ModuleMap>, facts: TokenFacts): Promise<Member> {
  return plinth.asWorker({ tenantId: facts.tenantId, readOnly: true }, async (tx) => {
    await checkTenant(tx, facts.tenantId, false).catch((error: unknown) => {
      if (error instanceof PlinthError && error.status === 404)
        throw failAccess('token_invalid', { message: 'The token names no tenant of this installation' });
      throw error;
    });
    const member = await findMember(tx, facts.tenantId, facts.userId);
    if (member?.status === 'suspended') throw failAccess('user_suspended');
    const roles = facts.roles ?? member?.roles ?? [];
    return { roles, scopes: permissionsOf(roles, await customRoles(tx)) };
  });
}
