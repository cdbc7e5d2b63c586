/** Tokens of the customer portal: what a link holds, how it is signed, and when it opens nothing. */
import { decodeProtectedHeader, errors as joseErrors, jwtVerify, SignJWT } from 'jose';
import type { Queryable } from '#kernel/database.ts';
import { isUuid } from '#kernel/ids.ts';
import type { KeyRing } from '#kernel/keys.ts';
import { fail } from './errors.ts';

const TYPE = 'plinth-portal+jwt';
const AUDIENCE = 'plinth-webhooks-portal';
const PURPOSE = 'plinth webhooks portal';

export const PORTAL_THEMES = ['system', 'light', 'dark'] as const;
export const PORTAL_CAPABILITIES = ['read', 'manage'] as const;

/** What is written into a link. */
export interface PortalGrant {
  /** Id of the link; the actor of everything done through it. */
  id: string;
  tenantId: string;
  capabilities: (typeof PORTAL_CAPABILITIES)[number];
  /** Void when the tenant is at another one. */
  generation: number;
  /** Seconds since 1970. */
  expiresAt: number;
  returnUrl: string | undefined;
  locale: string | undefined;
  theme: (typeof PORTAL_THEMES)[number];
}

/** True for a bearer token that says it is one of the portal; whether it is one, readPortalToken finds out. */
export function isPortalToken(token: string): boolean {
  // API keys come with every request; that they are no JWS is cheaper seen here than by what jose throws.
  if (!token.includes('.')) return false;
  try {
    return decodeProtectedHeader(token).typ === TYPE;
  } catch {
    return false;
  }
}

/** A compact JWS under a key of the tenant, which is derived from the master key for this purpose alone. Errors: webhooks_portal_keys_missing. */
export async function signPortalToken(keys: KeyRing | undefined, grant: PortalGrant, nowMs: number): Promise<string> {
  const key = keys?.derive(grant.tenantId, PURPOSE);
  if (!keys || !key) throw fail('portal_keys_missing');
  return new SignJWT({
    tenant: grant.tenantId,
    cap: grant.capabilities,
    gen: grant.generation,
    theme: grant.theme,
    ...(grant.returnUrl === undefined ? {} : { ret: grant.returnUrl }),
    ...(grant.locale === undefined ? {} : { loc: grant.locale }),
  })
    .setProtectedHeader({ alg: 'HS256', typ: TYPE, kid: keys.current })
    .setAudience(AUDIENCE)
    .setJti(grant.id)
    .setIssuedAt(Math.floor(nowMs / 1000))
    .setExpirationTime(grant.expiresAt)
    .sign(key);
}

/** The tenant that a token claims to be of: needed to find the key that proves it. */
export function tenantOfPortalToken(token: string): string {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { tenant?: unknown };
    if (typeof claims.tenant === 'string' && isUuid(claims.tenant)) return claims.tenant.toLowerCase();
  } catch {
    // Whatever it is, it is no link of ours.
  }
  throw fail('portal_link_invalid');
}

/**
 * What a token grants, if this installation signed it for the portal and its time is not over; the generation is the caller's to compare.
 * Errors: webhooks_portal_link_invalid, webhooks_portal_link_expired, webhooks_portal_keys_missing.
 */
export async function readPortalToken(keys: KeyRing | undefined, token: string, nowMs: number): Promise<PortalGrant> {
  if (!keys) throw fail('portal_keys_missing');
  const tenantId = tenantOfPortalToken(token);
  const read = await jwtVerify(
    token,
    ({ kid }) => {
      const key = typeof kid === 'string' ? keys.derive(tenantId, PURPOSE, kid) : undefined;
      if (!key) throw fail('portal_link_invalid');
      return key;
    },
    {
      algorithms: ['HS256'],
      typ: TYPE,
      audience: AUDIENCE,
      requiredClaims: ['exp', 'iat', 'jti', 'tenant', 'cap', 'gen'],
      currentDate: new Date(nowMs),
    },
  ).catch((error: unknown) => {
    throw fail(error instanceof joseErrors.JWTExpired ? 'portal_link_expired' : 'portal_link_invalid', { cause: error });
  });
  const claims = read.payload;
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
  return {
    id: claims.jti ?? '',
    tenantId,
    capabilities: claims.cap === 'manage' ? 'manage' : 'read',
    generation: Number(claims.gen),
    expiresAt: claims.exp ?? 0,
    returnUrl: text(claims.ret),
    locale: text(claims.loc),
    theme: PORTAL_THEMES.find((theme) => theme === claims.theme) ?? 'system',
  };
}

/** Generation of links that is valid for the tenant of the transaction, which runs as plinth_app or plinth_worker. */
export async function portalGeneration(tx: Queryable, tenantId: string): Promise<number> {
  const [row] = await tx.query<{ generation: number }>('select generation from plinth_webhooks.portal_access where tenant_id = $1', [tenantId]);
  return row?.generation ?? 1;
}

/** Permissions of procedures that a link opens, and nothing else does for it. */
export const PORTAL_READ = 'webhooks.portal.read';
export const PORTAL_WRITE = 'webhooks.portal.write';

export const portalScopes = (grant: PortalGrant): string[] => (grant.capabilities === 'manage' ? [PORTAL_READ, PORTAL_WRITE] : [PORTAL_READ]);
