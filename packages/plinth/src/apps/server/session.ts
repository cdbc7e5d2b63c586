import { randomBytes } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import { raiser } from '#kernel/errors.ts';
import { isUuid } from '#kernel/ids.ts';
import { accessErrors } from '#modules/access';

const fail = raiser('access', accessErrors);

const COOKIE = 'plinth_session';
const AUDIENCE = 'plinth-console';
const LIFE_S = 8 * 3600;

/** The key that a session stands for; without a tenant it is an operator's. */
export interface SessionKey {
  id: string;
  tenantId: string | undefined;
}

/** Sessions of the console: a short-lived signed note of which key was let in. The key is looked up again on every request. */
export interface Sessions {
  /** The Set-Cookie value of a new session. */
  open(key: SessionKey, secure: boolean): Promise<string>;
  /** The Set-Cookie value that ends a session. */
  close(secure: boolean): string;
  /** The key of a session. Errors: access_session_invalid. */
  read(cookie: string): Promise<SessionKey>;
  /** Errors: access_cross_site. */
  checkOrigin(request: Request): void;
}

export const sessionCookie = (request: Request): string | undefined =>
  request.headers
    .get('cookie')
    ?.split(';')
    .map((part) => part.trim())
    .find((part) => part.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1);

const cookieText = (value: string, lifeS: number, secure: boolean): string =>
  `${COOKIE}=${value}; Path=/; Max-Age=${lifeS}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;

export function createSessions(given: string | Uint8Array | undefined, nowMs: () => number): Sessions {
  const secret = typeof given === 'string' ? new TextEncoder().encode(given) : (given ?? randomBytes(32));
  if (secret.byteLength < 32) throw new Error('the session secret is shorter than 32 bytes');
  const nowS = () => Math.floor(nowMs() / 1000);
  return {
    async open(key, secure) {
      const token = await new SignJWT(key.tenantId ? { tenant: key.tenantId } : {})
        .setProtectedHeader({ alg: 'HS256' })
        .setSubject(key.id)
        .setAudience(AUDIENCE)
        .setIssuedAt(nowS())
        .setExpirationTime(nowS() + LIFE_S)
        .sign(secret);
      return cookieText(token, LIFE_S, secure);
    },
    close: (secure) => cookieText('', 0, secure),
    async read(cookie) {
      const read = await jwtVerify(cookie, secret, {
        algorithms: ['HS256'],
        audience: AUDIENCE,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(nowMs()),
      }).catch(() => undefined);
      const { sub, tenant } = read?.payload ?? {};
      if (!sub || !isUuid(sub)) throw fail('session_invalid');
      return { id: sub, tenantId: typeof tenant === 'string' ? tenant : undefined };
    },
    checkOrigin(request) {
      // Browsers send Sec-Fetch-Site on every request and Origin on every one that can change something; a page cannot forge either.
      const site = request.headers.get('sec-fetch-site');
      const origin = request.headers.get('origin');
      const same = origin === null ? undefined : hostOf(origin) === (request.headers.get('host') ?? new URL(request.url).host);
      const reading = request.method === 'GET' || request.method === 'HEAD';
      if (same === false || (site !== null && site !== 'same-origin' && !(site === 'none' && reading))) throw fail('cross_site');
      if (!reading && site === null && same === undefined) throw fail('cross_site', { message: 'A console session was used without saying from where' });
    },
  };
}

const hostOf = (origin: string): string | undefined => (URL.canParse(origin) ? new URL(origin).host : undefined);
