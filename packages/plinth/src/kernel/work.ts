import type { AnyTransaction } from './transaction.ts';

/** What a job handler is given besides its transaction. */
export interface JobRun {
  id: string;
  kind: string;
  payload: Record<string, unknown>;
  /** 1 for the first try. */
  attempt: number;
  /** Fence of this attempt: a completion under another run id is refused. */
  runId: string;
  tenantId: string | undefined;
  correlationId: string;
  /** Aborted when the lease is lost, the deadline passes or the worker shuts down. */
  signal: AbortSignal;
  progress(percent: number, note?: string): Promise<void>;
  /** Opens a transaction in the tenant and correlation of the job. */
  transaction<T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T>;
  /** Opens a transaction as plinth_worker (all tenants), for maintenance kinds. */
  asWorker<T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T>;
  services: WorkServices;
}

/** What the worker process hands to handlers and consumers; adapters come in here, so that modules stay free of them. */
export interface WorkServices {
  clock: { now(): number };
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void; error(fields: object, message: string): void };
  /** Named adapters given by the app: `egress`, `storage`, `database`. */
  adapters: Record<string, unknown>;
  /** False where the process works the modules it was given and nothing of this one. */
  enabled(name: string): boolean;
}

export interface JobDefinition {
  handler: (run: JobRun) => Promise<unknown>;
  summary: string;
  /** Cron text (5 fields) in `timeZone` (default UTC): the job is enqueued by the scheduler, once for the installation. */
  schedule?: { cron: string; timeZone?: string };
  /** Default 3. */
  maxAttempts?: number;
  /** Default 60 s. */
  timeoutMs?: number;
}

/** One event as a consumer of the feed sees it. */
export interface FeedEvent {
  tenantId: string;
  id: string;
  position: string;
  type: string;
  streamId: string | null;
  data: Record<string, unknown>;
  correlationId: string | null;
  causationId: string | null;
  createdAt: Date;
}

/**
 * A reader of the event feed. `handle` runs in the transaction that also moves the cursor (role plinth_worker), so its
 * writes happen exactly once per event.
 */
export interface Consumer {
  summary: string;
  /** Events a batch. Default 500. */
  batchSize?: number;
  handle: (tx: AnyTransaction, events: readonly FeedEvent[]) => Promise<void>;
}
