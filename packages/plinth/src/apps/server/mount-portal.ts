import { PlinthError } from '#kernel/errors.ts';
import { json } from './answer.ts';
import { filePage, PAGE_POLICY } from './console-files.ts';
import type { Host, Route, Server } from './host.ts';
import { isSecure, only } from './host.ts';
import { PORTAL_API } from './portal-sessions.ts';

/** Codes of failures that the page explains; anything else it is not told. */
const told = (error: unknown): string => (error instanceof PlinthError && error.status < 500 ? error.code : 'webhooks_portal_unavailable');

/** Origins as browsers write them. Errors: an Error for anything else, so that a policy never holds a stray word. */
export function portalOrigins(given: readonly string[]): string[] {
  return given.map((text) => {
    const origin = URL.canParse(text) ? new URL(text).origin : 'null';
    if (origin === 'null' || !/^https?:/.test(origin)) throw new Error(`${JSON.stringify(text)} is not an origin: give one such as https://app.example.com`);
    return origin;
  });
}

/** Lets pages of the configured origins call the portal's API with a token; a cookie never counts from there. */
function mountCors(app: Server, origins: readonly string[]): void {
  const allowed = new Set(origins);
  app.use(`${PORTAL_API}/*`, async (c, next) => {
    const origin = c.req.header('origin');
    const known = origin !== undefined && allowed.has(origin);
    if (c.req.method === 'OPTIONS' && known && c.req.header('access-control-request-method')) {
      return new Response(null, {
        status: 204,
        headers: {
          'access-control-allow-origin': origin,
          'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
          'access-control-allow-headers': 'authorization, content-type, idempotency-key',
          'access-control-max-age': '600',
          vary: 'Origin',
        },
      });
    }
    await next();
    if (known) {
      c.res.headers.set('access-control-allow-origin', origin);
      c.res.headers.set('access-control-expose-headers', 'x-correlation-id, retry-after');
    }
    c.res.headers.append('vary', 'Origin');
    return undefined;
  });
}

/** The customer portal: its page, the exchange of a link for a session, and what a page asks about its session. */
export function mountPortal(app: Server, host: Host): void {
  if (!host.plinth.modules.webhooks) return;
  const { portal } = host.calls.authenticator;
  const origins = portalOrigins(host.options.portal?.origins ?? []);
  const policy = origins.length === 0 ? PAGE_POLICY : PAGE_POLICY.replace("frame-ancestors 'none'", `frame-ancestors ${origins.join(' ')}`);
  mountCors(app, origins);

  only(app, 'GET', '/portal', () => filePage(host.options.console?.directory, 'portal.html', policy));
  // The token leaves the address at once: it stands in no history, no bookmark, and no page can read it.
  const exchange: Route = async (c) => {
    const token = c.req.param('token') ?? '';
    try {
      const grant = await portal.grantOf(token);
      const framed = origins.length > 0 && c.req.header('sec-fetch-dest') === 'iframe';
      const cookie = portal.open(token, grant, { secure: isSecure(host, c.req.raw), framed });
      return new Response(null, { status: 303, headers: { location: `/portal#${grant.id}`, 'set-cookie': cookie, 'content-security-policy': policy } });
    } catch (error) {
      const code = told(error);
      if (code === 'webhooks_portal_unavailable') host.log.error({ err: error }, 'a link into the portal could not be opened');
      return new Response(null, { status: 303, headers: { location: `/portal#${code}`, 'content-security-policy': policy } });
    }
  };
  only(app, 'GET', '/portal/:token', exchange);
  only(app, 'GET', `${PORTAL_API}/session`, async (c) => {
    const grant = await portal.grantOf(host.calls.authenticator.portalToken(c.req.raw));
    return json({
      id: grant.id,
      tenant_id: grant.tenantId,
      capabilities: grant.capabilities,
      expires_at: new Date(grant.expiresAt * 1000).toISOString(),
      return_url: grant.returnUrl ?? null,
      locale: grant.locale ?? null,
      theme: grant.theme,
    });
  });
  only(app, 'POST', `${PORTAL_API}/logout`, (c) => {
    host.calls.authenticator.sessions.checkOrigin(c.req.raw);
    const headers = new Headers({ 'content-type': 'application/json; charset=utf-8' });
    for (const cookie of portal.close()) headers.append('set-cookie', cookie);
    return new Response('{"signed_in":false}', { headers });
  });
}
