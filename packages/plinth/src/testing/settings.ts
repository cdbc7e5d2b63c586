/** Settings of a PostgreSQL for tests: fast instead of durable, for a power cut may eat test data. */
export const testSettings = {
  fsync: false,
  synchronous_commit: false,
  full_page_writes: false,
  max_wal_size: '1GB',
  checkpoint_timeout: '30min',
  shared_buffers: '256MB',
  max_connections: 300,
  max_prepared_transactions: 100,
  max_locks_per_transaction: 256,
  // Counts calls, so that a plpgsql function that no test calls can be found.
  track_functions: 'all',
} as const;
