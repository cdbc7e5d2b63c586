import { LRUCache } from 'lru-cache';
import type { ModuleMap } from '#kernel/module.ts';
import type { Plinth } from '#kernel/plinth.ts';
import type { LiveWindow, LogState } from '#modules/events';
import { areGivenAgain, readTenantPage } from '#modules/events';
import type { Frames } from './realtime-frames.ts';
import { framesOf } from './realtime-frames.ts';
import type { Offset } from './realtime-offset.ts';

/** A page of one tenant's past, for a reader that comes back. */
export interface PastPage {
  frames: Frames;
  /** Position to go on from in the same window; undefined: the window was read to its end. */
  next: string | undefined;
}

/** Reads the past. Readers that were at the same place (all of a server that died) share one read. */
export interface Past {
  /** `fromMs`: when `window.s1` was seen, as in Offset. */
  page(tenantId: string, window: LiveWindow & { s2: string }, fromMs: number, log: LogState): Promise<PastPage>;
  /** Whether ids that an offset takes for those of the past were given to what the tenant did later. */
  lost(tenantId: string, offset: Offset, log: LogState): Promise<boolean>;
}

const PAGE = 500;
const SHARED_MS = 5_000;
const MOST_SHARED_BYTES = 64 * 1_048_576;
/** A page as rows and as frames of two formats. */
const sizeOf = ({ frames }: PastPage): number =>
  1 + 4 * frames.events.reduce((sum, { payload, metadata }) => sum + payload.length + (metadata?.length ?? 0), 0);
/** Looks into the past at a time: they must leave connections to others. */
const AT_ONCE = 4;

export function createPast(plinth: Plinth<ModuleMap>, nowMs: () => number): Past {
  const shared = new LRUCache<string, Promise<PastPage>>({ max: 32, ttl: SHARED_MS, maxSize: MOST_SHARED_BYTES });
  const judged = new LRUCache<string, Promise<boolean>>({ max: 1_000, ttl: SHARED_MS });
  let busy = 0;
  const queue: (() => void)[] = [];

  const inTurn = async <T>(run: () => Promise<T>): Promise<T> => {
    if (busy >= AT_ONCE) await new Promise<void>((resolve) => queue.push(resolve));
    else busy++;
    try {
      return await run();
    } finally {
      const next = queue.shift();
      if (next) next();
      else busy--;
    }
  };

  const read: Past['page'] = (tenantId, window, fromMs, log) =>
    inTurn(async () => {
      const { events, full } = await plinth.transaction({ tenantId, readOnly: true, timeoutMs: 20_000, actor: { type: 'system', id: 'realtime' } }, (tx) =>
        readTenantPage(tx, window, log.above, PAGE),
      );
      const batch = { events, s1: window.s1, s2: window.s2, full, fromMs, untilMs: nowMs() };
      return { frames: framesOf(batch, log), next: full ? events.at(-1)?.position : undefined };
    });

  return {
    lost(tenantId, { window: { s1 }, atMs }, { above, epoch, timeline }) {
      const key = `${tenantId} ${s1} ${atMs} ${epoch} ${timeline}`;
      const before = judged.get(key);
      if (before) return before;
      const answer = inTurn(() => areGivenAgain(plinth, { snapshot: s1, atMs, above, tenantId }));
      judged.set(key, answer);
      answer.catch(() => judged.delete(key));
      return answer;
    },
    page(tenantId, window, fromMs, log) {
      const key = `${tenantId} ${window.s1} ${window.s2} ${window.last} ${fromMs} ${log.epoch} ${log.timeline}`;
      const before = shared.get(key);
      if (before) return before;
      const page = read(tenantId, window, fromMs, log);
      shared.set(key, page, { size: 1 });
      page.then(
        (told) => shared.peek(key) === page && shared.set(key, page, { size: sizeOf(told) }),
        () => shared.delete(key),
      );
      return page;
    },
  };
}
