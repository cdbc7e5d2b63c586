/** Claims of a process that are under way at the same time. */
export interface UnderWay {
  /** How many jobs the claims that are under way ask for. */
  readonly asked: number;
  /** Begins a claim, and resolves when another may begin. */
  begin(limit: number, claim: () => Promise<void>): Promise<void>;
  /** Resolves when none is under way. Never rejects. */
  none(): Promise<void>;
  /** Throws what a claim threw since it was called last. */
  check(): void;
}

/** At most `most` claims at a time; `onEnd` hears of each that has ended. */
export function claimsUnderWay(most: number, onEnd: () => void): UnderWay {
  const running = new Set<Promise<void>>();
  let asked = 0;
  let failure: { error: unknown } | undefined;
  return {
    get asked() {
      return asked;
    },
    async begin(limit, claim) {
      asked += limit;
      const one = claim()
        .catch((error: unknown) => {
          failure = { error };
        })
        .finally(() => {
          running.delete(one);
          asked -= limit;
          onEnd();
        });
      running.add(one);
      if (running.size >= most) await Promise.race(running);
    },
    async none() {
      await Promise.all(running);
    },
    check() {
      const last = failure;
      failure = undefined;
      if (last) throw last.error;
    },
  };
}
