/** `plinth/testing`: what tests of an application and of modules of your own need. Nothing here asks for a certain test runner. */
export { virtualClock } from '#kernel/clock.ts';
export { uuidV7Source } from '#kernel/ids.ts';
export type { EnqueuedJob, Expectation } from './enqueued.ts';
export { type ExercisePlace, exerciseModule, type ModulePromise } from './exercise-module.ts';
export type { Drained, JobsKit, JobsKitOptions, RanJob } from './jobs-kit.ts';
export { jobsKit } from './jobs-kit.ts';
