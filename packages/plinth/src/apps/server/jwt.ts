import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors as joseErrors, jwtVerify } from 'jose';
import { fail as kernelFail, PlinthError, raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import { accessErrors } from '#modules/access';

const fail = raiser('access', accessErrors);

export interface JwtOptions {
  /** HS256 secret, at least 32 bytes (PLINTH_JWT_SECRET). Either this or jwksUrl. */
  secret?: string | undefined;
  /** Address of a JWK set (PLINTH_JWKS_URL) for RS, PS, ES and EdDSA signatures. */
  jwksUrl?: string | undefined;
  issuer?: string | undefined;
  audience?: string | undefined;
  /** Default: HS256 with a secret; RS256, PS256, ES256, ES384, EdDSA with a JWK set. Those of the other family are never taken. */
  algorithms?: readonly string[] | undefined;
  /** Where tenant, user and roles stand: claim names, with dots for claims in claims; several are tried in turn. Default tenant_id, sub, roles. */
  claims?: Partial<Record<'tenant' | 'user' | 'roles', string | readonly string[] | undefined>> | undefined;
  /** How the JWK set is fetched; give the egress guard. Default: global fetch. */
  fetch?: typeof fetch | undefined;
}

/** What a valid token says. */
export interface TokenFacts {
  tenantId: string;
  userId: string;
  /** Undefined when the token says nothing about roles: those of the stored member count. */
  roles: string[] | undefined;
}

const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const ASYMMETRIC = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'Ed25519'];
const TOLERANCE_S = 60;

const claimOf = (payload: JWTPayload, names: string | readonly string[]): unknown => {
  for (const name of typeof names === 'string' ? [names] : names) {
    // A namespaced claim may hold dots itself (https://example.org/tenant); the whole name is tried first.
    const found = Object.hasOwn(payload, name)
      ? payload[name]
      : name
          .split('.')
          .reduce<unknown>(
            (inner, part) => (inner !== null && typeof inner === 'object' && Object.hasOwn(inner, part) ? (inner as Record<string, unknown>)[part] : undefined),
            payload,
          );
    if (found !== undefined && found !== null) return found;
  }
  return undefined;
};

function rolesOf(value: unknown): string[] | undefined {
  if (value === undefined) return undefined;
  const list = typeof value === 'string' ? value.split(/[\s,]+/) : value;
  if (!Array.isArray(list)) throw fail('token_invalid', { message: 'The roles claim of the token is neither a list nor text' });
  return list.filter((role): role is string => typeof role === 'string' && /^[\w:.-]{1,63}$/.test(role)).slice(0, 50);
}

/** Keys from a JWK set that is fetched when needed: an unknown kid asks again at most every 30 s; when it cannot be reached the last good set serves. */
function remoteKeys(url: string, fetchSet: typeof fetch | undefined): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(new URL(url), {
    cooldownDuration: 30_000,
    cacheMaxAge: 600_000,
    timeoutDuration: 5_000,
    ...(fetchSet ? { [customFetch]: fetchSet } : {}),
  });
  return async (header, token) => {
    try {
      return await remote(header, token);
    } catch (error) {
      if (error instanceof joseErrors.JWKSNoMatchingKey || error instanceof joseErrors.JWKSMultipleMatchingKeys) throw error;
      const last = remote.jwks();
      if (last) return createLocalJWKSet(last)(header, token);
      throw kernelFail('unavailable', {
        message: 'The key set that signs tokens cannot be reached',
        wayOut: 'Try again; check PLINTH_JWKS_URL.',
        cause: error,
      });
    }
  };
}

/**
 * Verifies tokens against one family of algorithms: with a secret only HMAC, with a JWK set only public-key signatures. So a public key
 * can never serve as an HMAC secret, and `none` is never taken. Errors: access_token_invalid; kernel_unavailable when no key set can be had.
 */
export function createTokenVerifier(options: JwtOptions, nowMs: () => number): (token: string) => Promise<TokenFacts> {
  if (Boolean(options.secret) === Boolean(options.jwksUrl)) throw new Error('set either PLINTH_JWT_SECRET or PLINTH_JWKS_URL');
  const secret = options.secret ? new TextEncoder().encode(options.secret) : undefined;
  if (secret && secret.byteLength < 32) throw new Error('PLINTH_JWT_SECRET is shorter than 32 bytes');
  const family = secret ? SYMMETRIC : ASYMMETRIC;
  const algorithms = [...(options.algorithms ?? (secret ? ['HS256'] : ASYMMETRIC))];
  const foreign = algorithms.find((algorithm) => !family.includes(algorithm));
  if (foreign) throw new Error(`${foreign} cannot be verified with ${secret ? 'a shared secret' : 'a public key set'}; use ${family.join(', ')}`);
  const keys: JWTVerifyGetKey = secret ? async () => secret : remoteKeys(options.jwksUrl ?? '', options.fetch);
  return async (token) => {
    const { payload } = await jwtVerify(token, keys, {
      algorithms,
      requiredClaims: ['exp'],
      clockTolerance: TOLERANCE_S,
      currentDate: new Date(nowMs()),
      ...(options.issuer ? { issuer: options.issuer } : {}),
      ...(options.audience ? { audience: options.audience } : {}),
    }).catch((error: unknown) => {
      if (error instanceof PlinthError) throw error;
      throw fail('token_invalid', { message: error instanceof joseErrors.JWTExpired ? 'The token has expired' : 'The token is not valid', cause: error });
    });
    const tenantId = claimOf(payload, options.claims?.tenant ?? 'tenant_id');
    const userId = claimOf(payload, options.claims?.user ?? 'sub');
    if (typeof tenantId !== 'string' || !isUuid(tenantId)) throw fail('token_invalid', { message: 'The token names no tenant', detail: { claim: 'tenant' } });
    if (typeof userId !== 'string' || !/^[^\0]{1,200}$/.test(userId))
      throw fail('token_invalid', { message: 'The token names no user', detail: { claim: 'user' } });
    return { tenantId: tenantId.toLowerCase(), userId, roles: rolesOf(claimOf(payload, options.claims?.roles ?? 'roles')) };
  };
}
