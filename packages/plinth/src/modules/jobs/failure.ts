/** What a handler may throw to say more than that it failed. Any other error is retried after the usual wait. */
export class JobFailure extends Error {
  /** True: no further attempt, the job becomes a dead letter at once. */
  readonly final: boolean;
  /** Wait before the next attempt, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: { final?: boolean; retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'JobFailure';
    this.final = options.final ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}
