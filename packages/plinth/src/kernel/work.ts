import type { ModuleMap } from './module.ts';
import type { Plinth } from './plinth.ts';
import type { AnyTransaction } from './transaction.ts';
import type { Wake } from './wake.ts';

/** What a job handler is given. `Tx` is the transaction with the effects of the modules that the process was built with. */
export interface JobRun<Tx extends AnyTransaction = AnyTransaction> {
  id: string;
  kind: string;
  payload: Record<string, unknown>;
  /** 1 for the first try. */
  attempt: number;
  /** Fence of this attempt: a completion under another run id is refused. */
  runId: string;
  tenantId: string | undefined;
  correlationId: string;
  /** Aborted when the lease is lost, the job is cancelled, its time is up or the worker shuts down; `signal.reason` says which. */
  signal: AbortSignal;
  /**
   * 0 to 100; refused with jobs_lease_lost when another attempt has taken over. Written at most twice a second, the last one always; the
   * refusal of one that had to wait comes with the next.
   */
  progress(percent: number, note?: string): Promise<void>;
  /**
   * Keeps a line with the job (plinth.job_logs, for 7 days): at most 1,000 an attempt and 4 KiB each, what is longer is cut. Returns at once;
   * lines are stored within 200 ms, and before the end of the attempt is. Kept also when the attempt fails or its transaction rolls back.
   */
  log(message: string, fields?: Record<string, unknown>): void;
  /**
   * Completes the job in a transaction of the handler, so that its effects and the completion commit together: exactly once in
   * this database. Refused with jobs_lease_lost, which rolls back, when another attempt has taken over.
   */
  completeIn(tx: AnyTransaction, result?: unknown): Promise<void>;
  /** Asks to be run again after `delayMs`, without counting this attempt; takes effect when the handler returns. Throws a RangeError for what is no number of ms, or longer than a year. */
  snooze(delayMs: number): void;
  /** Opens a transaction in the tenant and correlation of the job; what it records is caused by the job. */
  transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  /** Opens a transaction as plinth_worker (all tenants), for maintenance kinds. */
  asWorker<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  services: WorkServices;
}

/** What the worker process hands to handlers and consumers; adapters come in here, so that modules stay free of them. */
export interface WorkServices {
  clock: { now(): number };
  log: {
    debug?(fields: object, message: string): void;
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  /** Named adapters given by the app: `egress`, `storage`, `database`. */
  adapters: Record<string, unknown>;
  /** False where the process works the modules it was given and nothing of this one. */
  enabled(name: string): boolean;
}

/** What a long-running part of a module is given by the worker process. */
export interface WorkerRuntime {
  plinth: Plinth<ModuleMap>;
  services: WorkServices;
  /** Hints that there is something to do, from this process and (by LISTEN) from others; polling stays the truth. */
  wake: Wake;
}

/**
 * A part of a module that runs as long as the worker process, for example a dispatcher. Called once at start; `stop` takes in no
 * more, waits for what is running and resolves. A failure inside it is its own to log and survive.
 */
export type WorkerPart = (runtime: WorkerRuntime) => { stop(): Promise<void> };

/** When the scheduler enqueues a job; more on each field under "Schedules" in the README of `jobs`. */
export interface JobSchedule {
  /** Cron text of 5 fields. */
  cron: string;
  /** Default UTC. */
  timeZone?: string;
  payload?: Record<string, unknown>;
  queue?: string;
  priority?: number;
  /** What becomes of ticks that no scheduler was there for. Default `once`: one job makes up all of them. */
  missedRuns?: 'skip' | 'once' | 'all';
  /** With `all`: at most the latest so many, 1 to 1,000. Default 1,000. */
  catchUpLimit?: number;
  /** The job may start up to so many ms after the tick, 0 to 3,600,000. Default 0. */
  jitterMs?: number;
  /** A tick has no job while the one of an earlier tick has not finished. Default false; not with `all`. */
  skipIfRunning?: boolean;
}

export interface JobDefinition<Tx extends AnyTransaction = AnyTransaction> {
  /** What it returns is kept as the result of the job, if it is JSON of at most 256 KiB. */
  handler: (run: JobRun<Tx>) => Promise<unknown>;
  summary: string;
  /** The job is enqueued by the clock, once for the installation. */
  schedule?: JobSchedule;
  /** True: it serves all tenants, in the system tenant. A job of this kind that a tenant has enqueued fails for good and is not run. Default false. */
  installation?: boolean;
  /** Default 3. */
  maxAttempts?: number;
  /**
   * Waits before the next attempt: `exponential` (default; min(3600, 2^attempt) s, give or take a quarter), seconds for each attempt, of which
   * the last one repeats, an exponential of your own (seconds; mostS default 3,600, jitter default 0.25), or `none`: the first failure is the last.
   */
  backoff?: 'exponential' | 'none' | readonly number[] | { baseS: number; mostS?: number; jitter?: number };
  /** Attempts in a row that may be lost with their worker before the job is given up, because it seems to end its workers. Default 3. */
  maxLost?: number;
  /** Default 60 s. */
  timeoutMs?: number;
}

/**
 * What the handler of a job gets that runs in a thread of its own. It has no transactions: it returns what it has worked out, and `finish`
 * writes it; or it opens a Plinth of its own, which is another pool of connections.
 */
export type ThreadRun = Pick<JobRun, 'id' | 'kind' | 'payload' | 'attempt' | 'runId' | 'tenantId' | 'correlationId' | 'signal' | 'progress' | 'log' | 'snooze'>;

/** A job that computes: its handler is a module and runs in a thread, so that it does not hold up the process. */
export interface ThreadJobDefinition<Tx extends AnyTransaction = AnyTransaction> extends Omit<JobDefinition<Tx>, 'handler'> {
  /** A module whose default export is `(run: ThreadRun) => unknown`, sync or async: `new URL('./render.ts', import.meta.url)`. */
  thread: URL;
  /** Runs in the main thread with what the module returned; what it returns is the result of the job instead. The place for transactions and completeIn. */
  finish?: (run: JobRun<Tx>, result: unknown) => Promise<unknown>;
  handler?: never;
}

/** One event as a consumer of the feed sees it. */
export interface FeedEvent {
  tenantId: string;
  id: string;
  position: string;
  type: string;
  /** Version of the event type that `data` has; after upcasting the newest. 1 for types that were not registered. */
  schemaVersion: number;
  streamId: string | null;
  data: Record<string, unknown>;
  /** Fields of `data` are encrypted where they are stored, and readable here: what keeps them keeps them in plain text. */
  personal?: true;
  correlationId: string | null;
  causationId: string | null;
  createdAt: Date;
  /** What else there is to know, for a consumer that asked for it. */
  details?: Record<string, unknown>;
}

/** The transaction of a batch: as plinth_worker, across tenants, and so without effects of its own. */
export type WorkerTransaction<Tx extends AnyTransaction = AnyTransaction> = AnyTransaction & TenantScope<Tx>;

export interface TenantScope<Tx extends AnyTransaction = AnyTransaction> {
  /**
   * In this transaction, does what belongs to the tenant of an event: as plinth_app, in its correlation, caused by it. What `body` writes and its effects
   * (`own.jobs.enqueue(...)`, `own.audit.record(...)`) commit with the batch, exactly once for the event. Calls run one after the other.
   */
  inTenantOf<T>(event: Pick<FeedEvent, 'tenantId' | 'id' | 'correlationId'>, body: (own: Tx) => Promise<T>): Promise<T>;
}

/**
 * A reader of the event feed. `handle` runs in the transaction that also moves the cursor (role plinth_worker), so its
 * writes happen exactly once per event. `Tx` is what `tx.inTenantOf` offers.
 */
export interface Consumer<Tx extends AnyTransaction = AnyTransaction> {
  summary: string;
  /** Events a batch. Default 500. */
  batchSize?: number;
  /** Where a consumer that is new to a database begins. Default `beginning`: everything that is kept. */
  from?: 'beginning' | 'now';
  /**
   * What becomes of an event that the handler fails on. It is tried again beside the live feed, and the later events of its tenant come after it, in order;
   * other tenants go on. `block` (default): so until it is handled, and nothing is ever missing or out of order. `park`: after `attempts` it
   * is put aside and its tenant goes on without it, also with later events of its stream. `stop`: all tenants of its shard wait.
   */
  onPoison?: 'block' | 'park' | 'stop';
  /**
   * False: the commits of its batches do not wait for the disk. A crash of the server may undo the last of them, what the handler wrote and the
   * cursor alike, so that they are handled again and nothing is lost or doubled in this database. Default true.
   */
  durable?: boolean;
  /** Tries of one event before it is parked. Default 5, which takes about 8 s. One that ends its process is tried four times at most. */
  attempts?: number;
  /**
   * Longest pause of the handler between its statements, ms, also while it waits for something else: then its batch is given up, which counts as a failure,
   * and other processes get it. Default 60,000.
   */
  idleMs?: number;
  /** Events come with `details`. Default false. */
  details?: boolean;
  /** Events come as they are stored: what is encrypted stays so. Default false. */
  stored?: boolean;
  /** Events come without their data (`{}`), for a handler that reads what it needs of them in SQL. Default false. */
  bare?: boolean;
  // A method, so that a consumer that counts on effects may be handed on by who does not know them.
  handle(tx: WorkerTransaction<Tx>, events: readonly FeedEvent[]): Promise<void>;
}
