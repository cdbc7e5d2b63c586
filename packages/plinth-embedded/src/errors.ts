/** Why PostgreSQL did not start, with the way out. Codes are fixed; a caller may print `message` and `hint` as they are. */
export type EmbeddedPostgresCode =
  | 'platform_unsupported'
  | 'binaries_missing'
  | 'data_in_use'
  | 'data_version'
  | 'data_not_ours'
  | 'account_missing'
  | 'initdb_failed'
  | 'no_free_port'
  | 'start_failed'
  | 'start_timeout'
  | 'stop_failed';

export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
  readonly code: EmbeddedPostgresCode;
  /** The way out, as one sentence. */
  readonly hint: string;

  constructor(code: EmbeddedPostgresCode, message: string, hint: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hint = hint;
  }
}

/** The way out that always exists. */
export const ownServer = 'Set PLINTH_DATABASE_URL to a PostgreSQL 15 to 18 of your own.';
