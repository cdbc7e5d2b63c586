/** Random numbers in [0, 1) that a printed seed brings back: mulberry32, small and good enough to vary schedules and inputs. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The seed of a random test: a new one every time, or the one that PLINTH_SEED repeats. */
export const drawnSeed = (): number => Number(process.env.PLINTH_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** How often a random test draws: what the gate has time for, or PLINTH_RUNS. */
export const drawnRuns = (usual: number): number => Number(process.env.PLINTH_RUNS ?? usual);
