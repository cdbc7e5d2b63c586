import { setTimeout as pause } from 'node:timers/promises';
import { seeded } from '#testing/random.ts';
import type { Stack } from './stack.ts';

/** In an order that the generator chooses. */
function shuffled<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map((one) => ({ one, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}

/**
 * Kills server, worker and Postgres with SIGKILL at random moments until everything is `sent`, and each at least once: in a short run
 * the last of them while jobs and deliveries are still being worked off. Every part is running again when it resolves. When the run
 * is `over` before its end, it resolves as soon as it can.
 */
export async function chaos(
  stack: Stack,
  seed: number,
  { sent, over }: Record<'sent' | 'over', AbortSignal>,
  onKill: (part: string) => void,
): Promise<Record<string, number>> {
  const random = seeded(seed);
  const names = Object.keys(stack.parts);
  const kills: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]));
  const first = shuffled(names, random);
  const soon = AbortSignal.any([sent, over]);
  while (first.length > 0 || !sent.aborted) {
    await pause(200 + random() * 1_300, undefined, { signal: soon }).catch(() => {});
    if (over.aborted) break;
    const name = first.shift() ?? (sent.aborted ? undefined : names[Math.floor(random() * names.length)]);
    if (name === undefined) break;
    onKill(name);
    await stack.parts[name]?.killAndRestart();
    kills[name] = (kills[name] ?? 0) + 1;
  }
  return kills;
}
