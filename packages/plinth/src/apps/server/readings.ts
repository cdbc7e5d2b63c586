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
  let reading: Promise<readonly T[]> | undefined;
  const look = async (): Promise<readonly T[]> => {
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
  return async () => (performance.now() - readMs < freshMs ? seen : (reading ??= look().finally(() => (reading = undefined))));
}
