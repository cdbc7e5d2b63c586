export type { EnqueueOptions, JobsTransaction } from './enqueue.ts';
export { JOB_SIGNALS, MOST_PAYLOAD_BYTES } from './enqueue.ts';
export { JobFailure } from './failure.ts';
export type { ScheduleInput } from './schedules.ts';
export { SYSTEM_TENANT, putSchedule, runDueSchedules, syncCardSchedules } from './schedules.ts';
export type { ClaimRequest, ClaimedJob, HeldRun, Settlement } from './work.ts';
export { announceKinds, claimJobs, extendLeases, recoverJobs, settleJobs } from './work.ts';
