/**
 * A process of the replay, to be killed at will: `server`, `worker` or `receiver`. Its settings come as JSON in
 * PLINTH_REPLAY; it prints one line when it is ready.
 */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';
import { readEnvironment } from '../environment.ts';
import { withExamples } from '../modules.ts';
import { runParts } from '../process.ts';

export interface ChildSettings {
  part: 'server' | 'worker' | 'receiver';
  serverUrl?: string;
  dataDir: string;
  port: number;
  adminKey?: string;
  /** Receiver: what verifies signatures, and where it notes what it saw. */
  secret?: string;
  notes?: string;
}

/** One webhook that came in. */
export interface Received {
  webhookId: string;
  deliveryId: string;
  type: string;
  verified: boolean;
}

const ready = (port: number): void => void process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);

function receive(settings: ChildSettings): void {
  const webhook = new Webhook(settings.secret ?? '');
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
      let verified = true;
      try {
        webhook.verify(body, headers);
      } catch {
        verified = false;
      }
      const message = JSON.parse(body) as { type?: string; data?: { delivery_id?: string } };
      const note: Received = { webhookId: headers['webhook-id'] ?? '', deliveryId: message.data?.delivery_id ?? '', type: message.type ?? '', verified };
      // Before the answer: what was acknowledged is noted.
      appendFileSync(settings.notes ?? '', `${JSON.stringify(note)}\n`);
      response.writeHead(verified ? 200 : 401).end();
    });
  });
  server.listen(settings.port, '127.0.0.1', () => ready((server.address() as { port: number }).port));
}

async function serveOrWork(settings: ChildSettings, part: 'server' | 'worker'): Promise<void> {
  const environment = { ...readEnvironment({}), dataDir: settings.dataDir, port: settings.port, adminKey: settings.adminKey, logLevel: 'silent' as const };
  const running = await runParts({ environment, modules: await withExamples(), serverUrl: settings.serverUrl ?? '', parts: [part], development: true });
  ready(running.serving?.port ?? 0);
  process.once('SIGTERM', () => void running.stop().then(() => process.exit(0)));
}

// Nothing is ever sent; the end of it is the end of the replay.
process.stdin.resume().once('close', () => process.exit());
const settings = JSON.parse(process.env.PLINTH_REPLAY ?? '{}') as ChildSettings;
if (settings.part === 'receiver') receive(settings);
else await serveOrWork(settings, settings.part);
