export type { BatchAdd, BatchCallback, BatchOptions, DependencyResult } from './batches.ts';
export { dependenciesOf } from './batches.ts';
export { dropUnnamedSchedules, putCardSchedules } from './card-schedules.ts';
export type { QueueDepth } from './depths.ts';
export { queueDepths, queueLoad, schedulerHealth } from './depths.ts';
export type { JobRow, JobsTransaction } from './enqueue.ts';
export { addsToBatch, JOB_SIGNALS, MOST_PAYLOAD_BYTES, uniqueJob } from './enqueue.ts';
export { errors as jobsErrors } from './errors.ts';
export { JobFailure } from './failure.ts';
export type { JobLimit, JobPause } from './limits.ts';
export { nextRoomInMs, pauseJobs, removeJobLimit, resumeJobs, setJobLimit, setJobWeight } from './limits.ts';
export type { LogLine } from './logs.ts';
export { MOST_LOG_LINES, storableLine, writeLogs } from './logs.ts';
export type { Backoff, EnqueueOptions } from './options.ts';
export { faultOfBackoff } from './options.ts';
export type { ScheduleInput } from './schedules.ts';
export { faultOfSchedule, putSchedule, runDueSchedules, SYSTEM_TENANT } from './schedules.ts';
export { storable } from './storable.ts';
export type { JobSight, JobState, LoggedLine, Watched } from './watch.ts';
export { isOver, JOB_WATCH_SIGNAL, readJobState, readLogs, readWatched } from './watch.ts';
export type { Beat, ClaimedJob, FailedJob, HeldRun, LaneTurn, Pause, Settled, Settlement, WorkerEntry } from './work.ts';
export {
  announceKinds,
  beatWorker,
  claimJobs,
  claimLanes,
  claimOf,
  disownClaims,
  findLanes,
  peekJobs,
  promoteJobs,
  recoverJobs,
  registerWorker,
  rotateRing,
  setJobAside,
  settleJobs,
  unregisterWorker,
} from './work.ts';
