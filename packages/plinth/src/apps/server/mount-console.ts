import { z } from 'zod';
import { fail } from '#kernel/errors.ts';
import { spendLoginLink } from '#modules/access';
import { json } from './answer.ts';
import { readJsonBody } from './body.ts';
import { fileAnswer, fileIn, filePage, noConsole, PAGE_POLICY } from './console-files.ts';
import type { Exchange, Host, Server } from './host.ts';
import { isSecure, only } from './host.ts';
import type { SessionKey } from './session.ts';

/** Errors: kernel_invalid_input. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw fail('invalid_input', { message: 'The address is not valid percent encoding' });
  }
}

async function page(host: Host, path: string): Promise<Response> {
  const directory = host.options.console?.directory;
  if (!directory) throw noConsole();
  const asset = path === '' || path === '/' ? undefined : await fileIn(directory, decoded(path));
  // Addresses of pages are the console's own business; whatever is no file is answered with the one page there is.
  // An id at the end of one may hold a dot (ana@acme.test); files of the console stand in its root and in assets.
  const isFile = path.startsWith('/assets/') || /^\/[^/]+\.\w+$/.test(path);
  if (!asset) {
    if (isFile) throw fail('unknown_route', { message: `There is no file ${path.slice(0, 200)} in the console` });
    return filePage(directory, 'index.html', PAGE_POLICY);
  }
  return fileAnswer(asset, PAGE_POLICY, path.startsWith('/assets/'));
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
  only(app, 'POST', '/api/v1/console/login', async (c) => {
    sessions.checkOrigin(c.req.raw);
    const given = credential.safeParse(await readJsonBody(c.req.raw, 4096));
    if (!given.success)
      throw fail('invalid_input', {
        message: 'The body holds neither a token nor a key',
        detail: { issues: [{ field: 'token', message: 'required, or key' }] },
      });
    const key = await keyFor(host, given.data, c.env);
    return json({ signed_in: true }, 200, { 'set-cookie': await sessions.open(key, isSecure(host, c.req.raw)) });
  });
  only(app, 'POST', '/api/v1/console/logout', (c) => {
    sessions.checkOrigin(c.req.raw);
    return json({ signed_in: false }, 200, { 'set-cookie': sessions.close(isSecure(host, c.req.raw)), 'clear-site-data': '"cache"' });
  });
  only(app, 'GET', '/console', (c) => page(host, new URL(c.req.url).pathname.slice('/console'.length)));
  only(app, 'GET', '/console/*', (c) => page(host, new URL(c.req.url).pathname.slice('/console'.length)));
  only(app, 'GET', '/', (c) => c.redirect(host.options.console ? '/console' : '/docs', 302));
}
