/** What goes between the main thread and a thread that runs jobs. Whatever comes from handlers crosses as JSON text. */
export interface ThreadJob {
  id: string;
  kind: string;
  payload: Record<string, unknown>;
  attempt: number;
  runId: string;
  tenantId: string | undefined;
  correlationId: string;
}

export type ToThread =
  | { type: 'run'; module: string; job: ThreadJob }
  | { type: 'abort'; why: string; message: string }
  | { type: 'progressed'; call: number; error?: ThreadError };

export type FromThread =
  /** The thread has started and imported the module; its handler is called next. */
  | { type: 'begun' }
  | { type: 'progress'; call: number; percent: number; note: string | undefined }
  | { type: 'log'; message: string; fields: string | undefined }
  | { type: 'snooze'; delayMs: number }
  | { type: 'done'; result: string | undefined }
  | { type: 'failed'; error: ThreadError };

/** An error without its class: what a job keeps of it. */
export interface ThreadError {
  name: string;
  message: string;
  code?: string | undefined;
  cause?: string | undefined;
  /** Of a JobFailure. */
  final?: boolean | undefined;
  retryAfterMs?: number | undefined;
}
