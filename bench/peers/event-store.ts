/** What the benchmark of appends asks of every event store, ours and the peers'. */
export interface Store {
  readonly name: string;
  /** One event to the end of a stream, expected to be at `version`, in a transaction of its own. `client`: who asks, from 0. */
  append(client: number, stream: string, version: number): Promise<unknown>;
  /** Appends in a transaction that it leaves open; ends it with what it returns. */
  hold(stream: string): Promise<() => Promise<unknown>>;
  close(): Promise<unknown>;
}

export const DATA = { note: 'x'.repeat(200), cents: 4200 };
