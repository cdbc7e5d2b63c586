import type { IncomingHttpHeaders, Server } from 'node:http';
import { createServer } from 'node:http';
import type { Plinth, Tx } from 'plinth';
import { verifyMessage } from 'plinth';

const NAME = 'Demo receiver';
const ABOUT = 'Part of npm start: shows what a webhook looks like. It refuses the first attempt at demo.order.shipped on purpose.';
const TENANTS = [
  ['acme', 'Acme'],
  ['globex', 'Globex'],
] as const;

/** The two customers of the demo; made once. */
async function demoTenants(plinth: Plinth): Promise<string[]> {
  const ids: string[] = [];
  for (const [slug, name] of TENANTS) {
    const [row] = await plinth.asWorker({}, (tx) =>
      tx.query<{ id: string }>(
        'insert into plinth_kernel.tenants (slug, name) values ($1, $2) on conflict (slug) do update set slug = excluded.slug returning id',
        [slug, name],
      ),
    );
    if (row) ids.push(row.id);
  }
  return ids;
}

/** A subscription of the tenant to its orders, at the address that the receiver has this time. */
async function subscribe(tx: Tx, url: string, secret: string): Promise<void> {
  const [old] = await tx.query<{ id: string; url: string }>('select id, url from plinth.event_subscriptions where tenant_id = $1 and name = $2', [
    tx.context.tenantId,
    NAME,
  ]);
  if (old?.url === url) return;
  if (old) await tx.query('select plinth.update_subscription(p_subscription_id => $1, p_url => $2)', [old.id, url]);
  else
    await tx.query('select plinth.subscribe(p_name => $1, p_patterns => $2, p_url => $3, p_description => $4, p_secret => $5)', [
      NAME,
      ['demo.order.*'],
      url,
      ABOUT,
      secret,
    ]);
}

/** Answers 200 to what is signed, 401 to what is not, and 503 to the first attempt at `demo.order.shipped`, so that a retry can be seen. */
function receiver(secret: string): Server {
  const refusedOnce = new Set<string>();
  const verdict = (headers: IncomingHttpHeaders, body: Buffer): [number, string] => {
    try {
      const { id } = verifyMessage({ secrets: [secret], headers, body, now: new Date() });
      if (!body.includes('demo.order.shipped') || refusedOnce.has(id)) return [200, 'thank you'];
      refusedOnce.add(id);
      return [503, 'busy, try again: the demo receiver refuses the first attempt on purpose'];
    } catch {
      return [401, 'the signature is not ours'];
    }
  };
  return createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const [status, text] = verdict(request.headers, Buffer.concat(chunks));
      response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
    });
  });
}

const HIGHEST_PORT = 65_535;

/** Listens on the wanted port, or on any when it is taken or there is none of that number. */
async function listen(server: Server, port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('listening', resolve);
  server.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? server.listen(0, '127.0.0.1') : reject(error)));
  server.listen(port > HIGHEST_PORT ? 0 : port, '127.0.0.1');
  await promise;
  return (server.address() as { port: number }).port;
}

/**
 * Makes the demo's customers, starts the receiver of their webhooks and subscribes it. `secret` (whsec_...) is the same at every start.
 */
export async function prepareDemo(plinth: Plinth, options: { port: number; secret: string }): Promise<{ url: string; stop(): Promise<void> }> {
  const server = receiver(options.secret);
  const url = `http://127.0.0.1:${await listen(server, options.port)}/`;
  for (const tenantId of await demoTenants(plinth)) await plinth.transaction({ tenantId }, (tx) => subscribe(tx, url, options.secret));
  return {
    url,
    async stop() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      server.closeAllConnections();
      await promise;
    },
  };
}
