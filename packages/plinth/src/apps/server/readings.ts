/** For gauges that are read from the database when the metrics of this process are. */
export interface ReadingsOptions<T> {
  read: () => Promise<readonly T[]>;
  /** Several scrapers, or an eager one, cost no more than one that comes so often, ms. */
  freshMs: number;
  onFailure: (error: unknown) => void;
}

/** The last readings while they are fresh, else new ones; none where they could not be had. */
export function createReadings<T>({ read, freshMs, onFailure }: ReadingsOptions<T>): () => Promise<readonly T[]> {
  let readMs = Number.NEGATIVE_INFINITY;
  let seen: readonly T[] = [];
  return async () => {
    if (performance.now() - readMs < freshMs) return seen;
    try {
      seen = await read();
    } catch (error) {
      // No answer is better than an old one: an alert on absence fires.
      seen = [];
      onFailure(error);
    }
    readMs = performance.now();
    return seen;
  };
}
