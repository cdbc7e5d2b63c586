/** Ages of messages in tenths of a millisecond, up to a minute. */
export interface Histogram {
  add(ms: number): void;
  /** Age that this share of the messages did not exceed, ms. */
  at(share: number): number;
  clear(): void;
}

const PER_MS = 10;
const MOST_MS = 60_000;

export function createHistogram(): Histogram {
  const counts = new Uint32Array(MOST_MS * PER_MS + 1);
  let total = 0;
  return {
    add(ms) {
      const slot = Math.min(Math.max(Math.round(ms * PER_MS), 0), MOST_MS * PER_MS);
      counts[slot] = (counts[slot] ?? 0) + 1;
      total++;
    },
    at(share) {
      let left = total * share;
      for (let slot = 0; slot < counts.length; slot++) {
        left -= counts[slot] ?? 0;
        if (left <= 0 && total > 0) return slot / PER_MS;
      }
      return Number.NaN;
    },
    clear() {
      counts.fill(0);
      total = 0;
    },
  };
}
