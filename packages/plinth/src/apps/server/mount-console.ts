import { readFile, realpath } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { z } from 'zod';
import { fail } from '#kernel/errors.ts';
import { spendLoginLink } from '#modules/access';
import { json } from './answer.ts';
import { readJsonBody } from './body.ts';
import type { Exchange, Host, Server } from './host.ts';
import { only } from './host.ts';
import type { SessionKey } from './session.ts';

/** Everything from this origin, nothing inline, nothing evaluated. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
};

/** A file below the folder; undefined when there is none, also when the path or a link leads out of the folder. */
async function fileIn(directory: string, path: string): Promise<{ body: Buffer<ArrayBuffer>; type: string } | undefined> {
  const type = TYPES[extname(path)];
  if (!type || path.includes('\0')) return undefined;
  try {
    const root = await realpath(directory);
    const file = await realpath(join(root, path));
    return file.startsWith(root + sep) ? { body: (await readFile(file)) as Buffer<ArrayBuffer>, type } : undefined;
  } catch {
    return undefined;
  }
}

async function page(host: Host, path: string): Promise<Response> {
  const directory = host.options.console?.directory;
  if (!directory)
    throw fail('unknown_route', {
      message: 'The console is not part of this installation',
      wayOut: 'Build it with node apps/console/build.ts, or give its folder to createHandler.',
    });
  const asset = path === '' || path === '/' ? undefined : await fileIn(directory, decodeURIComponent(path));
  // Addresses of pages are the console's own business; whatever is no file is answered with the one page there is.
  // An id at the end of one may hold a dot (ana@acme.test); files of the console stand in its root and in assets.
  const isFile = path.startsWith('/assets/') || /^\/[^/]+\.\w+$/.test(path);
  const found = asset ?? (isFile ? undefined : await fileIn(directory, 'index.html'));
  if (!found) throw fail('unknown_route', { message: `There is no file ${path.slice(0, 200)} in the console` });
  const lasting = asset && path.startsWith('/assets/');
  return new Response(found.body, {
    headers: {
      'content-type': found.type,
      'content-security-policy': PAGE_POLICY,
      'cache-control': lasting ? 'public, max-age=31536000, immutable' : 'no-cache',
    },
  });
}

const credential = z.union([z.object({ token: z.string().min(1).max(200) }), z.object({ key: z.string().min(1).max(200) })]);

/** What was shown for a session: a one-time token, or a key typed in. Errors: access_link_invalid, access_key_*. */
async function keyFor(host: Host, given: z.infer<typeof credential>, exchange: Exchange): Promise<SessionKey> {
  const { authenticator } = host.calls;
  if ('token' in given) {
    const id = await host.plinth.asWorker({ correlationId: exchange.traffic.correlationId, signal: exchange.signal }, (tx) => spendLoginLink(tx, given.token));
    return { id, tenantId: undefined };
  }
  const key = await authenticator.keyOf(given.key);
  return { id: key.id, tenantId: key.tenant_id ?? undefined };
}

/** /console with its files, and the two calls that open and end its sessions. */
export function mountConsole(app: Server, host: Host): void {
  const { sessions } = host.calls.authenticator;
  const isSecure = (request: Request): boolean => request.url.startsWith('https:') || (host.trustProxy && request.headers.get('x-forwarded-proto') === 'https');
  only(app, 'POST', '/api/v1/console/login', async (c) => {
    sessions.checkOrigin(c.req.raw);
    const given = credential.safeParse(await readJsonBody(c.req.raw, 4096));
    if (!given.success)
      throw fail('invalid_input', {
        message: 'The body holds neither a token nor a key',
        detail: { issues: [{ field: 'token', message: 'required, or key' }] },
      });
    const key = await keyFor(host, given.data, c.env);
    return json({ signedIn: true }, 200, { 'set-cookie': await sessions.open(key, isSecure(c.req.raw)) });
  });
  only(app, 'POST', '/api/v1/console/logout', (c) => {
    sessions.checkOrigin(c.req.raw);
    return json({ signedIn: false }, 200, { 'set-cookie': sessions.close(isSecure(c.req.raw)), 'clear-site-data': '"cache"' });
  });
  only(app, 'GET', '/console', (c) => page(host, new URL(c.req.url).pathname.slice('/console'.length)));
  only(app, 'GET', '/console/*', (c) => page(host, new URL(c.req.url).pathname.slice('/console'.length)));
  only(app, 'GET', '/', (c) => c.redirect(host.options.console ? '/console' : '/docs', 302));
}
