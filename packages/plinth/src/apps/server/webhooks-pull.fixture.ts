import { consumeOnce } from '#kernel/feed.ts';
import type { ModuleMap } from '#kernel/module.ts';
import type { WorkerRuntime } from '#kernel/work.ts';
import type { TestDatabase } from '#testing/database.ts';

/** A message as a reader gets it. */
export interface Pulled {
  offset: string;
  webhook_id: string;
  event_id: string | null;
  event_type: string;
  body: { type: string; data: Record<string, unknown> };
}

/** A worker as far as pulled subscriptions need it: `fanOuts` readers of the feed, and as many that append to lanes. Returns the way to stop. */
export function pullWorker({ plinth }: TestDatabase, fanOuts = 1): () => Promise<void> {
  const stopping = new AbortController();
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const runtime = { plinth, services: { clock: plinth.clock, log, adapters: {}, enabled: () => true }, wake: plinth.wake } as unknown as WorkerRuntime;
  const card = (plinth.modules as ModuleMap).webhooks;
  const consumer = card?.consumers?.['fan-out'];
  const puller = card?.workers?.puller;
  if (!consumer || !puller) throw new Error('the module has neither a fan-out nor a puller');
  const fanOut = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const handled = await consumeOnce(plinth, 'webhooks.fan-out', consumer).catch(() => 0);
      if (handled === 0) await plinth.wake.next([], 10, stopping.signal);
    }
  };
  const parts = Array.from({ length: fanOuts }, () => puller(runtime));
  const running = Promise.all(Array.from({ length: fanOuts }, fanOut));
  return async () => {
    stopping.abort();
    await running;
    await Promise.all(parts.map((part) => part.stop()));
  };
}
