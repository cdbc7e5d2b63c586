/** What Plinth needs of a place for files: a folder, or a bucket. */
export interface Storage {
  /**
   * Stores an object whole or not at all, durably, in place of one of the same key. Bounded memory: the body is consumed as it is
   * written. Keys are lower case words with slashes. Errors: kernel_storage_key; the system's own when the disk is full.
   */
  put(key: string, body: AsyncIterable<Uint8Array>): Promise<StoredObject>;
  /** Undefined when there is no such object. Close it after use (`await using`). */
  open(key: string): Promise<StorageReader | undefined>;
  /** True when there was one. */
  remove(key: string): Promise<boolean>;
}

export interface StoredObject {
  sizeBytes: number;
  /** Lower-case hex. */
  sha256: string;
}

export interface StorageReader {
  readonly sizeBytes: number;
  /** Bytes from `start` up to but not including `end`. */
  read(start: number, end: number): Promise<Uint8Array>;
  [Symbol.asyncDispose](): Promise<void>;
}
