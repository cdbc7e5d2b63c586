/** A receiver of webhooks on loopback that verifies with the npm package `standardwebhooks` and answers from a script. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export interface Received {
  id: string;
  signatures: string[];
  body: string;
  data: { type: string; timestamp: string; data: Record<string, unknown> };
  /** Which of the secrets verified it, by position; -1 when none did. */
  verifiedBy: number[];
  headers: IncomingMessage['headers'];
  /** With its query. */
  path: string;
}

export interface WebhookReceiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** Secrets to verify with; may grow while it runs. */
  readonly secrets: string[];
  /** Called for every request; default 204. */
  answer: (response: ServerResponse, received: Received, count: number) => void;
  /** Resolves when `count` requests have come; rejects after `limitMs` (default 25,000). */
  waitFor(count: number, limitMs?: number): Promise<void>;
  close(): Promise<void>;
}

function verifies(secret: string, body: string, headers: IncomingMessage['headers']): boolean {
  try {
    new Webhook(secret).verify(body, headers as Record<string, string>);
    return true;
  } catch {
    return false;
  }
}

/** Starts a receiver; close it at the end of the test. */
export async function webhookReceiver(): Promise<WebhookReceiver> {
  const received: Received[] = [];
  const secrets: string[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => void accept(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const receiver: WebhookReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    secrets,
    answer: (response) => response.writeHead(204).end(),
    waitFor(count, limitMs = 25_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`${received.length} of ${count} webhooks came within ${limitMs} ms`)), limitMs);
        const look = (): void => {
          if (received.length < count) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };

  async function accept(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)).toString();
    const entry: Received = {
      id: String(request.headers['webhook-id']),
      signatures: String(request.headers['webhook-signature']).split(' '),
      body,
      data: JSON.parse(body) as Received['data'],
      verifiedBy: secrets.flatMap((secret, index) => (verifies(secret, body, request.headers) ? [index] : [])),
      headers: request.headers,
      path: request.url ?? '',
    };
    received.push(entry);
    receiver.answer(response, entry, received.length);
    for (const look of waiting) look();
  }
  return receiver;
}
