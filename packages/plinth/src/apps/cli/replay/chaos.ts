import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from './stack.ts';

/** mulberry32: a small seeded generator, so that a run of kills can be repeated. Numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Kills server, worker and Postgres with SIGKILL at random moments until `done`; every part is running again when it resolves. */
export async function chaos(stack: Stack, seed: number, done: AbortSignal, onKill: (part: string) => void): Promise<Record<string, number>> {
  const random = seeded(seed);
  const names = Object.keys(stack.parts);
  const kills: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]));
  let turn = 0;
  while (!done.aborted) {
    await pause(200 + random() * 1_300, undefined, { signal: done }).catch(() => {});
    if (done.aborted && turn >= names.length) break;
    // Each part once, then whichever comes: a short run kills all three as well.
    const name = names[turn < names.length ? turn : Math.floor(random() * names.length)] ?? 'server';
    turn++;
    onKill(name);
    await stack.parts[name]?.killAndRestart();
    kills[name] = (kills[name] ?? 0) + 1;
  }
  return kills;
}
