/** What one needs to write a module: `import { defineModule, procedure } from 'plinth/module'`. */
export type { EffectSink } from '#kernel/effects.ts';
export type { ErrorCatalogue } from '#kernel/errors.ts';
export { PlinthError, raiser } from '#kernel/errors.ts';
export type { ListCard, ModuleMap, TableCard } from '#kernel/module.ts';
export { defineModule } from '#kernel/module.ts';
export type { Projection, ProjectionTables } from '#kernel/projection.ts';
export { defineProjection } from '#kernel/projection.ts';
export { procedure } from '#kernel/rpc.ts';
export type { Consumer, FeedEvent, JobDefinition, JobRun, ThreadJobDefinition, ThreadRun } from '#kernel/work.ts';
