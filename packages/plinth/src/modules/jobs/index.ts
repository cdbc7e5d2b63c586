export type { EnqueueOptions, JobsTransaction } from './enqueue.ts';
export { JOB_SIGNALS, MOST_PAYLOAD_BYTES } from './enqueue.ts';
export { JobFailure } from './failure.ts';
export type { ScheduleInput } from './schedules.ts';
export { putSchedule, runDueSchedules, SYSTEM_TENANT, syncCardSchedules } from './schedules.ts';
export type { ClaimedJob, ClaimRequest, HeldRun, Settlement } from './work.ts';
export { announceKinds, beatWorker, claimJobs, recoverJobs, registerWorker, settleJobs } from './work.ts';
