import type { Plinth } from '../../packages/plinth/src/index.ts';
import type { Seen } from './processes.ts';
import { readers, serverProcess } from './processes.ts';

export interface KillOptions {
  plinth: Plinth;
  serverUrl: string;
  tenantId: string;
  otherTenantId: string;
  key: string;
  clients: number;
  /** Events a second meanwhile. */
  rate: number;
  /** How often a server is killed. */
  kills: number;
  /** `restart`: another server on the same port; `other`: readers go to the second server, which runs already. */
  goes: 'restart' | 'other';
}

export interface Killed extends Seen {
  sent: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Kills the server of many readers while events are published, and waits until each of them has every event. */
export async function killUnderReaders(options: KillOptions): Promise<Killed> {
  const { plinth, serverUrl, tenantId } = options;
  const file = './server.fixture.ts';
  const servers = [await serverProcess(file, serverUrl), ...(options.goes === 'other' ? [await serverProcess(file, serverUrl)] : [])];
  const crowd = readers();
  let sent = 0;
  let publishing = true;
  const publish = async (): Promise<void> => {
    const began = performance.now();
    while (publishing) {
      const t = performance.timeOrigin + performance.now();
      await plinth.transaction({ tenantId }, async (tx) => void tx.events.publish('bench.tick', { n: sent, t: Math.round(t) }));
      // Another tenant's events are not to be heard; a number that does not fit would be seen as a gap.
      await plinth.transaction({ tenantId: options.otherTenantId }, async (tx) => void tx.events.publish('bench.tick', { n: 999_999_999, t: 0 }));
      sent++;
      await pause(Math.max(0, began + (sent * 1000) / options.rate - performance.now()));
    }
  };
  try {
    await crowd.open({
      protocol: 'sse',
      ports: servers.map(({ port }) => port),
      key: options.key,
      path: '/realtime?topic=events/bench.*',
      count: options.clients,
    });
    await crowd.clear();
    const published = publish();
    for (let kill = 0; kill < options.kills; kill++) {
      await pause(1_500);
      const [victim] = servers;
      await victim?.kill();
      servers[0] = await serverProcess(file, serverUrl, victim?.port);
      if (options.goes === 'other') servers.reverse();
      const end = performance.now() + 30_000;
      while ((await crowd.tell()).away > 0 && performance.now() < end) await pause(100);
    }
    publishing = false;
    await published;
    const end = performance.now() + 30_000;
    while ((await crowd.tell()).behind < sent - 1 && performance.now() < end) await pause(50);
    return { ...(await crowd.tell()), sent };
  } finally {
    publishing = false;
    crowd.end();
    await Promise.all(servers.map((server) => server.kill()));
  }
}
