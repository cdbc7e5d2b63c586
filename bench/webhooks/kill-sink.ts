/** A receiver that notes what came, verified by the secret of the subscription that its path names. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { verifyMessage } from '../../packages/plinth/src/modules/webhooks/index.ts';

export interface Arrival {
  subscription: string;
  n: number;
  webhookId: string;
  /** ms since 1970. */
  at: number;
}

export interface KillSink {
  url(subscription: string): string;
  secrets: Map<string, string>;
  arrivals: Arrival[];
  /** Requests whose signature did not fit. */
  unverified: number;
  close(): Promise<void>;
}

/** `pauseMs`: how long an answer takes, so that something is always in flight. */
export async function killSink(pauseMs: () => number): Promise<KillSink> {
  const arrivals: Arrival[] = [];
  const secrets = new Map<string, string>();
  const server = createServer((request, response) => {
    const at = Date.now();
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const subscription = (request.url ?? '').slice(1);
      const body = Buffer.concat(parts).toString();
      try {
        const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
        const { id } = verifyMessage({ secrets: [secrets.get(subscription) ?? ''], headers, body, now: new Date() });
        arrivals.push({ subscription, n: (JSON.parse(body) as { data: { n: number } }).data.n, webhookId: id, at });
      } catch {
        sink.unverified++;
      }
      setTimeout(() => response.writeHead(204).end(), pauseMs());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const sink: KillSink = {
    url: (subscription) => `http://127.0.0.1:${port}/${subscription}`,
    secrets,
    arrivals,
    unverified: 0,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return sink;
}
