import type { AnyTransaction } from '../transaction.ts';
import type { OwnerAccess } from './owner.ts';
import type { Storage } from './storage.ts';

/** One thing that a run of retention does; a row of the run's record. */
export interface Step {
  kind: string;
  action: 'premake' | 'detach' | 'archive' | 'verify' | 'drop' | 'sweep' | 'keep' | 'vacuum';
  /** Table or partition, with its schema. */
  target: string;
  /** Tenant whose rows are swept. */
  tenantId?: string | undefined;
}

/** What came of it. */
export interface StepOutcome {
  rows?: number | undefined;
  bytes?: number | undefined;
  note?: string | undefined;
}

/** What the engine works with. */
export interface RetentionServices {
  /** A transaction as plinth_worker. */
  asWorker<T>(body: (tx: AnyTransaction) => Promise<T>): Promise<T>;
  /** Runs and records a step; throws what `body` throws. */
  step(step: Step, body: () => Promise<StepOutcome>): Promise<StepOutcome>;
  owner?: OwnerAccess | undefined;
  /** Where archives go. Without it a kind that is archived keeps its partitions. */
  storage?: Storage | undefined;
  /** Stops between two statements; what was begun is taken up by the next run. */
  signal?: AbortSignal | undefined;
}
