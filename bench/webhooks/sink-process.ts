/** A process of its own that answers webhooks on many ports: 204 at once, or, on the last port, nothing for 30 s. Speaks to its parent over IPC. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const TARPIT_MS = 30_000;
const count = Number(process.argv[2]);
let expected = 0;
let seen = 0;
let latencies: number[] = [];

const tell = (message: object): void => void process.send?.(message);

/** `{"sentAt":1763...}` somewhere in the body, without parsing all of it. */
function sentAt(body: string): number | undefined {
  const found = /"sentAt":\s*(\d+(?:\.\d+)?)/.exec(body);
  return found?.[1] ? Number(found[1]) : undefined;
}

async function listen(tarpit: boolean): Promise<number> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      if (!request.headers['webhook-signature']) throw new Error('a webhook without a signature');
      if (tarpit) {
        setTimeout(() => response.writeHead(204).end(), TARPIT_MS).unref();
        return;
      }
      response.writeHead(204).end();
      const at = sentAt(Buffer.concat(parts).toString());
      if (at !== undefined) latencies.push(performance.timeOrigin + performance.now() - at);
      seen++;
      if (seen === expected) tell({ kind: 'seen', seen });
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

process.on('message', (message: { kind: string; count?: number }) => {
  if (message.kind === 'expect') {
    seen = 0;
    latencies = [];
    expected = message.count ?? 0;
    tell({ kind: 'expecting' });
  } else if (message.kind === 'report') tell({ kind: 'report', seen, latencies });
});
process.on('disconnect', () => process.exit(0));

const ports: number[] = [];
for (let i = 0; i <= count; i++) ports.push(await listen(i === count));
tell({ kind: 'ports', ports });
